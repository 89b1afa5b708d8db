"""One batch through the oracle: what must have become of its rows, against what the run said of them.

The expected rows go to a file in the target's own types; `compare.py` holds them against what readers see.
"""

import gc
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from time import process_time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import TargetTable
from transhume.oracle import ExpectedRows as OracleRows
from transhume.oracle import Key, Oracle, Rows
from transhume.plan.model import TableMapping
from transhume.rules.rule import ColumnRef
from transhume.schema import FATE, REASONS, ROW, WARNINGS, physical_names
from transhume.stages.files import write_private_parquet
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.surroundings import ParentFates, deduplicated, with_surroundings
from transhume.stages.transform import BUCKET, OUTSIDE

POSITION = "_p"
"""Column of the expected files: the row's position in the extract of its table."""
KEY_TEXT = "_pk"
"""Column of the expected files: the source key as text."""
SHOWN_BUCKETS = frozenset({"loaded", "unchanged", "updated"})
"""Buckets whose rows the target must show as the oracle says; of others only fate and reasons are compared."""
DIFFERENCES_MAX = 1_000
_CHUNK_ROWS = 16_384
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


class Recomputer:
    """Recomputes the batches of one mapping, one after another; what was learnt of parents and values is kept."""

    def __init__(self, evidence: Evidence, duplicates: frozenset[Key]) -> None:
        """Take what a run left, and the keys that more than one row of the mapping has."""
        self._evidence, self._duplicates = evidence, duplicates
        self._fates = ParentFates(evidence)
        self._oracles: dict[str, Oracle] = {}

    def recompute(self, batch: Batch) -> Recomputed:
        """Recompute the rows of a batch, compare fates, reasons and warnings, and write the rows that must be shown.

        Effects: one file in the work folder. Memory: the batch's rows, and the rows of others that they need.
        """
        started = process_time()
        evidence, mapping = self._evidence, self._evidence.plan.tables[batch.mapping]
        segment = evidence.segments[mapping.from_][batch.segment]
        said = evidence.fate_rows(mapping.name, batch.segment)
        inside = pc.not_equal(said[BUCKET], OUTSIDE).to_pylist()
        wanted = range(segment.row_count) if batch.places is None else batch.places
        places = [place for place in wanted if inside[place]]
        result = Recomputed(batch.mapping, batch.segment)
        oracle = self._oracle(mapping)
        writer = ExpectedRows(evidence.targets[mapping.name])
        lost = deduplicated(evidence, mapping) if mapping.dedupe is not None else None
        collecting = gc.isenabled()
        # Nothing here makes cycles; looking for them among a hundred thousand rows costs more than the rules.
        gc.disable()
        try:
            read = evidence.segment_rows(segment)
            for first in range(0, len(places), _CHUNK_ROWS):
                chunk = places[first : first + _CHUNK_ROWS]
                rows = with_surroundings(evidence, Rows(oracle, read(chunk)), self._fates)
                keys = rows.keys([ColumnRef(name) for name in mapping.key])
                expected = oracle.expected_rows(
                    rows,
                    [key in self._duplicates for key in keys] if self._duplicates else None,
                    None if lost is None else [lost[segment.first_row + place] for place in chunk],
                )
                told = said.take(pa.array(chunk, pa.int64()))
                _hold_against_run(result, keys, expected, told)
                if batch.counts_ways:
                    _count_ways(result, rows, expected)
                writer.add(told[ROW].to_pylist(), keys, expected, _shown(told))
        finally:
            if collecting:
                gc.enable()
        # Without a key no row of the target can be told to be this one: the stage's comparison as a multiset stands.
        if writer.row_count and writer.target.key:
            write_private_parquet(evidence.work / batch.output, writer.table())
            result.expected, result.expected_rows = batch.output, writer.row_count
            result.values = writer.row_count * len(writer.target.table.columns)
        result.busy_s = process_time() - started
        return result

    def _oracle(self, mapping: TableMapping) -> Oracle:
        if mapping.name not in self._oracles:
            self._oracles[mapping.name] = self._evidence.oracle(mapping, self._fates)
        return self._oracles[mapping.name]


