"""The engine Spark over files of a work folder: what it writes, what it refuses, and how it is stopped."""

import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.rules.twins import Bench
from tests.spark.task_works import Doubled, FailsAt, Told, finds_fault
from transhume.dialects.spark import SESSION
from transhume.engines.spark import SparkEngine
from transhume.engines.task_work import done, taken
from transhume.errors import CheckFailed, DriverMissing, EngineFailed, Interrupted, UsageError

ENGINE = "sail" if find_spec("pysail") is not None else "local[2]"
NUMBERS = "SELECT `n`, CAST(`n` AS STRING) AS `t` FROM (SELECT * FROM `parquet`.`numbers.parquet`) AS `x`"


@pytest.fixture(scope="module")
def numbers(spark: Bench) -> Bench:
    """The file of the numbers from 0 to 9,999, in many row groups."""
    rows = pa.table({"n": pa.array(range(10_000), pa.int64())})
    pq.write_table(rows, spark.work / "numbers.parquet", row_group_size=500)
    return spark


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


def test_rows_are_split_into_files_by_ranges(numbers: Bench) -> None:
    """Each file holds exactly the rows of its range, whatever task wrote them; nothing else is left behind."""
    outputs = [(Path("out") / f"{first}.arrow", first, 2_500) for first in (5_000, 0, 7_500, 2_500)]
    done = list(numbers.engine.to_arrow_files(NUMBERS, "n", outputs))
    assert sorted(done) == [0, 1, 2, 3]
    for path, first, count in outputs:
        assert sorted(_read(numbers.work / path)["n"].to_pylist()) == list(range(first, first + count))
    assert list((numbers.work / ".spark").iterdir()) == []
    assert sorted(path.name for path in (numbers.work / "out").iterdir()) == sorted(path.name for path, _, _ in outputs)


def test_missing_rows_are_an_error(numbers: Bench) -> None:
    """A range that was promised more rows than the statement gives is not written."""
    outputs = [(Path("lost") / "0.arrow", 0, 5_000), (Path("lost") / "1.arrow", 5_000, 5_001)]
    with pytest.raises(EngineFailed, match="5000 rows"):
        list(numbers.engine.to_arrow_files(NUMBERS, "n", outputs))
    assert not (numbers.work / "lost" / "1.arrow").exists()


def test_rows_below_every_range_are_an_error(numbers: Bench) -> None:
    """A row that belongs into no file is never dropped."""
    with pytest.raises(EngineFailed, match="no file"):
        list(numbers.engine.to_arrow_files(NUMBERS, "n", [(Path("low") / "0.arrow", 10, 9_990)]))


RANGES = [(0, 2_500), (2_500, 4_000), (6_500, 3_500)]


def test_tasks_of_spark_have_this_version_of_the_program(numbers: Bench) -> None:
    """Where the program is installed for the workers, its own work can be done there; Sail's are not asked."""
    assert numbers.engine.reaches_tasks() == (find_spec("pysail") is None)


def test_a_task_gets_all_rows_of_its_range_sorted(numbers: Bench) -> None:
    """Each range comes once, its rows in order, lists and texts whole; what it wrote is there for a moment."""
    select = (
        f"SELECT `a`.`n` AS `n`, `a`.`t` AS `t`, array(`a`.`t`, NULL) AS `l` FROM ({NUMBERS}) AS `a` "
        "JOIN `parquet`.`numbers.parquet` AS `b` ON `a`.`n` = 9999 - `b`.`n`"
    )
    found = {}
    for each in numbers.engine.each_range(select, "n", RANGES, Told("hello")):
        assert (each.folder / "left.txt").read_text() == f"hello {each.place}"
        found[each.place] = json.loads(each.answer)
    assert sorted(found) == [0, 1, 2]
    for place, (first, count) in enumerate(RANGES):
        wanted = list(range(first, first + count))
        assert found[place]["columns"] == ["n", "t", "l"]
        assert found[place]["rows"]["n"] == wanted
        assert found[place]["rows"]["t"] == [str(number) for number in wanted]
        assert found[place]["rows"]["l"] == [[str(number), None] for number in wanted]
        assert found[place]["process"] != os.getpid()
    assert list((numbers.work / ".spark").iterdir()) == []


def test_a_range_without_rows_is_an_error(numbers: Bench) -> None:
    """Work that no task told of is not taken for done."""
    with pytest.raises(EngineFailed, match="other work"):
        list(numbers.engine.each_range(NUMBERS, "n", [*RANGES, (10_000, 1)], Told("")))


