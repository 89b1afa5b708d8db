"""The DuckDB engine: what comes out, what its process may touch, and what happens when it dies."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transhume.batches import arrow_type
from transhume.engines import duckdb_child
from transhume.engines.duckdb import DuckDBEngine, DuckDBProcess
from transhume.errors import EngineCrashed, EngineFailed, Interrupted
from transhume.schema import parse_type

MEGABYTE = 1024 * 1024
ENDLESS = "SELECT count(*) FROM range(100000000000) AS a(i), range(1000) AS b(j) WHERE hash(i) = hash(j)"


@pytest.fixture
def engine(tmp_path):
    made = DuckDBEngine(tmp_path / "work", 400 * MEGABYTE, 1)
    yield made
    made.close()


def read(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        return reader.read_all()


def child_of(engine: DuckDBEngine) -> psutil.Process:
    assert engine._process is not None
    return psutil.Process(engine._process.pid)


def later(seconds: float, action) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


# -- what comes out ---------------------------------------------------------------------------------------

VALUES = {
    "uuid": ("CAST('00000000-0000-0000-0000-0000000000ff' AS UUID)", bytes(15) + b"\xff"),
    "int": ("CAST(-1 AS INTEGER)", -1),
    "bigint": ("CAST(-9223372036854775808 AS BIGINT)", -(2**63)),
    "decimal(10,2)": ("CAST('1.50' AS DECIMAL(10, 2))", "1.50"),
    "decimal(38,37)": ("CAST('0.1' AS DECIMAL(38, 37))", "0." + "1".ljust(37, "0")),
    "double": ("CAST('-0.0' AS DOUBLE)", -0.0),
    "boolean": ("1 = 1", True),
    "text": ("'a' || chr(0) || 'é'", "a\0é"),
    "bytes": ("CAST('\\x00\\xFF' AS BLOB)", b"\x00\xff"),
    "list(uuid)": ("[CAST('00000000-0000-0000-0000-000000000001' AS UUID), NULL]", [bytes(15) + b"\x01", None]),
    "list(boolean)": ("[1 = 1, NULL, 1 = 2]", [True, None, False]),
    "date": ("CAST('0001-01-01' AS DATE)", "0001-01-01"),
    "time": ("CAST('23:59:59.999999' AS TIME)", "23:59:59.999999"),
    "timestamp": ("CAST('9999-12-31 23:59:59.999999' AS TIMESTAMP)", "9999-12-31 23:59:59.999999"),
    "timestamptz": ("CAST('2024-01-15 10:30:00+05:30' AS TIMESTAMPTZ)", "2024-01-15 05:00:00+00:00"),
}


@pytest.mark.parametrize("written", VALUES)
def test_values_leave_in_the_arrow_type_of_their_logical_type(engine, written):
    """A value and a NULL of each type leave exactly, in the type that all parts agree on."""
    sql, expected = VALUES[written]
    engine.to_arrow(f"SELECT {sql} AS x UNION ALL SELECT NULL", Path("x.arrow"))
    column = read(engine._work / "x.arrow").column("x")
    assert column.type.equals(arrow_type(parse_type(written)))
    value, null = column.to_pylist()
    assert null is None
    assert repr(value) == repr(expected) or str(value) == expected


def test_a_result_is_a_file_for_its_owner_only_and_complete(engine):
    """Row count, order and rights of both kinds of files; no temporary file stays."""
    select = "SELECT i, uuid() AS u FROM range(50000) AS r(i)"
    assert engine.to_arrow(select, Path("deep/er/x.arrow")) == 50000
    assert engine.to_parquet(select, Path("x.parquet")) == 50000
    for path in (engine._work / "deep/er/x.arrow", engine._work / "x.parquet"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(engine._work / "deep/er/x.arrow").column("i").to_pylist() == list(range(50000))
    assert pq.read_table(engine._work / "x.parquet").column("i").to_pylist() == list(range(50000))
    assert [path.name for path in engine._work.rglob("*.part")] == []


def test_a_result_replaces_the_one_before(engine):
    """Running the same batch again gives the same file and no leftovers."""
    engine.to_arrow("SELECT 1 AS x", Path("x.arrow"))
    engine.to_arrow("SELECT 2 AS x", Path("x.arrow"))
    assert read(engine._work / "x.arrow").column("x").to_pylist() == [2]


RANGES = [(Path("a.arrow"), 0, 60_000), (Path("none.arrow"), 60_000, 0), (Path("b.arrow"), 60_000, 90_000)]


def test_one_select_fills_several_files_by_ranges_of_a_column(tmp_path):
    """Two threads work at two Parquet files at once; each row stands in the file of its range all the same."""
    engine = DuckDBEngine(tmp_path / "work", 400 * MEGABYTE, 2)
    try:
        numbers = pa.table({"i": pa.array(range(150_000), pa.int64())})
        (tmp_path / "work").mkdir()
        for name, first, count in (("a", 0, 60_000), ("b", 60_000, 90_000)):
            pq.write_table(numbers.slice(first, count), tmp_path / "work" / f"{name}.parquet", row_group_size=7_000)
        select = "SELECT i, i * 2 AS twice FROM read_parquet(['a.parquet', 'b.parquet'])"
        assert sorted(engine.to_arrow_files(select, "i", RANGES)) == [0, 1, 2]
        for path, first, count in RANGES:
            found = read(tmp_path / "work" / path)
            assert sorted(found["i"].to_pylist()) == list(range(first, first + count))
            assert found["twice"].to_pylist() == [2 * i for i in found["i"].to_pylist()]
    finally:
        engine.close()


@pytest.mark.parametrize(
    "rows", ["range(149999)", "range(1, 150001)", "range(150001)", "(SELECT 5 FROM range(150000))"]
)
def test_files_are_complete_or_not_there(engine, tmp_path, rows):
    """A row too few, one beyond the ranges, one too many, one row again and again: each is an error, never a file."""
    with pytest.raises(EngineFailed, match="its files"):
        list(engine.to_arrow_files(f"SELECT i FROM {rows} AS r(i)", "i", RANGES))
    for path, _, count in RANGES:
        if (tmp_path / "work" / path).exists():
            assert read(tmp_path / "work" / path).num_rows == count
    assert not list((tmp_path / "work").glob(".*.part"))


def test_other_statements_run_while_files_are_made(engine, tmp_path):
    """A statement between two files takes nothing from them, and an end before the last leaves the engine usable."""
    made = engine.to_arrow_files("SELECT i FROM range(150000) AS r(i)", "i", RANGES)
    first = next(made)
    assert engine.query("SELECT 7 AS x")["x"].to_pylist() == [7]
    assert sorted([first, *made]) == [0, 1, 2]
    left = engine.to_arrow_files("SELECT i FROM range(150000) AS r(i)", "i", RANGES)
    next(left)
    left.close()
    assert engine.query("SELECT 8 AS x")["x"].to_pylist() == [8]
    assert not list((tmp_path / "work").glob(".*.part"))


def test_files_of_a_process_that_died_are_not_taken_for_done(engine):
    """The next file is an error after the process was killed: a new process knows nothing of the statement."""
    made = engine.to_arrow_files("SELECT i FROM range(150000) AS r(i)", "i", RANGES)
    next(made)
    child_of(engine).kill()
    with pytest.raises(EngineCrashed):
        engine.query("SELECT 1")
    assert engine.query("SELECT 1 AS x").num_rows == 1
    with pytest.raises(EngineCrashed):
        next(made)


def test_a_result_without_rows_has_its_columns(engine):
    """An empty batch is a file with a schema."""
    assert engine.to_arrow("SELECT 1 AS x, uuid() AS u WHERE 1 = 2", Path("x.arrow")) == 0
    assert read(engine._work / "x.arrow").schema.names == ["x", "u"]
    assert engine.to_parquet("SELECT 1 AS x WHERE 1 = 2", Path("x.parquet")) == 0


def test_uuids_come_back_from_parquet_as_uuids(engine):
    """A relation written by the engine is joined by UUID without a conversion."""
    key = uuid.uuid4()
    engine.to_parquet(f"SELECT CAST('{key}' AS UUID) AS u", Path("x.parquet"))
    found = engine.query("SELECT typeof(u) AS t, CAST(u AS VARCHAR) AS u FROM read_parquet(['x.parquet'])").to_pylist()
    assert found == [{"t": "UUID", "u": str(key)}]


def test_a_type_without_an_arrow_type_is_refused_by_name(engine):
    """A sum of integers has 128 bits, which Arrow does not know: the column is named."""
    with pytest.raises(EngineFailed, match="column 's' has a type"):
        engine.query("SELECT sum(i) AS s FROM range(3) AS r(i)")


def test_memory_stays_flat_however_many_rows_stream_out(engine):
    """Four times the rows, about the same peak: the result is never held as a whole."""
    engine.query("SELECT 1")
    select = "SELECT i, repeat(md5(CAST(i AS VARCHAR)), 10) AS t FROM range({}) AS r(i)"
    engine.to_arrow(select.format(150_000), Path("x.arrow"))
    small = _peak_bytes(engine)
    engine.to_arrow(select.format(600_000), Path("x.arrow"))
    size_bytes = (engine._work / "x.arrow").stat().st_size
    assert size_bytes > 180 * MEGABYTE
    assert _peak_bytes(engine) - small < 60 * MEGABYTE


def test_a_stream_is_joined_to_a_small_relation_without_being_held(engine):
    """The right side of a join is held, also where DuckDB guesses the left to be the smaller one."""
    engine.to_parquet("SELECT i AS k, i AS v FROM range(90000) AS r(i)", Path("small.parquet"))
    wide = "repeat(md5(CAST(i AS VARCHAR)), 80) AS t"
    engine.to_parquet(f"SELECT i % 90000 AS k, {wide} FROM range(100000) AS r(i)", Path("big.parquet"))
    engine.query("SELECT 1")
    before = _peak_bytes(engine)
    select = """
        SELECT b.t, s.v FROM (SELECT * FROM 'big.parquet' WHERE t LIKE '%a%' AND t LIKE '%b%' AND length(t) > 3) AS b
        LEFT JOIN 'small.parquet' AS s ON b.k = s.k
    """
    assert engine.to_arrow(select, Path("x.arrow")) > 70_000
    assert _peak_bytes(engine) - before < 200 * MEGABYTE


def _peak_bytes(engine: DuckDBEngine) -> int:
    status = Path(f"/proc/{child_of(engine).pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# -- what it may touch ------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("word\nhunter2\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "select",
    [
        "SELECT * FROM read_csv('{outside}')",
        "SELECT * FROM read_text('../secret.csv')",
        "SELECT * FROM read_text('x/../../secret.csv')",
        "SELECT * FROM read_blob('link')",
        "SELECT * FROM read_text('folder/secret.csv')",
        "SELECT * FROM '{outside}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "SELECT * FROM sniff_csv('{outside}')",
        "SELECT * FROM read_parquet(['{outside}'])",
    ],
)
def test_reading_outside_the_work_folder_is_refused(engine, outside, select):
    """Neither an absolute path, nor dots, nor a symbolic link, nor an address leads out."""
    engine.query("SELECT 1")
    (engine._work / "link").symlink_to(outside)
    (engine._work / "folder").symlink_to(outside.parent)
    with pytest.raises(EngineFailed) as refused:
        engine.query(select.format(outside=outside, folder=outside.parent))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH 'x.db'",
        "COPY (SELECT 1) TO 'x.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 8",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "CREATE TABLE t AS SELECT 1",
        "EXPORT DATABASE 'x'",
        "CALL pragma_version()",
        "SELECT 1; SELECT 2",
        "EXPLAIN ANALYZE SELECT 1",
        "",
        "-- nothing",
    ],
)
def test_only_one_select_is_taken(engine, statement):
    """Statements that write, attach, install or set are refused before DuckDB sees them."""
    with pytest.raises(EngineFailed):
        engine.query(statement)
    assert [path.name for path in engine._work.iterdir()] == []


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '{outside}.db'",
        "COPY (SELECT 1) TO '{outside}'",
        "COPY (SELECT 1) TO '../x.csv'",
        "COPY (SELECT 1) TO 'folder/x.csv'",
        "EXPORT DATABASE '{outside}.d'",
        "INSTALL httpfs",
        "LOAD '{outside}'",
        "SET threads = 8",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "CREATE SECRET s (TYPE s3)",
    ],
)
def test_the_locks_hold_without_the_look_at_the_statement(tmp_path, outside, monkeypatch, statement):
    """The second line of defence: the connection itself refuses what `_select` never lets through."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "folder").symlink_to(outside.parent)
    monkeypatch.chdir(work)
    connection = duckdb_child.connect(work, 100 * MEGABYTE, 1)
    with pytest.raises(duckdb.Error):
        connection.execute(statement.format(outside=outside))
    assert outside.read_text(encoding="utf-8") == "word\nhunter2\n"
    connection.close()


