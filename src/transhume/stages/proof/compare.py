"""What the oracle says of a batch against what readers of the target see now, every value, bit by bit."""

import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks.keys import duplicate_keys as repeated
from transhume.dialects import DIALECTS
from transhume.engines.engine import Engine
from transhume.operations import ParquetFiles
from transhume.plan.model import TableMapping
from transhume.schema import Kind, physical_names
from transhume.stages.proof.recompute import DIFFERENCES_MAX, KEY_TEXT, POSITION, Difference, Recomputed

ROW_COLUMN = "(row)"
_SHOWN_MAX = 200
_SLACK_ROWS = 8_192
"""Rows before and after the expected place that are looked at too: those of others, or a batch sorted by key."""


class ShownRows:
    """What readers of a target table see, to be asked for the rows of a batch by their keys.

    A target that keeps the order in which a run wrote has them where they are expected; there they are looked for
    first. Where one is not, or where a key stands twice, the engine looks among all rows of the table.
    """

    def __init__(self, engine: Engine, work: Path, target: TargetTable, present: str, sizes: Sequence[int]) -> None:
        """Take the file `present` of the work folder with all that readers see, and the rows of each batch in order."""
        self._engine, self._work, self._target, self._present = engine, work, target, present
        self._starts = [0, *accumulate(sizes)]
        self._names = physical_names(column.name for column in target.table.columns)
        self._is_ordered = len(target.key) == 1 and not self._has_repeated_keys()

    def under_keys(self, expected: pa.Table, path: str, batch: int) -> tuple[pa.Table, pa.Table]:
        """Return expected rows beside the rows shown under their keys, whose columns are NULL where there is none.

        `expected` are the rows of the file `path`. A key that stands twice gives two rows.
        """
        if self._is_ordered:
            near = self._near(self._starts[batch], expected.num_rows)
            key = self._names[self._target.key[0]]
            places = pc.index_in(expected[key], value_set=near[key])
            if not places.null_count:
                return expected, near.take(places)
            # An order that is another one everywhere is not looked for again.
            self._is_ordered = places.null_count < expected.num_rows
        output = Path(path).with_suffix(".arrow")
        query = DIALECTS[self._engine.dialect].render(rows_by_key(self._target, path, self._present))
        self._engine.to_arrow(query, output)
        with pa.memory_map(str(self._work / output)) as mapped:
            found = pa.ipc.open_file(mapped).read_all()
            aligned = expected.take(pc.index_in(found[POSITION], value_set=expected[POSITION]))
            there = found.select(list(self._names.values())).combine_chunks()
        (self._work / output).unlink()
        return aligned, there

    def _near(self, start: int, size: int) -> pa.Table:
        """Return the rows around those places of the file that so many rows from `start` would have."""
        with pq.ParquetFile(self._work / self._present, memory_map=True) as file:
            groups, first = [], 0
            for number in range(file.num_row_groups):
                after = first + file.metadata.row_group(number).num_rows
                if after > start - _SLACK_ROWS and first < start + size + _SLACK_ROWS:
                    groups.append(number)
                first = after
            return file.read_row_groups(groups)

    def _has_repeated_keys(self) -> bool:
        columns = [self._names[name] for name in self._target.key]
        query = DIALECTS[self._engine.dialect].render(repeated([self._present], columns))
        return bool(self._engine.query(query).num_rows)


