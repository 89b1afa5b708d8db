"""A SQLite source is never written, is read at one instant, and says in one line why it cannot be read."""

import hashlib
import itertools
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from transhume.errors import SystemProblem, SystemRefused, SystemUnavailable
from transhume.systems import open_source
from transhume.systems.sqlite import access

WRITER = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
for line in sys.stdin:
    if line == "die\\n":
        os._exit(9)
    print(connection.execute(line).fetchall(), flush=True)
connection.close()
"""


class Writer:
    """Another program that has the database open."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, *statements: str) -> str:
        """Run statements; return what the last one gave."""
        for statement in statements:
            self._process.stdin.write(statement + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        return answer

    def die(self) -> None:
        """End without closing anything."""
        self._process.communicate("die\n")

    def end(self) -> None:
        """Close the database and end."""
        self._process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    made = Writer(folder / "a.db")
    yield made
    made.end()


def _fingerprint(folder: Path) -> dict[str, tuple[str, int, int, int]]:
    found = {}
    for path in sorted(folder.iterdir()):
        state = path.stat()
        found[path.name] = (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            state.st_mtime_ns,
            state.st_ino,
            state.st_mode,
        )
    return {"": ("", folder.stat().st_mtime_ns, 0, 0), **found}


def _count(folder: Path) -> int:
    source = open_source("sqlite:///a.db", folder)
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        count = sum(batch.num_rows for batch in snapshot.read(table, 100, 10**6))
    source.close()
    return count


def _fill(writer: Writer, mode: str) -> None:
    writer.do(f"PRAGMA journal_mode = {mode}", "CREATE TABLE t (v)", "INSERT INTO t VALUES (1), (2), (3)")


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
@pytest.mark.parametrize("state", ["closed", "open", "died"])
def test_the_source_is_untouched_and_read_in_full(folder: Path, writer: Writer, mode: str, state: str):
    """Bytes, times and listing stay, in every journal mode, while a program has it open, and after that one died."""
    _fill(writer, mode)
    if state == "closed":
        writer.end()
    if state == "died":
        writer.die()
    before = _fingerprint(folder)
    assert _count(folder) == 3
    assert _fingerprint(folder) == before


def test_rows_that_stand_only_in_the_wal_are_read(folder: Path, writer: Writer):
    """Also where its index is gone, by way of a private copy that is removed again."""
    _fill(writer, "wal")
    writer.do("PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO t VALUES (4)")
    writer.die()
    (folder / "a.db-shm").unlink()
    before = _fingerprint(folder)
    assert _count(folder) == 4
    assert _fingerprint(folder) == before


def test_a_private_copy_is_private_and_goes(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Only its owner can enter its folder, and nothing of it is left, on failure either."""
    _fill(writer, "wal")
    writer.die()
    (folder / "a.db-shm").unlink()
    monkeypatch.setattr(access.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    source = open_source("sqlite:///a.db", folder)
    with source.snapshot():
        (copy,) = (tmp_path / "tmp").iterdir()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert not list((tmp_path / "tmp").iterdir())
    ticks = itertools.count()
    monkeypatch.setattr(access, "_state", lambda path: ((0, 0, next(ticks)),))
    with pytest.raises(SystemUnavailable, match="changes faster"), source.snapshot():
        pass
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("died", [False, True])
def test_all_tables_are_read_at_one_instant(folder: Path, writer: Writer, died: bool):
    """A commit and a checkpoint of another program, made while we read a WAL database, do not show."""
    _fill(writer, "wal")
    writer.do("CREATE TABLE u (v)", "INSERT INTO u VALUES (1)")
    if died:
        writer.die()
    source = open_source("sqlite:///a.db", folder)
    tables = source.catalog().tables
    with source.snapshot() as snapshot:
        assert sum(batch.num_rows for batch in snapshot.read(tables["t"], 100, 10**6)) == 3
        other = Writer(folder / "a.db")
        other.do("INSERT INTO u VALUES (2)", "PRAGMA wal_checkpoint(PASSIVE)", "INSERT INTO u VALUES (3)")
        other.end()
        assert sum(batch.num_rows for batch in snapshot.read(tables["u"], 100, 10**6)) == 1
        assert sum(batch.num_rows for batch in snapshot.read(tables["t"], 100, 10**6)) == 3
    assert _count(folder) == 3


def _read_while_written(folder: Path, *, to_the_end: bool) -> None:
    source = open_source("sqlite:///a.db", folder)
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        rows = snapshot.read(table, 1, 1)
        next(rows)
        other = Writer(folder / "a.db")
        other.do("INSERT INTO t VALUES (9)")
        other.end()
        if to_the_end:
            list(rows)


@pytest.mark.parametrize("to_the_end", [True, False])
def test_a_write_that_no_lock_keeps_out_is_seen(folder: Path, writer: Writer, to_the_end: bool):
    """A WAL database that nobody had open is read without locks; if somebody writes meanwhile, the read is void."""
    _fill(writer, "wal")
    writer.end()
    with pytest.raises(SystemUnavailable, match="was written by another process"):
        _read_while_written(folder, to_the_end=to_the_end)


def test_a_writer_waits_while_a_rollback_database_is_read(folder: Path, writer: Writer):
    """SQLite's own lock keeps the instant; the other program gets its turn afterwards."""
    _fill(writer, "delete")
    source = open_source("sqlite:///a.db", folder)
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        other = sqlite3.connect(folder / "a.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO t VALUES (4)")
        other.close()
        assert sum(batch.num_rows for batch in snapshot.read(table, 100, 10**6)) == 3
    writer.do("INSERT INTO t VALUES (4)")
    assert _count(folder) == 4


def _hot_journal(folder: Path) -> None:
    connection = sqlite3.connect(folder / "whole.db", isolation_level=None)
    connection.execute("CREATE TABLE t (v)")
    connection.execute("INSERT INTO t VALUES (zeroblob(200000))")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET v = randomblob(200000)")
    for name in ("whole.db", "whole.db-journal"):
        (folder / name.replace("whole", "a")).write_bytes((folder / name).read_bytes())
    connection.close()


def _locked(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "a.db", isolation_level=None)
    connection.execute("CREATE TABLE t (v)")
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def _damaged(folder: Path) -> None:
    connection = sqlite3.connect(folder / "a.db")
    connection.execute("CREATE TABLE t (v)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 100,) for _ in range(1000)])
    connection.commit()
    connection.close()
    content = bytearray((folder / "a.db").read_bytes())
    content[8192:12288] = os.urandom(4096)
    (folder / "a.db").write_bytes(content)


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        (lambda folder: None, SystemUnavailable, "does not exist; nothing was created"),
        (lambda folder: (folder / "a.db").mkdir(), SystemUnavailable, "is a folder"),
        (lambda folder: os.mkfifo(folder / "a.db"), SystemUnavailable, "not a regular file"),
        (lambda folder: (folder / "a.db").touch(), SystemRefused, "is empty"),
        (lambda folder: (folder / "a.db").write_text("a,b\n1,2\n"), SystemRefused, "is not a SQLite database"),
        (lambda folder: (folder / "a.db").write_bytes(os.urandom(8192)), SystemRefused, "or it is encrypted"),
        (lambda folder: (folder / "a.db").symlink_to("missing.db"), SystemUnavailable, "does not exist"),
        (_hot_journal, SystemUnavailable, "hot journal"),
        (_locked, SystemUnavailable, "locked by another process"),
        (_damaged, SystemRefused, "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch, prepare, kind, words):
    """In one line, with what to do; nothing is made or changed."""
    monkeypatch.setattr(access, "BUSY_S", 0.1)
    kept = prepare(folder)
    before = {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(SystemProblem, match=words) as caught:
        _count(folder)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()} == before
    if isinstance(kept, sqlite3.Connection):
        kept.close()


def test_the_connection_refuses_to_write(folder: Path):
    """Whatever is sent, SQLite itself says no."""
    with sqlite3.connect(folder / "a.db") as made:
        made.execute("CREATE TABLE t (v)")
    made.close()
    opened = access.open_file(folder / "a.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        opened.connection.execute("INSERT INTO t VALUES (1)")
    opened.close()