@pytest.mark.parametrize("output", ["../x.arrow", "/tmp/transhume-x.arrow", "folder/x.arrow"])
def test_writing_outside_the_work_folder_is_refused(engine, outside, output):
    """A result can only be written below the work folder, also through a symbolic link."""
    engine.query("SELECT 1")
    (engine._work / "folder").symlink_to(outside.parent)
    with pytest.raises(ValueError, match="inside"):
        engine.to_arrow("SELECT 1", Path(output))


def test_the_child_sees_no_credential_and_no_module_of_the_work_folder(engine, monkeypatch):
    """Its environment is a short list, and a file in the work folder is no module of it."""
    monkeypatch.setenv("LEGACY_URL", "postgresql://u:hunter2@h/db")
    engine._work.mkdir()
    (engine._work / "json.py").write_text("raise SystemExit('taken over')", encoding="utf-8")
    engine.query("SELECT 1")
    environment = child_of(engine).environ()
    assert "hunter2" not in str(environment) + " ".join(child_of(engine).cmdline())
    assert set(environment) <= {
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "PYTHONPATH",
        "PYTHONHOME",
        "LD_LIBRARY_PATH",
        "TMPDIR",
    }


@pytest.mark.parametrize(
    "select",
    [
        "SELECT CAST(t AS INTEGER) FROM (VALUES ('hunter2 it''s \"so\" (1)')) AS v(t)",
        "SELECT CAST(t AS DATE) FROM (VALUES ('hunter2'), ('2024-13-45')) AS v(t)",
        "SELECT i + 9223372036854775807 FROM (VALUES (4242424242)) AS v(i)",
        "SELECT CAST(i AS TINYINT) FROM (VALUES (4242424242)) AS v(i)",
        "SELECT CAST(t AS DECIMAL(3, 1)) FROM (VALUES ('4242424242')) AS v(t)",
        "SELECT CAST(t AS UUID) FROM (VALUES ('hunter2\nsecond line')) AS v(t)",
        "SELECT strptime(t, '%Y') FROM (VALUES ('hunter2')) AS v(t)",
        "SELECT decode(t) FROM (VALUES (CAST('hunter2\\xFF' AS BLOB))) AS v(t)",
        "SELECT CAST(t AS JSON) FROM (VALUES ('{\"hunter2')) AS v(t)",
    ],
)
def test_errors_at_run_time_hold_no_value(engine, select):
    """A row that breaks a statement does not show in its error."""
    # values that are literals would show in the statement's own text, so they come from a file
    head, _, tail = select.partition("FROM (VALUES")
    if tail:
        engine.to_parquet(f"SELECT * FROM (VALUES{tail}", Path("v.parquet"))
        select = f"{head} FROM 'v.parquet'"
    with pytest.raises(EngineFailed) as failed:
        engine.query(select)
    assert "hunter2" not in str(failed.value)
    assert "42424242" not in str(failed.value)
    assert "2024-13" not in str(failed.value)


