"""Publishing: every table's new metadata is written first, then one catalog transaction makes all of it visible."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import pyarrow as pa
from pyiceberg.table import Table

from transhume.batches import TargetTable
from transhume.errors import CheckFailed, Interrupted, SystemRefused, SystemUnavailable
from transhume.systems.iceberg.files import canonical
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import Ledger, Line, Pointer, PointerMoved, TableState
from transhume.systems.iceberg.present import PresentRows, StagedKeys
from transhume.systems.iceberg.refusals import drift
from transhume.systems.iceberg.replace import replaced
from transhume.systems.iceberg.replace_all import require_snapshot
from transhume.systems.iceberg.snapshots import (
    MAIN,
    Replaced,
    StagedFiles,
    advance_main,
    branch_name,
    files_digest,
    head_of,
    is_based_on_main,
    live_files,
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
        self._replaced: dict[str, dict[str, Any]] = {}
        """By table and mapping: what this attempt wrote anew because others moved main."""

    def publish(self, tables: Sequence[TargetTable]) -> list[PublishedTable]:
        """Swap all pointers and the run's state in one transaction; a published run is only reported.

        Raises: CheckFailed if a table is not sealed or others have written our keys; Interrupted if others change
        the tables all the time; SystemUnavailable; LockHeld.
        """
        if self._ledger.state() == "published":
            return self._report(tables)
        states = self._ledger.tables()
        self._require_seals(tables, states)
        for _ in range(_ATTEMPTS_MAX):
            pointers: list[Pointer] = []
            snapshots: dict[str, int | None] = {}
            self._replaced = {}
            for name, mappings in _by_table(tables).items():
                pointer, snapshots[name] = self._prepare(states[name], mappings)
                if pointer is not None:
                    pointers.append(pointer)
            try:
                self._ledger.publish(pointers, snapshots, self._replaced)
            except PointerMoved:
                continue
            except SystemUnavailable:
                if not self._was_published():
                    raise
            return self._report(tables)
        message = (
            f"others changed the tables {_ATTEMPTS_MAX} times while publishing; nothing is visible. Run again later."
        )
        raise Interrupted(message)

    def _was_published(self) -> bool:
        """Ask the ledger about a commit without an answer; it may have reached the database all the same."""
        try:
            return self._ledger.state() == "published"
        except SystemUnavailable as error:
            message = (
                "the connection to the lake's catalog was lost while publishing, and it does not answer yet: "
                "everything is visible, or nothing is. Run the same command again; it asks the ledger first."
            )
            raise SystemUnavailable(message) from error

    def _report(self, tables: Sequence[TargetTable]) -> list[PublishedTable]:
        published = []
        for table in tables:
            lines = [line.staged for line in self._ledger.lines(table.mapping).values()]
            updated = sum(len(line.updated) for line in lines)
            inserted = sum(line.row_count for line in lines) - updated
            unchanged = sum(len(line.unchanged) for line in lines)
            skipped = sum(len(line.skipped) for line in lines)
            published.append(PublishedTable(table.table.name, inserted, unchanged, updated, skipped))
        return published

    def _require_seals(self, tables: Sequence[TargetTable], states: Mapping[str, TableState]) -> None:
        for table in tables:
            state = states.get(table.table.name)
            if state is None or table.mapping not in state.sealed:
                message = (
                    f"table mapping '{table.mapping}' is not sealed, so nothing is published. "
                    "Run the same command again."
                )
                raise CheckFailed(message)

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

    def _prepare_existing(self, state: TableState, tables: Sequence[TargetTable]) -> tuple[Pointer | None, int | None]:
        found = self._lake.table(state.table)
        if found is None:
            message = f"table '{state.table}' was dropped since the run began; nothing is published"
            raise SystemRefused(message)
        appends = [self._staged_files(table) for table in tables]
        for table, staged in zip(tables, appends, strict=True):
            require_no_drift(self._lake, table, found, staged)
        for table in tables:
            require_snapshot(found, state, table)
        empties = any(table.replaces is not None for table in tables)
        if all(staged.is_empty for staged in appends) and not empties:
            if head_of(found, MAIN) != state.base_snapshot:
                self._check_base(found, state, tables)
            return None, head_of(found, MAIN)
        if head_of(found, branch_name(self._ledger.run)) is not None and is_based_on_main(found, self._ledger.run):
            if head_of(found, MAIN) != state.base_snapshot:
                # Others wrote after the run began and before it was sealed: the branch stands on their rows.
                self._check_base(found, state, tables)
            after, snapshot = advance_main(found, self._lake.files, self._ledger.run)
            return (Pointer(state.table, found.metadata_location, after) if after else None), snapshot
        self._check_base(found, state, tables)
        by_mapping = {table.mapping: table for table in tables}

        def replace(grown: Table, staged: StagedFiles) -> Replaced | None:
            made = replaced(self._lake.files, by_mapping[staged.mapping], staged, grown, state.base_snapshot)
            if made is None:
                return None
            self._replaced.setdefault(state.table, {})[staged.mapping] = made.to_dict()
            return made.files

        moved, snapshot = rebase_and_advance(found, self._lake.files, self._ledger.run, appends, replace)
        return Pointer(state.table, found.metadata_location, moved), snapshot

    def _check_base(self, found: Table, state: TableState, tables: Sequence[TargetTable]) -> None:
        """Check against what others did since the run began: our keys are new still, our unchanged rows there still."""
        main = head_of(found, MAIN)
        base = {} if state.base_snapshot is None else live_files(found, state.base_snapshot)
        now = {} if main is None else live_files(found, main)
        for table in tables:
            if not table.key:
                continue
            if main is not None and (count := self._written_by_others(found, main, table, now.keys() - base.keys())):
                message = (
                    f"table '{state.table}': others have written {count} rows with keys of this run since it began; "
                    "nothing is published. Look at these rows, then begin a new run with --fresh."
                )
                raise CheckFailed(message)
            touched = {path for path, deletes in base.items() if now.get(path) != deletes}
            if any(line.staged.unchanged or line.staged.skipped for line in self._lines(table)) and (
                state.base_snapshot is None or not base or self._lost(found, state.base_snapshot, main, table, touched)
            ):
                message = (
                    f"table '{state.table}': others have changed rows since the run began that may be among those it "
                    "counted as unchanged or skipped; nothing is published. Begin a new run with --fresh, which "
                    "compares anew."
                )
                raise CheckFailed(message)

    def _written_by_others(self, found: Table, main: int, table: TargetTable, added: AbstractSet[str]) -> int:
        if not added:
            return 0
        keys = StagedKeys(table.key)
        try:
            keys.build(self._staged_keys(table))
            others = scan(found, main, table.key, added)
            return keys.count_in(canonical(batch, table, table.key) for batch in others)
        finally:
            keys.close()

    def _lost(self, found: Table, base: int, main: int | None, table: TargetTable, touched: AbstractSet[str]) -> bool:
        """Tell whether a row of the touched files is no longer there as it was; a mere compaction loses none."""
        if not touched or main is None:
            return bool(touched)
        columns = [column.name for column in table.table.columns]
        present = PresentRows(table.key, columns)
        try:
            present.build(canonical(batch, table, columns) for batch in scan(found, main, columns))
            for batch in scan(found, base, columns, touched):
                rows = pa.Table.from_batches([canonical(batch, table, columns)])
                if len(present.positions(rows)[0]) < rows.num_rows:
                    return True
        finally:
            present.close()
        return False

    def _lines(self, table: TargetTable) -> Collection[Line]:
        return self._ledger.lines(table.mapping).values()

    def _staged_keys(self, table: TargetTable) -> Iterator[pa.RecordBatch]:
        """Yield the keys of new rows; those of replaced ones stand in the table."""
        for line in self._lines(table):
            if line.path:
                for batch in self._lake.files.batches(line.path, table.key):
                    yield canonical(batch, table, table.key)

    def _staged_files(self, table: TargetTable) -> StagedFiles:
        lines = self._ledger.lines(table.mapping)
        return staged_files(self._ledger.run, table.mapping, lines)


def require_no_drift(lake: Lake, table: TargetTable, found: Table, staged: StagedFiles) -> None:
    """Raise CheckFailed if an existing table no longer takes the staged files as they are."""
    written = (*staged.paths, *staged.updates)
    if written and (reasons := drift(table, found, lake.files.schema(written[0]))):
        message = f"table '{table.table.name}' was changed by others since the run began; nothing is published: "
        raise CheckFailed(message + "; ".join(reasons) + ". Take the change back, or begin a new run with --fresh.")


def staged_files(run: str, mapping: str, lines: Mapping[int, Line]) -> StagedFiles:
    """Return the files of one mapping in order of their batches."""
    ordered = [lines[index] for index in sorted(lines)]
    filled = [line for line in ordered if line.path]
    updating = [line for line in ordered if line.updates_path]
    return StagedFiles(
        run=run,
        mapping=mapping,
        batches=len(lines),
        paths=tuple(line.path for line in filled),
        digest=files_digest([line.staged.sha256 for line in filled] + [line.updates_sha256 for line in updating]),
        updates=tuple(line.updates_path for line in updating),
    )


def _by_table(tables: Sequence[TargetTable]) -> dict[str, list[TargetTable]]:
    grouped: dict[str, list[TargetTable]] = {}
    for table in tables:
        grouped.setdefault(table.table.name, []).append(table)
    return grouped
