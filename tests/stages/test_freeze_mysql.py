"""Writing to a MariaDB is refused by triggers while a run goes on, and allowed again whatever happens."""

import signal
from contextlib import closing

import pymysql
import pytest

from tests.demo.mariadb_copy import copy_to_mariadb
from tests.servers import MariadbServer, own_mariadb
from tests.stages import small_project
from transhume import Project
from transhume.errors import CheckFailed, Refused, SystemUnavailable
from transhume.stages.context import Limits
from transhume.systems import open_freezer
from transhume.systems.mysql import freeze

WRITES = (
    "INSERT INTO place (id, name) VALUES (900, 'x')",
    "INSERT IGNORE INTO place (id, name) VALUES (900, 'x')",
    "REPLACE INTO place (id, name) VALUES (1, 'x')",
    "INSERT INTO place (id, name) VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = 'x'",
    "UPDATE IGNORE place SET name = 'x'",
    "DELETE IGNORE FROM plant WHERE id = 100",
    "UPDATE plant p JOIN place o ON o.id = p.place_id SET p.height_m = 3",
)
TRIGGERS = (
    "SELECT TRIGGER_NAME, ACTION_ORDER, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s"
)


class Source:
    """The small project's source as a MariaDB with a trigger of its application, and the application's account."""

    def __init__(self, server: MariadbServer, database: str, folder) -> None:
        self.server, self.database = server, database
        small_project.write(folder, "iceberg:./lake?namespace=ai")
        copy_to_mariadb(folder / "source.db", server, database, keyed=True)
        self.run(
            "CREATE TABLE written (name text)",
            "CREATE TRIGGER logged BEFORE INSERT ON place FOR EACH ROW INSERT INTO written VALUES (NEW.name)",
        )
        self.user = f"app_{database[-8:]}"
        server.run(
            f"CREATE USER {self.user}@localhost",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO {self.user}@localhost",
        )
        self.project = Project(folder)
        self.connect_as("root")
        plan = folder / "transhume.yaml"
        plan.write_text(plan.read_text() + "freeze: enforce\nignored_tables: [written]\n")

    def run(self, *statements: str) -> None:
        """Run statements as root."""
        self.server.run(*statements, database=self.database)

    def connect_as(self, user: str) -> None:
        """Have the project read as this user."""
        url = self.server.url(self.database, user)
        (self.project.folder / ".env").write_text(f"SOURCE_URL={url}\nTARGET_URL=iceberg:./lake?namespace=ai\n")

    def session(self, user: str = "root") -> pymysql.Connection:
        """Open a session, to be closed by the caller."""
        return pymysql.connect(unix_socket=str(self.server.socket), user=user, database=self.database)

    def triggers(self) -> set[tuple[object, ...]]:
        """Return all triggers of the database."""
        with closing(self.session()) as session, session.cursor() as cursor:
            cursor.execute(TRIGGERS, [self.database])
            return set(cursor.fetchall())

    def content(self) -> list[tuple[object, ...]]:
        """Return the rows of all tables."""
        with closing(self.session()) as session, session.cursor() as cursor:
            found = []
            for table in ("place", "plant", "written"):
                cursor.execute(f"SELECT * FROM {table}")
                found += cursor.fetchall()
        return found


@pytest.fixture
def source(mariadb_server, mariadb_database, tmp_path):
    """A MariaDB as the source of a project that freezes it; its account goes at the end."""
    made = Source(mariadb_server, mariadb_database, tmp_path / "p")
    yield made
    mariadb_server.run(f"DROP USER {made.user}@localhost")


def _refused(session: pymysql.Connection, statement: str) -> bool:
    with session.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.OperationalError as problem:
            return problem.args == (1644, freeze.TEXT)
        finally:
            session.rollback()
    return False


def _at(kind: str, do):
    waiting = [do]

    def listen(event) -> None:
        if event.kind == kind and waiting:
            waiting.pop()()

    return listen


def _run(source: Source, listener=None):
    return source.project.run(limits=Limits(segment_rows_max=small_project.SEGMENT_ROWS), listener=listener)


