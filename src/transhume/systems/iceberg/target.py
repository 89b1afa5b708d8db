"""The lake as a target: its tables, what cannot be written, and the opening of runs."""

from collections.abc import Sequence

from transhume.batches import TargetTable
from transhume.errors import Refused, SystemRefused, SystemUnavailable
from transhume.facts import Catalog
from transhume.systems.iceberg.address import LakeAddress
from transhume.systems.iceberg.existing import as_table
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import Ledger, TableState, all_runs, enter_run, make_tables
from transhume.systems.iceberg.lock import LakeLock
from transhume.systems.iceberg.refusals import folder_refusals, table_refusals
from transhume.systems.iceberg.run import IcebergRun
from transhume.systems.iceberg.snapshots import MAIN, head_of, new_table
from transhume.systems.iceberg.types import BATCH_COLUMN, BATCH_COLUMN_PROPERTY, new_schema
from transhume.systems.system import RunIdentity


class IcebergTarget:
    """A namespace of an Iceberg catalog; see `Target`. A lake that is not there yet is empty until a run opens it."""

    def __init__(self, address: LakeAddress) -> None:
        self._address = address
        self._lake: Lake | None = None
        self.identity = address.identity

    def catalog(self) -> Catalog:
        """Return the tables of the namespace; raises SystemUnavailable."""
        tables = {}
        if self._exists():
            lake = self._open()
            for name in lake.table_names():
                found = lake.table(name)
                if found is not None:
                    tables[name] = as_table(name, found)
        return Catalog(self.identity, tables)

    def refusals(self, tables: Sequence[TargetTable]) -> Sequence[str]:
        """Return every reason why these tables cannot be written exactly, before anything is written."""
        reasons = folder_refusals(self._address)
        lake = self._open() if self._exists() else None
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
        make_tables(lake.engine)
        lock = LakeLock(lake.engine, self._address, run.run, run.holder)
        try:
            values = {
                "run": run.run,
                "scope": self._address.scope,
                "plan_hash": run.plan_hash,
                "tool_version": run.tool_version,
                "holder": run.holder,
            }
            row = enter_run(lake.engine, values)
            if row.plan_hash != run.plan_hash or row.scope != self._address.scope:
                message = (
                    f"run '{run.run}' was begun with plan {row.plan_hash} in '{row.scope}', not with {run.plan_hash} "
                    f"in '{self._address.scope}'; nothing was written. Take the plan back, or begin a new run."
                )
                raise Refused(message)
            ledger = Ledger(lake.catalog, self._address.scope, self._address.namespace, run.run, lock.epoch)
            self._enter_tables(lake, ledger, tables)
            return IcebergRun(lake, ledger, lock, str(row.state))
        except BaseException:
            lock.release()
            raise

    def runs(self) -> Sequence[dict[str, object]]:
        """Return the ledger's runs, newest last."""
        return all_runs(self._open().engine, self._address.scope) if self._exists() else []

    def close(self) -> None:
        """Release connections."""
        if self._lake is not None:
            self._lake.close()
            self._lake = None

    def _exists(self) -> bool:
        file = self._address.catalog_file
        return file is None or file.exists()

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
                state = TableState(name, False, head_of(found, MAIN), None, {}, None)
            elif table.create:
                state = TableState(name, True, None, self._create_hidden(lake, table), {}, None)
            else:
                message = f"table '{name}' is not in '{self._address.namespace}', and the plan does not create it"
                raise SystemRefused(f"{message}; write 'create: true', or make the table")
            ledger.put_table(state)
            known[name] = state

    def _create_hidden(self, lake: Lake, table: TargetTable) -> str:
        name = table.table.name
        own = {} if table.table.column(BATCH_COLUMN) else {BATCH_COLUMN_PROPERTY: BATCH_COLUMN}
        with storage_errors(f"making table '{name}'"):
            identifier = (*lake.namespace, name)
            return new_table(lake.catalog, lake.files, identifier, lake.location(name), new_schema(table.table), own)