def test_errors_of_the_statement_say_what_is_wrong(engine):
    """A compiled statement that does not fit the tables names the column: no value is in it."""
    with pytest.raises(EngineFailed, match='"nothing"'):
        engine.query("SELECT nothing FROM range(3) AS r(i)")


# -- how it ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_child_is_a_failed_batch_and_the_next_call_starts_another(engine, number):
    """The call says that its process died, the result is not there, and the engine works on."""
    engine.to_arrow("SELECT 1 AS x", Path("x.arrow"))
    first = child_of(engine).pid
    timer = later(0.3, lambda: os.kill(first, number))
    with pytest.raises(EngineCrashed, match=f"signal {int(number)}"):
        engine.to_arrow(ENDLESS, Path("y.arrow"))
    timer.join()
    assert [path.name for path in engine._work.iterdir()] == ["x.arrow"]
    assert engine.query("SELECT 2 AS x").to_pylist() == [{"x": 2}]
    assert child_of(engine).pid != first


def test_a_child_killed_while_it_writes_leaves_no_result(engine):
    """Half a file never has the result's name, and what it replaces stays."""
    engine.to_arrow("SELECT 1 AS x", Path("x.arrow"))
    part = engine._work / ".x.arrow.part"

    def kill_when_writing() -> None:
        while not (part.exists() and part.stat().st_size > MEGABYTE):
            time.sleep(0.005)
        os.kill(child_of(engine).pid, signal.SIGKILL)

    killer = later(0, kill_when_writing)
    with pytest.raises(EngineCrashed):
        engine.to_arrow("SELECT i, md5(CAST(i AS VARCHAR)) AS t FROM range(100000000) AS r(i)", Path("x.arrow"))
    killer.join()
    assert read(engine._work / "x.arrow").column("x").to_pylist() == [1]
    assert not part.exists()


