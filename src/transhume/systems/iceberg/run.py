"""One run's hold on a lake: stage, seal, compare, read back, publish, verify."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyiceberg.table import Table as IcebergTable

from transhume.batches import BatchId, JournalAnchor, StagedBatch, TargetTable
from transhume.errors import CheckFailed, Interrupted, Refused, SystemRefused, SystemUnavailable
from transhume.facts import Answer
from transhume.systems.iceberg import journals
from transhume.systems.iceberg.batch_files import (
    BatchFiles,
    LakeBatchWriter,
    LakeReach,
    Written,
    in_columns,
    row_count,
)
from transhume.systems.iceberg.compare import MISMATCHES_MAX, in_own_types
from transhume.systems.iceberg.files import canonical
from transhume.systems.iceberg.lake import Lake, path_word, storage_errors
from transhume.systems.iceberg.ledger import Ledger, Line, Pointer, PointerMoved, TableState
from transhume.systems.iceberg.lock import LakeLock
from transhume.systems.iceberg.present import PresentRows
from transhume.systems.iceberg.publish import Publisher, require_no_drift, staged_files
from transhume.systems.iceberg.replace import replaced
from transhume.systems.iceberg.replace_all import leaving_files
from transhume.systems.iceberg.snapshots import (
    MAIN,
    StagedFiles,
    append_to_branch,
    head_of,
    is_sealed,
    live_files,
    scan,
    tasks,
)
from transhume.systems.iceberg.types import file_schema
from transhume.systems.iceberg.verification import FileVerification, ShownFile
from transhume.systems.permission import Permission
from transhume.systems.system import Mismatch, PublishedTable, TimedQuery, Timing

_SEAL_ATTEMPTS_MAX = 20
_FILES_A_PART = 8
"""Files that one task verifies: some seconds, and the table's metadata sent once for them."""


