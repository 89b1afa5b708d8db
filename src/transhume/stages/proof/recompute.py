"""One batch through the oracle: what must have become of its rows, against what the run said of them.

The expected rows go to a file in the target's own types; `compare.py` holds them against what readers see.
"""

import gc
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import TargetTable
from transhume.oracle import Expected, Oracle
from transhume.oracle.reading import RowScope
from transhume.rules.rule import ColumnRef
from transhume.schema import FATE, REASONS, ROW, WARNINGS, physical_names
from transhume.stages.files import write_private_parquet
from transhume.stages.proof.evidence import Evidence, Row
from transhume.stages.proof.lookups import prepare_lookups
from transhume.stages.proof.surroundings import Key, ParentFates, deduplicated, gathered_rows, joined_rows
from transhume.stages.transform import BUCKET, OUTSIDE

POSITION = "_p"
"""Column of the expected files: the row's position in the extract of its table."""
KEY_TEXT = "_pk"
"""Column of the expected files: the source key as text."""
SHOWN_BUCKETS = frozenset({"loaded", "unchanged", "updated"})
"""Buckets whose rows the target must show as the oracle says; of others only fate and reasons are compared."""
DIFFERENCES_MAX = 1_000
_CHUNK_ROWS = 10_000
FATE_COLUMN, REASON_COLUMN = "(fate)", "(reasons)"


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not what the oracle says: target table mapping, source key, target key, column, rule, both texts.

    `column` is `(fate)` or `(reasons)` where the run itself said something else of the row, `(row)` where the target
    does not show the row at all.
    """

    mapping: str
    row: int
    source_key: str
    key: str
    column: str
    rule: str
    expected: str
    found: str


@dataclass(slots=True)
class Recomputed:
    """What recomputing some rows of one batch gave."""

    mapping: str
    segment: int
    rows: int = 0
    values: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    branches: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By target column and way of its rule: rows that took it."""
    differences: list[Difference] = field(default_factory=list)
    difference_count: int = 0
    expected: str = ""
    """The file with the rows that the target must show, relative to the work folder; empty where there are none."""
    expected_rows: int = 0
    busy_s: float = 0.0

    def differ(self, *differences: Difference) -> None:
        """Count differences, and keep them as long as there are not too many."""
        self.difference_count += len(differences)
        self.differences += differences[: DIFFERENCES_MAX - len(self.differences)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to recompute: of one mapping, of one segment; `places` (from its first row) or all."""

    mapping: str
    segment: int
    output: str
    places: tuple[int, ...] | None = None
    counts_ways: bool = True


def recompute(evidence: Evidence, batch: Batch, duplicates: frozenset[Key]) -> Recomputed:
    """Recompute the rows of a batch, compare fates, reasons and warnings, and write the rows that must be shown.

    Effects: one file in the work folder. Memory: the batch's rows, and the rows of others that they need.
    """
    started = process_time()
    mapping = evidence.plan.tables[batch.mapping]
    segment = evidence.segments[mapping.from_][batch.segment]
    said = evidence.fate_rows(mapping.name, batch.segment)
    inside = pc.not_equal(said[BUCKET], OUTSIDE).to_pylist()
    wanted = range(segment.row_count) if batch.places is None else batch.places
    places = [place for place in wanted if inside[place]]
    result = Recomputed(batch.mapping, batch.segment)
    fates = ParentFates(evidence)
    oracle = evidence.oracle(mapping, fates)
    target = evidence.targets[mapping.name]
    writer = ExpectedRows(target)
    key_parts = [ColumnRef(name) for name in mapping.key]
    said_of = deduplicated(evidence, mapping) if mapping.dedupe is not None else None
    collecting = gc.isenabled()
    # Nothing here makes cycles; looking for them among a hundred thousand rows costs more than the rules.
    gc.disable()
    try:
        for first in range(0, len(places), _CHUNK_ROWS):
            chunk = places[first : first + _CHUNK_ROWS]
            rows = evidence.rows(segment, chunk)
            joined = joined_rows(evidence, oracle, rows)
            fates.prepare(oracle, rows, joined)
            prepare_lookups(oracle, rows, joined)
            oracle.children = gathered_rows(evidence, oracle, rows, joined).children
            keys = [oracle.key_texts(key_parts, row, known) for row, known in zip(rows, joined, strict=True)]
            expected = [
                oracle.expected_row(
                    row,
                    known,
                    duplicate=key in duplicates,
                    dedupe="" if said_of is None else said_of[segment.first_row + place],
                )
                for row, known, key, place in zip(rows, joined, keys, chunk, strict=True)
            ]
            told = said.take(pa.array(chunk, pa.int64()))
            _hold_against_run(result, keys, expected, told)
            if batch.counts_ways:
                _count_ways(result, oracle, rows, joined, expected)
            shown = [bucket in SHOWN_BUCKETS for bucket in told[BUCKET].to_pylist()]
            writer.add(told[ROW].to_pylist(), keys, expected, shown)
    finally:
        if collecting:
            gc.enable()
    # Without a key no row of the target can be told to be this one: the stage's comparison as a multiset stands.
    if writer.row_count and target.key:
        write_private_parquet(evidence.work / batch.output, writer.table())
        result.expected, result.expected_rows = batch.output, writer.row_count
        result.values = writer.row_count * len(target.table.columns)
    result.busy_s = process_time() - started
    return result


def _hold_against_run(
    result: Recomputed, keys: Sequence[Key | None], expected: Sequence[Expected], told: pa.Table
) -> None:
    """Compare fate, reasons in their order and warnings with what the run said of each row."""
    result.rows += len(expected)
    result.fates.update(each.fate for each in expected)
    said_warnings = told[WARNINGS].to_pylist() if WARNINGS in told.column_names else [None] * len(expected)
    lines = zip(
        keys,
        expected,
        told[ROW].to_pylist(),
        told[FATE].to_pylist(),
        told[REASONS].to_pylist(),
        said_warnings,
        strict=True,
    )
    for key, each, row, fate, reasons, warnings in lines:
        wanted = ("\n".join(each.reasons) or None, "\n".join(each.warnings) or None)
        if fate == each.fate and wanted == (reasons, warnings):
            continue
        name = ", ".join(key) if key else ""
        if fate != each.fate:
            said = f"{fate} {reasons or ''}".strip()
            result.differ(Difference(result.mapping, row, name, "", FATE_COLUMN, "", _fate_text(each), said))
        if wanted[0] != reasons and fate == each.fate:
            result.differ(Difference(result.mapping, row, name, "", REASON_COLUMN, "", str(wanted[0]), str(reasons)))
        if wanted[1] != warnings and fate == each.fate:
            result.differ(Difference(result.mapping, row, name, "", REASON_COLUMN, "", str(wanted[1]), str(warnings)))


def _fate_text(expected: Expected) -> str:
    return f"{expected.fate} {', '.join(expected.reasons)}".strip()


def _count_ways(
    result: Recomputed,
    oracle: Oracle,
    rows: Sequence[Row],
    joined: Sequence[Mapping[str, Any]],
    expected: Sequence[Expected],
) -> None:
    """Note which way each rule took, so that a sample can say what it covers."""
    scopes = [RowScope(oracle, row, known) for row, known in zip(rows, joined, strict=True)]
    for each in oracle.fields():
        ways = Counter(each.way(scope) for scope in scopes) if each.has_ways else Counter[str]()
        for one in expected:
            if one.fate == "loaded":
                ways["NULL" if one.values[each.name] is None else "a value"] += 1
        result.branches.update({(each.name, way): count for way, count in ways.items() if way})
    for one in expected:
        result.branches.update((REASON_COLUMN, reason) for reason in (*one.reasons, *one.warnings))


class ExpectedRows:
    """Collects the rows that must be shown, column by column, in the target's types."""

    def __init__(self, target: TargetTable) -> None:
        self._target = target
        self._names = physical_names(column.name for column in target.table.columns)
        self._chunks: list[pa.Table] = []
        self.row_count = 0

    def add(
        self, positions: Sequence[int], keys: Sequence[Key | None], expected: Sequence[Expected], shown: Sequence[bool]
    ) -> None:
        """Take the loaded ones of these rows that are to be shown."""
        picked = [
            (position, ", ".join(key or ()), each.values)
            for position, key, each, is_shown in zip(positions, keys, expected, shown, strict=True)
            if is_shown and each.fate == "loaded"
        ]
        if not picked:
            return
        self.row_count += len(picked)
        arrays = [pa.array([one[0] for one in picked], pa.int64()), pa.array([one[1] for one in picked], pa.string())]
        for column in self._target.table.columns:
            held = self._target.arrow_schema.field(column.name).type
            arrays.append(as_arrow([one[2].get(column.name) for one in picked], held))
        self._chunks.append(pa.table(arrays, names=[POSITION, KEY_TEXT, *self._names.values()]))

    def table(self) -> pa.Table:
        """Return all rows: position, source key, the target's columns by physical name."""
        return pa.concat_tables(self._chunks)


def as_arrow(values: list[Any], held: pa.DataType) -> pa.Array:
    """Return values of the oracle in the type in which they travel to the target."""
    if pa.types.is_fixed_size_binary(held):
        return pa.array([value.bytes if isinstance(value, uuid.UUID) else value for value in values], held)
    return pa.array(values, held)
