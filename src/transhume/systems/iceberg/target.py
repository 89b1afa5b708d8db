"""The lake as a target: its tables, what cannot be written, and the opening of runs."""

from collections.abc import Sequence
from typing import Any

from transhume.batches import JournalAnchor, TargetTable
from transhume.errors import Refused, SystemProblem, SystemRefused, SystemUnavailable
from transhume.facts import Catalog
from transhume.schema import Table
from transhume.systems.iceberg import journals
from transhume.systems.iceberg.address import LakeAddress
from transhume.systems.iceberg.existing import as_table
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import (
    Ledger,
    TableState,
    all_runs,
    enter_run,
    known_run,
    make_tables,
    standing_runs,
)
from transhume.systems.iceberg.lock import LakeLock
from transhume.systems.iceberg.refusals import catalog_refusals, folder_refusals, table_refusals
from transhume.systems.iceberg.run import IcebergRun
from transhume.systems.iceberg.scratch import LakeScratch, scratch_numbers
from transhume.systems.iceberg.snapshots import MAIN, head_of, new_table
from transhume.systems.iceberg.types import BATCH_COLUMN, BATCH_COLUMN_PROPERTY, new_schema
from transhume.systems.iceberg.undo import IcebergUndo
from transhume.systems.system import RunIdentity
from transhume.systems.undo import UndoReference


