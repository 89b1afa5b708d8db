"""Opening a SQLite file so that not one byte beside or in it changes. No table is known here.

SQLite's read-only mode is not enough: for a database in WAL mode it makes `-shm` and `-wal` files beside the source,
and `immutable=1` does not see what still stands in the `-wal` file. So the way in depends on what is there:

| the file | way in | what a writer at the same time means |
|---|---|---|
| rollback journal | `mode=ro` | SQLite's own locks: the writer waits until the read ends |
| WAL, with `-wal` and `-shm` | `mode=ro&readonly_shm=1` | none: the reader holds its own state of the WAL |
| WAL, nothing beside it | `immutable=1` | seen by the file's time and size: the read is thrown away |
| WAL, `-wal` without `-shm` | private copy of both files | seen while copying: tried again, then refused |

Measured on SQLite 3.40 with a writer in another process: hashes, times and listing of the folder stayed the same.
Source: https://www.sqlite.org/wal.html#read_only_databases and https://www.sqlite.org/uri.html
"""

import os
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from urllib.parse import quote

from transhume.errors import SystemRefused, SystemUnavailable
from transhume.systems.sqlite.descriptors import FileIdentity, first_bytes, hold, identity, release

BUSY_S = 5.0
"""How long a lock of another process is waited for."""
VERSION_MIN = (3, 37, 0)
"""The first SQLite that lists tables with their kind (PRAGMA table_list) and knows STRICT tables."""
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL = 2
_COPIES_MAX = 3
_CLOCK_TICK_NS = 20_000_000
"""File systems stamp times by the kernel's tick; a change within one tick of another may not show."""
SETTINGS = (
    "PRAGMA query_only=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA mmap_size=0",
)
"""What every connection to a source is told first."""

_State = tuple[tuple[int, int, int] | None, ...]


@dataclass(slots=True)
class Access:
    """An open connection to a source file, and how to see whether its rows are still one instant."""

    connection: sqlite3.Connection
    path: Path
    state: _State | None = None
    copy: Path | None = None
    again: str | None = None
    """With which parameters a second connection sees the same instant while this one reads; None: it might not."""
    file: FileIdentity | None = None
    """Which file stood at the path just before it was opened."""

    def confirm(self) -> None:
        """Raise SystemUnavailable if the file was written while it was read without a lock."""
        if self.state is not None and _state(self.path) != self.state:
            message = (
                f"'{self.path}' was written by another process while it was read; "
                "the rows read are not of one instant and are not used; run the same command again"
            )
            raise SystemUnavailable(message)

    def close(self) -> None:
        """Close the connection and remove a private copy."""
        self.connection.close()
        release(self.file)
        self.file = None
        if self.copy is not None:
            shutil.rmtree(self.copy, ignore_errors=True)


def open_file(path: Path) -> Access:
    """Open a SQLite database for reading; the file, its time and its folder stay as they are.

    Effects: where a `-wal` without `-shm` makes it necessary, a private copy (0700) in the temporary folder.
    Raises: SystemUnavailable, SystemRefused with the reason in one line; nothing is ever created at `path`.
    """
    if sqlite3.sqlite_version_info < VERSION_MIN:
        needed = ".".join(map(str, VERSION_MIN))
        message = f"this Python brings SQLite {sqlite3.sqlite_version}; transhume needs {needed} or newer"
        raise SystemRefused(message)
    wal = _header(path)[18:20] in (bytes([_WAL, _WAL]), bytes([1, _WAL]))
    if not wal:
        access = _opened(path, "mode=ro")
        # Nobody can commit while our lock stands, so whoever opens the file now finds the same pages.
        access.again = "mode=ro" if access.file == identity(path) else None
        return access
    log, index = _beside(path)
    if log is not None and index is not None:
        try:
            return _opened(path, "mode=ro&readonly_shm=1")
        except SystemUnavailable:
            # An index that nobody keeps in order any more; the copy builds its own.
            return _copied(path)
    if log is not None and log > 0:
        return _copied(path)
    state = _settled_state(path)
    access = _opened(path, "mode=ro&immutable=1")
    access.state = state
    # `confirm` speaks for every connection: it sees whether the file was written since before the first.
    access.again = "mode=ro&immutable=1" if access.file == identity(path) else None
    return access


def open_again(path: Path, parameters: str, file: FileIdentity) -> Access:
    """Open a file that another process is reading in the same way; a lock is not waited for.

    Raises: SystemUnavailable, also where another file stands at `path` now; SystemRefused.
    """
    access = _opened(path, parameters, busy_s=0)
    if not access.file == file == identity(path):
        access.close()
        message = f"'{path}' is not the file any more that is being read"
        raise SystemUnavailable(message)
    return access