def test_too_little_memory_is_a_failed_batch(tmp_path):
    """A statement that cannot spill says that the memory is too small; the engine works on."""
    engine = DuckDBEngine(tmp_path / "work", 30 * MEGABYTE, 1)
    with pytest.raises(EngineCrashed, match="memory"):
        engine.query("SELECT list(md5(CAST(i AS VARCHAR))) AS l FROM range(3000000) AS r(i)")
    assert engine.query("SELECT 2 AS x").to_pylist() == [{"x": 2}]
    engine.close()


def test_a_cancelled_statement_stops_and_the_engine_stays(engine):
    """Cancelling stops the statement soon, keeps the process, and is told as an interruption."""
    engine.query("SELECT 1")
    child = child_of(engine).pid
    timer = later(0.3, engine.cancel)
    with pytest.raises(Interrupted, match="cancelled"):
        engine.to_arrow(ENDLESS, Path("x.arrow"))
    timer.join()
    assert engine.query("SELECT 2 AS x").to_pylist() == [{"x": 2}]
    assert child_of(engine).pid == child
    assert [path.name for path in engine._work.iterdir()] == []


def test_cancelling_nothing_harms_nothing(engine):
    """A late cancel does not hit the next statement."""
    engine.cancel()
    engine.query("SELECT 1")
    engine.cancel()
    assert engine.query("SELECT 2 AS x").to_pylist() == [{"x": 2}]


