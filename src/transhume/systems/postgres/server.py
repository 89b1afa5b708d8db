"""A PostgreSQL server of our own, for a moment: a socket in a private folder, no network. Nothing of it stays."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import pq, sql

from transhume.errors import SystemUnavailable
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.tools import Tools, environment_of

_START_S = 60.0
_USER, _DATABASE = "postgres", "restored"
_SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=10",
    "autovacuum=off",
    "log_min_messages=panic",
)
_USERS = ("postgres", "pgserver", "nobody")
"""Who runs the server where we are root, whom PostgreSQL refuses to run as."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A running server with one empty database in UTF-8."""

    address: Address
    tools: Tools

    def restore(self, dump: Path, *options: str, whole: bool = True) -> None:
        """Restore a dump into the database without owners and rights.

        `whole`: the first error ends it; else what cannot be made is passed over.
        Raises: SystemUnavailable with the first error.
        """
        environment = environment_of(self.address.parameters)
        fixed = ["--no-owner", "--no-privileges", f"--dbname={_DATABASE}"]
        fixed += ["--exit-on-error"] if whole else []
        with nullcontext() if whole else suppress(SystemUnavailable):
            self.tools.run(
                "pg_restore",
                *fixed,
                *(["--exit-on-error"] if whole else []),
                *options,
                str(dump),
                environment=environment,
            )


@contextmanager
def scratch_server(tools: Tools) -> Iterator[Scratch]:
    """Start a server in the temporary folder and give it; it is stopped and removed at the end, and if we are killed.

    Raises: SystemUnavailable.
    """
    with _private_folder() as (folder, user):
        environment = {"HOME": str(folder), "TZ": "UTC"}
        given = ("--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C", "--no-sync")
        tools.run("initdb", "-D", str(folder / "data"), *given, environment=environment, user=user)
        with _running(tools, folder, user):
            yield _made_database(folder, tools)


@contextmanager
def started_copy(tools: Tools, cluster: Path, user_name: str, database: str) -> Iterator[Address]:
    """Start a server on a copy of a cluster's files and give the address of one of its databases.

    Its own settings, libraries and rules of access are left out; recovery is over when it is given.
    Raises: SystemUnavailable.
    """
    with _private_folder() as (folder, user):
        data = folder / "data"
        shutil.copytree(cluster, data, symlinks=True)
        (data / "postgresql.auto.conf").write_text("")
        (folder / "settings").write_text("")
        (folder / "access").write_text("local all all trust\n")
        for place in (data, *data.rglob("*"), folder / "settings", folder / "access"):
            if user is not None:
                os.chown(place, user, -1, follow_symlinks=False)
        data.chmod(0o700)
        settings = (f"config_file={folder / 'settings'}", f"hba_file={folder / 'access'}", "max_wal_size=1GB")
        with _running(tools, folder, user, *settings):
            parameters = {**_parameters(folder), "user": user_name, "dbname": database}
            yield Address("a copy of the cluster", "public", parameters)


@contextmanager
def _private_folder() -> Iterator[tuple[Path, int | None]]:
    folder = Path(tempfile.mkdtemp(prefix="transhume-pg-"))
    try:
        user = _server_user()
        if user is not None:
            os.chown(folder, user, -1)
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(tools: Tools, folder: Path, user: int | None, *more: str) -> Iterator[None]:
    """Run a server on `folder`/data until the end of the block; at its beginning it takes connections."""
    own = (*_SETTINGS, *more, "listen_addresses=", f"unix_socket_directories={folder}", "port=5432")
    settings = [f"-c{each}" for each in own]
    environment = {"HOME": str(folder), "TZ": "UTC"}
    process = tools.start("postgres", "-D", str(folder / "data"), *settings, environment=environment, user=user)
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(folder):
            if process.poll() is not None or time.monotonic() > deadline:
                message = "the scratch server for restoring the backup did not start; nothing was compared"
                raise SystemUnavailable(message)
            time.sleep(0.1)
        yield
    finally:
        _stop(process)


def _answers(folder: Path) -> bool:
    """Say whether a server takes connections; one that refuses this user answers too."""
    place = b"host=" + os.fsencode(folder)
    return pq.PGconn.ping(place) == pq.Ping.OK


def _parameters(folder: Path) -> dict[str, str]:
    return {"host": str(folder), "user": _USER, "dbname": _DATABASE, "client_encoding": "UTF8"}


def _made_database(folder: Path, tools: Tools) -> Scratch:
    parameters = _parameters(folder)
    with psycopg.connect(**{**parameters, "dbname": "postgres"}, autocommit=True) as first:  # type: ignore[arg-type]
        first.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(_DATABASE)))
    return Scratch(Address("a scratch server", "public", parameters), tools)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # Nothing of it is wanted any more: an immediate shutdown.
    process.send_signal(signal.SIGQUIT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _server_user() -> int | None:
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    message = f"PostgreSQL does not run as root, and none of the users {', '.join(_USERS)} is here; run as another user"
    raise SystemUnavailable(message)