def _shown(told: pa.Table) -> list[bool]:
    shown = pc.is_in(told[BUCKET], value_set=pa.array(sorted(SHOWN_BUCKETS), told[BUCKET].type))
    answers: list[bool] = shown.to_pylist()
    return answers


def _hold_against_run(result: Recomputed, keys: Sequence[Key | None], expected: OracleRows, told: pa.Table) -> None:
    """Compare fate, reasons in their order and warnings with what the run said of each row."""
    size = len(expected.fates)
    result.rows += size
    result.fates.update(expected.fates)
    wanted = [list(expected.fates), _lines(expected.reasons, size), _lines(expected.warnings, size)]
    said = [told[FATE].to_pylist(), told[REASONS].to_pylist()]
    said.append(told[WARNINGS].to_pylist() if WARNINGS in told.column_names else [None] * size)
    if wanted == said:
        return
    for place, (own, theirs) in enumerate(zip(zip(*wanted, strict=True), zip(*said, strict=True), strict=True)):
        if own == theirs:
            continue
        key, row = keys[place], told[ROW][place].as_py()
        name = ", ".join(key) if key else ""
        if own[0] != theirs[0]:
            texts = (_fate_text(own[0], own[1]), _fate_text(theirs[0], theirs[1]))
            result.differ(Difference(result.mapping, row, name, "", FATE_COLUMN, "", *texts))
            continue
        for one, other in zip(own[1:], theirs[1:], strict=True):
            if one != other:
                result.differ(Difference(result.mapping, row, name, "", REASON_COLUMN, "", str(one), str(other)))


def _lines(found: Mapping[int, tuple[str, ...]], size: int) -> list[str | None]:
    lines: list[str | None] = [None] * size
    for place, texts in found.items():
        lines[place] = "\n".join(texts)
    return lines


def _fate_text(fate: str, reasons: str | None) -> str:
    return f"{fate} {(reasons or '').replace(chr(10), ', ')}".strip()


def _count_ways(result: Recomputed, rows: Rows, expected: OracleRows) -> None:
    """Note which way each rule took, so that a sample can say what it covers."""
    for each in rows.oracle.fields():
        ways = Counter(each.way(scope) for scope in rows.scopes) if each.has_ways else Counter[str]()
        for place, value in zip(expected.kept, expected.values[each.name], strict=True):
            if expected.fates[place] == "loaded":
                ways["NULL" if value is None else "a value"] += 1
        result.branches.update({(each.name, way): count for way, count in ways.items() if way})
    for texts in (*expected.reasons.values(), *expected.warnings.values()):
        result.branches.update((REASON_COLUMN, text) for text in texts)


class ExpectedRows:
    """Collects the rows that must be shown, column by column, in the target's types."""

    def __init__(self, target: TargetTable) -> None:
        self.target = target
        self._names = physical_names(column.name for column in target.table.columns)
        self._chunks: list[pa.Table] = []
        self.row_count = 0

    def add(
        self, positions: Sequence[int], keys: Sequence[Key | None], expected: OracleRows, shown: Sequence[bool]
    ) -> None:
        """Take the loaded ones of these rows that are to be shown."""
        fates, kept = expected.fates, expected.kept
        picked = [shown[place] and fates[place] == "loaded" for place in kept]
        places = list(compress(kept, picked))
        if not places:
            return
        self.row_count += len(places)
        arrays = [
            pa.array([positions[place] for place in places], pa.int64()),
            pa.array([", ".join(keys[place] or ()) for place in places], pa.string()),
        ]
        nothing = [None] * len(places)
        for column in self.target.table.columns:
            held = self.target.arrow_schema.field(column.name).type
            values = expected.values.get(column.name)
            arrays.append(as_arrow(nothing if values is None else list(compress(values, picked)), held))
        self._chunks.append(pa.table(arrays, names=[POSITION, KEY_TEXT, *self._names.values()]))

    def table(self) -> pa.Table:
        """Return all rows: position, source key, the target's columns by physical name."""
        return pa.concat_tables(self._chunks)


def as_arrow(values: list[Any], held: pa.DataType) -> pa.Array:
    """Return values of the oracle in the type in which they travel to the target."""
    if pa.types.is_fixed_size_binary(held):
        return pa.array([value.bytes if isinstance(value, uuid.UUID) else value for value in values], held)
    return pa.array(values, held)
