"""A lake whose run dies at any effect: what readers see is before or after, and the next process finishes exactly."""

import signal
import subprocess
import sys
import textwrap

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy
from sqlalchemy.engine.default import DefaultDialect

from tests.systems.lakes import LakePlace, local_lake, shared_lake
from transhume.batches import BatchId
from transhume.errors import LockHeld, SystemUnavailable
from transhume.systems.iceberg.files import LakeFiles
from transhume.systems.iceberg.ledger import LOCKS
from transhume.systems.iceberg.run import IcebergRun
from transhume.systems.postgres.connection import WatchedConnection
from transhume.testing.targets import identity, key, people, person_rows, pets


class Killed(BaseException):
    """Stands for the death of the process."""


class Deadline:
    """Counts effects on disk and in the catalog's database, and dies at one of them, before or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment: int, *, after: bool) -> None:
        self.left = moment
        self.after = after
        for owner, name in ((LakeFiles, "write_durably"), (LakeFiles, "sync"), (DefaultDialect, "do_commit")):
            monkeypatch.setattr(owner, name, self._wrap(getattr(owner, name)))

    def _wrap(self, effect):
        def counted(*arguments):
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Killed
            result = effect(*arguments)
            if self.left == 0:
                raise Killed
            return result

        return counted


def _whole_run(place: LakePlace, holding: list[IcebergRun]) -> None:
    tables = [people(), pets()]
    run = place.open().open_run(identity("run_k"), tables)
    holding.append(run)
    for index in range(2):
        rows = person_rows(index * 5, 5)
        run.stage(people(), BatchId("people", index), rows)
        assert list(run.compare(people(), BatchId("people", index), rows)) == []
    run.seal(people(), 2)
    rows = pa.table({"pet_id": range(5), "owner": [key(n) for n in range(5)]}, schema=pets().arrow_schema)
    run.stage(pets(), BatchId("pets", 0), rows)
    run.seal(pets(), 1)
    published = run.publish(tables)
    assert [(one.inserted, one.unchanged) for one in published] == [(10, 0), (5, 0)]
    assert list(run.verify(people())) == list(run.verify(pets())) == []
    run.close()
    holding.clear()


def _kill_and_resume(place: LakePlace, moment: int, *, after: bool) -> bool:
    """Die at one moment, look as a reader, finish; return whether the run was killed at all."""
    holding: list[IcebergRun] = []
    killed = False
    with pytest.MonkeyPatch.context() as monkeypatch:
        Deadline(monkeypatch, moment, after=after)
        try:
            _whole_run(place, holding)
        except Killed:
            killed = True
    for dead in holding:
        dead._lock.release()  # the operating system does this for a dead process
    seen = len(place.rows("people", ["id"])), len(place.rows("pets", ["pet_id"]))
    assert seen in {(0, 2), (10, 7)}
    _whole_run(place, [])
    assert sorted(place.rows("people", ["id"])) == [(key(number),) for number in range(10)]
    assert sorted(place.rows("pets", ["pet_id"])) == [(n,) for n in [*range(5), 100, 101]]
    return killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_killed_at_any_effect_is_finished_by_the_next(tmp_path, after):
    """Before and after each file, each sync and each commit, one table created and one with others' rows."""
    moment = 0
    killed = True
    while killed:
        moment += 1
        folder = tmp_path / str(moment)
        folder.mkdir()
        place = local_lake(folder)
        theirs = pa.table({"pet_id": [100, 101], "owner": [None, None]}, schema=pets().arrow_schema)
        place.make(pets().arrow_schema, theirs, "pets")
        killed = _kill_and_resume(place, moment, after=after)
    assert moment > 15


