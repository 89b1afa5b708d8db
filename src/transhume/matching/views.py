"""What matching knows of one column: its words, its table's, what it identifies or refers to, what it holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from transhume.facts import Catalog, ColumnProfile, Profile
from transhume.matching.names import refers, words_of
from transhume.matching.values import Evidence, evidence
from transhume.schema import Column, Kind, Table

_TABLES_FOR_NAMES_MAX = 400
"""Beyond so many tables references are taken from declarations alone."""


@dataclass(frozen=True, slots=True)
class View:
    """One column as matching sees it. `refers_to` is a table that its declaration, values or name point to, or ""."""

    table: str
    name: str
    column: Column
    words: tuple[str, ...]
    table_words: tuple[str, ...]
    is_key: bool
    refers_to: str
    profile: ColumnProfile | None
    evidence: Evidence
    allowed: tuple[str, ...] = ()
    """The values that a constraint of the column allows, empty where none says so."""

    @property
    def family(self) -> str:
        """The kind of values: number, text, time, boolean, uuid, bytes, or "" where nothing is known."""
        return _FAMILIES.get(self.column.type.kind, "") if self.column.type is not None else ""


_FAMILIES = {
    Kind.UUID: "uuid", Kind.INT: "number", Kind.BIGINT: "number", Kind.DECIMAL: "number", Kind.DOUBLE: "number",
    Kind.BOOLEAN: "boolean", Kind.TEXT: "text", Kind.JSON: "text", Kind.DATE: "time", Kind.TIMESTAMP: "time",
    Kind.TIMESTAMPTZ: "time", Kind.TIME: "time", Kind.BYTES: "bytes",
}  # fmt: skip


def views_of(catalog: Catalog, profile: Profile | None) -> list[View]:
    """Return every column of a system, table by table."""
    found: list[View] = []
    for table in catalog.tables.values():
        seen = profile.tables.get(table.name) if profile is not None else None
        table_words = words_of(table.name)
        pointed = {r.columns[0]: r.table for r in seen.references if len(r.columns) == 1} if seen else {}
        pointed |= {key.columns[0]: key.table for key in table.foreign_keys if len(key.columns) == 1}
        for column in table.columns:
            own = seen.columns.get(column.name) if seen is not None else None
            is_key = column.name in table.primary_key
            target = pointed.get(column.name) or _by_name(table, column.name, catalog.tables)
            allowed = allowed_values(table, column.name)
            seen_values = evidence(own, allowed)
            words = words_of(column.name)
            view = View(table.name, column.name, column, words, table_words, is_key, target, own, seen_values, allowed)
            found.append(view)
    return found


def _by_name(table: Table, column: str, tables: Mapping[str, Table]) -> str:
    if len(tables) > _TABLES_FOR_NAMES_MAX or table.primary_key == (column,):
        return ""
    named = [
        other.name
        for other in tables.values()
        if other.name != table.name
        and refers(column, other.name, other.primary_key[0] if len(other.primary_key) == 1 else "")
    ]
    return min(named, key=len) if named else ""


_IN = r"(?:::\w+(?: \w+)?)?\)*\s*(?:IN\s*\(|=\s*ANY\s*\()(.*)"
_TEXT = re.compile(r"'((?:[^']|'')*)'")


def allowed_values(table: Table, column: str) -> tuple[str, ...]:
    """Return the texts that a CHECK allows: `column IN ('a', 'b')`, or PostgreSQL's `= ANY (ARRAY['a'])`."""
    quoted = r"(?<!\w)[\"`\[(]*" + re.escape(column) + r"[\"`\])]*"
    for check in table.checks:
        found = re.search(quoted + _IN, check, re.IGNORECASE | re.DOTALL)
        if found and " or " not in check.lower() and " not in" not in check.lower():
            return tuple(value.replace("''", "'") for value in _TEXT.findall(found[1]))
    return ()