def test_a_stream_is_cancelled_between_its_batches(engine):
    """Also a statement that is writing its rows stops."""
    timer = later(1, engine.cancel)
    with pytest.raises(Interrupted):
        engine.to_arrow("SELECT i FROM range(100000000000) AS r(i)", Path("x.arrow"))
    timer.join()
    assert not (engine._work / "x.arrow").exists()


def test_calls_from_several_threads_wait_for_one_another(engine):
    """Each caller gets its own answer."""
    found = {}

    def ask(number: int) -> None:
        found[number] = engine.query(f"SELECT {number} AS x").to_pylist()[0]["x"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(8)}


def test_closing_ends_the_process_and_may_be_done_twice(engine):
    """No process stays behind."""
    engine.query("SELECT 1")
    child = child_of(engine)
    engine.close()
    engine.close()
    assert not child.is_running()


def test_a_process_that_was_started_before_is_the_engines_own(tmp_path):
    """It writes nothing while it waits, works in the engine's folder and ends with it; the next one is a new one."""
    with closing(DuckDBProcess(400 * MEGABYTE, 1)) as waiting:
        engine = DuckDBEngine(tmp_path / "work", 400 * MEGABYTE, 1, {"key": b"k"}, waiting)
        assert not (tmp_path / "work").exists()
        assert engine.to_parquet("SELECT getvariable('key') AS key", Path("key.parquet")) == 1
        assert child_of(engine).pid == waiting.pid
        assert pq.read_table(tmp_path / "work" / "key.parquet").to_pylist() == [{"key": b"k"}]
        engine.close()
        assert not psutil.pid_exists(waiting.pid)
        engine.query("SELECT 1")
        assert child_of(engine).pid != waiting.pid
        engine.close()


