"""Backups of a SQLite source: the online backup and a dump in SQL, both of one instant, both restored and compared."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from transhume.systems.backup import BackupPart, Outcome, Watch, compared, require_room, sha256_of
from transhume.systems.sqlite import dump, fingerprint
from transhume.systems.sqlite.access import Access, explain, open_file, sign_of
from transhume.systems.sqlite.source import open_source

_COPIES = 5
"""Room for the copy, the dump (a blob takes two letters a byte), and the file that the dump is restored to."""
_BACKUP, _DUMP = "source.db", "source.sql"


def open_backup(url: str, base: Path) -> "SqliteBackup":
    """Return the backup of the source behind `sqlite:///...`; nothing is opened yet. Raises: UsageError."""
    return SqliteBackup(open_source(url, base).path)


class SqliteBackup:
    """One SQLite file, read in the way that leaves it untouched."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity = f"sqlite:///{path}"

    def sign(self) -> str:
        """Return number, size and time of the file and of its write-ahead log."""
        return sign_of(self._path)

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprint of each table as it is now."""
        try:
            with closing(open_file(self._path)) as access:
                access.connection.execute("BEGIN")
                found = fingerprint.of_all(access.connection)
                access.confirm()
                return found
        except sqlite3.Error as problem:
            raise explain(problem, self._path) from None

    def parts(self, folder: Path) -> Iterator[BackupPart]:
        """Make the physical and the logical copy inside one read transaction of the source."""
        require_room(folder, self._path.stat().st_size * _COPIES if self._path.exists() else 0, f"'{self._path}'")
        try:
            with closing(open_file(self._path)) as access:
                access.connection.execute("BEGIN")
                live = fingerprint.of_all(access.connection)
                made = [_physical(access, folder, live), _logical(access, folder, live)]
                # What was read without a lock counts only if nobody wrote meanwhile.
                access.confirm()
        except sqlite3.Error as problem:
            raise explain(problem, self._path) from None
        yield from made

    def close(self) -> None:
        """Do nothing: each call opens the file anew."""


def _physical(access: Access, folder: Path, live: Mapping[str, str]) -> BackupPart:
    watch, place = Watch(), folder / _BACKUP
    _private(place)
    with closing(sqlite3.connect(place, isolation_level=None)) as copy:
        access.connection.backup(copy)
    _sync(place)
    duration_s = watch.lap()
    with closing(sqlite3.connect(f"file:{place}?mode=ro&immutable=1", uri=True)) as copy:
        damage = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        restored = fingerprint.of_all(copy)
    state, reason = compared(live, restored, "opened")
    if damage != "ok":
        state, reason = "failed", "SQLite's integrity check finds damage in the copy; look at the original"
    return BackupPart(
        side="source",
        kind="physical",
        way="SQLite online backup",
        state=state,
        reason=reason,
        path=_BACKUP,
        size_bytes=place.stat().st_size,
        sha256=sha256_of(place),
        duration_s=duration_s,
        restore_s=watch.lap(),
        fingerprints=live,
    )


def _logical(access: Access, folder: Path, live: Mapping[str, str]) -> BackupPart:
    watch, place = Watch(), folder / _DUMP
    _private(place)
    with place.open("w", encoding="utf-8", newline="\n", errors="surrogateescape") as file:
        for statement in dump.statements(access.connection):
            file.write(statement + "\n")
        file.flush()
        os.fsync(file.fileno())
    duration_s = watch.lap()
    scratch = folder / "restored.db"
    _private(scratch)
    state: Outcome = "failed"
    try:
        state, reason = compared(live, _restored(place, scratch), "restored into a new file")
    except sqlite3.Error as problem:
        reason = f"the dump cannot be restored: {type(problem).__name__}"
    finally:
        scratch.unlink(missing_ok=True)
    return BackupPart(
        side="source",
        kind="logical",
        way="SQL dump",
        state=state,
        reason=reason,
        path=_DUMP,
        size_bytes=place.stat().st_size,
        sha256=sha256_of(place),
        duration_s=duration_s,
        restore_s=watch.lap(),
        fingerprints=live,
    )


def _restored(place: Path, scratch: Path) -> dict[str, str]:
    """Return the fingerprints of a database that is made from a dump, statement by statement."""
    with closing(sqlite3.connect(scratch, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        statement = ""
        with place.open(encoding="utf-8", newline="\n", errors="surrogateescape") as file:
            for line in file:
                statement += line
                if line.endswith(";\n") and sqlite3.complete_statement(statement):
                    connection.execute(statement)
                    statement = ""
        return fingerprint.of_all(connection)


def _private(place: Path) -> None:
    os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _sync(place: Path) -> None:
    with place.open("rb") as file:
        os.fsync(file.fileno())
