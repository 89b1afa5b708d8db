"""Publishing that is prepared while somebody else still decides whether it may happen."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pyarrow as pa
import pytest

from tests.systems.postgres_places import PostgresPlace
from transhume.batches import BatchId, TargetTable
from transhume.errors import CheckFailed, SystemUnavailable
from transhume.systems.permission import Permission
from transhume.systems.postgres.connection import Session
from transhume.systems.postgres.target import PostgresRun
from transhume.systems.system import PublishedTable
from transhume.testing.targets import key, people, person_rows, pets

_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    " AND application_name LIKE 'transhume publish%' AND backend_xid IS NOT NULL"
)

_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def place(postgres_url: str) -> PostgresPlace:
    """An empty schema of a fresh database."""
    return PostgresPlace(postgres_url)


@contextlib.contextmanager
def _publishing(
    run: PostgresRun, table: TargetTable
) -> Iterator[tuple[Permission, "Future[Sequence[PublishedTable]]"]]:
    permission = Permission()
    permission.add_whole(table.mapping)
    with ThreadPoolExecutor(1) as thread:
        publishing = thread.submit(run.publish, [table], permission)
        try:
            yield permission, publishing
        finally:
            permission.refuse(TimeoutError("the test is over"))


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def test_prepared_rows_are_seen_once_they_may_be(place: PostgresPlace) -> None:
    """The transaction has all rows and waits; readers see no table before the permission, and every row after it."""
    table = people()
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 5))
        run.seal(table, 1)
        with _publishing(run, table) as (permission, publishing):
            _until(lambda: place.execute(_WAITING) == [(1,)])
            assert place.rows("people", ["id"]) == []
            assert len(run.staged(table)) == 1, "what is staged can be read meanwhile"
            permission.give()
            assert [one.inserted for one in publishing.result()] == [5]
            assert len(place.rows("people", ["id"])) == 5
            assert list(run.verify(table)) == []


def test_what_is_refused_was_never_there(place: PostgresPlace) -> None:
    """Refused, the prepared transaction is rolled back and the reason comes out; later it is published as usual."""
    table = people()
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 5))
        run.seal(table, 1)
        with _publishing(run, table) as (permission, publishing):
            _until(lambda: place.execute(_WAITING) == [(1,)])
            permission.refuse(CheckFailed("a check failed"))
            with pytest.raises(CheckFailed, match="a check failed"):
                publishing.result()
            assert run.state == "open"
            assert place.execute(_WAITING) == [(0,)]
            assert place.rows("people", ["id"]) == []
            assert [one.inserted for one in run.publish([table])] == [5]


def test_a_table_of_others_is_not_touched_before_it_may_be(place: PostgresPlace) -> None:
    """Where others could have to wait, no transaction is open until the permission is there."""
    place.execute("CREATE SCHEMA ai")
    place.execute("CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, age bigint)")
    table = people(create=False)
    with place.run([table]) as run:
        run.stage(table, BatchId("people", 0), person_rows(0, 5))
        run.seal(table, 1)
        with _publishing(run, table) as (permission, publishing):
            time.sleep(0.5)
            assert place.execute(_WAITING) == [(0,)]
            with psycopg.connect(place.url) as other:
                other.execute("LOCK TABLE ai.people IN ACCESS EXCLUSIVE MODE NOWAIT")
            permission.give()
            assert [one.inserted for one in publishing.result()] == [5]


def test_a_statement_under_way_ends_when_it_is_refused(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops a run does not wait for the server: the connection is cut, and nothing is published."""
    table = people()
    # The server alone would end the wait after an hour.
    monkeypatch.setitem(Session.transact.__kwdefaults__, "lock_timeout_s", 3600.0)
    with place.run([table]) as run, psycopg.connect(place.url) as other:
        run.stage(table, BatchId("people", 0), person_rows(0, 5))
        run.seal(table, 1)
        other.execute("LOCK TABLE transhume.tables IN ACCESS EXCLUSIVE MODE")
        with _publishing(run, table) as (permission, publishing):
            _until(lambda: place.execute(_BLOCKED) == [(1,)])
            permission.refuse(KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                publishing.result(120)
            other.rollback()
            assert [one.inserted for one in run.publish([table])] == [5]


def test_a_batch_that_waits_for_others_ends_when_the_run_gives_up(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that stages is cut off and tries no more; nothing of its batch is there, the next process goes on."""
    table = people()
    # The server alone would end the wait after an hour.
    monkeypatch.setitem(Session.transact.__kwdefaults__, "lock_timeout_s", 3600.0)
    with place.run([table]) as run, psycopg.connect(place.url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("LOCK TABLE transhume.batches IN SHARE MODE")
        staging = thread.submit(run.stage, table, BatchId("people", 0), person_rows(0, 5))
        _until(lambda: place.execute(_BLOCKED) == [(1,)])
        run.give_up()
        with pytest.raises(SystemUnavailable):
            staging.result(120)
        other.rollback()
    with place.run([table]) as run:
        assert run.staged(table) == {}
        assert run.stage(table, BatchId("people", 0), person_rows(0, 5)).row_count == 5


def test_each_table_is_prepared_once_it_is_whole(place: PostgresPlace) -> None:
    """Parents are filled while children are still staged; the children's stage and seal wait for nobody."""
    parents, children = people(), pets()
    with place.run([parents, children]) as run:
        run.stage(parents, BatchId("people", 0), person_rows(0, 5))
        run.seal(parents, 1)
        permission = Permission()
        permission.add_whole("people")
        with ThreadPoolExecutor(1) as thread:
            publishing = thread.submit(run.publish, [parents, children], permission)
            try:
                _until(lambda: place.execute(_WAITING) == [(1,)])
                rows = pa.table(
                    {"pet_id": range(3), "owner": [key(number) for number in range(3)]}, schema=children.arrow_schema
                )
                run.stage(children, BatchId("pets", 0), rows)
                assert list(run.compare(children, BatchId("pets", 0), rows)) == []
                run.seal(children, 1)
                permission.add_whole("pets")
                assert place.rows("people", ["id"]) == []
                permission.give()
                assert [one.inserted for one in publishing.result()] == [5, 3]
            finally:
                permission.refuse(TimeoutError("the test is over"))
        assert list(run.verify(parents)) == list(run.verify(children)) == []
        references = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'ai.pets'::regclass"
        assert len(place.execute(references)) == 1
