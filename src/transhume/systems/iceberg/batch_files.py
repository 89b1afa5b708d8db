"""The files of a batch: written, and read back against what was handed over. No catalog and no ledger here.

What stands in this room can be sent to a task on another machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pyarrow as pa

from transhume.batches import BatchId, StagedBatch, TargetTable
from transhume.errors import SystemRefused
from transhume.systems.iceberg.compare import (
    MISMATCHES_MAX,
    compare_batch_column,
    compare_rows,
    compare_schema,
    in_own_types,
)
from transhume.systems.iceberg.files import LakeFiles, file_rows
from transhume.systems.system import Mismatch


@dataclass(frozen=True, slots=True)
class BatchFiles:
    """Where and how the files of a table's batches are written; `schema` is that of the file."""

    run: str
    files: LakeFiles
    table: TargetTable
    schema: pa.Schema

    def write(self, location: str, batch: BatchId, rows: pa.Table) -> tuple[str, str, int]:
        """Write rows of a batch as one file; return its location ("" where there are none), hash and size in bytes."""
        if not rows.num_rows:
            return "", sha256(b"").hexdigest(), 0
        content = file_rows(self.schema, rows, f"{self.run}/{batch}")
        return (location, *self.files.write_durably(location, content))

    def compare(self, location: str, batch: BatchId, rows: pa.Table, positions: Sequence[int] | None) -> list[Mismatch]:
        """Return what differs between a file and the rows at these positions; None: all rows."""
        expected = rows if positions is None else rows.take(pa.array(positions, pa.int64()))
        if not location:
            return [] if expected.num_rows == 0 else [row_count(self.table, expected.num_rows, 0)]
        found = self.files.table(location)
        if mismatches := compare_schema(self.table.table.name, self.schema, found.schema):
            return mismatches
        mismatches = compare_rows(self.table, positions, expected, in_own_types(self.table, found))
        return mismatches + compare_batch_column(self.table, f"{self.run}/{batch}", found)


@dataclass(frozen=True, slots=True)
class LakeReach:
    """A file that the process of the run has just written: who reads it sees the lake's own files."""

    files: LakeFiles = field(repr=False)
    location: str
    sha256: str

    def is_there(self) -> bool:
        """Read the file."""
        return self.files.sha256(self.location) == self.sha256


@dataclass(frozen=True, slots=True)
class LakeBatchWriter:
    """What a task needs to write batches of one table; see `systems.system.BatchWriter`.

    `locations` are where the file of each batch may stand; every task makes a name of its own of it.
    """

    files: BatchFiles
    locations: Mapping[int, str]

    def open(self) -> "LakeBatches":
        """Begin to write."""
        return LakeBatches(self)


class LakeBatches:
    """Batches of one table being written by one task: none of their keys is in the table yet."""

    def __init__(self, writer: LakeBatchWriter) -> None:
        self._writer = writer

    def stage(self, batch: BatchId, rows: pa.Table) -> tuple[StagedBatch, dict[str, Any]]:
        """Write the rows of one batch as one file. Without a ledger's line it is an orphan that nothing points to."""
        rows = in_columns(self._writer.files.table, batch, rows)
        stem, dot, ending = self._writer.locations[batch.index].rpartition(".")
        path, digest, size_bytes = self._writer.files.write(f"{stem}-t{uuid4().hex[:8]}{dot}{ending}", batch, rows)
        return StagedBatch(batch, rows.num_rows, digest), asdict(Written(path, size_bytes))

    def compare(
        self,
        batch: BatchId,
        rows: pa.Table,
        line: StagedBatch,  # noqa: ARG002 - nothing of the batch is left out
        written: Mapping[str, Any],
    ) -> Sequence[Mismatch]:
        """Read the file of one batch back from storage and compare schema and every value, bit by bit."""
        rows = in_columns(self._writer.files.table, batch, rows)
        return self._writer.files.compare(Written(**written).path, batch, rows, None)[:MISMATCHES_MAX]

    def close(self) -> None:
        """Do nothing: files are closed as they are written."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the ledger must be told of a file that a task wrote."""

    path: str
    size_bytes: int


def in_columns(table: TargetTable, batch: BatchId, rows: pa.Table) -> pa.Table:
    """Return rows in the order of the table's columns. Raises: SystemRefused if they are not of the table's types."""
    schema = table.arrow_schema
    rows = rows.select(schema.names)
    for wanted, column in zip(schema, rows.schema, strict=True):
        if wanted.type != column.type:
            message = f"batch {batch}: column '{wanted.name}' comes as {column.type}, the table needs {wanted.type}"
            raise SystemRefused(message)
        if not wanted.nullable and rows.column(wanted.name).null_count:
            message = f"batch {batch}: column '{wanted.name}' holds NULL, table '{table.table.name}' requires a value"
            raise SystemRefused(message)
    return rows


def row_count(table: TargetTable, expected: int, found: int) -> Mismatch:
    """Return what is wrong where so many rows were expected, and others were found."""
    return Mismatch(table.table.name, -1, "(rows)", str(expected), str(found))
