"""Publishing: every table's new metadata is written first, then one catalog transaction makes all of it visible."""

from collections.abc import Mapping, Sequence

from pyiceberg.table import Table

from transhume.batches import TargetTable
from transhume.errors import CheckFailed, Interrupted, SystemRefused, SystemUnavailable
from transhume.systems.iceberg.files import canonical
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import Ledger, Line, Pointer, PointerMoved, TableState
from transhume.systems.iceberg.present import KeySet
from transhume.systems.iceberg.snapshots import (
    MAIN,
    StagedFiles,
    advance_main,
    branch_name,
    data_files,
    files_digest,
    head_of,
    is_based_on_main,
    rebase_and_advance,
    scan,
)
from transhume.systems.system import PublishedTable

_ATTEMPTS_MAX = 10


class Publisher:
    """Makes one run's staged rows visible, all tables at one instant."""

    def __init__(self, lake: Lake, ledger: Ledger) -> None:
        self._lake = lake
        self._ledger = ledger

    def publish(self, tables: Sequence[TargetTable]) -> list[PublishedTable]:
        """Swap all pointers and the run's state in one transaction; a published run is only reported.

        Raises: CheckFailed if others have written our keys; Interrupted if others write all the time.
        """
        if self._ledger.state() == "published":
            return self._report(tables)
        states = self._ledger.tables()
        self._require_seals(tables, states)
        for _ in range(_ATTEMPTS_MAX):
            pointers: list[Pointer] = []
            snapshots: dict[str, int | None] = {}
            for name, mappings in _by_table(tables).items():
                pointer, snapshots[name] = self._prepare(states[name], mappings)
                if pointer is not None:
                    pointers.append(pointer)
            try:
                self._ledger.publish(pointers, snapshots)
            except PointerMoved:
                continue
            except SystemUnavailable:
                # The commit may have reached the database all the same: the ledger knows.
                if self._ledger.state() != "published":
                    raise
            return self._report(tables)
        message = f"others changed the tables {_ATTEMPTS_MAX} times while publishing; nothing is visible. Run again later."
        raise Interrupted(message)

    def _report(self, tables: Sequence[TargetTable]) -> list[PublishedTable]:
        published = []
        for table in tables:
            lines = [line.staged for line in self._ledger.lines(table.mapping).values()]
            inserted = sum(line.row_count for line in lines)
            unchanged = sum(len(line.unchanged) for line in lines)
            published.append(PublishedTable(table.table.name, inserted, unchanged))
        return published

    def _require_seals(self, tables: Sequence[TargetTable], states: Mapping[str, TableState]) -> None:
        for table in tables:
            state = states.get(table.table.name)
            if state is None or table.mapping not in state.sealed:
                message = (
                    f"table mapping '{table.mapping}' is not sealed, so nothing is published. "
                    "Run the same command again."
                )
                raise Interrupted(message)

    def _prepare(self, state: TableState, tables: Sequence[TargetTable]) -> tuple[Pointer | None, int | None]:
        with storage_errors(f"publishing table '{state.table}'"):
            if state.created:
                return self._prepare_created(state)
            return self._prepare_existing(state, tables)

    def _prepare_created(self, state: TableState) -> tuple[Pointer, int | None]:
        assert state.staged_metadata is not None
        if self._lake.table(state.table) is not None:
            message = (
                f"table '{state.table}' was made by somebody else since the run began; nothing is published. "
                "Rename or drop it, then run the same command again, or begin a new run."
            )
            raise CheckFailed(message)
        hidden = self._lake.hidden_table(state.table, state.staged_metadata)
        after, snapshot = advance_main(hidden, self._lake.files, self._ledger.run)
        return Pointer(state.table, None, after or state.staged_metadata), snapshot

    def _prepare_existing(
        self, state: TableState, tables: Sequence[TargetTable]
    ) -> tuple[Pointer | None, int | None]:
        found = self._lake.table(state.table)
        if found is None:
            raise SystemRefused(f"table '{state.table}' was dropped since the run began; nothing is published")
        appends = [self._staged_files(table) for table in tables]
        if not any(staged.paths for staged in appends):
            return None, head_of(found, MAIN)
        if head_of(found, branch_name(self._ledger.run)) is not None and is_based_on_main(found, self._ledger.run):
            after, snapshot = advance_main(found, self._lake.files, self._ledger.run)
            return (Pointer(state.table, found.metadata_location, after) if after else None), snapshot
        self._check_keys(found, state, tables)
        moved, snapshot = rebase_and_advance(found, self._lake.files, self._ledger.run, appends)
        return Pointer(state.table, found.metadata_location, moved), snapshot

    def _check_keys(self, found: Table, state: TableState, tables: Sequence[TargetTable]) -> None:
        """Look for staged keys in the data files that others have added since the run began."""
        main = head_of(found, MAIN)
        if main is None:
            return
        base = set() if state.base_snapshot is None else set(data_files(found, state.base_snapshot))
        added = set(data_files(found, main)) - base
        for table in tables:
            if not table.key:
                continue
            keys = KeySet(table.key)
            try:
                for line in self._ledger.lines(table.mapping).values():
                    if line.path:
                        batches = self._lake.files.batches(line.path, table.key)
                        keys.add(canonical(batch, table, table.key) for batch in batches)
                others = scan(found, main, table.key, added)
                count = keys.count_in(canonical(batch, table, table.key) for batch in others)
            finally:
                keys.close()
            if count:
                message = (
                    f"table '{state.table}': others have written {count} rows with keys of this run since it began; "
                    "nothing is published. Look at these rows, then begin a new run with --fresh."
                )
                raise CheckFailed(message)

    def _staged_files(self, table: TargetTable) -> StagedFiles:
        lines = self._ledger.lines(table.mapping)
        return staged_files(self._ledger.run, table.mapping, lines)


def staged_files(run: str, mapping: str, lines: Mapping[int, Line]) -> StagedFiles:
    """Return the files of one mapping in order of their batches."""
    filled = [lines[index] for index in sorted(lines) if lines[index].path]
    return StagedFiles(
        run=run,
        mapping=mapping,
        batches=len(lines),
        paths=tuple(line.path for line in filled),
        digest=files_digest([line.staged.sha256 for line in filled]),
    )


def _by_table(tables: Sequence[TargetTable]) -> dict[str, list[TargetTable]]:
    grouped: dict[str, list[TargetTable]] = {}
    for table in tables:
        grouped.setdefault(table.table.name, []).append(table)
    return grouped