class IcebergRun:
    """One run's lock, ledger and stage in a lake; see `TargetRun`."""

    answers_sql: bool = False

    def __init__(self, lake: Lake, ledger: Ledger, lock: LakeLock, state: str) -> None:
        self._lake = lake
        self._ledger = ledger
        self._lock = lock
        self.state = state
        self._states: Mapping[str, TableState] = ledger.tables()
        self._present: dict[str, PresentRows | None] = {}
        self._file_schemas: dict[str, pa.Schema] = {}
        # Of batches that are staged side by side: the index of present keys is one, and so is a catalog's write lock.
        self._one_at_a_time = threading.Lock()

    def remember(self, anchor: JournalAnchor) -> None:
        """Write down how far the run's journal has come; see `TargetRun`."""
        with self._ledger.noting("remembering the journal's end") as connection:
            journals.remember(connection, self._ledger.run, anchor)

    def staged(self, table: TargetTable) -> dict[int, StagedBatch]:
        """Return the ledger's lines of this table by batch index."""
        return {index: line.staged for index, line in self._ledger.lines(table.mapping).items()}

    def stage(self, table: TargetTable, batch: BatchId, rows: pa.Table) -> StagedBatch:
        """Write the rows of one batch as one file, then its ledger line; rows that are there already are left out.

        A line whose file is whole is returned as it is. A file without a line is an orphan that nothing points to.
        Raises: SystemRefused if the rows are not of the table's types; SystemUnavailable; LockHeld.
        """
        line = self._ledger.line(batch)
        if line is not None and self._is_whole(line):
            return line.staged
        if self.state == "published":
            message = f"run '{self._ledger.run}' is published: batch {batch} cannot be added. Begin a new run."
            raise Refused(message)
        rows = in_columns(table, batch, rows)
        with self._one_at_a_time:
            unchanged, differing = self._already_there(table, rows)
        kept = _without(rows, unchanged, differing)
        files = self._files(table)
        path, digest, size_bytes = files.write(self._new_path(table, batch, ""), batch, kept)
        updates = rows.take(pa.array(differing, pa.int64())) if table.on_conflict == "update" else rows.slice(0, 0)
        place = self._new_path(table, batch, "-updates")
        updates_path, updates_digest, updates_bytes = files.write(place, batch, updates)
        by_fate = {"error": "conflicts", "skip": "skipped", "update": "updated"}
        row_count = kept.num_rows + updates.num_rows
        staged = StagedBatch(batch, row_count, digest, unchanged, **{by_fate[table.on_conflict]: differing})
        line = Line(staged, path, size_bytes + updates_bytes, updates_path, updates_digest if updates_path else "")
        with self._one_at_a_time:
            self._ledger.put_line(table.table.name, line)
        return staged

    def compare(self, table: TargetTable, batch: BatchId, rows: pa.Table) -> Sequence[Mismatch]:
        """Read the file of one batch back from storage and compare schema and every value, bit by bit."""
        line = self._line(batch)
        rows = in_columns(table, batch, rows)
        elsewhere = {*line.staged.left_out, *line.staged.updated}
        new = [row for row in range(rows.num_rows) if row not in elsewhere] if elsewhere else None
        files = self._files(table)
        mismatches = files.compare(line.path, batch, rows, new)
        mismatches += files.compare(line.updates_path, batch, rows, line.staged.updated)
        return mismatches[:MISMATCHES_MAX]

    def give_up(self) -> None:
        """Do nothing: storage and catalog have time limits of their own, and nobody's lock is waited for."""

    @contextmanager
    def reach(self) -> Iterator[LakeReach]:
        """Give a file beside the tables, for tasks to find; it is removed afterwards."""
        files, word = self._lake.files, uuid4().hex
        location = f"{self._lake.address.warehouse}/.transhume-reach-{word}.parquet"
        try:
            digest, _ = files.write_durably(location, pa.table({"word": [word]}))
            yield LakeReach(files, location, digest)
        finally:
            with suppress(OSError):
                system, path = files.place(location)
                system.delete_file(path)

    def writer(self, table: TargetTable, batches: Sequence[int]) -> LakeBatchWriter | None:
        """Return what tasks of an engine need to write these batches, the storage's credentials among it.

        None where rows that are there must be known to tell new ones: the index of their keys is this process's own.
        """
        lines = self._ledger.lines(table.mapping)
        if self.state == "published" or any(index in lines for index in batches):
            return None
        if self._has_index(table):
            return None
        ids = [BatchId(table.mapping, index) for index in batches]
        return LakeBatchWriter(self._files(table), {batch.index: self._new_path(table, batch, "") for batch in ids})

    def enter(self, table: TargetTable, line: StagedBatch, written: Mapping[str, Any]) -> None:
        """Enter a file that a task wrote into the ledger; until then nothing points to it."""
        file = Written(**written)
        if file.path and not self._lake.files.exists(file.path):
            message = (
                f"a worker of the engine wrote '{file.path}', which is not there for this machine; nothing is "
                "published. The lake's folder must be the same for every worker: put it on a shared disk or S3, or run "
                "without workers that have transhume. Then run the same command again."
            )
            raise SystemUnavailable(message)
        self._ledger.put_line(table.table.name, Line(line, file.path, file.size_bytes))

    def seal(self, table: TargetTable, batches: int) -> None:
        """Put all staged files of this mapping on the run's branch in one snapshot; idempotent.

        Raises: CheckFailed if not all batches are staged, or others changed the table's columns; Interrupted if they
        change it all the time; SystemUnavailable; LockHeld.
        """
        lines = self._ledger.lines(table.mapping)
        if set(lines) != set(range(batches)):
            missing = sorted(set(range(batches)) - set(lines))
            what = f"batch {missing[0]} is missing" if missing else f"there are {len(lines)}"
            message = (
                f"table mapping '{table.mapping}' needs {batches} staged batches, and {what}; nothing is published. "
                "Run the same command again."
            )
            raise CheckFailed(message)
        self._close_index(table.mapping)
        staged = staged_files(self._ledger.run, table.mapping, lines)
        for _ in range(_SEAL_ATTEMPTS_MAX):
            try:
                self._seal_once(table, staged)
            except PointerMoved:
                continue
            self._states = self._ledger.tables()
            return
        message = (
            f"table '{table.table.name}' is changed by others all the time; nothing is published. Run again later."
        )
        raise Interrupted(message)

    def read_staged(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of all staged rows of this mapping, as storage holds them."""
        for line in self._ledger.lines(table.mapping).values():
            for path in line.paths:
                for batch in self._lake.files.batches(path, columns):
                    yield canonical(batch, table, columns)

    def read_present(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that readers of the lake get now, whoever wrote them."""
        found = self._lake.table(table.table.name)
        head = None if found is None else head_of(found, MAIN)
        if found is None or head is None:
            return
        with storage_errors(f"reading table '{table.table.name}'"):
            for batch in scan(found, head, columns):
                yield canonical(batch, table, columns)

    def read_earlier(self, table: TargetTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that earlier published runs of this mapping brought, as they staged them."""
        wanted = {name: self._file_schema(table).field(name).type for name in columns}
        for path in self._ledger.earlier_paths(table.mapping, table.table.name):
            if not self._lake.files.exists(path):
                continue
            held = self._lake.files.schema(path)
            if all(name in held.names and held.field(name).type == kind for name, kind in wanted.items()):
                for batch in self._lake.files.batches(path, columns):
                    yield canonical(batch, table, columns)

    def publish(self, tables: Sequence[TargetTable], permission: Permission | None = None) -> Sequence[PublishedTable]:
        """Make all staged rows of all tables visible in one catalog transaction, ledger included; idempotent."""
        if permission is not None:
            permission.wait()
        published = Publisher(self._lake, self._ledger).publish(tables)
        self.state = "published"
        self._states = self._ledger.tables()
        return published

    def verify(self, table: TargetTable) -> Sequence[Mismatch]:
        """Compare what readers get for this run's files with the staged files themselves, every value.

        The catalog, the metadata and the files are read anew from storage; each file's hash must be the ledger's.
        """
        mismatches, parts = self.divided(table)
        for part in parts:
            if len(mismatches) < MISMATCHES_MAX:
                mismatches = [*mismatches, *part.run()]
        return mismatches[:MISMATCHES_MAX]

    def divided(self, table: TargetTable) -> tuple[Sequence[Mismatch], Sequence[FileVerification]]:
        """Return what is wrong without reading a new row, and the parts in which any process can compare the rest."""
        name = table.table.name
        found = self._lake.table(name)
        head = None if found is None else head_of(found, MAIN)
        lines = [line for line in self._ledger.lines(table.mapping).values() if line.paths]
        if found is None or head is None:
            missing = sum(line.staged.row_count for line in lines)
            return [row_count(table, missing, 0)] if missing else [], ()
        live = {task.file.file_path: task for task in tasks(found, head)}
        mismatches = [
            Mismatch(name, -1, "(data file)", f"the file of batch {line.staged.batch}", "not in the table")
            for line in lines
            if line.path and line.path not in live
        ]
        updating = [line for line in lines if line.updates_path]
        if updating and len(mismatches) < MISMATCHES_MAX:
            new_files = {new for each in self._states[name].replaced.values() for new, _ in each["rewritten"].values()}
            mismatches += self._verify_updates(table, found, head, updating, new_files & live.keys())
        staged = [
            ShownFile(live[line.path], line.staged.sha256, str(line.staged.batch))
            for line in lines
            if line.path in live
        ]
        parts = [
            FileVerification(self._lake.files, table, found.metadata, tuple(staged[first : first + _FILES_A_PART]))
            for first in range(0, len(staged), _FILES_A_PART)
        ]
        return mismatches[:MISMATCHES_MAX], parts

    def timed(self, query: TimedQuery) -> Timing:
        """Plan the scan and read the files as a reader without an engine does; values are looked for afterwards."""
        if query.sql:
            message = "a lake answers no SQL by itself; write by: key, reference or time range under performance"
            raise SystemRefused(message)
        found = self._lake.table(query.table)
        head = None if found is None else head_of(found, MAIN)
        if found is None or head is None:
            return Timing(0.0, 0, "no such table, or no snapshot")
        started = monotonic()
        files = len(live_files(found, head))
        planned_ms = (monotonic() - started) * 1000
        rows = 0
        with storage_errors(f"reading table '{query.table}'"):
            for batch in scan(found, head, [query.column]):
                rows += batch.num_rows
        took_ms = (monotonic() - started) * 1000
        return Timing(took_ms, rows, f"plan of the scan {planned_ms:.1f} ms, {files} files, {rows} rows read")

    def ask(self, query: str, *, counts: bool) -> Answer:  # noqa: ARG002 - a lake has no engine
        """Refuse: a lake answers no SQL by itself."""
        message = "a lake answers no SQL by itself"
        raise SystemRefused(message)

    def unindexed(self, table: TargetTable, columns: Sequence[Sequence[str]]) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - a lake has none
        """Return nothing: a lake has no indexes."""
        return ()

    def stored_types(self, table: TargetTable) -> Sequence[Mismatch]:
        """Return the columns whose type in any live data file, whoever wrote it, is not what the table needs."""
        found = self._lake.table(table.table.name)
        head = None if found is None else head_of(found, MAIN)
        if found is None or head is None:
            return []
        wanted = {field.name: field.type for field in file_schema(found.schema(), table)}
        mismatches: dict[tuple[str, str], Mismatch] = {}
        for location in live_files(found, head):
            held = {field.name: field.type for field in self._lake.files.schema(location)}
            for name, kind in wanted.items():
                told = str(held.get(name, "missing"))
                if not _is_same_storage(kind, held.get(name)):
                    mismatches[name, told] = Mismatch(table.table.name, -1, name, str(kind), f"{told} in a data file")
        return list(mismatches.values())[:MISMATCHES_MAX]

    def close(self) -> None:
        """Give the lock back; the stage stays."""
        for mapping in list(self._present):
            self._close_index(mapping)
        self._lock.release()

    def _verify_updates(
        self, table: TargetTable, found: IcebergTable, head: int, lines: Sequence[Line], new_files: AbstractSet[str]
    ) -> list[Mismatch]:
        """Return which staged updates readers do not get as they were staged; they stand in files written anew."""
        name = table.table.name
        columns = [column.name for column in table.table.columns]
        present = PresentRows(table.key, columns)
        mismatches: list[Mismatch] = []
        try:
            with storage_errors(f"reading table '{name}'"):
                present.build(canonical(batch, table, columns) for batch in scan(found, head, columns, new_files))
            for line in lines:
                if self._lake.files.sha256(line.updates_path) != line.updates_sha256:
                    told = f"the staged updates of batch {line.staged.batch}"
                    mismatches.append(Mismatch(name, -1, "(data file)", told, "other bytes"))
                    continue
                rows = in_own_types(table, self._lake.files.table(line.updates_path))
                shown = set(present.positions(rows)[0])
                mismatches += [
                    Mismatch(name, position, "(row)", "the staged content", "no such row, or another content")
                    for row, position in enumerate(line.staged.updated)
                    if row not in shown
                ]
        finally:
            present.close()
        return mismatches

    def _seal_once(self, table: TargetTable, staged: StagedFiles) -> None:
        name = table.table.name
        state = self._ledger.tables()[name]
        sealed = {**state.sealed, staged.mapping: staged.batches}
        if state.created:
            assert state.staged_metadata is not None
            hidden = self._lake.hidden_table(name, state.staged_metadata)
            with storage_errors(f"sealing table '{name}'"):
                after = None if is_sealed(hidden, staged) else append_to_branch(hidden, self._lake.files, staged)
            self._ledger.seal_created(name, state.staged_metadata, after or state.staged_metadata, sealed)
            return
        found = self._lake.table(name)
        if found is None:
            message = (
                f"table '{name}' was dropped since the run began; nothing is published. Make it again or run anew."
            )
            raise SystemRefused(message)
        require_no_drift(self._lake, table, found, staged)
        # Ask the table itself: an earlier process may have committed and died before it heard so.
        after, replacements = None, dict(state.replaced)
        if not is_sealed(found, staged):
            with storage_errors(f"sealing table '{name}'"):
                if table.replaces is not None:
                    made, leaving = None, leaving_files(found, state, table)
                else:
                    made = replaced(self._lake.files, table, staged, found, state.base_snapshot)
                    leaving = made.files if made else None
                after = append_to_branch(found, self._lake.files, staged, leaving)
            if made is not None:
                replacements[staged.mapping] = made.to_dict()
        pointer = Pointer(name, found.metadata_location, after) if after else None
        self._ledger.seal_existing(pointer, name, sealed, replacements)

    def _is_whole(self, line: Line) -> bool:
        wanted = ((line.path, line.staged.sha256), (line.updates_path, line.updates_sha256))
        return all(self._lake.files.sha256(path) == digest for path, digest in wanted if path)

    def _files(self, table: TargetTable) -> BatchFiles:
        return BatchFiles(self._ledger.run, self._lake.files, table, self._file_schema(table))

    def _line(self, batch: BatchId) -> Line:
        line = self._ledger.line(batch)
        if line is None:
            message = f"batch {batch} is not staged; nothing can be compared. Run the same command again."
            raise Interrupted(message)
        return line

    def _new_path(self, table: TargetTable, batch: BatchId, tail: str) -> str:
        # The epoch keeps a process that was taken over from writing over a file of its successor.
        mapping = path_word(batch.mapping)
        file = f"{self._ledger.run}-{mapping}-{batch.index:06d}-e{self._ledger.epoch}{tail}.parquet"
        return str(self._table(table.table.name).location_provider().new_data_location(file))

    def _table(self, name: str) -> IcebergTable:
        state = self._states[name]
        if state.created:
            assert state.staged_metadata is not None
            return self._lake.hidden_table(name, state.staged_metadata)
        found = self._lake.table(name)
        if found is None:
            message = f"table '{name}' was dropped since the run began; make it again or begin a new run"
            raise SystemRefused(message)
        return found

    def _file_schema(self, table: TargetTable) -> pa.Schema:
        if table.mapping not in self._file_schemas:
            self._file_schemas[table.mapping] = file_schema(self._table(table.table.name).schema(), table)
        return self._file_schemas[table.mapping]

    def _already_there(self, table: TargetTable, rows: pa.Table) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if table.mapping not in self._present:
            self._present[table.mapping] = self._build_index(table)
        index = self._present[table.mapping]
        return ((), ()) if index is None else index.positions(rows)

    def _build_index(self, table: TargetTable) -> PresentRows | None:
        if not self._has_index(table):
            return None
        name = table.table.name
        state = self._states[name]
        assert state.base_snapshot is not None
        columns = [column.name for column in table.table.columns]
        index = PresentRows(table.key, columns)
        with storage_errors(f"reading table '{name}'"):
            index.build(
                canonical(batch, table, columns) for batch in scan(self._table(name), state.base_snapshot, columns)
            )
        return index

    def _has_index(self, table: TargetTable) -> bool:
        """Say whether rows of the table may have keys that the run brings."""
        state = self._states[table.table.name]
        return not state.created and state.base_snapshot is not None and bool(table.key) and table.replaces is None

    def _close_index(self, mapping: str) -> None:
        index = self._present.pop(mapping, None)
        if index is not None:
            index.close()


def _without(rows: pa.Table, *left_out: Sequence[int]) -> pa.Table:
    gone = {position for positions in left_out for position in positions}
    if not gone:
        return rows
    return rows.take(pa.array([row for row in range(rows.num_rows) if row not in gone], pa.int64()))


def _is_same_storage(wanted: pa.DataType, held: pa.DataType | None) -> bool:
    """Say whether two types hold the same values alike: other writers prefer large offsets, and plain UUIDs."""
    if held is None:
        return False
    plain = {
        pa.large_string(): pa.string(),
        pa.large_binary(): pa.binary(),
        pa.uuid(): pa.binary(16),
        pa.timestamp("us", "+00:00"): pa.timestamp("us", "UTC"),
    }
    if pa.types.is_list(wanted) or pa.types.is_large_list(wanted):
        is_list = pa.types.is_list(held) or pa.types.is_large_list(held)
        return is_list and _is_same_storage(wanted.value_type, held.value_type)
    return bool(plain.get(wanted, wanted) == plain.get(held, held))