def test_an_error_in_a_task_arrives_as_such(numbers: Bench) -> None:
    """What the program raises on purpose in a task is raised here, with its words, and nothing is left behind."""
    with pytest.raises(CheckFailed, match="range 0 has 10000 rows"):
        list(numbers.engine.each_range(NUMBERS, "n", [(0, 10_000)], finds_fault))
    assert list((numbers.work / ".spark").iterdir()) == []


def test_what_other_tasks_did_comes_before_the_error_of_one(numbers: Bench) -> None:
    """An error of the first is raised after everything that is done was given out."""
    given: list[int] = []
    with pytest.raises(CheckFailed, match="place 0 failed"):
        given.extend(int(each.answer) for each in numbers.engine.each(4, FailsAt(0)))
    assert sorted(given) == [1, 2, 3]


def test_a_work_whose_driver_is_missing_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be loaded in a task is told by the name of the package, and tried no second time."""
    (tmp_path / "lacking.py").write_text("class Work:\n    def __call__(self, place, files):\n        return b''\n")
    monkeypatch.syspath_prepend(tmp_path)
    sent = pickle.dumps(import_module("lacking").Work())
    (tmp_path / "lacking.py").write_text("import no_such_driver\n")
    del sys.modules["lacking"]
    invalidate_caches()
    (row,) = done(sent, 0, str(tmp_path), "parts").to_pylist()
    with pytest.raises(DriverMissing, match="'no_such_driver'"):
        taken(row["answer"])


def test_a_task_does_each_of_several_things(numbers: Bench) -> None:
    """Every place is done once."""
    found = {each.place: int(each.answer) for each in numbers.engine.each(5, Doubled((3, 1, 4, 1, 5)))}
    assert found == {0: 6, 1: 2, 2: 8, 3: 2, 4: 10}


def test_parquet_keeps_the_order_of_the_statement(numbers: Bench) -> None:
    """One file with all rows in the order that the statement asks for; without rows an empty one with its columns."""
    count = numbers.engine.to_parquet(f"{NUMBERS} ORDER BY `n` DESC", Path("sorted.parquet"))
    found = pq.read_table(numbers.work / "sorted.parquet")
    assert (count, found["n"].to_pylist()) == (10_000, list(range(9_999, -1, -1)))
    assert numbers.engine.to_parquet(f"{NUMBERS} WHERE `n` < 0", Path("none.parquet")) == 0
    assert pq.read_schema(numbers.work / "none.parquet").names == ["n", "t"]


def test_files_are_written_inside_the_work_folder_only(numbers: Bench) -> None:
    """A path that leaves the work folder is refused before anything runs."""
    with pytest.raises(ValueError, match="inside"):
        numbers.engine.to_parquet(NUMBERS, Path("../x.parquet"))


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "BOOLEAN", "DECIMAL(10, 2)"])
def test_no_refused_value_is_in_a_message(numbers: Bench, kind: str) -> None:
    """Whatever a value cannot be read as, it is not shown; nor is a word in it taken for what Spark says."""
    with pytest.raises(EngineFailed) as caught:
        numbers.engine.query(f"SELECT CAST('cancelled-4711' AS {kind}) AS `x`")
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("name", ["it's", "a''b", "x`` y", "`` parquet``.``n"])
def test_a_name_may_hold_what_begins_a_text(numbers: Bench, name: str) -> None:
    """Names of columns are names: neither texts nor files are looked for in them."""
    select = f"SELECT `n` AS `{name}` FROM (SELECT * FROM `parquet`.`numbers.parquet`) AS `x` WHERE 'a' = 'a'"
    assert numbers.engine.query(select).column_names == [name.replace("``", "`")]


@pytest.mark.parametrize("garbled", [1, 2])
def test_an_answer_that_came_garbled_is_asked_for_once_more(numbers: Bench, garbled: int) -> None:
    """The second time counts, whatever it gives; there is no third."""
    from pyspark.errors import PySparkException  # noqa: PLC0415 - of a test that is collected

    asked: list[int] = []

    def call() -> int:
        asked.append(1)
        if len(asked) <= garbled:
            raise PySparkException(message='details = "Exception deserializing response!"')
        return 7

    engine = numbers.engine
    assert isinstance(engine, SparkEngine)
    if garbled == 1:
        assert engine._asked(call) == 7
    else:
        with pytest.raises(EngineFailed):
            engine._asked(call)
    assert len(asked) == 2


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Files of tasks that nobody took are gone once the next engine of the run has begun."""
    left = tmp_path / ".spark" / "abc" / "0.arrow"
    left.parent.mkdir(parents=True)
    left.touch()
    engine = SparkEngine(tmp_path, ENGINE, SESSION)
    engine.start()
    engine.close()
    assert not left.exists()