def explain(problem: sqlite3.Error, path: Path) -> SystemUnavailable | SystemRefused:
    """Return the error of ours for one of SQLite's, in one line."""
    name = getattr(problem, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) and _size(path, "-journal"):
        message = (
            f"'{path}' has a hot journal ('{path.name}-journal'): a program died while writing; reading needs a repair "
            "that changes the source. Open it once with its own program (or the sqlite3 shell), or give a copy."
        )
        return SystemUnavailable(message)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        message = f"'{path}' is locked by another process; nothing was read; close that program, or give a copy"
        return SystemUnavailable(message)
    if name.startswith("SQLITE_NOTADB"):
        return SystemRefused(f"'{path}' is not a SQLite database, or it is encrypted; give a decrypted copy")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_FORMAT")):
        message = (
            f"'{path}' is damaged ({problem}); rows may be missing, so none is used; "
            "repair it with the sqlite3 shell's '.recover' into a new file"
        )
        return SystemRefused(message)
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_FULL")):
        return SystemUnavailable(f"'{path}' cannot be read ({problem}); check rights and disk, then run again")
    return SystemRefused(f"'{path}' cannot be read exactly: {problem}")


def _header(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        header = b""
        if S_ISREG(mode):
            header = first_bytes(path, _HEADER_BYTES)
    except FileNotFoundError:
        message = f"'{path}' does not exist; nothing was created; check the path in the source URL"
        raise SystemUnavailable(message) from None
    except OSError as problem:
        msg = f"'{path}' cannot be read: {problem.strerror}; check its rights"
        raise SystemUnavailable(msg) from None
    if not S_ISREG(mode):
        kind = "a folder" if S_ISDIR(mode) else "not a regular file"
        msg = f"'{path}' is {kind}; a SQLite source is a file: name it in the source URL"
        raise SystemUnavailable(msg)
    if not header:
        msg = f"'{path}' is empty (0 bytes), so it holds no table; check the path in the source URL"
        raise SystemRefused(msg)
    if not header.startswith(_MAGIC):
        msg = f"'{path}' is not a SQLite database, or it is encrypted; give a decrypted copy"
        raise SystemRefused(msg)
    return header


def _opened(path: Path, parameters: str, busy_s: float | None = None) -> Access:
    busy_s = BUSY_S if busy_s is None else busy_s
    uri = f"file:{quote(os.fsencode(path))}?{parameters}"
    file = identity(path)
    hold(file)
    connection = None
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_s, check_same_thread=False)
        for setting in SETTINGS:
            connection.execute(setting)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as problem:
        if connection is not None:
            connection.close()
        release(file)
        raise explain(problem, path) from None
    return Access(connection, path, file=file)


def _copied(path: Path) -> Access:
    folder = Path(tempfile.mkdtemp(prefix="transhume-"))
    try:
        _copy_quiet(path, folder)
        access = _opened(folder / "source.db", "mode=rw")
    except OSError as problem:
        shutil.rmtree(folder, ignore_errors=True)
        message = f"'{path}' cannot be copied: {problem.strerror}; check its rights, and the room in '{folder.parent}'"
        raise SystemUnavailable(message) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    access.path, access.copy = path, folder
    return access


def _copy_quiet(path: Path, folder: Path) -> None:
    """Copy the database with its `-wal`, again if it was written meanwhile."""
    for _ in range(_COPIES_MAX):
        state = _settled_state(path)
        needed = sum(part[1] for part in state if part is not None)
        if shutil.disk_usage(folder).free < needed:
            message = (
                f"no room in '{folder.parent}' for a private copy of '{path}' ({needed} bytes); make room or set TMPDIR"
            )
            raise SystemUnavailable(message)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", folder / f"source.db{suffix}")
        if _state(path) == state:
            return
    message = f"'{path}' changes faster than it can be copied; run again when its program is quiet, or give a copy"
    raise SystemUnavailable(message)


def _beside(path: Path) -> tuple[int | None, int | None]:
    return _size(path, "-wal"), _size(path, "-shm")


def _size(path: Path, suffix: str) -> int | None:
    try:
        return Path(f"{path}{suffix}").stat().st_size
    except OSError:
        return None


def _state(path: Path) -> _State:
    parts: list[tuple[int, int, int] | None] = []
    for suffix in ("", "-wal"):
        try:
            found = Path(f"{path}{suffix}").stat()
        except OSError:
            parts.append(None)
        else:
            parts.append((found.st_ino, found.st_size, found.st_mtime_ns))
    return tuple(parts)


def _settled_state(path: Path) -> _State:
    """Return the files' state once it is old enough that a later write must show in it."""
    for _ in range(50):
        state = _state(path)
        newest = max((part[2] for part in state if part is not None), default=0)
        if abs(time.time_ns() - newest) > _CLOCK_TICK_NS:
            break
        time.sleep(_CLOCK_TICK_NS / 1e9)
    return state


def sign_of(path: Path) -> str:
    """Return number, size and time of a file and of its write-ahead log: other whenever somebody has written."""
    signs = []
    for suffix in ("", "-wal"):
        try:
            found = Path(f"{path}{suffix}").stat()
        except OSError:
            continue
        signs.append(f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}")
    return " ".join(signs)
