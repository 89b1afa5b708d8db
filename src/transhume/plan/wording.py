"""What pydantic and the rules found wrong, in plain words with place and cure; none of pydantic's words go through."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from transhume.errors import Finding
from transhume.plan.document import Document, Path_
from transhume.plan.environment import Environment
from transhume.plan.model import Dedupe, Defaults, FileLookup, Join, Pivot, Plan, Rollback, RowCheck, TableMapping
from transhume.plan.people import PlanRisk
from transhume.plan.phases import Phase
from transhume.plan.schedule import PhaseDays, Schedule
from transhume.plan.table_check import Sides, TableCheck
from transhume.plan.zones import zone_problem
from transhume.rules.rule import RuleInvalid
from transhume.words import hint, printable, shape_problem

_EXAMPLES = {
    "name": "write 'name: what this migration is called'",
    "namespace": "write 'namespace: a name of the source that never changes'; every generated key depends on it",
    "source": "write 'source: sqlite:///legacy.db' or 'source: ${LEGACY_URL}'",
    "target": "write 'target: postgresql://user@host/db?schema=name' or 'target: iceberg:./lake?namespace=name'",
    "tables": "write 'tables:' with one mapping for each target table",
    "from": "write 'from: SOURCE_TABLE'",
    "key": "write 'key: COLUMN' or 'key: [a, b]': what identifies a row",
    "value": "write 'value: COLUMN': what the lookup gives",
    "columns": "write 'columns:' with 'target_column: rule' lines below",
    "by": "write 'by: COLUMN' or 'by: [a, b]': rows with equal values there stand for one",
    "on": "write 'on: {column of the joined table: own column}'",
    "sql": "write 'sql: a condition that good rows fulfil'",
}
_PIVOT_EXAMPLES = {
    "name": "write 'name: COLUMN': the column that holds the keys",
    "value": "write 'value: COLUMN': the column that holds the values",
    "take": "write 'take: {column: key}': each key becomes the alias's column",
}
RULE_EXAMPLES = {
    "copy": "{copy: model_name}",
    "uuid": "{uuid: model_id}",
    "ref": "{ref: dataset_id, table: data_sources}",
    "lookup": "{lookup: owner_id, in: identity}",
    "names": "{names: algo_type, in: algorithms}",
    "codes": "{codes: status, to: {D: Draft, A: Active}}",
    "utc": "{utc: created_ts, zone: America/New_York}",
    "path": "{path: model_path, like: '/old/{name}.{ext}', to: 's3://new/{name}.{ext}'}",
    "prefix": "{prefix: notes, with: 'Migrated: ', when_null: prefix}",
    "value": "{value: a text}",
    "coalesce": "{coalesce: [a, b]}",
    "case": "{case: [{when: a > 0, then: a}], otherwise: b}",
    "concat": "{concat: [a, b], with: '-'}",
    "gather": "{gather: params, on: {run_id: id}, name: key, value: value}",
    "split": "{split: tags, by: ',', trim: true}",
    "replace": "{replace: notes, find: old, by: new}",
    "parse": "{parse: day, format: '%d.%m.%Y'}",
    "epoch": "{epoch: created_ms, unit: ms}",
    "boolean": "{boolean: flag, true: [Y], false: [N]}",
    "scale": "{scale: size_mb, times: 1048576}",
    "json": "{json: [a, b]}",
    "json_get": "{json_get: settings, at: /model/name}",
    "mask": "{mask: email, key: '${MASK_KEY}'}",
    "sql": "{sql: a + b}",
}
"""Each rule as it may stand behind a target column."""
_LATER = {
    "load": "replacing whole tables", "include": "plans in several files",
}  # fmt: skip
"""Keys of the language that this version does not read yet."""


def findings_of(error: ValidationError, document: Document) -> Iterator[tuple[Path_, Finding | None]]:
    """Yield each problem as (path of the part that cannot be read, Finding).

    The Finding is None for a missing value whose key is there: the document says so already.
    """
    for path, problem, kind, context in _flat(error, ()):
        part, finding = _translated(path, problem, kind, context, document)
        # What is there and was left out for a problem of its own is not missing.
        is_there = (kind == "missing" and path in document.key_places) or (
            kind == "too_short" and bool(_node(_in_document(path, document), document))
        )
        yield part, (None if is_there else finding)


def _flat(error: ValidationError, above: Path_) -> Iterator[tuple[Path_, str, str, Mapping[str, Any]]]:
    """Yield (path, message, kind, context) of every problem; nested errors are opened up."""
    for entry in error.errors(include_url=False, include_input=False):
        path = (*above, *entry["loc"])
        context: Mapping[str, Any] = entry.get("ctx", {})
        cause = context.get("error")
        if isinstance(cause, ValidationError):
            yield from _flat(cause, path)
        elif isinstance(cause, RuleInvalid):
            for below, message in cause.problems:
                yield (*path, *below), message, "rule", {}
        elif isinstance(cause, Exception):
            yield path, str(cause), "value", {}
        else:
            yield path, "", entry["type"], context


def _translated(
    path: Path_, message: str, kind: str, context: Mapping[str, Any], document: Document
) -> tuple[Path_, Finding]:
    known = _in_document(path, document)
    key = str(path[-1]) if path else ""
    if kind == "missing":
        inside = _in_document(path[:-1], document)
        examples = _PIVOT_EXAMPLES if inside[-1:] == ("pivot",) else _EXAMPLES
        what, cure = f"{_place(inside)} has no '{key}'", examples.get(key, f"write '{key}: ...'")
        # What lacks a part is left out whole; only the plan itself is kept.
        return inside or path, _finding("missing_key", what, cure, document, inside)
    if kind == "extra_forbidden":
        return known, _finding("unknown_key", *_unknown_key(path[:-1], key), document, known)
    if kind == "rule" and key == "zone":
        return known, _finding("zone", *_zone(known, document), document, known, of_key=False)
    if kind in {"rule", "value"}:
        what, _, cure = message.partition("; ")
        cure = cure or _rule_cure(known, document)
        return known, _finding("bad_value", what, cure, document, known, of_key=False)
    what, cure = shape_problem(_named(path), kind, context, _node(known, document))
    return known, _finding("bad_value", what, cure, document, known, of_key=False)


def _rule_cure(path: Path_, document: Document) -> str:
    """Return how the innermost rule around a place is written."""
    for length in range(len(path), 0, -1):
        node = _node(path[:length], document)
        verb = next((key for key in node if key in RULE_EXAMPLES), None) if isinstance(node, Mapping) else None
        if verb is not None:
            return f"write it as in {RULE_EXAMPLES[verb]}"
    return "see the plan that 'transhume init' writes"


def _zone(path: Path_, document: Document) -> tuple[str, str]:
    written = _node(path, document) if path[-1] == "zone" else None
    if not isinstance(written, str):
        cure = "write 'time_zone: America/New_York' under defaults, or 'zone:' here"
        return "a local time has no time zone to become UTC from", cure
    return zone_problem(written) or (f"'{written}' is no time zone", "name an IANA zone, such as 'Europe/Berlin'")


def _unknown_key(path: Path_, key: str) -> tuple[str, str]:
    place = _place(path)
    if key in _LATER:
        return f"{place} has '{key}', which this version does not read yet ({_LATER[key]})", "remove it"
    if key == "<<":
        return f"{place} has '<<', a merge key; the plan has none", "write the values out"
    return f"{place} takes no '{key}'", hint(key, _keys(path), "it takes") or "remove it"


def _model(path: Path_) -> type[BaseModel] | None:
    if not path:
        return Plan
    inside: dict[tuple[str, ...], type[BaseModel]] = {
        ("defaults",): Defaults, ("lookups", "*"): FileLookup, ("tables", "*"): TableMapping,
        ("environments", "*"): Environment, ("rollback",): Rollback, ("phases", "*"): Phase, ("risks", "*"): PlanRisk,
        ("schedule",): Schedule, ("schedule", "*"): PhaseDays,
        ("tables", "*", "join", "*"): Join, ("tables", "*", "join", "*", "pivot"): Pivot,
        ("tables", "*", "checks", "*"): RowCheck, ("tables", "*", "dedupe"): Dedupe,
        ("tables", "*", "checks", "*", "where"): Sides, ("tables", "*", "checks", "*", "query"): Sides,
    }  # fmt: skip
    return inside.get(tuple("*" if place in {1, 3} else str(part) for place, part in enumerate(path)))


def _keys(path: Path_) -> list[str]:
    model = _model(path)
    fields = dict(model.model_fields) if model else {}
    # A check with a misspelt key may be meant as either kind.
    fields |= TableCheck.model_fields if model is RowCheck else {}
    return [field.alias or name for name, field in fields.items() if not (model is TableMapping and name == "name")]


def _place(path: Path_) -> str:
    """Name a part of the plan in a sentence."""
    match path:
        case ():
            return "the plan"
        case ("lookups" | "phases" as kind, name):
            return f"the {kind[:-1]} '{name}'"
        case ("tables", name):
            return f"the mapping '{name}'"
        case ("tables", name, "join", alias, *below) if not below or below == ["pivot"]:
            return f"the {'pivot' if below else 'join'} '{alias}' of '{name}'"
        case ("tables", name, "checks", int(number)):
            return f"check {number + 1} of '{name}'"
    return f"'{path[-1]}'"


def _named(path: Path_) -> str:
    if path and isinstance(path[-1], int):
        return f"entry {path[-1] + 1} of '{next((part for part in reversed(path) if isinstance(part, str)), '')}'"
    return _place(path) if _model(path) else f"'{path[-1]}'"


def _in_document(path: Path_, document: Document) -> Path_:
    """Return the part of a path that is in the document; names that pydantic added are left out."""
    node: Any = document.content
    kept: list[str | int] = []
    for part in path:
        is_place = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if is_place or (isinstance(node, Mapping) and part in node):
            node = node[part]
            kept.append(part)
    return tuple(kept)


def _node(path: Path_, document: Document) -> Any:
    node: Any = document.content
    for part in path:
        node = node[part]
    return node


def _finding(code: str, what: str, cure: str, document: Document, path: Path_, *, of_key: bool = True) -> Finding:
    table = str(path[1]) if path[:1] == ("tables",) and len(path) > 1 else None
    column = str(path[3]) if table and path[2:3] == ("columns",) and len(path) > 3 else None  # noqa: PLR2004
    return Finding(
        code, "error", printable(what), printable(cure), document.position(path, of_key=of_key), table, column
    )
