"""What a run left that a proof starts from: its extract as rows of Python values, and the fates that it gave them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.batches import Segment, TargetTable
from transhume.oracle import Odd, Oracle
from transhume.oracle.reading import ParentFate
from transhume.plan.model import Plan, TableMapping
from transhume.schema import BOOKKEEPING, ODD, ROW, Table, physical_names

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Plan, tables and files of one run. It goes to other processes as it is, so it holds no connection.

    `work` is the run's work folder; `fates` gives the files of each mapping, one a segment, in order. `parent_fates`
    are what rows have fared that others refer to: of a run of a part, also those outside of it.
    """

    plan: Plan
    sources: Mapping[str, Table]
    targets: Mapping[str, TargetTable]
    segments: Mapping[str, Sequence[Segment]]
    lookups: Mapping[str, Mapping[str, str | None]]
    work: Path
    fates: Mapping[str, Sequence[Path]]
    parent_fates: Mapping[str, Sequence[Path]]

    def oracle(self, mapping: TableMapping, parent_fate: ParentFate | None = None) -> Oracle:
        """Return the oracle of a mapping."""
        return Oracle(
            self.plan,
            mapping,
            self.targets[mapping.name],
            self.sources,
            lookups=self.lookups,
            parent_fate=parent_fate,
        )

    def segment_rows(self, segment: Segment) -> Callable[[Sequence[int]], list[Row]]:
        """Return what gives the rows of a segment at places, counted from its first, as the oracle takes them."""
        table = pq.read_table(self.work / segment.path, memory_map=True)
        source = self.sources[segment.table]
        return lambda places: as_rows(table.take(pa.array(places, pa.int64())), source)

    def rows(self, segment: Segment) -> list[Row]:
        """Return all rows of a segment, as the oracle takes them."""
        return as_rows(pq.read_table(self.work / segment.path, memory_map=True), self.sources[segment.table])

    def matching(self, name: str, columns: Collection[str], wanted: Mapping[str, Collection[str]]) -> Iterator[Row]:
        """Yield the rows of a source table whose `wanted` columns may have one of these texts.

        Rows with values of another class than their column's come too: the caller looks at every row again.
        """
        table = self.sources[name]
        names = physical_names(column.name for column in table.columns)
        kept = [names[column.name] for column in table.columns if column.name in columns and column.type is not None]
        filters = {names[column]: Texts(texts) for column, texts in wanted.items()}
        for segment in self.segments[name]:
            odd = ODD if segment.odd_columns else ""
            picked = read_among(self.work / segment.path, [ROW, *kept, ODD], filters, odd)
            if picked.num_rows:
                yield from as_rows(picked, table, with_row=True)

    def fate_rows(self, mapping: str, index: int) -> pa.Table:
        """Return what the run said of each row of one segment."""
        return pq.read_table(self.work / self.fates[mapping][index], memory_map=True)


def as_rows(read: pa.Table, table: Table, *, with_row: bool = False) -> list[Row]:
    """Return rows of an extract by column name, `Odd` where a value's class is not its column's."""
    names = physical_names(column.name for column in table.columns)
    held = set(read.column_names)
    carried = {name: physical for name, physical in names.items() if physical in held and physical not in BOOKKEEPING}
    columns = [read[physical].to_pylist() for physical in carried.values()]
    header = list(carried)
    if with_row:
        header, columns = [*header, ROW], [*columns, read[ROW].to_pylist()]
    rows = [dict(zip(header, values, strict=True)) for values in zip(*columns, strict=True)]
    odd = read[ODD]
    if odd.null_count < len(odd):
        for row, entries in zip(rows, odd.to_pylist(), strict=True):
            for each in entries or ():
                if each["name"] in row:
                    row[each["name"]] = Odd(each["class"], each["value"])
    return rows


class Texts:
    """Texts that are looked for in several files, made into values of a column's type once."""

    def __init__(self, texts: Collection[str]) -> None:
        """Take the texts."""
        self._texts = texts
        self._typed: dict[pa.DataType, pa.Array] = {}

    def typed(self, held: pa.DataType) -> pa.Array:
        """Return the values of a type that have these texts, and perhaps others; see `typed_texts`."""
        if held not in self._typed:
            self._typed[held] = typed_texts(self._texts, held)
        return self._typed[held]


def read_among(path: Path, columns: Sequence[str], wanted: Mapping[str, Texts], odd: str = "") -> pa.Table:
    """Return the rows of a file whose `wanted` columns may have one of these texts, and those with a value in `odd`.

    What the file says of its least and greatest integers is believed; then the wanted columns are read, and the others
    only if some row is looked for.
    """
    with pq.ParquetFile(path, memory_map=True) as file:
        sets = {name: texts.typed(file.schema_arrow.field(name).type) for name, texts in wanted.items()}
        if not odd and any(_is_beyond(file.metadata, name, values) for name, values in sets.items()):
            return file.schema_arrow.empty_table().select(columns)
        looked_at = file.read([*sets, *([odd] if odd else [])])
        mask: Any = None
        for name, values in sets.items():
            here = pc.is_in(looked_at[name], value_set=values)
            mask = here if mask is None else pc.and_(mask, here)
        if odd:
            mask = pc.or_(mask, pc.is_valid(looked_at[odd]))
        if not pc.any(mask).as_py():
            return file.schema_arrow.empty_table().select(columns)
        return file.read(columns).select(columns).filter(mask)


def _is_beyond(metadata: Any, name: str, values: pa.Array) -> bool:
    """Say whether none of these integers can be in a column, by the least and greatest of each of its row groups."""
    if not pa.types.is_integer(values.type):
        return False
    if not len(values):
        return True
    limits = pc.min_max(values).as_py()
    places = range(metadata.num_columns)
    place = next(place for place in places if metadata.schema.column(place).path == name)
    groups = [metadata.row_group(number).column(place) for number in range(metadata.num_row_groups)]
    known = [group.statistics for group in groups]
    if any(each is None or not each.has_min_max for each in known):
        return False
    return all(each.max < limits["min"] or each.min > limits["max"] for each in known)


def typed_texts(texts: Collection[str], held: pa.DataType) -> pa.Array:
    """Return the values of a type that have these texts, and perhaps others; a text that no value has is left out."""
    if pa.types.is_integer(held):
        try:
            numbers = list(map(int, texts))
        except ValueError:
            numbers = [int(text) for text in texts if text.lstrip("-").isascii() and text.lstrip("-").isdigit()]
        low, high = (-(2**31), 2**31) if held.bit_width == 32 else (-(2**63), 2**63)  # noqa: PLR2004
        return pa.array([number for number in numbers if low <= number < high], held)
    if pa.types.is_fixed_size_binary(held):
        plain = (text.replace("-", "") for text in texts)
        return pa.array([bytes.fromhex(text) for text in plain if _is_hex(text)], held)
    if pa.types.is_string(held):
        return pa.array(list(texts), held)
    return pa.array(list(texts), pa.string()).cast(held, safe=False)


def _is_hex(text: str) -> bool:
    return len(text) == 32 and all(sign in "0123456789abcdef" for sign in text)  # noqa: PLR2004