def test_ctrl_c_stays_what_the_program_made_of_it(tmp_path: Path) -> None:
    """Neither does Spark put its own meaning in its place, nor does a server that hears it, too, end by it."""
    program = f"""
import os, signal
from pathlib import Path
from transhume.dialects.spark import SESSION
from transhume.engines.spark import SparkEngine

def own(number, frame):
    print("heard")

if __name__ == "__main__":
    signal.signal(signal.SIGINT, own)
    engine = SparkEngine(Path({str(tmp_path)!r}), {ENGINE!r}, SESSION)
    engine.start()
    assert signal.getsignal(signal.SIGINT) is own
    os.killpg(0, signal.SIGINT)
    print(engine.query("SELECT 1 AS `x`").to_pydict())
    engine.close()
"""
    (tmp_path / "program.py").write_text(program)
    line = [sys.executable, str(tmp_path / "program.py")]
    ended = subprocess.run(line, capture_output=True, text=True, start_new_session=True, check=False, timeout=120)
    assert ended.stdout.splitlines() == ["heard", "{'x': [1]}"], ended.stderr


def test_a_refused_value_is_not_in_the_message(numbers: Bench) -> None:
    """A value that Spark cannot take is named by its kind of error, not by itself."""
    with pytest.raises(EngineFailed) as caught:
        numbers.engine.query("SELECT CAST('geheim-4711' AS BIGINT) AS `x`")
    assert re.search("CAST_INVALID_INPUT|NumberFormatException", str(caught.value))
    assert "4711" not in str(caught.value)
    assert numbers.engine.query("SELECT 1 AS `x`").to_pydict() == {"x": [1]}


def test_a_statement_is_stopped_and_the_engine_stays_usable(numbers: Bench) -> None:
    """Cancelling from another thread ends the statement; the next one runs."""
    slow = "SELECT sum(`id` % 7) AS `x` FROM range(0, 10000000000000)"
    caught: list[BaseException] = []

    def run() -> None:
        try:
            numbers.engine.query(slow)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        numbers.engine.cancel()
        time.sleep(0.2)
    assert isinstance(caught[0], Interrupted), caught
    assert numbers.engine.query("SELECT 1 AS `x`").to_pydict() == {"x": [1]}


def test_a_file_that_is_not_there_is_an_error(numbers: Bench) -> None:
    """No file is no table, whatever the engine makes of it."""
    with pytest.raises(EngineFailed):
        numbers.engine.query("SELECT * FROM (SELECT * FROM `parquet`.`nothing.parquet`) AS `x`")


@pytest.mark.skipif(find_spec("pysail") is not None, reason="Sail keeps every setting that it is given")
def test_a_setting_that_does_not_hold_is_an_error(numbers: Bench, tmp_path: Path) -> None:
    """An engine whose session would compute otherwise is refused by the setting's name."""
    assert numbers.engine.query("SELECT 1 AS `x`").num_rows == 1
    other = SparkEngine(tmp_path, "local[2]", {"spark.sql.event.truncate.length": "7"})
    with pytest.raises(EngineFailed, match="truncate"):
        other.start()


@pytest.mark.skipif(find_spec("pysail") is not None, reason="a process may have as many sessions of Sail as it likes")
def test_spark_that_runs_already_is_shared_and_left_running(numbers: Bench, tmp_path: Path) -> None:
    """An engine in a process that has a session takes one of its own beside it, and ends none of them."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - of a test that is not skipped

    assert numbers.engine.query("SELECT 1 AS `x`").num_rows == 1
    theirs = SparkSession.builder.getOrCreate().newSession()
    theirs.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    guest = SparkEngine(tmp_path, "local[2]", SESSION)
    assert guest.query("SELECT CAST(7 AS STRING) AS `x`").to_pydict() == {"x": ["7"]}
    guest.close()
    assert theirs.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    assert theirs.sql("SELECT 8 AS `x`").toArrow().to_pydict() == {"x": [8]}
    assert numbers.engine.query("SELECT 9 AS `x`").to_pydict() == {"x": [9]}


@pytest.mark.skipif(find_spec("pysail") is not None, reason="a process may have as many sessions of Sail as it likes")
def test_spark_that_runs_elsewhere_is_refused(numbers: Bench, tmp_path: Path) -> None:
    """A process has one Spark: what the plan asks for is not quietly done by another."""
    assert numbers.engine.query("SELECT 1 AS `x`").num_rows == 1
    with pytest.raises(UsageError, match=r"at 'local\[2\]' already, and the plan says 'local\[1\]'"):
        SparkEngine(tmp_path, "local[1]", SESSION).start()
