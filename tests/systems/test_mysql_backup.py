"""Copies of a MariaDB source: every value comes back; a copy that bends one or mixes instants is not verified."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MariadbServer
from transhume.errors import DriverMissing
from transhume.systems.backup import BackupPart
from transhume.systems.mysql import backup, exact_rows, tools
from transhume.systems.mysql.backup import open_backup

CANARY = "canary-81d0a3"
MADE = (
    (
        "CREATE TABLE a (id int PRIMARY KEY, f float, d double(20,2), g point, e enum('x','y'), b blob,"
        " s varchar(9) CHARACTER SET sjis, j json, day date, u bigint unsigned, bits bit(9), t text,"
        " twice int AS (id * 2) STORED, at timestamp(6) NULL)"
    ),
    (
        "INSERT INTO a (id, f, d, g, e, b, s, j, day, u, bits, t, at) VALUES (0, 0.123456789, 12345678901234.56,"
        " POINT(1, 0.1), 'zz', x'00FF', _sjis x'835C', '[1.10]', '2024-00-10', 18446744073709551615, b'101',"
        " 'it''s\\n', '2024-03-10 07:30:00.000001'),"
        " (7, 16777217, -0.01, NULL, 'y', '', '', NULL, '0000-00-00', 0, NULL, x'EDA080', NULL)"
    ),
    "CREATE TABLE log (x int)",
    "CREATE TRIGGER fires AFTER INSERT ON a FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
    "CREATE TABLE child (k int, x double, FOREIGN KEY (k) REFERENCES a (id))",
    "INSERT INTO child VALUES (7, 0.1e0 + 0.2e0), (NULL, 1e300)",
    "CREATE FUNCTION four() RETURNS int RETURN 4",
    "CREATE VIEW seen AS SELECT four() + id AS n FROM a",
    "CREATE TABLE `empty ``one` (`q``q` int)",
)
ASKED = (
    (
        "SELECT id, f + 0e0, d + 0e0, ST_AsText(g), e + 0, HEX(b), HEX(s), j, CAST(day AS CHAR), u, bits + 0, twice,"
        " HEX(t), CAST(at AS CHAR) FROM a ORDER BY id"
    ),
    "SELECT k, x FROM child ORDER BY x",
    "SELECT * FROM log",
    "SELECT n FROM seen ORDER BY n",
    "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
)


@pytest.fixture
def database(mariadb_server: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of nasty values. The whole server is not copied: others make and drop databases on it."""
    if shutil.which("mariadb-dump") is None:
        pytest.skip("no mariadb-dump on this machine: apt-get install mariadb-client")
    mariadb_server.run(*MADE, database=mariadb_database)
    found = tools.find
    monkeypatch.setattr(tools, "find", lambda role: None if role == "backup" else found(role))
    return mariadb_database


def _parts(url: str, folder: Path) -> dict[str, BackupPart]:
    folder.mkdir()
    return {part.kind: part for part in open_backup(url, folder).parts(folder)}


def _answers(server: MariadbServer, database: str) -> Iterator[str]:
    for query in ASKED:
        command = ["mariadb", "--no-defaults", f"--socket={server.socket}", "-uroot", "-B", "-e", query, database]
        yield subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_dump_makes_every_value_again(mariadb_server: MariadbServer, database: str, tmp_path: Path):
    """Floats, shapes, refused members of an enum, triggers that must not fire: all as it was, by the client alone."""
    parts = _parts(mariadb_server.url(database), tmp_path / "copies")
    assert (parts["logical"].state, parts["physical"].state) == ("verified", "not_made")
    assert "mariadb-backup" in parts["physical"].reason
    assert "4 tables have the fingerprints" in parts["logical"].reason
    with mariadb_server.database() as made:
        command = ["mariadb", "--no-defaults", f"--socket={mariadb_server.socket}", "-uroot", "--binary-mode", made]
        with (tmp_path / "copies" / "source.sql").open("rb") as dump:
            subprocess.run(command, check=True, stdin=dump)
        assert list(_answers(mariadb_server, made)) == list(_answers(mariadb_server, database))


def test_the_servers_own_dump_bends_floats_and_is_not_called_verified(
    mariadb_server: MariadbServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """16777216 is 16777200 in it. Only the comparison after restoring tells."""
    monkeypatch.setattr(exact_rows, "tables_with_floats", lambda _: [])
    part = _parts(mariadb_server.url(database), tmp_path / "copies")["logical"]
    assert part.state == "failed"
    assert "1 of 4 tables differ from the original: 'a'" in part.reason


def test_a_dump_during_which_others_write_is_not_called_verified(
    mariadb_server: MariadbServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No second session has the snapshot of the first: what was compared may be of another instant."""
    dumped = backup.MysqlBackup._dumped

    def disturbed(self: backup.MysqlBackup, dump: Path) -> str:
        way = dumped(self, dump)
        mariadb_server.run("INSERT INTO log VALUES (1)", database=database)
        return way

    monkeypatch.setattr(backup.MysqlBackup, "_dumped", disturbed)
    part = _parts(mariadb_server.url(database), tmp_path / "copies")["logical"]
    assert part.state == "failed"
    assert "others wrote while it was made, 3 times: 'log'" in part.reason


def test_no_password_stands_on_a_command_line_and_a_reader_gets_what_it_may_see(
    mariadb_server: MariadbServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It goes by the environment; a user with SELECT alone gets tables and rows, and is told what is missing."""
    user = f"u{database[-12:]}"
    mariadb_server.run(
        f"CREATE USER {user}@localhost IDENTIFIED BY '{CANARY}'",
        f"GRANT SELECT, SHOW VIEW ON {database}.* TO {user}@localhost",
    )
    started: list[list[str]] = []
    start = tools.start
    monkeypatch.setattr(
        tools,
        "start",
        lambda role, options, **more: (started.append([role, *options]), start(role, options, **more))[1],
    )
    try:
        url = mariadb_server.url(database, user=f"{user}:{CANARY}")
        part = _parts(url, tmp_path / "copies")["logical"]
    finally:
        mariadb_server.run(f"DROP USER {user}@localhost")
    assert part.state == "verified", part.reason
    assert "of its tables alone" in part.way
    assert {command[0] for command in started} == {"dump", "install", "server", "client"}
    assert not [command for command in started if any(CANARY in word for word in command)]
    assert CANARY not in (tmp_path / "copies" / "source.sql").read_text(errors="replace")


def test_programs_that_are_missing_are_named(
    mariadb_server: MariadbServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """All of them, with where to get them, before anything is copied."""
    monkeypatch.setattr(tools, "find", lambda _: None)
    with pytest.raises(DriverMissing, match="needs mariadb-dump, mariadb, mariadbd, mariadb-install-db"):
        _parts(mariadb_server.url(database), tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.sweep
def test_a_copy_of_the_whole_server_is_prepared_and_started(
    mariadb_server: MariadbServer, mariadb_database: str, tmp_path: Path
):
    """A server of our own runs on a copy of it, and its tables have the fingerprints of the original."""
    if shutil.which("mariadb-backup") is None:
        pytest.skip("no mariadb-backup on this machine: apt-get install mariadb-backup")
    mariadb_server.run(*MADE, database=mariadb_database)
    part = _parts(mariadb_server.url(mariadb_database), tmp_path / "copies")["physical"]
    assert (part.state, part.way) == ("verified", "mariadb-backup of the whole server")
    assert part.size_bytes > 0
