"""PostgreSQL under faults: lost connections, lost acknowledgements, zombies, hanging sockets."""

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.systems.postgres_places import PostgresPlace
from transhume.batches import BatchId, TargetTable
from transhume.errors import LockHeld, Refused, SystemRefused, SystemUnavailable, TranshumeError
from transhume.systems.postgres import connection as connections
from transhume.systems.postgres import stage as staging
from transhume.systems.postgres.address import parse_url
from transhume.systems.postgres.asking import asked
from transhume.systems.postgres.connection import Session, WatchedConnection, connect
from transhume.systems.postgres.target import PostgresRun, open_target
from transhume.testing.targets import identity, people, person_rows, pets


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    return PostgresPlace(postgres_url)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RECONNECT_S", 3.0)


def _whole_road(run: PostgresRun) -> list[tuple[str, int]]:
    """Stage two batches, compare, seal, publish, verify; the same calls a run makes."""
    table = people()
    for index in range(2):
        rows = person_rows(index * 50, 50)
        assert run.stage(table, BatchId("people", index), rows).row_count == 50
        assert list(run.compare(table, BatchId("people", index), rows)) == []
    run.seal(table, 2)
    published = run.publish([table])
    assert list(run.verify(table)) == []
    return [(one.table, one.inserted) for one in published]


