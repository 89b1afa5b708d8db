"""What the oracle says of a batch against what readers of the target see now, every value, bit by bit."""

import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import exp

from transhume.batches import TargetTable
from transhume.dialects import DIALECTS
from transhume.engines.engine import Engine
from transhume.operations import ParquetFiles
from transhume.plan.model import TableMapping
from transhume.schema import Kind, physical_names
from transhume.stages.proof.recompute import DIFFERENCES_MAX, KEY_TEXT, POSITION, Difference, Recomputed

ROW_COLUMN = "(row)"
_SHOWN_MAX = 200


def compare(
    engine: Engine, work: Path, mapping: TableMapping, target: TargetTable, recomputed: Recomputed, present: str
) -> None:
    """Hold the rows that `recomputed` expects against those of the file `present`; differences go into it.

    `present` is a file of the work folder with everything that readers of the target's table see. The engine fetches
    the rows by key and nothing more; values are compared here, floats by their bits, texts by their bytes.
    """
    if not recomputed.expected:
        return
    expected = pq.read_table(work / recomputed.expected, memory_map=True)
    output = Path(recomputed.expected).with_suffix(".arrow")
    engine.to_arrow(DIALECTS[engine.dialect].render(rows_by_key(target, recomputed.expected, present)), output)
    names = physical_names(column.name for column in target.table.columns)
    with pa.memory_map(str(work / output)) as mapped:
        found = pa.ipc.open_file(mapped).read_all()
        missing = _absent(found, [names[name] for name in target.key])
        _note_missing(recomputed, mapping, target, found.filter(missing))
        there = found.filter(pc.invert(missing))
        # A key that stands twice in the target is compared twice.
        aligned = expected.take(pc.index_in(there[POSITION], value_set=expected[POSITION]))
        for column in target.table.columns:
            assert column.type is not None
            held = target.arrow_schema.field(column.name).type
            wanted = aligned[names[column.name]]
            shown = there[names[column.name]].cast(held)
            for place in different(wanted, shown, column.type.kind):
                one = Difference(
                    mapping.name,
                    aligned[POSITION][place].as_py(),
                    aligned[KEY_TEXT][place].as_py(),
                    _key_of(aligned, target, names, place),
                    column.name,
                    mapping.columns[column.name].verb,
                    value_text(wanted[place].as_py()),
                    value_text(shown[place].as_py()),
                )
                recomputed.differ(one)
                if recomputed.difference_count >= DIFFERENCES_MAX:
                    break
    (work / output).unlink()


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
    keys = [
        exp.alias_(exp.column(names[name], "e", quoted=True), f"_e{place}", quoted=True)
        for place, name in enumerate(target.key)
    ]
    shown = [exp.column(name, "p", quoted=True) for name in names.values()]
    same = [
        exp.EQ(this=exp.column(names[name], "e", quoted=True), expression=exp.column(names[name], "p", quoted=True))
        for name in target.key
    ]
    return (
        exp.select(*own, *keys, *shown)
        .from_(_files(expected, "e"))
        .join(_files(present, "p"), on=exp.and_(*same), join_type="left")
        .order_by(own[0].copy())
    )


def _files(path: str, alias: str) -> exp.Table:
    rows = ParquetFiles(expressions=[exp.Literal.string(path)])
    return exp.Table(this=rows, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def _absent(found: pa.Table, key: Sequence[str]) -> Any:
    return pc.is_null(found[key[0]])


def _note_missing(recomputed: Recomputed, mapping: TableMapping, target: TargetTable, missing: pa.Table) -> None:
    for row in missing.select([POSITION, KEY_TEXT, *(f"_e{n}" for n in range(len(target.key)))]).to_pylist():
        key = ", ".join(key_text(row[f"_e{place}"]) for place in range(len(target.key)))
        one = Difference(mapping.name, row[POSITION], row[KEY_TEXT], key, ROW_COLUMN, "", "this row", "no such row")
        recomputed.differ(one)


def _key_of(rows: pa.Table, target: TargetTable, names: dict[str, str], place: int) -> str:
    return ", ".join(key_text(rows[names[name]][place].as_py()) for name in target.key)


def key_text(value: Any) -> str:
    """Return a part of a target key as text; UUIDs travel as 16 bytes."""
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) and len(value) == 16 else str(value)  # noqa: PLR2004
