"""Backups of a MySQL or MariaDB source: a dump, and MariaDB's copy of the data folder; each restored and compared.

The server is only read. It gives no second session the snapshot of a first one, so a dump is of the instant that is
compared only if nobody wrote while it was made: the fingerprints before and after say so, and another try is made.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from transhume.errors import SystemProblem, SystemUnavailable
from transhume.systems.backup import BackupPart, Watch, compared, require_room, sha256_of, size_of
from transhume.systems.mysql import exact_rows, fingerprint, scratch, tools
from transhume.systems.mysql.address import Address, parse_url
from transhume.systems.mysql.connection import Connection

_DUMP, _COPY = "source.sql", "source_data"
_COPIES = 4
"""Room for the dump, the restored copy and the copy of the data folder, as multiples of what the server holds."""
_TRIES = 3
_ROWS = (
    # Without these two it would lock the tables of the source against writers.
    "--single-transaction",
    "--skip-lock-tables",
    "--quick",
    "--hex-blob",
    "--skip-dump-date",
    "--default-character-set=utf8mb4",
    "--no-tablespaces",
    "--max-allowed-packet=1G",
)
_PROGRAMS = ("--routines", "--events")
_TRIGGERS_ONLY = ("--triggers", "--no-data", "--no-create-info", "--skip-routines", "--skip-events")
_SIZE = """
SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()
"""


def open_backup(url: str, base: Path) -> "MysqlBackup":
    """Return the backup of the source behind `mysql://...`; nothing is opened yet. Raises: UsageError."""
    return MysqlBackup(parse_url(url, base))


class MysqlBackup:
    """One database of a server."""

    def __init__(self, address: Address) -> None:
        self.identity = address.identity
        self._address = address

    def sign(self) -> str:
        """Return "": only the rows tell whether they changed."""
        return ""

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprint of each table, all as of one instant."""
        connection = Connection(self._address)
        try:
            connection.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            return fingerprint.of_all(connection)
        finally:
            connection.close()

    def parts(self, folder: Path) -> Iterator[BackupPart]:
        """Make a dump of the database and, of a MariaDB on this machine, a copy of the whole data folder."""
        tools.require("dump", "client", "server", "install")
        connection = Connection(self._address)
        try:
            size, data = int(connection.value(_SIZE)), Path(connection.value("SELECT @@datadir"))
            flavour = connection.flavour
        finally:
            connection.close()
        require_room(folder, size * _COPIES, f"a backup of {self.identity}")
        yield self._logical(folder / _DUMP)
        yield self._physical(folder / _COPY, data, flavour)

    def close(self) -> None:
        """Do nothing: each call connects anew."""

    def _logical(self, dump: Path) -> BackupPart:
        watch = Watch()
        before: Mapping[str, str] = {}
        live = self.fingerprints()
        for _ in range(_TRIES):
            before = live
            way = self._dumped(dump)
            live = self.fingerprints()
            if before == live:
                break
        duration_s = watch.lap()
        try:
            with scratch.restored(dump) as copy:
                state, reason = compared(live, fingerprint.of_all(copy), "restored into a server of our own")
        except SystemProblem as problem:
            state, reason = "failed", f"the dump cannot be restored here: {problem}"
        if before != live:
            changed = ", ".join(f"'{name}'" for name in sorted(live) if before.get(name) != live[name])
            reason = f"others wrote while it was made, {_TRIES} times: {changed}; make it when they do not. {reason}"
        return BackupPart(
            side="source",
            kind="logical",
            way=way,
            state=state,
            reason=reason,
            path=dump.name,
            size_bytes=dump.stat().st_size,
            sha256=sha256_of(dump),
            duration_s=duration_s,
            restore_s=watch.lap(),
            fingerprints=live,
        )

    def _dumped(self, dump: Path) -> str:
        """Write the dump: tables, views and programs; the rows that it would bend; triggers, which must not fire."""
        connection = Connection(self._address)
        try:
            connection.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            bent = exact_rows.tables_with_floats(connection)
            way = "mariadb-dump of the database" + (", floats by their own digits" if bent else "")
            left_out = [f"--ignore-table-data={self._address.database}.{name}" for name in bent]
            dump.unlink(missing_ok=True)
            try:
                self._append(dump, [*_ROWS, "--skip-triggers", *_PROGRAMS, *left_out])
            except SystemUnavailable:
                # The user may see tables, and not everything else.
                way = f"{way}, of its tables alone: this user may not read its views, routines or events"
                whole = [name for name in fingerprint.tables(connection) if name not in bent]
                for own, options in ((whole, []), (bent, ["--no-data"])):
                    if own:
                        self._append(dump, [*_ROWS, "--skip-triggers", *options], own)
            with dump.open("ab") as file:
                for part in exact_rows.statements(connection, bent):
                    file.write(part)
            if tables := fingerprint.tables(connection):
                self._append(dump, [*_ROWS, *_TRIGGERS_ONLY], tables)
        finally:
            connection.close()
        with dump.open("rb") as file:
            os.fsync(file.fileno())
        return way

    def _append(self, dump: Path, options: Sequence[str], tables: Sequence[str] = ()) -> None:
        """Append what the server's own program dumps of the database, or of some tables of it."""
        part = dump.with_suffix(".part")
        what = [f"--result-file={part}", "--", self._address.database, *tables]
        password = self._address.parameters()["password"].decode()
        try:
            tools.run("dump", [*tools.reached(self._address), *options, *what], password=password)
            with part.open("rb") as read, dump.open("ab") as write:
                os.fchmod(write.fileno(), 0o600)
                shutil.copyfileobj(read, write)
        finally:
            part.unlink(missing_ok=True)

    def _physical(self, copy: Path, data: Path, flavour: str) -> BackupPart:
        address, way = self._address, "mariadb-backup of the whole server"
        hindrance = ""
        if flavour != "MariaDB" or tools.find("backup") is None:
            hindrance = "mariadb-backup, which copies a MariaDB, is not installed or not for this server"
        elif not address.is_local or not os.access(data, os.R_OK | os.X_OK):
            hindrance = f"the server's data folder cannot be read from here ('{data}')"
        if hindrance:
            return BackupPart("source", "physical", way, "not_made", hindrance)
        watch = Watch()
        password = address.parameters()["password"].decode()
        live = self.fingerprints()
        place = f"--target-dir={copy}"
        try:
            tools.run("backup", [*tools.reached(address), "--backup", place, f"--datadir={data}"], password=password)
            tools.run("backup", ["--no-defaults", "--prepare", place])
        except SystemUnavailable as problem:
            return BackupPart("source", "physical", way, "not_made", str(problem))
        duration_s = watch.lap()
        # The copy as it was made is what is kept: a server that runs on it changes its files.
        digest, size = sha256_of(copy), size_of(copy)
        try:
            with scratch.copied(copy) as own, scratch.opened(own, address.database) as connection:
                state, reason = compared(live, fingerprint.of_all(connection), "prepared, and a server started on it")
        except SystemProblem as problem:
            state, reason = "failed", f"no server runs on the copy: {problem}"
        if state == "failed" and self.fingerprints() != live:
            return BackupPart("source", "physical", way, "not_made", f"others wrote while it was made; {reason}")
        return BackupPart(
            side="source",
            kind="physical",
            way=way,
            state=state,
            reason=reason,
            path=copy.name,
            size_bytes=size,
            sha256=digest,
            duration_s=duration_s,
            restore_s=watch.lap(),
            fingerprints=live,
        )
