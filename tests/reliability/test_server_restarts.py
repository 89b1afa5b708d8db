"""A PostgreSQL that is stopped, filled up or ends sessions in the middle of a run and of a rollback: one of our own.

The run goes on by itself, or stops in one line and the same command finishes it, to the same rows.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.reliability import figures
from tests.reliability.own_server import OwnServer, own_server
from tests.stages import small_project
from transhume import Project
from transhume.errors import Refused, SystemUnavailable, TranshumeError
from transhume.stages.context import Limits
from transhume.systems.postgres import connection as connections
from transhume.systems.postgres.connection import Session

LIMITS = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
IMMEDIATE, FAST = signal.SIGQUIT, signal.SIGINT
EVENTS = ["extract_finished", "batch_staged", "table_staged", "publish_started", "published", "table_verified"]
COMMITS = [f"{side} commit {number}" for number in (2, 5, 9, 12) for side in ("before", "after")]
POINTS = [(how, point) for how in (IMMEDIATE, FAST) for point in (*EVENTS, *COMMITS)]
_SLOTS = 14


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """A server that takes few connections."""
    with own_server(max_connections=str(_SLOTS)) as made:
        yield made


@pytest.fixture
def project(server, tmp_path) -> Iterator[Project]:
    """The small project into a database of that server."""
    name = f"test_{tmp_path.name[-20:].strip('_').lower()}_{abs(hash(str(tmp_path))) % 10**6}"
    server.execute(f'CREATE DATABASE "{name}"')
    small_project.write(tmp_path / "p", f"{server.url(name)}&schema=ai")
    yield Project(tmp_path / "p")
    server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def expected(server, tmp_path_factory) -> dict[str, tuple[int, str]]:
    """What readers see after an undisturbed run."""
    server.execute("CREATE DATABASE undisturbed")
    folder = tmp_path_factory.mktemp("undisturbed") / "p"
    small_project.write(folder, f"{server.url('undisturbed')}&schema=ai")
    Project(folder).run(limits=LIMITS)
    return small_project.postgres_content(server.url("undisturbed"), "ai")


def _visible(project: Project) -> dict[str, tuple[int, str]]:
    url = (project.folder / ".env").read_text().split("TARGET_URL=")[1].split("&schema")[0]
    return small_project.postgres_content(url, "ai")


def _once(monkeypatch: pytest.MonkeyPatch, point: str, do: Callable[[], None]) -> Callable[[Any], None]:
    """Do something once, at an event's first time or beside a commit; return the listener for the run."""
    waiting = [do]
    side, _, number = point.partition(" commit ")
    true_commit, commits = Session._commit, iter(range(1, 1000))

    def commit(self: Session, connection: Any) -> None:
        here = next(commits) == int(number) and bool(waiting)
        if here and side == "before":
            waiting.pop()()
        true_commit(self, connection)
        if here and side == "after":
            waiting.pop()()

    def listen(event: Any) -> None:
        if event.kind == point and waiting:
            waiting.pop()()

    if number:
        monkeypatch.setattr(Session, "_commit", commit)
    return listen


def _finished(project: Project, listen: Callable[[Any], None], expected: dict[str, tuple[int, str]]) -> bool:
    """Run, again if it stops; compare. Returns whether it went on by itself."""
    stopped: list[SystemUnavailable] = []
    try:
        project.run(limits=LIMITS, listener=listen)
    except SystemUnavailable as problem:
        stopped.append(problem)
    for problem in stopped:
        assert "\n" not in str(problem)
        assert "same command" in str(problem), problem
        # Before its extract was whole a run has written nothing.
        (*_, journal) = sorted(project.runs.glob("*/journal.jsonl"))
        assert problem.exit_code == (5 if '"extract_finished"' in journal.read_text() else 4)
        assert _visible(project) in ({}, expected), "some rows are visible and others are not"
        project.run(limits=LIMITS)
    assert _visible(project) == expected
    return not stopped


@pytest.mark.parametrize(
    ("how", "point"),
    [
        pytest.param(
            *each,
            marks=() if each == (IMMEDIATE, "before commit 9") else pytest.mark.sweep,
            id=f"{each[0].name}-{each[1]}",
        )
        for each in POINTS
    ],
)
def test_a_server_that_is_restarted_in_a_run_loses_and_doubles_nothing(
    how, point, server, project, expected, monkeypatch
):
    """An immediate stop (as a crash) and a fast one, at events and beside commits: the rows are those undisturbed."""
    done = []
    listen = _once(monkeypatch, point, lambda: done.append(server.restart(how)))
    _finished(project, listen, expected)
    assert done, f"{point} was not reached"
    figures.count(server_restarts=1, restart_unequal=0)


