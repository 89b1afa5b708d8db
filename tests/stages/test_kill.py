"""A run killed with SIGKILL anywhere is finished by the same command, to the same target as an undisturbed run."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages import small_project
from tests.stages.commit_watch import CommitWatch
from transhume.journal import read_journal

# Every kind of event of a run, with the nth times at which the kill is planted: the first and, where a run has
# several, a later one (the second segment, batch, table). `test_no_kind_of_event_is_left_out` keeps the list whole.
NTHS = {
    "run_started": (1,),
    "extract_started": (1,),
    "segment_written": (1, 4),
    "extract_finished": (1,),
    "relation_built": (1, 3),
    "fixpoint_done": (1,),
    "mapping_started": (2,),
    "batch_staged": (1, 2, 5),
    "batch_compared": (1, 3, 6),
    "table_staged": (1, 2),
    "tables_fed": (1,),
    "check_passed": (1,),
    "publish_started": (1,),
    "published": (1,),
    "source_watched": (1, 2),
    "table_verified": (1,),
    "run_finished": (1,),
}
POINTS = [f"{side}:{kind}:{nth}" for kind, nths in NTHS.items() for nth in nths for side in ("before", "after")]
# Around the catalog's commits of a lake: entering a batch, sealing a table, publishing.
LAKE_COMMITS = [f"lake:{side}_commit:{nth}" for nth in (1, 2, 4, 6, 7, 8) for side in ("before", "after")]
SWEEP = pytest.mark.sweep
"""What is before one event is mostly after another: each system is tried at one of the two, `make sweep` tries both."""
IN_A_LAKE = [point if point.startswith("after") else pytest.param(point, marks=SWEEP) for point in POINTS]
IN_POSTGRES = [point if point.startswith("before") else pytest.param(point, marks=SWEEP) for point in POINTS]
Content = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, Content]:
    """An undisturbed run into a lake: its folder and what readers see."""
    folder = tmp_path_factory.mktemp("undisturbed") / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    result = small_project.run(folder)
    assert result.returncode == 0, result.stderr
    assert small_project.buckets(result) == small_project.expected_buckets()
    return folder, small_project.lake_content(folder, "ai")


def test_no_kind_of_event_is_left_out(undisturbed):
    """The list of kill points has every kind of event that the journal of a whole run holds."""
    (journal,) = undisturbed[0].glob(".transhume/runs/*/journal.jsonl")
    assert {entry.event.kind for entry in read_journal(journal)} == set(NTHS)


def _killed_and_finished(folder: Path, fault: str, visible: Callable[[], Content]) -> None:
    """Kill a run at a point and finish it by the same command."""
    killed = small_project.run(folder, fault)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    _finished(folder, visible, is_over=fault.startswith("after:run_finished"))


def _finished(folder: Path, visible: Callable[[], Content], *, is_over: bool = False) -> None:
    """See that nothing is half visible after a kill, and finish the run; `is_over`: it had ended already."""
    tables = visible()
    assert len(tables) in {0, 2}, "some tables are visible and some are not"
    finished = small_project.run(folder)
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    assert told["state"] == "finished"
    if is_over:
        assert {table["unchanged"] for table in told["tables"]} == {
            row["loaded"] for row in small_project.expected_buckets().values()
        }
    else:
        assert small_project.buckets(finished) == small_project.expected_buckets()


@pytest.mark.parametrize("point", [*IN_A_LAKE, *LAKE_COMMITS])
def test_a_killed_run_into_a_lake_is_finished(point, tmp_path, undisturbed):
    """Killed at any event, the lake ends as if nothing had happened."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")

    def visible() -> Content:
        return small_project.lake_content(folder, "ai") if (folder / "lake" / "catalog.db").exists() else {}

    _killed_and_finished(folder, f"{point}:kill", visible)
    assert visible() == undisturbed[1]


@pytest.mark.parametrize("point", ["after:batch_staged:3", "before:published:1"])
def test_a_run_killed_in_an_interpreter_of_its_own_is_finished(point, tmp_path, undisturbed):
    """The same in a new interpreter with a new engine, as at a terminal; the others are forked from a warm process."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    killed = small_project.run_anew(folder, f"{point}:kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    finished = small_project.run_anew(folder)
    assert finished.returncode == 0, finished.stderr
    assert small_project.lake_content(folder, "ai") == undisturbed[1]


@pytest.fixture(scope="module")
def undisturbed_postgres(postgres_server, tmp_path_factory) -> Content:
    """What readers of a PostgreSQL schema see after an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed-postgres") / "p"
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        small_project.write(folder, f"{url}&schema=ai")
        result = small_project.run(folder)
        assert result.returncode == 0, result.stderr
        assert small_project.buckets(result) == small_project.expected_buckets()
        return small_project.postgres_content(url, "ai")


@pytest.mark.parametrize("point", IN_POSTGRES)
def test_a_killed_run_into_postgres_is_finished(point, tmp_path, postgres_url, undisturbed_postgres):
    """Killed at any event, the PostgreSQL schema ends as if nothing had happened."""
    folder = tmp_path / "p"
    small_project.write(folder, f"{postgres_url}&schema=ai")

    def visible() -> Content:
        return small_project.postgres_content(postgres_url, "ai")

    _killed_and_finished(folder, f"{point}:kill", visible)
    assert visible() == undisturbed_postgres


@pytest.mark.parametrize("nth", range(1, 13))
def test_a_run_killed_before_it_hears_of_its_commit_is_finished(
    nth, tmp_path, postgres_server, postgres_url, undisturbed_postgres
):
    """Killed when the server has the COMMIT and the answer is on its way: nothing is lost, nothing stands twice."""
    folder = tmp_path / "p"
    database = postgres_url.split("?")[0].rsplit("/", 1)[1]
    with CommitWatch(postgres_server.socket_folder, kill_at=nth) as watch:
        small_project.write(folder, f"postgresql://postgres@/{database}?host={watch.folder}&schema=ai")
        process = small_project.start(folder)
        watch.client_pid = process.pid
        killed = process.ended()
        assert killed.returncode == -signal.SIGKILL, f"{watch.commits} commits were seen: {killed.stderr}"
        watch.spare()
        _finished(folder, lambda: small_project.postgres_content(postgres_url, "ai"))
    assert small_project.postgres_content(postgres_url, "ai") == undisturbed_postgres
