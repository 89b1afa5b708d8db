"""Profile: every table of a system read once, at one instant, and what its values are like. Nothing is judged here.

The rows go through the same Parquet files as a run's; the engine counts and measures them in one pass. Values by
frequency are counted where a column has few; patterns and suspicions are looked at in a sample of the rows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import Event, extract_schema
from transhume.engines.engine import Engine
from transhume.errors import SystemRefused
from transhume.facts import Catalog, ExtractedTable, Profile, TableProfile
from transhume.schema import ODD, Table
from transhume.stages.context import Limits
from transhume.stages.files import write_private_parquet
from transhume.stages.measuring import Measuring
from transhume.systems.system import Snapshot, Source

_Odd = Counter[tuple[str, str]]
"""Values of another storage class, by column and class."""
_CELLS_MAX = 2_000_000
_ROWS_MIN = 100
_TEXT_MAX = 400


@dataclass(frozen=True, slots=True)
class ProfileBounds:
    """From how many rows on a table is sampled, and how many rows are looked at for patterns."""

    rows_max: int = 2_000_000
    sample_rows_max: int = 20_000


@dataclass(slots=True)
class Sample:
    """Some rows of a table, evenly spread over its whole length; texts are cut at 400 characters.

    `step` is how many rows stand for one; the sample is the whole table where it is 1.
    """

    rows_max: int
    step: int = 1
    seen: int = 0
    _parts: list[pa.Table] = field(default_factory=list)

    def take(self, batch: pa.Table) -> None:
        """Add the rows of the next batch that fall on the step; when too many are held, drop every other one."""
        first = -self.seen % self.step
        self.seen += batch.num_rows
        if first < batch.num_rows:
            self._parts.append(_short(batch.take(pa.array(range(first, batch.num_rows, self.step), pa.int64()))))
        while sum(part.num_rows for part in self._parts) > self.rows_max:
            held = pa.concat_tables(self._parts)
            self._parts = [held.take(pa.array(range(0, held.num_rows, 2), pa.int64()))]
            self.step *= 2

    def rows(self) -> pa.Table | None:
        """Return the rows, None where no batch came."""
        return pa.concat_tables(self._parts).combine_chunks() if self._parts else None


class Profiling:
    """The profile of one system, table by table."""

    def __init__(self, source: Source, catalog: Catalog, engine: Engine, work: Path, bounds: ProfileBounds) -> None:
        """Begin with nothing read; `work` is the engine's folder."""
        self._source, self._catalog, self._engine, self._work = source, catalog, engine, work
        self._bounds = bounds
        self._instant = ""
        self._tables: dict[str, TableProfile] = {}

    def events(self, names: Sequence[str]) -> Iterator[Event]:
        """Read and measure these tables.

        Effects: Parquet files below the work folder.
        Yields: table_read (one a table), table_profiled (one a table).
        Raises: SystemUnavailable.
        """
        measuring = Measuring(self._engine, self._catalog)
        with self._source.snapshot() as snapshot:
            self._instant = snapshot.instant
            for place, name in enumerate(names):
                table = self._catalog.tables[name]
                try:
                    extracted, sample, odd = self._read(snapshot, table, place)
                except SystemRefused as problem:
                    self._tables[name] = TableProfile(name, table.row_count or 0, 0, {}, unread=str(problem))
                    continue
                measuring.add(extracted, sample.rows(), odd, row_count=sample.seen, complete=sample.step == 1)
                yield Event("table_read", {"table": name, "rows": sample.seen})
        for name in names:
            if name not in self._tables:
                self._tables[name] = measuring.table(name)
                yield Event("table_profiled", {"table": name, "rows": self._tables[name].row_count})

    def profile(self) -> Profile:
        """Return what was found."""
        return Profile(self._catalog.identity, self._instant, dict(self._tables))

    def _read(
        self, snapshot: Snapshot, table: Table, place: int
    ) -> tuple[ExtractedTable, Sample, Counter[tuple[str, str]]]:
        limits, rows_max = Limits(), self._bounds.sample_rows_max
        schema = extract_schema(table)
        step = max(1, -(-(table.row_count or 0) // self._bounds.rows_max))
        sample = Sample(max(_ROWS_MIN, min(rows_max, _CELLS_MAX // len(schema))))
        odd: _Odd = Counter()
        paths: list[str] = []
        kept = 0
        for index, batch in enumerate(snapshot.read(table, limits.segment_rows_max, limits.segment_bytes_max)):
            rows = pa.Table.from_batches([batch], schema)
            first = -sample.seen % step
            sample.take(rows)
            if step > 1:
                rows = rows.take(pa.array(range(first, rows.num_rows, step), pa.int64()))
            odd += _odd_classes(rows)
            path = Path("profile") / f"t{place:04d}" / f"{index:06d}.parquet"
            write_private_parquet(self._work / path, rows)
            paths.append(str(path))
            kept += rows.num_rows
        names = frozenset(name for name, _ in odd)
        return ExtractedTable(table, tuple(paths), kept, names), sample, odd


def _short(rows: pa.Table) -> pa.Table:
    columns = {}
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_string(column.type):
            columns[name] = pc.utf8_slice_codeunits(column, 0, _TEXT_MAX)
        elif name != ODD and not pa.types.is_binary(column.type) and not pa.types.is_list(column.type):
            columns[name] = column
    return pa.table(columns)


def _odd_classes(rows: pa.Table) -> _Odd:
    odd = rows[ODD]
    if odd.null_count == len(odd):
        return Counter()
    entries = pc.list_flatten(odd).combine_chunks()
    names, classes = (pc.struct_field(entries, part).to_pylist() for part in ("name", "class"))
    return Counter(zip(names, classes, strict=True))
