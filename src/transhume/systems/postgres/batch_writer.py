"""Batches written by tasks of an engine: each in a transaction of a connection of its own, with its ledger line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from transhume.batches import BatchId, StagedBatch
from transhume.systems.postgres import ledger
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.ledger import Hold
from transhume.systems.postgres.stage import Stage
from transhume.systems.system import Mismatch


@dataclass(frozen=True, slots=True)
class PostgresReach:
    """The way to the database whose ledger knows the run."""

    address: Address = field(repr=False)
    hold: Hold

    def is_there(self) -> bool:
        """Connect, and find the run's hold. Raises: SystemProblem; Refused for another database; LockHeld."""
        session = Session(self.address, f"transhume task {self.hold.run.run}")
        try:
            session.transact(lambda connection: ledger.check_hold(connection, self.hold), where=self.address.identity)
        finally:
            session.close()
        return True


@dataclass(frozen=True, slots=True)
class PostgresBatchWriter:
    """What a task needs to stage batches of one table; see `systems.system.BatchWriter`."""

    address: Address = field(repr=False)
    hold: Hold
    stage: Stage

    def open(self) -> "PostgresBatches":
        """Begin to write; the connection is made with the first batch."""
        return PostgresBatches(self)


class PostgresBatches:
    """Batches of one table being written by one task."""

    def __init__(self, writer: PostgresBatchWriter) -> None:
        self._writer = writer
        self._session = Session(writer.address, f"transhume task {writer.hold.run.run}")

    def stage(self, batch: BatchId, rows: pa.Table) -> tuple[StagedBatch, dict[str, Any]]:
        """Write one batch with its ledger line in one transaction; a batch that is there is only reported."""

        def work(connection: WatchedConnection) -> StagedBatch:
            ledger.check_hold(connection, self._writer.hold)
            # Of two tasks with the same batch the second waits here, and then finds its line.
            ledger.lock_batch(connection, self._writer.hold.run.run, batch)
            found = ledger.read_batch(connection, self._writer.hold.run.run, batch)
            return found or self._writer.stage.write(connection, batch, rows)

        return self._session.transact(work, where=f"batch {batch} not staged"), {}

    def compare(
        self,
        batch: BatchId,
        rows: pa.Table,
        line: StagedBatch,
        written: Mapping[str, Any],  # noqa: ARG002 - the ledger tells all
    ) -> Sequence[Mismatch]:
        """Read one staged batch back and compare every value with `rows`, bit by bit."""
        with self._session.reading(f"batch {batch} not compared") as connection:
            return self._writer.stage.compare(connection, line, rows)

    def close(self) -> None:
        """Release the connection."""
        self._session.close()