def compare(shown: ShownRows, work: Path, mapping: TableMapping, target: TargetTable, recomputed: Recomputed) -> None:
    """Hold the rows that `recomputed` expects against those that are shown; differences go into it.

    Values are compared here, whoever fetched them: floats by their bits, texts by their bytes.
    """
    if not recomputed.expected:
        return
    expected = pq.read_table(work / recomputed.expected, memory_map=True)
    names = physical_names(column.name for column in target.table.columns)
    aligned, there = shown.under_keys(expected, recomputed.expected, recomputed.segment)
    missing = pc.is_null(there[names[target.key[0]]])
    if pc.any(missing).as_py():
        _note_missing(recomputed, mapping, aligned.filter(missing), [names[name] for name in target.key])
        aligned, there = aligned.filter(pc.invert(missing)), there.filter(pc.invert(missing))
    for column in target.table.columns:
        assert column.type is not None
        held = target.arrow_schema.field(column.name).type
        ours, theirs = aligned[names[column.name]], there[names[column.name]].cast(held)
        for place in different(ours, theirs, column.type.kind):
            one = Difference(
                mapping.name,
                aligned[POSITION][place].as_py(),
                aligned[KEY_TEXT][place].as_py(),
                _key_of(aligned, target, names, place),
                column.name,
                mapping.columns[column.name].verb,
                value_text(ours[place].as_py()),
                value_text(theirs[place].as_py()),
            )
            recomputed.differ(one)
            if recomputed.difference_count >= DIFFERENCES_MAX:
                break


def different(wanted: pa.ChunkedArray, shown: pa.ChunkedArray, kind: Kind) -> list[int]:
    """Return the places where two columns of one type do not hold the same bits; JSON texts may be laid out anew."""
    left, right = _bits(wanted), _bits(shown)
    if left.equals(right):
        return []
    if pa.types.is_list(left.type):
        pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return [place for place, (one, other) in enumerate(pairs) if repr(one) != repr(other)]
    same = pc.or_(pc.fill_null(pc.equal(left, right), False), pc.and_(pc.is_null(left), pc.is_null(right)))
    places: list[int] = pc.indices_nonzero(pc.invert(same)).to_pylist()
    if kind is Kind.JSON:
        return [place for place in places if not _same_json(left[place].as_py(), right[place].as_py())]
    return places


def _bits(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return whole.view(pa.int64()) if pa.types.is_float64(whole.type) else whole


def _same_json(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(_json(one) == _json(other))


def _json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def value_text(value: Any) -> str:
    """Return a value as people are shown it: NULL by name, texts quoted so that blanks show, bytes by their digits."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()[:_SHOWN_MAX]  # noqa: PLR2004
    return (repr(value) if isinstance(value, str | float) else str(value))[:_SHOWN_MAX]


def rows_by_key(target: TargetTable, expected: str, present: str) -> exp.Select:
    """Return the SELECT of the expected rows' positions with the rows that the target shows under their keys."""
    names = physical_names(column.name for column in target.table.columns)
    own = [exp.column(name, "e", quoted=True) for name in (POSITION, KEY_TEXT)]
    shown = [exp.column(name, "p", quoted=True) for name in names.values()]
    same = [
        exp.EQ(this=exp.column(names[name], "e", quoted=True), expression=exp.column(names[name], "p", quoted=True))
        for name in target.key
    ]
    return (
        exp.select(*own, *shown)
        .from_(_files(expected, "e"))
        .join(_files(present, "p"), on=exp.and_(*same), join_type="left")
        .order_by(own[0].copy())
    )


def _files(path: str, alias: str) -> exp.Table:
    rows = ParquetFiles(expressions=[exp.Literal.string(path)])
    return exp.Table(this=rows, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def _note_missing(recomputed: Recomputed, mapping: TableMapping, missing: pa.Table, key: Sequence[str]) -> None:
    for row in missing.select([POSITION, KEY_TEXT, *key]).to_pylist():
        text = ", ".join(key_text(row[name]) for name in key)
        one = Difference(mapping.name, row[POSITION], row[KEY_TEXT], text, ROW_COLUMN, "", "this row", "no such row")
        recomputed.differ(one)


def _key_of(rows: pa.Table, target: TargetTable, names: dict[str, str], place: int) -> str:
    return ", ".join(key_text(rows[names[name]][place].as_py()) for name in target.key)


def key_text(value: Any) -> str:
    """Return a part of a target key as text; UUIDs travel as 16 bytes."""
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) and len(value) == 16 else str(value)  # noqa: PLR2004