class IcebergTarget:
    """A namespace of an Iceberg catalog; see `Target`. A lake that is not there yet is empty until a run opens it."""

    def __init__(self, url: str, address: LakeAddress) -> None:
        self._url = url
        self._address = address
        self._lake: Lake | None = None
        self.identity = address.identity
        self.name = address.namespace

    def catalog(self) -> Catalog:
        """Return the tables of the namespace; one that cannot be read has that as its obstacle.

        Raises: SystemUnavailable if the catalog cannot be read.
        """
        tables = {}
        lake = self._existing()
        if lake is not None:
            for name in lake.table_names():
                try:
                    found = lake.table(name)
                except SystemProblem as problem:
                    tables[name] = Table(name, (), obstacles=(str(problem),))
                    continue
                if found is not None:
                    tables[name] = as_table(name, found)
        return Catalog(self.identity, tables)

    def refusals(self, tables: Sequence[TargetTable]) -> Sequence[str]:
        """Return every reason why these tables cannot be written exactly, before anything is written."""
        reasons = folder_refusals(self._address)
        if reasons:
            return reasons
        reasons = catalog_refusals(self._reachable())
        lake = self._existing()
        for table in tables:
            found = None if lake is None else lake.table(table.table.name)
            reasons += table_refusals(table, found)
        return reasons

    def open_run(self, run: RunIdentity, tables: Sequence[TargetTable]) -> IcebergRun:
        """Take the lake for this run; make or find its ledger and the hidden tables that it creates.

        Raises: LockHeld at once if another process holds the lake; Refused if the run belongs to another plan;
        SystemRefused if a table is missing that the plan does not create; SystemUnavailable.
        """
        lake = self._open()
        lake.make_catalog()
        make_tables(lake.engine)
        lock = LakeLock(lake.engine, self._address, run.run, run.holder)
        try:
            journals.make_table(lake.engine)
            values = {
                "run": run.run,
                "scope": self._address.scope,
                "plan_hash": run.plan_hash,
                "tool_version": run.tool_version,
                "holder": run.holder,
            }
            row = enter_run(lake.engine, values)
            _require_same(run, self._address.scope, row, writes=True)
            _require_alive(row)
            ledger = Ledger(lake.catalog, self._address.scope, self._address.namespace, run.run, lock.epoch)
            self._enter_tables(lake, ledger, tables)
            return IcebergRun(lake, ledger, lock, str(row.state))
        except BaseException:
            lock.release()
            raise

    def open_undo(
        self, run: RunIdentity, tables: Sequence[TargetTable], references: Sequence[UndoReference]
    ) -> IcebergUndo:
        """Take the lake to take a run back; nothing is made where the ledger does not know the run.

        Raises: LockHeld at once if another process holds the lake; Refused if the run belongs to another plan.
        """
        lake = self._existing()
        if lake is None or known_run(lake.engine, run.run) is None:
            return IcebergUndo(None, None, None, run.run, tables, references)
        make_tables(lake.engine)
        lock = LakeLock(lake.engine, self._address, run.run, run.holder)
        try:
            journals.make_table(lake.engine)
            row = known_run(lake.engine, run.run)
            # What was staged is undone, by whatever version knows this ledger.
            _require_same(run, self._address.scope, row, writes=False)
            ledger = Ledger(lake.catalog, self._address.scope, self._address.namespace, run.run, lock.epoch)
            return IcebergUndo(lake, ledger, lock, run.run, tables, references)
        except BaseException:
            lock.release()
            raise

    def standing(self) -> Sequence[str]:
        """Return the runs of this namespace that stand, oldest first."""
        lake = self._existing()
        return [] if lake is None else standing_runs(lake.engine, self._address.scope)

    def runs(self) -> Sequence[dict[str, object]]:
        """Return the ledger's runs, newest last."""
        lake = self._existing()
        return [] if lake is None else all_runs(lake.engine, self._address.scope)

    def anchor(self, run: str) -> JournalAnchor | None:
        """Return how far a run's journal had come when the ledger last saw it, None where it never did."""
        lake = self._existing()
        return None if lake is None else journals.recall(lake.engine, run)

    def scratch(self, number: str) -> LakeScratch:
        """Return the scratch namespace of this number; nothing is made yet."""
        return LakeScratch(self._url, self._address, number)

    def scratches(self) -> Sequence[str]:
        """Return the numbers of the scratch namespaces beside this one that are there and bear the mark."""
        lake = self._existing()
        return [] if lake is None else scratch_numbers(lake)

    def close(self) -> None:
        """Release connections."""
        if self._lake is not None:
            self._lake.close()
            self._lake = None

    def _reachable(self) -> Lake | None:
        """Return the lake if its catalog's database is there; nothing is made."""
        file = self._address.catalog_file
        return self._open() if file is None or file.exists() else None

    def _existing(self) -> Lake | None:
        lake = self._reachable()
        return lake if lake is not None and lake.has_catalog() else None

    def _open(self) -> Lake:
        if self._lake is None:
            file = self._address.catalog_file
            try:
                for folder in (self._address.folder, None if file is None else file.parent):
                    if folder is not None:
                        folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f"the lake's folder '{error.filename}' cannot be made ({error.strerror}); nothing was written"
                raise SystemUnavailable(message) from error
            self._lake = Lake(self._address)
        return self._lake

    def _enter_tables(self, lake: Lake, ledger: Ledger, tables: Sequence[TargetTable]) -> None:
        known = ledger.tables()
        for table in tables:
            name = table.table.name
            if name in known:
                continue
            found = lake.table(name)
            if found is not None:
                state = TableState(name, created=False, base_snapshot=head_of(found, MAIN))
            elif table.create:
                state = TableState(name, created=True, staged_metadata=self._create_hidden(lake, table))
            else:
                message = f"table '{name}' is not in '{self._address.namespace}', and the plan does not create it"
                message = f"{message}; write 'create: true', or make the table"
                raise SystemRefused(message)
            ledger.put_table(state)
            known[name] = state

    def _create_hidden(self, lake: Lake, table: TargetTable) -> str:
        name = table.table.name
        own = {} if table.table.column(BATCH_COLUMN) else {BATCH_COLUMN_PROPERTY: BATCH_COLUMN}
        with storage_errors(f"making table '{name}'"):
            identifier = (*lake.namespace, name)
            return new_table(lake.catalog, lake.files, identifier, lake.location(name), new_schema(table.table), own)


def _require_same(run: RunIdentity, scope: str, row: Any, *, writes: bool) -> None:
    """Raise Refused if an earlier process began this run with another plan, scope or version."""
    differences = [
        f"{what} is '{ours}', was '{theirs}'"
        for what, ours, theirs in (
            ("plan", run.plan_hash, row.plan_hash),
            ("namespace", scope, row.scope),
            # A published run may be looked at by a later version; it is not written any more.
            ("version", run.tool_version, row.tool_version if writes and row.state == "open" else run.tool_version),
        )
        if ours != theirs
    ]
    if differences:
        message = f"run '{run.run}' cannot go on here: {'; '.join(differences)}. Nothing was written."
        message = f"{message} Take back the difference, or begin a new run."
        raise Refused(message)


def _require_alive(row: Any) -> None:
    """Raise Refused if the run was taken back, or finalized, and so has no stage any more."""
    if row.state in {"rolled_back", "finalized"}:
        message = (
            f"run '{row.run}' is {row.state.replace('_', ' ')} and cannot go on; nothing was written. Say 'transhume "
            f"rollback {row.run}' to have the project know it, then 'transhume run' begins a new run."
        )
        raise Refused(message)