def test_enforce_keeps_everyone_from_writing_to_a_mariadb_and_leaves_nothing(source):
    """Root and the application, in sessions from before, can write in no way; other tables can be written to."""
    before, rows = source.triggers(), source.content()
    shown = source.project.freeze_statements()
    assert source.triggers() == before, "showing changes nothing"
    assert all("PRECEDES `logged`" in each for each in shown.freeze if "BEFORE INSERT" in each and ".`place`" in each)
    told, seen = [], []
    with closing(source.session()) as root, closing(source.session(source.user)) as application:

        def look() -> None:
            sessions = (root, application)
            seen.extend(_refused(session, statement) for session in sessions for statement in WRITES)
            assert not _refused(root, "INSERT INTO written VALUES ('elsewhere')")

        look_once = _at("batch_staged", look)

        def listen(event) -> None:
            told.append(event)
            look_once(event)

        result = _run(source, listen)
    assert seen == [True] * 2 * len(WRITES)
    assert result.source_changes[-1]["changed"] == {}
    planned = next(event for event in told if event.kind == "freeze_planned")
    assert planned.fields["statements"] == list(shown.freeze)
    assert source.triggers() == before
    assert source.content() == rows
    assert source.project.standing_freeze() is None
    source.run(*WRITES)


@pytest.mark.parametrize(
    "fault",
    [
        "freeze:after_statement:2",
        *(
            pytest.param(each, marks=pytest.mark.sweep)
            for each in (
                *(f"freeze:after_statement:{number}" for number in (1, 3, 4, 5, 6)),
                "freeze:after_commit:1",
                "before:source_frozen:1",
                "after:batch_staged:1",
                *(f"unfreeze:after_statement:{number}" for number in range(1, 7)),
                "before:source_unfrozen:1",
            )
        ),
    ],
)
def test_a_freeze_of_a_mariadb_outlives_a_kill_between_any_two_statements(source, fault):
    """`unfreeze` drops what stands and says so once; a run that goes on instead completes the freeze first."""
    before = source.triggers()
    killed = small_project.run(source.project.folder, f"{fault}:kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_through = fault.startswith("before:source_unfrozen")
    assert (source.project.standing_freeze() is None) == is_through
    name, _, number = fault.rpartition(":")
    stand = {"freeze:after_statement": int(number), "unfreeze:after_statement": 6 - int(number)}.get(name, 6)
    ours = [name for name, *_ in source.triggers() if str(name).startswith("transhume_freeze_")]
    assert len(ours) == (0 if is_through else stand)
    assert (source.project.unfreeze().record is None) == is_through
    assert source.triggers() == before
    assert source.project.unfreeze().record is None
    killed = small_project.run(source.project.folder, f"{fault}:kill")
    if killed.returncode == -signal.SIGKILL and not fault.startswith(("unfreeze", "before:source_unfrozen")):
        held = []
        with closing(source.session()) as root:
            look = _at("table_staged", lambda: held.extend(_refused(root, each) for each in WRITES))
            assert sum(table.loaded for table in _run(source, look).tables) > 0
        assert held == [True] * len(WRITES)
        assert source.triggers() == before


def test_a_writer_in_the_way_of_a_freeze_is_waited_for_and_nothing_is_left(source, monkeypatch):
    """The tables before it are free again; so is the record, and the run wrote nothing."""
    monkeypatch.setattr(freeze, "_WAIT_S", 1)
    before = source.triggers()
    with closing(source.session()) as writer:
        with writer.cursor() as cursor:
            cursor.execute("UPDATE plant SET height_m = 1 WHERE id = 100")
        with pytest.raises(SystemUnavailable, match="lock"):
            _run(source)
        assert source.triggers() == before
        assert source.project.standing_freeze() is None
        writer.rollback()


def test_a_source_that_cannot_be_given_back_at_the_end_is_told_and_stays_on_record(source, monkeypatch):
    """Somebody who reads a table in a transaction keeps its triggers; afterwards `unfreeze` drops them."""
    monkeypatch.setattr(freeze, "_WAIT_S", 1)
    before = source.triggers()
    with closing(source.session()) as reader:

        def read() -> None:
            with reader.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM plant")

        with pytest.raises(SystemUnavailable, match=r"run is through, but the source is frozen still.*unfreeze"):
            _run(source, _at("run_finished", read))
        assert source.triggers() > before
        reader.rollback()
    assert source.project.unfreeze().differing == ()
    assert source.triggers() == before


def test_a_truncate_goes_past_the_triggers_and_stops_the_publishing(source):
    """What triggers do not hold off is in the notes, and is found before anything is published."""
    assert "TRUNCATE" in source.project.freeze_statements().notes[0]
    with pytest.raises(CheckFailed, match="although it is frozen"):
        _run(source, _at("extract_finished", lambda: source.run("TRUNCATE TABLE plant")))
    assert source.project.standing_freeze() is None


def test_rows_that_follow_a_parent_outside_the_plan_are_named(source):
    """A cascade of a foreign key fires no trigger, so the freeze says whose rows it cannot keep still."""
    source.run(
        "CREATE TABLE region (id int PRIMARY KEY)",
        "ALTER TABLE place ADD region_id int, ADD FOREIGN KEY (region_id) REFERENCES region (id) ON DELETE CASCADE",
    )
    assert source.project.freeze_statements().notes[1:] == (
        "rows of 'place' follow those of 'region' by a foreign key, past every trigger",
    )


def test_without_the_right_to_make_triggers_the_statements_are_told(source):
    """Rights on one table, and by a pattern of names that the server passes over for an exact one, are too few."""
    source.connect_as(source.user)
    with pytest.raises(Refused, match=r"'place', 'plant'.*GRANT TRIGGER.*freeze: detect(?s:.*)CREATE TRIGGER"):
        _run(source)
    assert source.project.standing_freeze() is None
    source.run(f"GRANT TRIGGER ON place TO {source.user}@localhost")
    with pytest.raises(Refused, match=r"triggers on 'plant' of"):
        source.project.freeze_statements()
    pattern = source.database.replace("_", "\\_")[:-1]
    source.run(f"GRANT TRIGGER ON `{pattern}_`.* TO {source.user}@localhost")
    with pytest.raises(Refused, match=r"triggers on 'plant' of"):
        source.project.freeze_statements()
    source.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {source.user}@localhost")
    source.run(f"GRANT SELECT, TRIGGER ON `{pattern}_`.* TO {source.user}@localhost")
    assert len(source.project.freeze_statements().freeze) == 6
    assert sum(table.loaded for table in _run(source).tables) > 0


def test_a_trigger_that_others_drop_meanwhile_is_named(source):
    """What was there before and is not any more is told when the source is given back."""
    told = []

    def listen(event) -> None:
        if event.kind == "batch_staged":
            source.run("DROP TRIGGER IF EXISTS logged")
        told.append(event)

    _run(source, listen)
    given_back = next(event for event in told if event.kind == "source_unfrozen")
    assert given_back.fields["differing"] == ["was there, is not: trigger 'logged' BEFORE INSERT on place"]


@pytest.mark.sweep
def test_a_server_that_writes_a_binary_log_wants_more_and_says_what(tmp_path):
    """Without SUPER the freeze is refused with the two cures; with either of them it stands and goes."""
    with own_mariadb(f"--log-bin={tmp_path / 'log'}", "--server-id=1") as server:
        server.run(
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id int PRIMARY KEY)",
            "CREATE USER u@localhost",
            "GRANT SELECT, TRIGGER ON d.* TO u@localhost",
        )
        cures = ("SET GLOBAL log_bin_trust_function_creators = 1", "GRANT SUPER ON *.* TO u@localhost")
        for cure in cures:
            with closing(open_freezer(server.url("d", "u"), tmp_path)) as freezer:
                with pytest.raises(Refused, match=r"only SUPER makes triggers.*log_bin_trust_function_creators"):
                    freezer.plan(["t"])
                server.run(cure)
            with closing(open_freezer(server.url("d", "u"), tmp_path)) as freezer:
                freezing = freezer.plan(["t"])
                freezer.freeze(["t"], freezing)
                with pytest.raises(pymysql.OperationalError, match="keeps this table still"):
                    server.run("INSERT INTO d.t VALUES (1)")
                assert list(freezer.unfreeze(["t"], freezing)) == []
            server.run("SET GLOBAL log_bin_trust_function_creators = 0", "DELETE FROM d.t")