def test_a_backend_killed_before_any_statement_changes_nothing_in_the_end(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a connection before the n-th statement, for every n of the road: the result is the same.

    Either the road goes on by itself, or it stops with SystemUnavailable and the next process finishes it.
    """
    kills, repaired = 0, 0
    for number in range(200):
        place.execute("DROP SCHEMA IF EXISTS transhume, transhume_stage_run_1, ai CASCADE")
        fired, stopped = _road_with_kill(place, number, monkeypatch)
        kills += fired
        repaired += stopped
        assert len(place.rows("people", ["id"])) == 100
        assert place.execute("SELECT count(*), sum(row_count) FROM transhume.batches") == [(2, 100)]
        if not fired:
            break
    assert kills > 30
    assert repaired < kills


def _road_with_kill(place: PostgresPlace, number: int, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, bool]:
    calls = iter(range(10**6))
    fired = threading.Event()
    true_execute = WatchedConnection.execute

    def execute(self: WatchedConnection, *arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            fired.set()
            place.execute("SELECT pg_terminate_backend(%s)", self.pgconn.backend_pid)
        return true_execute(self, *arguments, **options)

    monkeypatch.setattr(WatchedConnection, "execute", execute)
    try:
        with place.run([people()]) as run:
            assert _whole_road(run) == [("people", 100)]
        return fired.is_set(), False
    except SystemUnavailable:
        monkeypatch.setattr(WatchedConnection, "execute", true_execute)
        with place.run([people()]) as run:
            assert _whole_road(run) == [("people", 100)]
        return fired.is_set(), True
    finally:
        monkeypatch.setattr(WatchedConnection, "execute", true_execute)


@pytest.mark.parametrize("arrived", [True, False], ids=["commit arrived", "commit never arrived"])
def test_a_lost_commit_acknowledgement_is_asked_of_the_target(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    """Each COMMIT of the road loses its answer once; nothing is lost and nothing is there twice."""
    true_commit = Session._commit
    losses = []

    def commit(self: Session, connection: WatchedConnection) -> None:
        losses.append(self)
        if len(losses) % 2:
            if arrived:
                true_commit(self, connection)
            connection._cut()
            message = "the acknowledgement is lost"
            raise psycopg.OperationalError(message)
        true_commit(self, connection)

    monkeypatch.setattr(Session, "_commit", commit)
    with place.run([people()]) as run:
        assert _whole_road(run) == [("people", 100)]
        assert run.state == "published"
    assert len(losses) >= 10
    assert len(place.rows("people", ["id"])) == 100
    assert place.execute("SELECT count(*) FROM transhume.batches") == [(2,)]


def test_a_zombie_writes_nothing_more(place: PostgresPlace) -> None:
    """A run whose lock was lost and taken over is fenced: all that writes is refused and names the new holder."""
    table = people()
    with place.run([table]) as zombie:
        zombie.stage(table, BatchId("people", 0), person_rows(0, 5))
        zombie.seal(table, 1)
        _end_locks(place)
        with place.run([table], identity("run_2", holder="bob@host-2 pid 7")):
            attempts: list[Callable[[], object]] = [
                lambda: zombie.stage(table, BatchId("people", 1), person_rows(5, 5)),
                lambda: zombie.seal(table, 1),
                lambda: zombie.publish([table]),
            ]
            for attempt in attempts:
                with pytest.raises(LockHeld, match="bob@host-2 pid 7"):
                    attempt()
    assert place.rows("people", ["id"]) == []
    assert place.execute("SELECT count(*) FROM transhume.batches") == [(1,)]


def test_the_lock_of_a_killed_process_of_the_same_run_is_waited_for(place: PostgresPlace) -> None:
    """A server that has not noticed yet that the process is gone does not keep the same run from going on."""
    table = people()
    with contextlib.ExitStack() as stack:
        killed = stack.enter_context(place.run([table]))
        end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database ="
        end += " (SELECT oid FROM pg_database WHERE datname = current_database())"
        noticed = threading.Timer(0.7, lambda: place.execute(end))
        noticed.start()
        with place.run([table]) as heir:
            noticed.join()
            heir.stage(table, BatchId("people", 0), person_rows(0, 5))
        with pytest.raises(LockHeld):
            killed.stage(table, BatchId("people", 1), person_rows(5, 5))


def test_a_takeover_of_the_same_run_fences_the_first_process(place: PostgresPlace) -> None:
    """The same run resumed elsewhere refuses the first process, even though run and plan are the same."""
    table = people()
    with place.run([table]) as zombie:
        _end_locks(place)
        with place.run([table]) as heir:
            with pytest.raises(LockHeld):
                zombie.stage(table, BatchId("people", 0), person_rows(0, 5))
            assert _whole_road(heir) == [("people", 100)]


def test_another_database_behind_the_same_address_is_refused(place: PostgresPlace) -> None:
    """If the ledger is gone (a restore, another server), a running process refuses to go on."""
    table = people()
    with place.run([table]) as run:
        place.execute("TRUNCATE transhume.scopes")
        with pytest.raises(Refused, match="not the database"):
            run.stage(table, BatchId("people", 0), person_rows(0, 5))


def test_a_failing_batch_leaves_no_trace(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose ledger line cannot be written has no stage table either."""
    table = people()
    with place.run([table]) as run:
        monkeypatch.setattr(staging.ledger, "write_batch", _raise_key_error)
        with pytest.raises(KeyError):
            run.stage(table, BatchId("people", 0), person_rows(0, 5))
        monkeypatch.undo()
        query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'transhume_stage_run_1'"
        assert place.execute(query) == [(0,)]
        assert run.stage(table, BatchId("people", 0), person_rows(0, 5)).row_count == 5


def _raise_key_error(*_: object) -> None:
    raise KeyError


def test_a_lock_in_the_way_is_waited_for_and_then_named(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that somebody keeps locked stops the publishing after bounded retries; nothing is published."""
    monkeypatch.setattr(connections, "RETRIES_MAX", 2)
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    table = people(create=False)
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 5))
        run.seal(table, 1)
        monkeypatch.setattr(Session.transact, "__kwdefaults__", {"lock_timeout_s": 0.3})
        with psycopg.connect(place.url) as other:
            other.execute("LOCK TABLE ai.people IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(SystemUnavailable, match="nothing was published"):
                run.publish([table])
        assert [one.inserted for one in run.publish([table])] == [5]


def test_a_deadlock_is_tried_again(place: PostgresPlace) -> None:
    """The server ends our transaction to break a deadlock: the same work runs again and is there once."""
    place.execute("CREATE TABLE public.one AS SELECT 0 AS n")
    place.execute("CREATE TABLE public.two AS SELECT 0 AS n")
    session, tries, other_waits = Session(parse_url(place.url), "test"), [], threading.Event()

    def other() -> None:
        with psycopg.connect(place.url) as connection:
            # Whoever waits longest finds the deadlock and is ended: that is to be the other side.
            connection.execute("SET deadlock_timeout = '60s'")
            connection.execute("UPDATE public.two SET n = n + 1")
            other_waits.set()
            connection.execute("UPDATE public.one SET n = n + 1")

    thread = threading.Thread(target=other)

    def work(connection: WatchedConnection) -> int:
        tries.append(1)
        connection.execute("SET LOCAL deadlock_timeout = '100ms'")
        connection.execute("UPDATE public.one SET n = n + 10")
        if len(tries) == 1:
            thread.start()
            other_waits.wait(20)
        connection.execute("UPDATE public.two SET n = n + 10")
        return len(tries)

    assert session.transact(work, where="nothing was written") == 2
    thread.join()
    session.close()
    assert place.execute("SELECT one.n, two.n FROM public.one, public.two") == [(11, 11)]


def test_a_cancelled_statement_stops_and_nothing_is_there(place: PostgresPlace) -> None:
    """Somebody cancels a statement, or a statement timeout does: SystemUnavailable in one line, nothing written."""
    place.execute("CREATE TABLE public.one (n int)")
    session = Session(parse_url(place.url), "test")

    def work(connection: WatchedConnection) -> None:
        connection.execute("INSERT INTO public.one VALUES (1)")
        connection.execute("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(20)")

    with pytest.raises(TranshumeError, match="nothing was written") as caught:
        session.transact(work, where="nothing was written")
    session.close()
    assert "\n" not in str(caught.value)
    assert place.execute("SELECT count(*) FROM public.one") == [(0,)]


def test_a_server_without_room_for_locks_is_told_with_its_setting(place: PostgresPlace) -> None:
    """A transaction that needs more locks than the server has room for names the setting that gives more."""
    session = Session(parse_url(place.url), "test")
    locks = "DO 'BEGIN FOR i IN 1..10000000 LOOP PERFORM pg_advisory_xact_lock(i); END LOOP; END'"
    with pytest.raises(SystemUnavailable, match=r"nothing was written: .*raise its max_locks_per_transaction"):
        session.transact(lambda connection: connection.execute(locks), where="nothing was written")
    assert session.transact(lambda connection: connection.execute("SELECT 1").fetchone(), where="") == (1,)
    session.close()


def test_a_hanging_connection_ends_by_the_watch(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A network that swallows everything ends in OperationalError once the server says that it waits for us."""
    monkeypatch.setattr(WatchedConnection, "silence_s", 0.3)
    with _BlackHole(postgres_url, tmp_path) as hole:
        watched = connect(parse_url(hole.url), "test")
        direct = parse_url(postgres_url)
        watched.watch = connections._watcher(direct)
        assert watched.execute("SELECT 1").fetchone() == (1,)
        hole.swallow.set()
        with pytest.raises(psycopg.OperationalError, match="no longer answers"):
            watched.execute("SELECT 2")


def test_a_session_that_is_being_set_up_is_watched(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A network that falls silent between connecting and the first statement ends the wait as well."""
    monkeypatch.setattr(WatchedConnection, "silence_s", 0.3)
    direct = connections._watcher(parse_url(postgres_url))
    monkeypatch.setattr(connections, "_watcher", lambda _: direct)
    with _BlackHole(postgres_url, tmp_path) as hole:
        monkeypatch.setattr(connections, "_accept", lambda *_: hole.swallow.set())
        with pytest.raises(SystemUnavailable):
            connect(parse_url(hole.url), "test")


def test_a_long_statement_is_not_taken_for_a_hang(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that is silent for many watches but busy in the server comes to its end."""
    monkeypatch.setattr(WatchedConnection, "silence_s", 0.2)
    watched = connect(parse_url(postgres_url), "test")
    row = watched.execute("SELECT count(*) FROM (SELECT pg_sleep(2)) x").fetchone()
    assert row == (1,)
    watched.close()


def test_connection_faults_are_one_line_without_the_password(postgres_server: Any, tmp_path: Path) -> None:
    """A wrong database, role or address is told in one line that names the place and never the password."""
    secret = "hunter2-canary"
    urls = [
        f"postgresql://postgres:{secret}@/nosuch?host={postgres_server.socket_folder}",
        f"postgresql://nobody:{secret}@/postgres?host={postgres_server.socket_folder}",
        f"postgresql://u:{secret}@/db?host={tmp_path}",
        f"postgresql://u:{secret}@127.0.0.1:1/db",
    ]
    for url in urls:
        with pytest.raises(SystemUnavailable) as caught:
            open_target(url)
        told = str(caught.value)
        assert secret not in told
        assert "\n" not in told
        assert "nothing was written" in told
    for url in (f"postgresql://u:{secret}@h/db?nonsense=1", f"postgresql://u:{secret}@h:port/db"):
        with pytest.raises(TranshumeError) as problem:
            open_target(url)
        assert secret not in str(problem.value)


def test_remote_hosts_are_reached_with_verified_certificates_only() -> None:
    """Without sslmode in the URL a remote host must show a certificate; a socket or this machine need not."""
    assert parse_url("postgresql://u@db.example.com/x").parameters["sslmode"] == "verify-full"
    assert parse_url("postgresql://u@db.example.com/x?sslmode=require").parameters["sslmode"] == "require"
    assert "sslmode" not in parse_url("postgresql://u@localhost/x").parameters
    assert "sslmode" not in parse_url("postgresql://u@/x?host=/run/pg").parameters


def test_a_database_that_is_not_utf8_is_refused(postgres_server: Any) -> None:
    """A database that cannot hold every text is refused before anything is written."""
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        name = f"latin_{os.getpid()}"
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        try:
            with pytest.raises(SystemRefused, match="LATIN1"):
                open_target(postgres_server.url(name))
        finally:
            connection.execute(f"DROP DATABASE {name}")


def test_read_only_servers_and_poolers_are_refused(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database set to read only, and a pooler that answers with a key of its own, are refused by name."""
    name = place.execute("SELECT current_database()")[0][0]
    place.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(SystemUnavailable, match="read only"):
        place.open()
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    monkeypatch.setattr(connections, "_ASK_BACKEND", "SELECT 1")
    with pytest.raises(SystemRefused, match="pooler"):
        place.open()


def test_staging_and_comparing_go_on_side_by_side(place: PostgresPlace) -> None:
    """One thread stages while another compares what is staged already."""
    table = people()
    with place.run([table]) as run:
        problems: list[object] = []
        staged: list[int] = []

        def compare() -> None:
            for index in range(10):
                _wait_for(lambda index=index: index in staged)
                problems.extend(run.compare(table, BatchId("people", index), person_rows(index * 500, 500)))

        other = threading.Thread(target=compare)
        other.start()
        for index in range(10):
            run.stage(table, BatchId("people", index), person_rows(index * 500, 500))
            staged.append(index)
        other.join()
    assert problems == []
    assert len(staged) == 10


def test_two_tables_of_a_lost_run_are_there_for_the_next_one(place: PostgresPlace) -> None:
    """What a lost process staged is found by batch and by table."""
    tables: list[TargetTable] = [people(), pets()]
    with place.run(tables) as run:
        run.stage(tables[0], BatchId("people", 3), person_rows(0, 5))
    with place.run(tables, identity(holder="someone else")) as run:
        assert list(run.staged(tables[0])) == [3]
        assert run.staged(tables[1]) == {}


def _end_locks(place: PostgresPlace) -> None:
    """End the connection that holds the lock, as a failing network would, and wait until the lock is free."""
    locks = "FROM pg_locks WHERE locktype = 'advisory' AND database = "
    locks += "(SELECT oid FROM pg_database WHERE datname = current_database())"
    place.execute(f"SELECT pg_terminate_backend(pid) {locks}")
    _wait_for(lambda: place.execute(f"SELECT count(*) {locks}") == [(0,)])


def _wait_for(condition: Callable[[], bool], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class _BlackHole:
    """A proxy before the server's socket that swallows everything once it is told to."""

    def __init__(self, url: str, folder: Path) -> None:
        self._upstream = str(Path(parse_url(url).parameters["host"]) / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self.url = url.replace(parse_url(url).parameters["host"], str(folder))
        self.swallow = threading.Event()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        pairs: dict[socket.socket, socket.socket] = {}
        while not self._stop.is_set():
            readable, _, _ = select.select([self._listener, *pairs], [], [], 0.05)
            for one in readable:
                if one is self._listener:
                    client, _ = one.accept()
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(self._upstream)
                    pairs |= {client: server, server: client}
                elif data := one.recv(65536):
                    if not self.swallow.is_set():
                        pairs[one].sendall(data)
                else:
                    pairs.pop(pairs.pop(one), None)
        for one in pairs:
            with contextlib.suppress(OSError):
                one.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT word::int FROM canary",
        "SELECT CAST(word AS date) FROM canary",
        "SELECT shout(word) FROM canary",
    ],
)
def test_no_value_is_in_what_is_told_of_a_query(postgres_url: str, query: str) -> None:
    """A value that the server cannot take, or that a function of others raises, is not shown; the kind of error is."""
    with psycopg.connect(postgres_url) as owner:
        owner.execute("CREATE TABLE canary AS SELECT 'canary-4711' AS word")
        owner.execute(
            "CREATE FUNCTION shout(text) RETURNS int LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'bad word %', $1; END $$"
        )
        owner.commit()
        with pytest.raises(SystemRefused, match=r"invalid|raise") as caught:
            asked(owner, "public", query, counts=False)  # type: ignore[arg-type]  # an ordinary connection will do
        assert "4711" not in str(caught.value)
        assert owner.execute("SELECT 1").fetchone() == (1,)