def test_a_process_that_nobody_took_is_ended_at_once():
    """A refusal does not wait until its libraries are loaded."""
    waiting = DuckDBProcess(400 * MEGABYTE, 1)
    assert waiting.close() == -signal.SIGKILL
    assert waiting.close() == -signal.SIGKILL
    assert not psutil.pid_exists(waiting.pid)


def test_a_waiting_process_that_died_says_so_at_the_first_statement(tmp_path):
    """Nothing of the batch is done, and the next statement has a process of its own."""
    waiting = DuckDBProcess(400 * MEGABYTE, 1)
    psutil.Process(waiting.pid).kill()
    engine = DuckDBEngine(tmp_path / "work", 400 * MEGABYTE, 1, waiting=waiting)
    with pytest.raises(EngineCrashed, match=r"was killed by signal 9.*it did not start"):
        engine.query("SELECT 1")
    assert engine.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    engine.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_the_child_dies_with_its_parent(tmp_path, busy):
    """A parent that is killed leaves no process, whether the child was at work or not."""
    program = f"""
        import threading, sys
        from pathlib import Path
        from transhume.engines.duckdb import DuckDBEngine
        engine = DuckDBEngine(Path({str(tmp_path / "work")!r}), 200_000_000, 1)
        engine.query("SELECT 1")
        print(engine._process.pid, flush=True)
        {f"engine.query({ENDLESS!r})" if busy else "threading.Event().wait()"}
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    child.wait(10)


def test_the_parent_does_not_load_duckdb():
    """The library and its memory stay in the child."""
    program = "import sys, transhume.engines.duckdb; print('duckdb' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_spill_folders_of_dead_processes_are_removed(engine):
    """A killed child's spilled rows do not stay on the disk after the next start."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old = engine._work / f".spill-{dead.pid}"
    old.mkdir(parents=True)
    (old / "rows").write_bytes(b"hunter2")
    engine.query("SELECT 1")
    assert not old.exists()


def test_wide_rows_become_parquet_within_the_memory(tmp_path):
    """Row groups are bounded by bytes too, and the rows keep their order."""
    engine = DuckDBEngine(tmp_path / "work", 150 * MEGABYTE, 1)
    select = "SELECT i, repeat(md5(CAST(i AS VARCHAR)), 100) AS t FROM range(60000) AS r(i)"
    assert engine.to_parquet(select, Path("x.parquet")) == 60000
    assert pq.read_table(engine._work / "x.parquet", columns=["i"]).column("i").to_pylist() == list(range(60000))
    engine.close()


@pytest.mark.parametrize(
    ("memory_mb", "threads", "segments"), [(384, 2, 2), (384, 16, 3), (2_048, 16, 16), (96, 2, 1), (384, 1, 1)]
)
def test_each_thread_works_on_a_segment_where_memory_is_for_it(tmp_path, memory_mb, threads, segments):
    """As many segments a statement as there are threads, and no more than 128 MB of the limit each."""
    assert DuckDBEngine(tmp_path, memory_mb * 2**20, threads).segments_together == segments
