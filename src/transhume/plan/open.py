"""Open decisions: the bare word `TBD` in a plan says that a person has still to decide; no run before that.

`draft` and `init` write it where no machine can know; a quoted "TBD" is a text like any other.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from transhume.errors import Finding
from transhume.plan.document import Document, Path_, texts
from transhume.rules.rule import is_quoted
from transhume.words import printable

OPEN = "TBD"
OPEN_CODE = "open_decision"
"""Code of the finding about an open decision."""
FROM_ABSENCE = frozenset({"primary_key", "ref_without_uuid"})
"""Codes of findings that say that something is not there; it may be what could not be read, or is not decided."""
_MAPPING, _COLUMN = 2, 4
"""Lengths of the paths of a table mapping and of a column's rule: tables, mapping, columns, column."""


def open_paths(document: Document) -> list[Path_]:
    """Return where the bare word TBD stands as a value, in the file's order."""
    return [path for path, text in texts(document.content) if text == OPEN and not is_quoted(text)]


def open_findings(document: Document) -> Iterator[Finding]:
    """Yield an error for each open decision: what is to be decided, and what to write."""
    for path in open_paths(document):
        what, cure = _words(path)
        place = document.position(path, of_key=False)
        table = str(path[1]) if path[0] == "tables" and len(path) >= _MAPPING else None
        column = str(path[3]) if table and len(path) >= _COLUMN and path[2] == "columns" else None
        yield Finding(OPEN_CODE, "error", printable(what), printable(cure), place, table, column)


def open_unit(path: Path_) -> Path_:
    """Return what cannot be read as long as this is open: one rule or setting, or a mapping without source or key."""
    if path[:1] == ("tables",):
        if path[2:3] in {("from",), ("key",)}:
            return path[:_MAPPING]
        return path[:_COLUMN] if path[2:3] in {("columns",), ("types",), ("join",), ("checks",)} else path[:3]
    return path[:2]


def not_of_open(document: Document, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield what is found wrong in a plan with open decisions, without what only says that these are open."""
    paths = open_paths(document)
    units = {path: path[:3] if path[2:3] in {("from",), ("key",)} else open_unit(path) for path in paths}
    places = {
        document.position(path[:length], of_key=of_key)
        for path, unit in units.items()
        for length in range(len(unit), len(path) + 1)
        for of_key in (True, False)
    }
    tables = {unit[1] for unit in units.values() if unit[0] == "tables" and len(unit) > 1}
    lookups = {str(unit[1]) for unit in units.values() if unit[0] == "lookups" and len(unit) > 1}
    columns = {unit[1::2] for unit in units.values() if len(unit) == _COLUMN and unit[2] == "columns"}
    used = {text for unit in units.values() for _, text in texts(_at(document.content, unit))}
    for finding in findings:
        is_of_it = finding.position in places or (finding.table, finding.column) in columns
        names_it = any(f"'{name}'" in finding.message for name in (OPEN, *lookups))
        is_used = finding.code == "column_left_out" and any(f".{name}'" in finding.message for name in used)
        is_missing = finding.code in FROM_ABSENCE and finding.table in tables
        if not (is_of_it or names_it or is_used or is_missing):
            yield finding


def _at(node: Any, path: Path_) -> Any:
    for part in path:
        node = node[part]
    return node


def _words(path: Path_) -> tuple[str, str]:  # noqa: PLR0911 - one for each kind of place
    text = "write it in place of TBD (in quotes if TBD itself is the text)"
    match path:
        case ("defaults", "time_zone"):
            return "the time zone of the source's local times is not decided yet", "write an IANA zone: Europe/Berlin"
        case ("lookups", name, *_):
            cure = f"write {{file: lookups/{name}.csv, key: COLUMN, value: COLUMN}}, and put the file there"
            return f"what the lookup '{name}' is read from is not decided yet", cure
        case ("tables", name, "key", *_):
            return f"what identifies a row of '{name}' is not decided yet", "write 'key: COLUMN' or 'key: [a, b]'"
        case ("tables", name, "columns", column):
            cure = f"write a rule or a source column behind '{column}:', {{value: a text}}, or null"
            return f"nothing fills '{column}' of '{name}' yet", cure
        case ("tables", name, "columns", column, "to", code):
            return f"the label of the code '{code}' in '{column}' of '{name}' is not decided yet", text
        case ("tables", name, "columns", column, *rest):
            key = next((str(part) for part in reversed(rest) if isinstance(part, str)), "")
            entry = next((f" in entry {part + 1}" for part in rest if isinstance(part, int)), "")
            return f"'{key}'{entry} of the rule for '{column}' of '{name}' is not decided yet", text
    return f"'{path[-1]}' is not decided yet", text
