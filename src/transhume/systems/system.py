"""What a system must do: protocols of sources and targets. They know tables and batches, never a plan or a rule."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from transhume.batches import BatchId, JournalAnchor, StagedBatch, TargetTable
from transhume.facts import Answer, Catalog
from transhume.schema import Table
from transhume.systems.permission import Permission
from transhume.systems.undo import TargetUndo, UndoReference

ROWS_ASKED = 5
"""Rows that a query of a plan gives at most, beside their number."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run writes: `run` is the id, `holder` names host, process and user for whoever is refused."""

    run: str
    plan_hash: str
    tool_version: str
    holder: str


class Snapshot(Protocol):
    """All source tables at one instant, as long as it is open."""

    instant: str
    """What identifies the instant: a snapshot id, or the time with the file's identity."""

    def read(self, table: Table, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `table` in batches of `extract_schema(table)`, `_row` counting from 0.

        `table` is one of the catalog's, or one of them with fewer columns: no other column is read then.

        Shape: at most `rows_max` rows and about `bytes_max` bytes of Arrow data a batch.
        Order: by the primary key where the system can give it cheaply, else physical; the same in every read.
        Raises: SystemUnavailable if the connection is lost; the rows yielded so far are valid but not all.
        """
        ...

    def ask(self, query: str, *, counts: bool) -> Answer:
        """Return the first rows of a SELECT of the system's own dialect, at this instant; `counts`: and their number.

        At most `ROWS_ASKED` rows are given. Nothing can be written by it.
        Raises: SystemRefused if the system cannot run it, in the system's words, or answers no SQL.
        """
        ...


class TableRange(Protocol):
    """A part of a table, to be read by any process while the snapshot that it is of is open.

    It can be pickled, and may hold the source's credentials.
    """

    def count(self) -> int:
        """Return how many rows it has. Raises: SystemUnavailable."""
        ...

    def read(self, first_row: int, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield its rows as `Snapshot.read` does, `_row` counting from `first_row`. Raises: as that."""
        ...


@runtime_checkable
class ReadsInRanges(Protocol):
    """A snapshot whose large tables several processes can read, each a part, all at its instant."""

    def ranges(self, table: Table) -> Sequence[TableRange]:
        """Return the parts of a table in the order of `Snapshot.read`; none where one reader reads it as well."""
        ...


class Source(Protocol):
    """A system that is only read."""

    identity: str
    """What tells this source from another, without a credential."""

    def catalog(self) -> Catalog:
        """Return every user table with columns, keys, references and declared constraints.

        Raises: SystemUnavailable, SystemRefused.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open one read-only instant over all tables; nothing is ever written to the source."""
        ...

    def close(self) -> None:
        """Release connections and private copies."""
        ...


@runtime_checkable
class ReadsInParallel(Protocol):
    """A source that may read a table with several processes or connections."""

    jobs: int | None
    """How many; None: as many as there are processors."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row whose stored value is not what was staged or sent: table, batch position, column, both values' texts."""

    table: str
    row: int
    column: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """What publishing did to one table: rows inserted and replaced; rows that were there and stayed as they were."""

    table: str
    inserted: int
    unchanged: int
    updated: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class TimedQuery:
    """A query to time on a target: `sql` in its own dialect, or the rows of `table` by values of `column`.

    `by` is "equal" (one value that the table has) or "range" (a tenth of the values between least and greatest).
    """

    table: str = ""
    column: str = ""
    by: str = "equal"
    sql: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a query took, how many rows it gave, and the system's own account of how it went about it."""

    duration_ms: float
    row_count: int
    plan: str


class TargetRun(Protocol):
    """One run's hold on a target: its lock, its ledger, its stage. Made by `Target.open_run`.

    Several threads may stage and compare at the same time, each another batch; all else is done by one.

    Every method that writes checks in its own transaction that this holder still owns the run (fencing).
    Raises everywhere: LockHeld if another holder took the run over; SystemUnavailable if the connection is lost.
    """

    state: str
    """"open", or "published" where an earlier process published this very run."""
    answers_sql: bool
    """Whether it answers `ask`; a lake answers no SQL by itself."""

    def remember(self, anchor: JournalAnchor) -> None:
        """Write down how far the run's journal has come: a cut or older copy of it is found out by that."""
        ...

    def staged(self, table: TargetTable) -> dict[int, StagedBatch]:
        """Return the ledger's lines of this table by batch index: what really is staged."""
        ...

    def stage(self, table: TargetTable, batch: BatchId, rows: pa.Table) -> StagedBatch:
        """Write the rows of one batch, invisible to readers, with its ledger line, in ONE transaction.

        A row whose key the target's table already holds is named in the result and not staged, unless its content
        differs and `table.on_conflict` is `update`: then it is staged to replace that row, which is remembered as seen.
        Idempotent by `batch`: staging the same batch again returns the line that is there.
        """
        ...

    def compare(self, table: TargetTable, batch: BatchId, rows: pa.Table) -> Sequence[Mismatch]:
        """Read the staged rows of one batch back from the target and compare every value, bit by bit.

        Returns the differences, empty if there are none; at most 20 are described.
        """
        ...

    def give_up(self) -> None:
        """End what other threads stage and compare, which then raises; nothing but `close` may come after it."""
        ...

    def seal(self, table: TargetTable, batches: int) -> None:
        """Say that all `batches` batches of this table are staged (Iceberg: the one branch commit)."""
        ...

    def read_staged(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of all staged rows, as read from the target, for checks of keys and references."""
        ...

    def read_present(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that readers of the target see now, whoever wrote them."""
        ...

    def read_earlier(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that earlier published runs of this mapping brought into this table.

        A row that several runs brought comes several times. What is not there any more (a stage that was dropped) or
        is of another shape (another plan's) is left out.
        """
        ...

    def publish(self, tables: Sequence[TargetTable], permission: Permission | None = None) -> Sequence[PublishedTable]:
        """Make all staged rows of all tables visible at one instant, parents before children, ledger included.

        Nothing is visible before `permission` is given (None: it is); until then only what is in nobody's way may be
        prepared, of batches that are ready. Raises what it is refused for, nothing changed then. May go on beside
        every other call but `verify`.
        Rows that are replaced are kept whole, as they were, in the same transaction.
        A row whose key somebody inserted since it was staged, or a row to be replaced that somebody changed since it
        was seen, stops the publishing (CheckFailed), nothing changed.
        An unknown outcome is asked of the target, never guessed. Idempotent once published.
        """
        ...

    def verify(self, table: TargetTable) -> Sequence[Mismatch]:
        """Compare what the target now shows for this run's rows with what was staged, every value."""
        ...

    def timed(self, query: TimedQuery) -> Timing:
        """Run a query as any reader does, and return how long it took. Nothing is written.

        Raises: SystemRefused if the system cannot run it, in the system's words.
        """
        ...

    def ask(self, query: str, *, counts: bool) -> Answer:
        """Return what a SELECT of the system's own dialect gives to readers now; see `Snapshot.ask`."""
        ...

    def unindexed(self, table: TargetTable, columns: Sequence[Sequence[str]]) -> Sequence[tuple[str, str]]:
        """Return the ones of these lists of columns that no index begins with, each with the statement that cures it.

        Empty where the system has no indexes.
        """
        ...

    def stored_types(self, table: TargetTable) -> Sequence[Mismatch]:
        """Return the columns that storage itself holds in another type than the table needs; row is -1.

        In a lake the data files have types of their own; a database has none beside the declared ones.
        """
        ...

    def close(self) -> None:
        """Give the lock back. The stage stays: it is the undo log until `finalize`."""
        ...


class BatchWriting(Protocol):
    """Batches of one table being written by one task."""

    def stage(self, batch: BatchId, rows: pa.Table) -> tuple[StagedBatch, dict[str, Any]]:
        """Write the rows of one batch; return its line, and what `StagesInTasks.enter` must be told besides (JSON).

        As `TargetRun.stage`; the same batch may be written by several tasks, of which one is entered.
        """
        ...

    def compare(
        self, batch: BatchId, rows: pa.Table, line: StagedBatch, written: Mapping[str, Any]
    ) -> Sequence[Mismatch]:
        """Read what `stage` wrote back from the target and compare every value; as `TargetRun.compare`."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class BatchWriter(Protocol):
    """What a task on any machine needs to write batches of one table: it can be pickled.

    It may hold the target's credentials.
    """

    def open(self) -> BatchWriting:
        """Begin to write. Raises: SystemUnavailable."""
        ...


@runtime_checkable
class StagesInTasks(Protocol):
    """A run's hold on a target that tasks of an engine can write beside the process of the run."""

    def reach(self) -> AbstractContextManager["Reach"]:
        """Give what a task tries before any is trusted with a batch; what it needs in the target is gone afterwards."""
        ...

    def writer(self, table: TargetTable, batches: Sequence[int]) -> BatchWriter | None:
        """Return what tasks need to write these batches; None where only the process of the run can."""
        ...

    def enter(self, table: TargetTable, line: StagedBatch, written: Mapping[str, Any]) -> None:
        """Take a batch that a task wrote into the ledger; `written` is what `stage` told.

        Raises: SystemUnavailable where what the task wrote is not to be seen from here.
        """
        ...


class Reach(Protocol):
    """Tells whether a process sees the very target of a run; pickled, it may hold the target's credentials."""

    def is_there(self) -> bool:
        """Look. Raises: SystemProblem where the target does not answer."""
        ...


class Verification(Protocol):
    """A part of what `TargetRun.verify` compares, for any process; it can be pickled."""

    def run(self) -> Sequence[Mismatch]:
        """Compare. Raises: SystemUnavailable."""
        ...


@runtime_checkable
class VerifiesInTasks(Protocol):
    """A run's hold on a target whose rows are not compared by the target itself."""

    def divided(self, table: TargetTable) -> tuple[Sequence[Mismatch], Sequence[Verification]]:
        """Return what `verify` finds without reading rows, and the parts in which it compares them."""
        ...


class Target(Protocol):
    """A system that holds the migrated tables."""

    identity: str
    name: str
    """The schema or namespace: what a person types to confirm that this is the place."""

    def catalog(self) -> Catalog:
        """Return the tables of the target's scope (schema or namespace) with constraints and obstacles."""
        ...

    def refusals(self, tables: Sequence[TargetTable]) -> Sequence[str]:
        """Return, before anything is written, every reason why these tables cannot be written exactly.

        Rights, name lengths, types, widths of rows, generated columns, triggers, row security: one sentence each.
        """
        ...

    def open_run(self, run: RunIdentity, tables: Sequence[TargetTable]) -> TargetRun:
        """Take the target's lock for this run, make or find its ledger and stage.

        Raises: LockHeld (who, where, since when) at once if another process holds the target.
        """
        ...

    def open_undo(
        self, run: RunIdentity, tables: Sequence[TargetTable], references: Sequence[UndoReference]
    ) -> TargetUndo:
        """Take the target's lock to take a run back; `tables` and `references` are those of the run when it began.

        Raises: LockHeld at once if another process holds the target; Refused if the ledger knows the run by
        another plan.
        """
        ...

    def standing(self) -> Sequence[str]:
        """Return the scope's runs that are published, finalized ones too, and not taken back, oldest first."""
        ...

    def runs(self) -> Sequence[dict[str, object]]:
        """Return the ledger's runs, newest last: run, plan_hash, state, started_at, holder, row counts."""
        ...

    def anchor(self, run: str) -> JournalAnchor | None:
        """Return how far a run's journal had come when the ledger last saw it, None where it never did."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