@pytest.mark.sweep
@pytest.mark.parametrize("how", [IMMEDIATE, FAST])
@pytest.mark.parametrize("point", ["before commit 2", "before commit 3", "after commit 3"])
def test_a_server_that_is_restarted_in_a_rollback_is_as_before_the_run(how, point, server, project, monkeypatch):
    """The rollback goes on or is asked for again: no table of the run is there, and the ledger says so."""
    project.run(limits=LIMITS)
    done = []
    _once(monkeypatch, point, lambda: done.append(server.restart(how)))
    with contextlib.suppress(SystemUnavailable):
        project.rollback()
    assert done, f"{point} was not reached"
    assert project.rollback().report.state == "rolled_back"
    assert _visible(project) == {}


class Crowd:
    """Everybody else on a server: takes each connection that is free."""

    def __init__(self, server: OwnServer) -> None:
        self._server = server
        self._held: list[psycopg.Connection[Any]] = []

    def fill(self) -> None:
        """Take every connection, and those of the run as well, whose sessions are ended for it."""
        self._take_free()
        assert self._held, "there was room for somebody"
        self._held[0].execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'transhume%'"
        )
        self._take_free()

    def _take_free(self) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                self._held.append(psycopg.connect(self._server.url(), autocommit=True))

    def go(self) -> None:
        """Let all go."""
        for each in self._held:
            each.close()


@pytest.mark.parametrize(
    "point",
    ["batch_staged", *(pytest.param(each, marks=pytest.mark.sweep) for each in EVENTS if each != "batch_staged")],
)
def test_a_run_that_gets_no_connection_any_more_stops_in_one_line_and_is_finished(
    point, server, project, expected, monkeypatch
):
    """Every connection of the server is taken, the run's too: it says so, and the same command ends it later."""
    monkeypatch.setattr(connections, "RECONNECT_S", 1.0)
    crowd = Crowd(server)
    try:
        with pytest.raises(SystemUnavailable, match=r"too many clients|connection is lost") as told:
            project.run(limits=LIMITS, listener=_once(monkeypatch, point, crowd.fill))
    finally:
        crowd.go()
    assert "\n" not in str(told.value)
    assert "run the same command again" in str(told.value)
    assert "nothing was written" not in str(told.value)
    assert _visible(project) in ({}, expected)
    _finished(project, lambda _: None, expected)


def test_a_full_server_is_told_before_anything_is_written(server, project):
    """With no connection free at the start the one line says what to raise."""
    crowd = Crowd(server)
    try:
        crowd.fill()
        with pytest.raises(SystemUnavailable, match=r"too many clients.*nothing was written.*max_connections") as told:
            project.run(limits=LIMITS)
    finally:
        crowd.go()
    assert told.value.exit_code == 4


def test_a_run_needs_a_handful_of_connections_whatever_the_number_of_tables(server, tmp_path):
    """Counted by the server while a run of twelve tables is under way."""
    server.execute("CREATE DATABASE many")
    folder = tmp_path / "p"
    small_project.write(folder, f"{server.url('many')}&schema=ai")
    more = "".join(
        f"  places_{n}:\n    from: place\n    key: id\n    create: true\n"
        f"    columns: {{place_id: {{uuid: id}}, original_source_id: id, name: name}}\n"
        for n in range(10)
    )
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text() + more)
    seen = []

    def count(_: Any) -> None:
        (row,) = server.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'transhume%'")
        seen.append(row[0])

    result = Project(folder).run(limits=LIMITS, listener=count)
    assert len(result.tables) == 12
    # Catalog, lock, ledger, reading, publishing, and one for each of two batches.
    assert 1 <= max(seen) <= 7


@pytest.mark.parametrize("point", ["publish_started", pytest.param("batch_staged", marks=pytest.mark.sweep)])
def test_sessions_that_an_administrator_ends_do_not_end_a_run(point, server, project, expected, monkeypatch):
    """pg_terminate_backend of every session of the run: it connects again and goes on, or stops and is finished."""
    ended = []

    def end() -> None:
        ended.extend(
            server.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'transhume%'"
            )
        )

    _finished(project, _once(monkeypatch, point, end), expected)
    assert len(ended) > 1


@pytest.mark.sweep
def test_an_empty_database_in_the_place_of_the_run_s_is_found_out(server, project, expected, monkeypatch):
    """The database is dropped and made anew in mid-run: the run stops, and the same command brings everything again."""
    name = (project.folder / ".env").read_text().split("postgres@/")[1].split("?")[0]

    def replace() -> None:
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}"')

    with pytest.raises(TranshumeError) as told:
        project.run(limits=LIMITS, listener=_once(monkeypatch, "table_staged", replace))
    assert isinstance(told.value, (Refused, SystemUnavailable)), told.value
    assert _visible(project) == {}
    project.run(limits=LIMITS)
    assert _visible(project) == expected