_HOLDER = """
    import sys, time
    from pathlib import Path
    from transhume.systems.iceberg import open_target
    from transhume.testing.targets import identity, people
    run = open_target(sys.argv[1], Path(sys.argv[2])).open_run(identity("run_1", holder="carol@far"), [people()])
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path) -> LakePlace:
    """An empty lake, its catalog in SQLite or on PostgreSQL."""
    if request.param == "sqlite":
        return local_lake(tmp_path)
    return shared_lake(tmp_path, request.getfixturevalue("postgres_url"))


def test_a_living_holder_is_named_and_a_dead_one_is_taken_over(place):
    """Another process holds the lake: refused with its run, holder and process; killed -9: taken over at once."""
    command = [sys.executable, "-c", textwrap.dedent(_HOLDER), place.url, str(place.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(LockHeld, match=rf"run_1.*carol@far.*process {holder.pid} on host.*since 20"):
                place.open().open_run(identity("run_2"), [people()])
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait(30)
    run = place.open().open_run(identity("run_1"), [people()])
    assert run._ledger.epoch == 2
    run.close()


def test_a_process_that_was_taken_over_cannot_write_any_more(place):
    """A holder that lost its lock without noticing is fenced out by the epoch, and touches no file of its successor."""
    zombie = place.open().open_run(identity("run_1"), [people()])
    zombie._lock.release()
    run = place.open().open_run(identity("run_1", holder="bob@new"), [people()])
    line = run.stage(people(), BatchId("people", 0), person_rows(0, 3))
    with pytest.raises(LockHeld, match="bob@new took it over"):
        zombie.stage(people(), BatchId("people", 1), person_rows(3, 3))
    with pytest.raises(LockHeld):
        zombie.seal(people(), 1)
    assert run.staged(people()) == {0: line}
    run.seal(people(), 1)
    run.publish([people()])
    assert len(place.rows("people", ["id"])) == 3
    run.close()


def test_a_lost_session_frees_the_lake_for_the_next(tmp_path, postgres_url):
    """PostgreSQL ends the session that holds the lock: the next run may begin, the old one is fenced out."""
    place = shared_lake(tmp_path, postgres_url)
    run = place.open().open_run(identity("run_1"), [people()])
    engine = run._lake.engine
    held = sqlalchemy.text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
    with engine.connect() as connection:
        assert connection.execute(held).all()
    successor = place.open().open_run(identity("run_2"), [people()])
    with pytest.raises(LockHeld):
        run.stage(people(), BatchId("people", 0), person_rows(0, 3))
    successor.close()
    run.close()


def test_a_commit_without_an_answer_is_asked_of_the_ledger(place, monkeypatch):
    """The publishing commit arrives and its acknowledgement is lost: published once, no error, no second copy."""
    run = place.open().open_run(identity(), [people()])
    run.stage(people(), BatchId("people", 0), person_rows(0, 3))
    run.seal(people(), 1)
    _lose_acknowledgement(monkeypatch, commit=True)
    assert [one.inserted for one in run.publish([people()])] == [3]
    run.close()
    assert len(place.rows("people", ["id"])) == 3


def test_a_commit_that_never_arrived_is_not_taken_for_done(place, monkeypatch):
    """The connection breaks before the commit: nothing is visible, and publishing again does it."""
    run = place.open().open_run(identity(), [people()])
    run.stage(people(), BatchId("people", 0), person_rows(0, 3))
    run.seal(people(), 1)
    _lose_acknowledgement(monkeypatch, commit=False)
    with pytest.raises(SystemUnavailable, match="publishing"):
        run.publish([people()])
    assert place.rows("people", ["id"]) == []
    assert [one.inserted for one in run.publish([people()])] == [3]
    run.close()
    assert len(place.rows("people", ["id"])) == 3


def _lose_acknowledgement(monkeypatch, *, commit: bool) -> None:
    real = DefaultDialect.do_commit
    lost = []

    def do_commit(dialect, connection):
        if lost:
            real(dialect, connection)
            return
        lost.append(True)
        if commit:
            real(dialect, connection)
        raise dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(DefaultDialect, "do_commit", do_commit)


def test_a_full_disk_stops_the_batch_and_the_next_try_succeeds(tmp_path, monkeypatch):
    """A data file that cannot be written leaves no half file and no ledger line."""
    place = local_lake(tmp_path)
    run = place.open().open_run(identity(), [people()])

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("transhume.systems.iceberg.files.os.fsync", full)
        with pytest.raises(SystemUnavailable, match="No space left on device"):
            run.stage(people(), BatchId("people", 0), person_rows(0, 3))
    assert run.staged(people()) == {}
    assert not any((tmp_path / "lake" / "ai" / "people" / "data").iterdir())
    assert run.stage(people(), BatchId("people", 0), person_rows(0, 3)).row_count == 3
    run.close()


def test_errors_of_the_database_show_no_password(tmp_path):
    """An unreachable catalog is one line without the password of its URL."""
    url = "iceberg:./lake?catalog=postgresql://someone:hunter2@127.0.0.1:1/db&namespace=ai"
    target = LakePlace(tmp_path, url, "").open()
    assert "hunter2" not in target.identity
    with pytest.raises(SystemUnavailable) as caught:
        target.catalog()
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_catalog_is_reached_as_a_target_is(tmp_path, monkeypatch):
    """A remote catalog shows a certificate, is timed and watched, as a PostgreSQL target is."""
    asked = {}

    def connect(**parameters):
        asked.update(parameters)
        raise psycopg.OperationalError

    monkeypatch.setattr(WatchedConnection, "connect", connect)
    url = "iceberg:./lake?catalog=postgresql://someone@db.example.com/x&namespace=ai"
    with pytest.raises(SystemUnavailable):
        LakePlace(tmp_path, url, "").open().catalog()
    assert asked["sslmode"] == "verify-full"
    assert asked["host"] == "db.example.com"
    assert int(asked["connect_timeout"]) > 0
    assert int(asked["tcp_user_timeout"]) > 0


def test_the_epoch_only_grows(tmp_path):
    """Every opening raises the epoch by one."""
    place = local_lake(tmp_path)
    for _ in range(3):
        place.open().open_run(identity(), []).close()
    with sqlalchemy.create_engine(place.catalog_uri).connect() as connection:
        assert connection.execute(sqlalchemy.select(LOCKS.c.epoch)).scalar_one() == 3
