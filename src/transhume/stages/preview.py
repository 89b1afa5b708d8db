"""Preview: some rows of one mapping before and after their rules. Nothing is staged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.compiler import table_order
from transhume.plan.model import TableMapping
from transhume.schema import FATE, LINE_CLASS, ODD, REASONS, ROW, Kind, physical_names
from transhume.stages.context import WorkContext
from transhume.stages.extract import extract
from transhume.stages.keys import group_keys, parent_keys
from transhume.stages.lookups import lookup_data_findings, settle_repeated_keys
from transhume.stages.transform import transform, write_fates


@dataclass(frozen=True, slots=True)
class PreviewedField:
    """One target column of a row: the rule, the source columns that it reads with their values, and its value."""

    column: str
    rule: str
    before: Mapping[str, Any]
    after: Any


@dataclass(frozen=True, slots=True)
class PreviewedRow:
    """One source row: its position in the extract, what becomes of it and why, and every field."""

    row: int
    fate: str
    reasons: tuple[str, ...]
    fields: tuple[PreviewedField, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


def preview(context: WorkContext, mapping: TableMapping, rows: int) -> list[PreviewedRow]:
    """Return `rows` loaded rows of the mapping, then at most `rows` others, one for each fate and reason."""
    for _ in extract(context):
        pass
    settle_repeated_keys(context, lookup_data_findings(context))
    for group in table_order(context.plan):
        for _ in group_keys(context, group):
            pass
        if mapping.name in group:
            break
        for name in group:
            _make_fates(context, context.plan.tables[name])
    found: list[PreviewedRow] = []
    seen: set[str] = set()
    good = bad = 0
    for transformed in transform(context, mapping, context.segments[mapping.from_]):
        with transformed.open() as result:
            for place in _interesting(result, seen):
                is_good = result[FATE][place].as_py() == "loaded"
                if (good if is_good else bad) >= rows:
                    continue
                good, bad = good + is_good, bad + (not is_good)
                found.append(
                    _row(context, mapping, transformed.segment.path, transformed.segment.first_row, result, place)
                )
    return sorted(found, key=lambda row: (row.fate != "loaded", row.row))


def _make_fates(context: WorkContext, mapping: TableMapping) -> None:
    for transformed in transform(context, mapping, context.segments[mapping.from_]):
        with transformed.open() as result:
            write_fates(context, mapping, transformed.segment, result, result[FATE].combine_chunks())
    for _ in parent_keys(context, mapping):
        pass


def _interesting(result: pa.Table, seen: set[str]) -> list[int]:
    """Return the places of the loaded rows, and of the first row of each fate and set of reasons not seen before."""
    places: list[int] = pc.indices_nonzero(pc.equal(result[FATE], "loaded")).to_pylist()[:100]
    others = result.select([FATE, REASONS]).filter(pc.not_equal(result[FATE], "loaded"))
    positions = pc.indices_nonzero(pc.not_equal(result[FATE], "loaded")).to_pylist()
    for place, pair in zip(positions, others.to_pylist(), strict=True):
        what = f"{pair[FATE]} {pair[REASONS]}"
        if what not in seen:
            seen.add(what)
            places.append(place)
    return places


def _row(
    context: WorkContext, mapping: TableMapping, path: str, first_row: int, result: pa.Table, place: int
) -> PreviewedRow:
    position = result[ROW][place].as_py()
    source = pq.read_table(context.folder.work / path).slice(position - first_row, 1).to_pylist()[0]
    own = context.source_catalog.tables[mapping.from_]
    names = physical_names(column.name for column in own.columns)
    odd = {each["name"]: _odd_text(each) for each in source[ODD] or () if each["value"] or each["class"] != LINE_CLASS}
    before = {column.name: odd.get(column.name, source.get(names[column.name])) for column in own.columns}
    targets = context.tables[mapping.name].table
    target_names = physical_names(column.name for column in targets.columns)
    fields = []
    for column in targets.columns:
        rule = mapping.columns[column.name]
        value = result[target_names[column.name]][place].as_py()
        if value is not None and column.type is not None and column.type.kind is Kind.UUID:
            value = UUID(bytes=value)
        read = {name: before[name] for name in dict.fromkeys(rule.columns()) if name in before}
        fields.append(PreviewedField(column.name, rule.verb, read, value))
    reasons = result[REASONS][place].as_py()
    return PreviewedRow(
        position, result[FATE][place].as_py(), tuple((reasons or "").split("\n")) if reasons else (), tuple(fields)
    )


def _odd_text(odd: Mapping[str, Any]) -> str:
    value: bytes = odd["value"]
    return f"{value.decode(errors='backslashreplace')} ({odd['class']})"
