"""The rows of target tables as files and as SELECTs over them: what readers see, and what they will see of a run."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from transhume import operations as op
from transhume.batches import TargetTable
from transhume.checks.rows import rows_of
from transhume.checks.tables import has_key_in
from transhume.rules.trees import negated
from transhume.schema import Kind, physical_names
from transhume.stages.context import RunContext
from transhume.stages.files import private_file
from transhume.stages.links import staged_links, unchanged_links

Present = Callable[[str], str]
"""Gives for a mapping the file, in the work folder, with everything that readers of its target table see."""


@dataclass(frozen=True, slots=True)
class TargetRows:
    """The rows of all target tables: `present` gives what readers see, `staged` what nobody sees yet.

    `staged` is None once the run is published.
    """

    context: RunContext
    present: Present
    staged: Present | None = None

    def kept(self, mapping: str) -> exp.Select:
        """Return the SELECT of the rows of one mapping that the target holds: those of this run and unchanged ones.

        Without a key nobody can say whose a row is: before publishing they are the staged rows, afterwards all rows.
        """
        table = self.context.tables[mapping]
        own = self._keys(staged_links(self.context, table), table)
        earlier = self._keys(unchanged_links(self.context, table), table)
        if self.staged is None:
            everything = self._select(table, self.present(mapping))
            return everything.where(has_key_in("p", [own, earlier])) if table.key else everything
        staged = self._select(table, self.staged(mapping))
        if not table.key or not earlier[0]:
            return staged
        return _both(staged, self._select(table, self.present(mapping)).where(has_key_in("p", [earlier])))

    def all(self, mapping: str) -> exp.Select:
        """Return the SELECT of all rows of a mapping's target table, whoever wrote them, as the run leaves it."""
        table = self.context.tables[mapping]
        present = self._select(table, self.present(mapping))
        if self.staged is None:
            return present
        group = [each for each in self.context.tables.values() if each.table.name == table.table.name]
        if table.key:
            replaced = [self._keys(staged_links(self.context, each), table) for each in group]
            present = present.where(negated(has_key_in("p", replaced)))
        found = present
        for each in group:
            found = _both(found, self._select(table, self.staged(each.mapping)))
        return found

    def named(self, table_name: str) -> exp.Select | None:
        """Return all rows of a target table under its own column names; None for no table of the plan."""
        table = next(
            (t for t in self.context.tables.values() if t.table.name.casefold() == table_name.casefold()), None
        )
        if table is None:
            return None
        names = physical_names(column.name for column in table.table.columns)
        columns: list[exp.Expr] = []
        for column in table.table.columns:
            value: exp.Expression = exp.column(names[column.name], "w", quoted=True)
            if column.type is not None and column.type.kind is Kind.UUID:
                value = op.UuidFromBytes(this=value)
            columns.append(exp.alias_(value, column.name, quoted=True))
        return exp.select(*columns).from_(rows_of(self.all(table.mapping), "w"))

    def _keys(self, links: tuple[list[str], dict[str, str]], table: TargetTable) -> tuple[list[str], dict[str, str]]:
        paths, own = links
        names = physical_names(column.name for column in table.table.columns)
        return paths, {own[part]: names[part] for part in table.key}

    def _select(self, table: TargetTable, path: str) -> exp.Select:
        names = physical_names(column.name for column in table.table.columns).values()
        return exp.select(*[exp.column(name, "p", quoted=True) for name in names]).from_(rows_of([path], "p"))


def _both(one: exp.Select, other: exp.Select) -> exp.Select:
    return exp.select(exp.Star()).from_(exp.union(one, other, distinct=False, copy=False).subquery("both"))


@contextmanager
def rows_to_be_seen(context: RunContext) -> Iterator[TargetRows]:
    """Give the rows of a run that is staged and not yet published; each table is read when it is asked for, once."""
    reader = _Reader(context, Path("whole"))
    full = context.folder.work / reader.folder
    shutil.rmtree(full, ignore_errors=True)
    full.mkdir(mode=0o700)
    try:
        yield TargetRows(context, reader.present, reader.staged)
    finally:
        shutil.rmtree(full, ignore_errors=True)


@contextmanager
def rows_seen(context: RunContext) -> Iterator[TargetRows]:
    """Give the rows of a published run as readers see them now."""
    with rows_to_be_seen(context) as rows:
        yield TargetRows(context, rows.present)


@dataclass(frozen=True, slots=True)
class _Reader:
    context: RunContext
    folder: Path
    written: dict[str, str] = field(default_factory=dict)

    def present(self, mapping: str) -> str:
        return self._file("p", mapping, self.context.target.read_present)

    def staged(self, mapping: str) -> str:
        return self._file("s", mapping, self.context.target.read_staged)

    def _file(
        self, prefix: str, mapping: str, read: Callable[[TargetTable, Sequence[str]], Iterator[pa.RecordBatch]]
    ) -> str:
        table = self.context.tables[mapping]
        path = self.folder / f"{prefix}{list(self.context.tables).index(mapping):03d}.parquet"
        if str(path) not in self.written:
            write_rows(self.context.folder.work / path, table, read)
            self.written[str(path)] = mapping
        return str(path)


def write_rows(
    path: Path, table: TargetTable, read: Callable[[TargetTable, Sequence[str]], Iterator[pa.RecordBatch]]
) -> None:
    """Write all columns of a table's rows into a file, under their physical names."""
    names = physical_names(column.name for column in table.table.columns)
    fields = [table.arrow_schema.field(name).with_name(names[name]).with_nullable(True) for name in names]
    with pq.ParquetWriter(private_file(path.with_suffix(".partial")), pa.schema(fields), compression="lz4") as writer:
        for batch in read(table, list(names)):
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields)))
    path.with_suffix(".partial").rename(path)
