"""Two processes read a large SQLite table as one would: the same rows in the same order, at one instant, or an error.

What is expected is what the single connection reads; that one is held against hand-written values in test_sqlite.
"""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, SystemUnavailable
from transhume.schema import Table
from transhume.systems.sqlite import fetch, ranges
from transhume.systems.sqlite.access import open_file
from transhume.systems.sqlite.source import SqliteSource

Workers = list[subprocess.Popen[bytes]]
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {} - 1) "
MANY = (
    "CREATE TABLE t (k INTEGER PRIMARY KEY, a INT, b TEXT, c REAL, d DECIMAL(9,2), e BLOB)",
    NUMBERS.format(3000) + "INSERT INTO t SELECT i, i * 7, 'text ' || i, i / 7.0, i / 100.0, x'00FF' FROM n",
)
ODD = (
    *MANY,
    # A range has 100 rows here: both sides of its borders, and a range of nothing else.
    "UPDATE t SET a = 'odd' WHERE k % 100 IN (0, 99)",
    "UPDATE t SET b = CAST(x'41C3' AS TEXT) WHERE k % 100 = 99 OR k BETWEEN 500 AND 599",
    "UPDATE t SET c = x'01', e = 'text' WHERE k % 100 = 0",
    "UPDATE t SET a = NULL, b = NULL, c = NULL, d = NULL, e = NULL WHERE k BETWEEN 700 AND 799",
)
NASTY: dict[str, tuple[str, ...]] = {
    "odd values at borders": ODD,
    "gaps": (*MANY, "DELETE FROM t WHERE k % 3 OR k BETWEEN 300 AND 1700"),
    "far apart": (
        *MANY,
        "INSERT INTO t (k, b) VALUES (-9223372036854775808, 'a'), (9223372036854775807, 'z'), (-5, 'm')",
        "UPDATE t SET k = k * 1000000007 WHERE k BETWEEN 1 AND 2000",
    ),
    "out of order": (
        "CREATE TABLE t (k INTEGER PRIMARY KEY, b TEXT)",
        NUMBERS.format(3001) + "INSERT INTO t SELECT (i * 1237) % 3001 - 1500, i FROM n",
    ),
    "hidden rowid": (
        "CREATE TABLE t (b TEXT PRIMARY KEY, rowid INT, _rowid_ INT)",
        NUMBERS.format(3000) + "INSERT INTO t SELECT 9999 - i, -i, i % 2 FROM n",
        "CREATE INDEX by_all ON t (rowid, _rowid_, b)",
    ),
    "no name for the rowid": (
        "CREATE TABLE t (rowid INT, _rowid_ INT, oid INT)",
        NUMBERS.format(3000) + "INSERT INTO t SELECT -i, i, i FROM n",
    ),
    "without rowid": (
        "CREATE TABLE t (k TEXT PRIMARY KEY, b INT) WITHOUT ROWID",
        NUMBERS.format(3000) + "INSERT INTO t SELECT i, i FROM n",
    ),
    "computed when read": (
        "CREATE TABLE t (net REAL, gross REAL AS (round(net, 2)), told TEXT AS (net))",
        NUMBERS.format(3000) + "INSERT INTO t (net) SELECT i + 0.675 FROM n",
        "ALTER TABLE t ADD COLUMN flag TEXT DEFAULT true",
    ),
    "one full range": ("CREATE TABLE t (b INT)", NUMBERS.format(100) + "INSERT INTO t SELECT i FROM n"),
    "one row": ("CREATE TABLE t (b INT)", "INSERT INTO t VALUES (1)"),
    "no row": ("CREATE TABLE t (b INT)",),
    "long values": (
        *MANY,
        "UPDATE t SET b = hex(zeroblob(40000)) WHERE k BETWEEN 950 AND 1050 OR k = 2999",
    ),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of 100 rows, in every table, on every machine."""
    monkeypatch.setattr(ranges, "ROWS_MIN", 0)
    monkeypatch.setattr(ranges, "RANGE_ROWS", 100)
    monkeypatch.setattr(ranges, "_cores", lambda: 2)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """The processes that were started; none may outlive the test."""
    found: Workers = []
    start = ranges._started
    monkeypatch.setattr(ranges, "_started", lambda slots: found.append(start(slots)) or found[-1])
    return found


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The slots out of which ranges were taken: what the worker really did."""
    found: list[int] = []
    load = ranges._Worker.load
    monkeypatch.setattr(ranges._Worker, "load", lambda self, slot: found.append(slot) or load(self, slot))
    return found


def _make(folder: Path, *statements: str) -> Path:
    connection = sqlite3.connect(folder / "a.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return folder / "a.db"


def _batches(path: Path, rows_max: int = 250, bytes_max: int = 2**20) -> tuple[Table, list[pa.RecordBatch]]:
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        return table, list(snapshot.read(table, rows_max, bytes_max))


def _both(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[pa.Table, pa.Table]:
    table, found = _batches(path)
    with monkeypatch.context() as alone:
        alone.setattr(ranges, "_cores", lambda: 1)
        _, expected = _batches(path)
    schema = extract_schema(table)
    return pa.Table.from_batches(found, schema), pa.Table.from_batches(expected, schema)


def _by_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process read nothing out of turn, so that it waits for the worker, which then reads all."""
    monkeypatch.setattr(ranges, "_AHEAD_BYTES_MAX", -1)


@pytest.mark.parametrize("name", list(NASTY))
@pytest.mark.parametrize(("mode", "ahead"), [("delete", 2**24), ("delete", 2000), ("delete", -1), ("wal", -1)])
def test_two_processes_read_what_one_reads(tmp_path, monkeypatch, workers: Workers, name: str, mode: str, ahead: int):
    """The same rows, order, numbers and odd values, however the work is shared; with locks, and in a quiet WAL file."""
    monkeypatch.setattr(ranges, "_AHEAD_BYTES_MAX", ahead)
    path = _make(tmp_path, f"PRAGMA journal_mode = {mode}", *NASTY[name])
    found, expected = _both(path, monkeypatch)
    assert found.equals(expected)
    assert found.column("_row").to_pylist() == list(range(found.num_rows))
    assert len(workers) == (0 if name in {"without rowid", "no name for the rowid"} else 1)
    assert all(process.returncode is not None for process in workers)


def test_fewer_columns_are_read_by_the_table_s_own_rowid(tmp_path):
    """A column that hides the rowid's first name hides it too where nobody reads that column: no row is left out."""
    path = _make(tmp_path, *NASTY["hidden rowid"], "UPDATE t SET rowid = NULL")
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    narrow = replace(table, columns=(table.columns[0],))
    with source.snapshot() as snapshot:
        batches = list(snapshot.read(narrow, 250, 2**20))
    assert [text for batch in batches for text in batch.column("b").to_pylist()] == [str(9999 - i) for i in range(3000)]


def test_the_worker_does_its_part(tmp_path, monkeypatch, workers, loads):
    """While this process waits, all ranges come from the worker, in order and within the bounds of a batch."""
    path = _make(tmp_path, *ODD)
    _by_worker(monkeypatch)
    found, expected = _both(path, monkeypatch)
    assert found.equals(expected)
    assert len(loads) == 30
    _, batches = _batches(path, rows_max=70, bytes_max=3000)
    assert max(batch.num_rows for batch in batches) <= 70
    assert max(batch.nbytes for batch in batches) <= 2 * 3000


def test_the_worker_takes_sound_ranges_whole(tmp_path, monkeypatch, workers: Workers):
    """Ranges of sound values come in one piece; a range with an odd value, and the last, as they are fetched."""
    pieces: list[list[int]] = []
    load = ranges._Worker.load

    def loaded(self: ranges._Worker, slot: int) -> Iterator[fetch.Part]:
        found = list(load(self, slot))
        pieces.append([len(part[0]) for part in found])
        return iter(found)

    monkeypatch.setattr(ranges._Worker, "load", loaded)
    _by_worker(monkeypatch)
    path = _make(
        tmp_path,
        "CREATE TABLE t (a INT, b TEXT, c REAL, e BLOB)",
        NUMBERS.format(950) + "INSERT INTO t SELECT i * 7, 'text ' || i, i / 7.0, x'00FF' FROM n",
        "UPDATE t SET a = 'odd' WHERE rowid = 250",
    )
    found, expected = _both(path, monkeypatch)
    assert found.equals(expected)
    assert pieces == [[100], [100], [64, 36], *[[100]] * 6, [50]]


def test_where_ranges_begin_depends_on_the_table_alone(tmp_path, monkeypatch, workers, loads):
    """Batches are cut the same whoever reads the ranges: with the worker, or after it could not start."""
    path = _make(tmp_path, *ODD)
    _by_worker(monkeypatch)
    _, found = _batches(path)
    assert loads
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    _, expected = _batches(path)
    assert len(found) == len(expected)
    assert all(one.equals(other) for one, other in zip(found, expected, strict=True))


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.mark.parametrize("after", [0, 1, 5, 12])
@pytest.mark.parametrize("harm", [_kill, lambda process: process.send_signal(signal.SIGSTOP)])
def test_a_worker_that_dies_or_hangs_is_replaced(tmp_path, monkeypatch, workers: Workers, loads, harm, after: int):
    """By kill -9 or SIGSTOP after some batches: its unfinished ranges are read here, no row is lost or doubled."""
    path = _make(tmp_path, *ODD)
    _by_worker(monkeypatch)
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    found = []
    with source.snapshot() as snapshot:
        for index, batch in enumerate(snapshot.read(table, 100, 2**20)):
            found.append(batch)
            if index == after:
                harm(workers[0])
                monkeypatch.setattr(ranges, "_WAIT_S", 0.5)
    assert workers[0].returncode is not None
    assert after < len(loads) < 30
    monkeypatch.setattr(ranges, "_cores", lambda: 1)
    _, expected = _batches(path)
    assert pa.Table.from_batches(found).equals(pa.Table.from_batches(expected))


def test_a_worker_that_cannot_see_the_same_file_is_not_used(tmp_path, monkeypatch, workers: Workers, loads):
    """Another file at the same path is another instant; the worker sees that and ends."""
    path = _make(tmp_path, *MANY)
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    _by_worker(monkeypatch)
    with source.snapshot() as snapshot:
        path.rename(tmp_path / "old.db")
        _make(tmp_path, *MANY, "UPDATE t SET a = -1")
        found = pa.Table.from_batches(snapshot.read(table, 1000, 2**20))
    assert found.column("a").to_pylist() == [number * 7 for number in range(3000)]
    assert not loads
    assert workers[0].returncode is not None


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE t SET a = -1")
    connection.execute("COMMIT")
    print("committed")
except sqlite3.OperationalError as problem:
    print(problem)
"""


def _write(path: Path) -> str:
    return subprocess.run([sys.executable, "-c", WRITER, path], capture_output=True, text=True, check=True).stdout


def test_nobody_commits_while_two_processes_read(tmp_path, monkeypatch, workers: Workers, loads):
    """A writer of a rollback database is refused before, between and after the batches; then it gets its turn."""
    path = _make(tmp_path, *MANY)
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    _by_worker(monkeypatch)
    found = []
    with source.snapshot() as snapshot:
        source.catalog()  # which opens and closes the same file in this process
        assert "locked" in _write(path)
        for index, batch in enumerate(snapshot.read(table, 100, 2**20)):
            found += batch.column("a").to_pylist()
            if index % 10 == 0:
                assert "locked" in _write(path)
        assert "locked" in _write(path)
    assert found == [number * 7 for number in range(3000)]
    assert loads
    assert _write(path) == "committed\n"


def test_the_worker_alone_keeps_a_writer_out(tmp_path, workers: Workers):
    """It holds a lock of its own from its first range on, so one lapse of the other process's would not do harm."""
    path = _make(tmp_path, *MANY)
    access = open_file(path)
    reading = fetch.Reading("SELECT t.k FROM t WHERE t.k BETWEEN ? AND ?", ("k",), ("bigint",))
    fetch.prepare(access.connection)
    worker = ranges._Worker(access, reading)
    wanted = ranges._Range(0, 99, 100)
    worker.ask(wanted)
    worker.wait([wanted])
    assert wanted.finished
    access.close()
    assert "locked" in _write(path)
    worker.close()
    assert _write(path) == "committed\n"


def test_a_write_that_no_lock_keeps_out_voids_the_read(tmp_path, workers: Workers):
    """A quiet WAL database is read without locks, by both; a write is seen at the end."""
    path = _make(tmp_path, "PRAGMA journal_mode = wal", *MANY)
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(source.snapshot()).read(table, 100, 2**20)
        next(rows)
        assert _write(path) == "committed\n"
        with pytest.raises(SystemUnavailable, match="was written by another process"):
            list(rows)
        with pytest.raises(SystemUnavailable, match="was written by another process"):
            stack.close()
    assert len(workers) == 1


def test_a_wal_that_is_in_use_is_read_by_one_connection(tmp_path, workers: Workers):
    """Two connections might have two end marks in the log."""
    path = _make(tmp_path, "PRAGMA journal_mode = wal", *MANY)
    user = sqlite3.connect(path, isolation_level=None)
    user.execute("UPDATE t SET a = 1 WHERE k = 1")
    _, found = _batches(path)
    user.close()
    assert sum(batch.num_rows for batch in found) == 3000
    assert not workers


def test_a_range_of_another_number_of_rows_is_an_error(tmp_path, monkeypatch, workers):
    """Planted: the borders say 100 rows, the range has 99. Nothing of it may pass for whole."""
    path = _make(tmp_path, *MANY)
    right = ranges._ranges
    monkeypatch.setattr(
        ranges, "_ranges", lambda *given: (setattr(each, "high", each.high - 1) or each for each in right(*given))
    )
    with pytest.raises(SystemUnavailable, match="are 99, not 100"):
        _batches(path)


def test_a_damaged_page_is_the_same_error(tmp_path, workers: Workers):
    """Wherever it stands, in a range of the worker too, it is told as with one connection."""
    path = _make(tmp_path, *MANY)
    content = bytearray(path.read_bytes())
    for page in range(len(content) // 4096 - 8, len(content) // 4096):
        content[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    path.write_bytes(content)
    with pytest.raises(SystemRefused, match="damaged"), source.snapshot() as snapshot:
        list(snapshot.read(table, 100, 2**20))
    assert all(process.returncode is not None for process in workers)


def test_a_reader_that_stops_early_ends_the_worker(tmp_path, workers: Workers):
    """Closing the iterator is enough; no process and no descriptor stays."""
    path = _make(tmp_path, *MANY)
    source = SqliteSource(path)
    table = source.catalog().tables["t"]
    before = len(list(Path("/proc/self/fd").iterdir()))
    with source.snapshot() as snapshot:
        rows = snapshot.read(table, 100, 2**20)
        next(rows)
        rows.close()
        assert workers[0].returncode is not None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


PARENT = """
import sys, time
from pathlib import Path
from transhume.systems.sqlite import ranges
from transhume.systems.sqlite.source import SqliteSource
ranges.ROWS_MIN, ranges.RANGE_ROWS, ranges._cores = 0, 100, lambda: 2
started = ranges._started
def tell(slots):
    process = started(slots)
    print(process.pid, flush=True)
    return process
ranges._started = tell
source = SqliteSource(Path(sys.argv[1]))
table = source.catalog().tables["t"]
with source.snapshot() as snapshot:
    next(snapshot.read(table, 100, 2**20))
    time.sleep(600)
"""


def _until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_the_worker_ends_with_the_process_that_started_it(tmp_path):
    """Even after kill -9 of that one: the worker does not stay."""
    path = _make(tmp_path, *MANY)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, path], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    assert not _gone(worker)
    parent.kill()
    parent.communicate()
    assert _until(lambda: _gone(worker))


def test_the_worker_loads_little():
    """Neither SQLGlot nor an engine: its start and its memory are paid for every large table."""
    script = "import sys, transhume.systems.sqlite.worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    assert not {"sqlglot", "duckdb", "pydantic", "transhume.plan"} & set(loaded.split())


def _peak_mb(pid: int) -> float:
    lines = [] if _gone(pid) else Path(f"/proc/{pid}/status").read_text().splitlines()
    return max((int(each.split()[1]) / 1024 for each in lines if each.startswith("VmHWM")), default=0.0)


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch, workers: Workers):
    """Ten times the rows take no more memory in the worker, and hardly more in this process."""
    monkeypatch.setattr(ranges, "RANGE_ROWS", 8192)
    peaks: list[tuple[float, float]] = []
    for index, count in enumerate((40_000, 400_000)):
        (tmp_path / str(index)).mkdir()
        path = _make(
            tmp_path / str(index),
            "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)",
            NUMBERS.format(count) + "INSERT INTO t SELECT i, hex(zeroblob(100)) FROM n",
        )
        source = SqliteSource(path)
        table = source.catalog().tables["t"]
        before, peak, in_worker = pa.total_allocated_bytes() / 2**20, 0.0, 0.0
        with source.snapshot() as snapshot:
            for _ in snapshot.read(table, 10_000, 2**21):
                peak = max(peak, pa.total_allocated_bytes() / 2**20 - before)
                in_worker = max(in_worker, _peak_mb(workers[index].pid))
        peaks.append((peak, in_worker))
    assert peaks[1][0] <= ranges._AHEAD_BYTES_MAX / 2**20 + 12
    assert 0 < peaks[1][1] <= peaks[0][1] + 15
