"""The snapshot of a lake's tables: a tag that keeps what readers see from being expired, and the way back to it.

The data files stay where they are: a tag guards against changes of tables, not against the loss of the storage.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyiceberg.table import Table, Transaction
from pyiceberg.table.update import RemoveSnapshotRefUpdate

from transhume.errors import Interrupted, Refused, RollbackStopped
from transhume.systems.backup import (
    ABSENT,
    PUBLISHED,
    SIGN,
    BackupPart,
    RestoredTable,
    Watch,
    compared,
    require_expected,
    sha256_of,
    taken_back_report,
)
from transhume.systems.iceberg.address import LakeAddress, parse_address
from transhume.systems.iceberg.fingerprint import Fingerprints
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import Ledger, Pointer, PointerMoved, all_runs, make_tables
from transhume.systems.iceberg.lock import LakeLock
from transhume.systems.iceberg.snapshots import MAIN, apply, head_of, ref_update, write_metadata
from transhume.systems.iceberg.undo_metadata import back_to
from transhume.systems.system import RunIdentity

_POINTERS = "target.json"
_ATTEMPTS_MAX = 5


def open_backup(url: str, base: Path, tables: Sequence[str]) -> "IcebergBackup":
    """Return the backup of these tables of the lake behind a URL; nothing is opened yet. Raises: UsageError."""
    return IcebergBackup(parse_address(url, base), tables)


class IcebergBackup:
    """Some tables of a namespace."""

    def __init__(self, address: LakeAddress, tables: Sequence[str]) -> None:
        self.identity = address.identity
        self._address = address
        self._tables = tuple(dict.fromkeys(tables))
        self._lake: Lake | None = None

    def sign(self) -> str:
        """Return where the tables' metadata are: a change of a table writes new ones."""
        found = {name: self._found(name) for name in self._tables}
        return _sign({name: table.metadata_location for name, table in found.items() if table is not None})

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprint of what readers get of each table."""
        return {name: _print(self._found(name)) for name in self._tables}

    def parts(self, folder: Path) -> Iterator[BackupPart]:
        """Tag what readers see of each table, read the tagged snapshots again and compare."""
        lake = self._existing()
        there = [name for name in self._tables if self._found(name) is not None]
        if lake is None or not there:
            absent = dict.fromkeys(self._tables, ABSENT)
            reason = "none of the tables is there, so going back means that there is none"
            known = {PUBLISHED: [] if lake is None else self._published(lake)}
            yield BackupPart(
                "target", "snapshot", "nothing to copy", "verified", reason, fingerprints=absent, details=known
            )
            return
        watch, tag = Watch(), f"backup_{folder.name}"
        live = self.fingerprints()
        make_tables(lake.engine)
        lock = LakeLock(lake.engine, self._address, tag, "transhume backup")
        try:
            known = {PUBLISHED: self._published(lake)}
            ledger = Ledger(lake.catalog, self._address.scope, self._address.namespace, tag, lock.epoch)
            told = {name: self._tagged(ledger, name, tag) for name in there}
        finally:
            lock.release()
        place = folder / _POINTERS
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
        duration_s = watch.lap()
        restored = dict.fromkeys(self._tables, ABSENT)
        for name, kept in told.items():
            table = self._found(name)
            with storage_errors(f"reading table '{name}'"):
                restored[name] = ABSENT if table is None else str(Fingerprints().of_snapshot(table, kept["snapshot"]))
        state, reason = compared(live, restored, "the tagged snapshots were read")
        yield BackupPart(
            side="target",
            kind="snapshot",
            way=f"Iceberg tag '{tag}'",
            state=state,
            reason=reason,
            path=_POINTERS,
            size_bytes=place.stat().st_size,
            sha256=sha256_of(place),
            duration_s=duration_s,
            restore_s=watch.lap(),
            fingerprints=live,
            details={**known, SIGN: _sign({name: kept["metadata"] for name, kept in told.items()})},
        )

    def restore(
        self, folder: Path, part: BackupPart, run: RunIdentity, expected: Mapping[str, str] | None = None
    ) -> Sequence[RestoredTable]:
        """Point the tables to what was tagged, all in one transaction; see `TargetBackup.restore`."""
        told = json.loads((folder / part.path).read_text(encoding="utf-8")) if part.path else {}
        lake = self._existing()
        if lake is None:
            return [RestoredTable(name, ABSENT, ABSENT) for name in self._tables]
        make_tables(lake.engine)
        lock = LakeLock(lake.engine, self._address, run.run, run.holder)
        try:
            ledger = Ledger(lake.catalog, self._address.scope, self._address.namespace, run.run, lock.epoch)
            for _ in range(_ATTEMPTS_MAX):
                pointers, done = self._prepared(lake, told, part.fingerprints)
                require_expected({each.table: each.fingerprint_at_start for each in done}, expected)

                def report(taken_back: str, done: Sequence[RestoredTable] = done) -> str:
                    return json.dumps(taken_back_report(taken_back, done, run.run).to_dict(), ensure_ascii=False)

                try:
                    ledger.restore(pointers, part.details[PUBLISHED], report)
                except PointerMoved:
                    continue
                return done
        finally:
            lock.release()
        message = f"others changed the tables {_ATTEMPTS_MAX} times meanwhile; nothing was changed. Run again later."
        raise Interrupted(message)

    def close(self) -> None:
        """Release connections."""
        if self._lake is not None:
            self._lake.close()
            self._lake = None

    def _prepared(
        self, lake: Lake, told: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, str]
    ) -> tuple[list[Pointer], list[RestoredTable]]:
        """Write the metadata that bring each table back, and compare what readers will get of it."""
        pointers, done = [], []
        for name in self._tables:
            found = self._found(name)
            start = _print(found)
            after, pointer = ABSENT, None
            if name in told:
                with storage_errors(f"restoring table '{name}'"):
                    after, pointer = self._back(lake, name, found, told[name])
            elif found is not None:
                pointer = Pointer(name, found.metadata_location, None)
            if after != wanted[name]:
                message = (
                    f"'{name}' would have fingerprint {after}, the snapshot had {wanted[name]}; nothing was changed"
                )
                raise RollbackStopped(message)
            pointers += [] if pointer is None else [pointer]
            done.append(RestoredTable(name, start, after, dropped=after == ABSENT and start != ABSENT))
        return pointers, done

    def _back(self, lake: Lake, name: str, found: Table | None, told: Mapping[str, Any]) -> tuple[str, Pointer | None]:
        if found is None:
            # Dropped from the catalog: its files are there as long as nobody purged them.
            old = lake.hidden_table(name, told["metadata"])
            return _print(old), Pointer(name, None, told["metadata"])
        snapshot = told["snapshot"]
        if head_of(found, MAIN) == snapshot:
            return _print(found), None
        if snapshot is not None and head_of(found, told["tag"]) != snapshot:
            message = f"others removed the tag '{told['tag']}' of table '{name}'; nothing was changed"
            raise Refused(message)
        if snapshot is None:
            transaction = Transaction(found)
            apply(transaction, RemoveSnapshotRefUpdate(ref_name=MAIN))
            where = write_metadata(found, lake.files, transaction)
            table = Table(found.name(), transaction.table_metadata, where, lake.files, found.catalog)
        else:
            table, where = back_to(found, lake.files, snapshot)
        return _print(table), Pointer(name, found.metadata_location, where)

    def _tagged(self, ledger: Ledger, name: str, tag: str) -> dict[str, Any]:
        """Tag a table's main and return what the way back needs."""
        lake = self._existing()
        assert lake is not None
        for _ in range(_ATTEMPTS_MAX):
            table = self._found(name)
            if table is None:
                break
            head = head_of(table, MAIN)
            if head is None:
                return {"tag": "", "snapshot": None, "metadata": table.metadata_location}
            with storage_errors(f"tagging table '{name}'"):
                transaction = Transaction(table)
                apply(transaction, ref_update(tag, head, "tag"))
                where = write_metadata(table, lake.files, transaction)
            try:
                ledger.swap([Pointer(name, table.metadata_location, where)], f"tagging table '{name}'")
            except PointerMoved:
                continue
            return {"tag": tag, "snapshot": head, "metadata": where}
        message = f"others change table '{name}' all the time; run the same command again when it is quiet"
        raise Interrupted(message)

    def _published(self, lake: Lake) -> list[str]:
        runs = all_runs(lake.engine, self._address.scope)
        return [str(run["run"]) for run in runs if run["state"] == "published"]

    def _found(self, name: str) -> Table | None:
        lake = self._existing()
        return None if lake is None else lake.table(name)

    def _existing(self) -> Lake | None:
        file = self._address.catalog_file
        if self._lake is None and (file is None or file.exists()):
            self._lake = Lake(self._address)
        return self._lake if self._lake is not None and self._lake.has_catalog() else None


def _sign(metadata: Mapping[str, str]) -> str:
    return json.dumps(dict(metadata), sort_keys=True)


def _print(table: Table | None) -> str:
    if table is None:
        return ABSENT
    with storage_errors(f"reading table '{table.name()[-1]}'"):
        return str(Fingerprints().of_snapshot(table, head_of(table, MAIN)))
