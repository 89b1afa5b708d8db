"""A MariaDB server of our own, for a moment: a socket in a private folder, no network. Nothing of it stays."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transhume.errors import SystemProblem, SystemUnavailable
from transhume.systems.mysql import tools
from transhume.systems.mysql.address import Address
from transhume.systems.mysql.connection import Connection

_START_S = 60.0
_DATABASE = "restored"
_NEW = ("--innodb-log-file-size=16M", "--innodb-flush-method=nosync")
"""Settings of a data folder that we make ourselves: small, and of no worth after a crash."""
_SETTINGS = (
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=64M",
    "--max-allowed-packet=1G",
    "--event-scheduler=OFF",
    "--innodb-flush-method=nosync",
)


@contextmanager
def restored(dump: Path) -> Iterator[Connection]:
    """Give a connection to a database into which a dump was restored. Raises: SystemUnavailable, DriverMissing."""
    tools.require("install", "server", "client")
    with _private_folder() as folder:
        options = ["--no-defaults", f"--datadir={folder / 'data'}", *_user()]
        tools.run("install", [*options, *_NEW, "--auth-root-authentication-method=normal", "--skip-test-db"])
        with _running(folder, folder / "data", *_NEW) as socket:
            # The dump says by itself in which character set each of its parts is.
            first = _connected(socket, "mysql")
            try:
                first.rows("SET SESSION TRANSACTION READ WRITE")
                first.rows(f"CREATE DATABASE {_DATABASE}")
            finally:
                first.close()
            reached = tools.reached(_address(socket, _DATABASE))
            with dump.open("rb") as file:
                tools.run("client", [*reached, "--max-allowed-packet=1G", "--binary-mode", _DATABASE], given=file)
            connection = _connected(socket, _DATABASE)
            try:
                yield connection
            finally:
                connection.close()


@contextmanager
def opened(data: Path, database: str) -> Iterator[Connection]:
    """Give a connection to a database of a copied data folder, which a server of our own runs on."""
    with _private_folder() as folder, _running(folder, data, "--skip-grant-tables") as socket:
        connection = _connected(socket, database)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def copied(data: Path) -> Iterator[Path]:
    """Give a copy of a data folder on which a server may run. Raises: SystemUnavailable where there is no room."""
    with _private_folder() as folder:
        try:
            shutil.copytree(data, folder / "data")
        except (OSError, shutil.Error):
            message = f"no room in '{folder.parent}' for a second copy of the data folder; set TMPDIR"
            raise SystemUnavailable(message) from None
        yield folder / "data"


@contextmanager
def _private_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="transhume-my-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path, data: Path, *more: str) -> Iterator[Path]:
    """Run a server on a data folder until the end of the block; at its beginning it takes connections."""
    socket = folder / "s"
    places = [f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder / 'pid'}", f"--tmpdir={folder}"]
    process = tools.start("server", ["--no-defaults", *places, *_user(), *_SETTINGS, *more])
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(socket):
            if process.poll() is not None or time.monotonic() > deadline:
                message = "the scratch server for restoring the backup did not start; nothing was compared"
                raise SystemUnavailable(message)
            time.sleep(0.1)
        yield socket
    finally:
        _stop(process)


def _answers(socket: Path) -> bool:
    try:
        _connected(socket, "mysql").close()
    except SystemProblem:
        return False
    return True


def _connected(socket: Path, database: str) -> Connection:
    return Connection(_address(socket, database))


def _address(socket: Path, database: str) -> Address:
    return Address("a scratch server", database, "root", socket=str(socket))


def _user() -> list[str]:
    # The server refuses to run as root unless it is told to.
    return ["--user=root"] if os.geteuid() == 0 else []


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # Nothing of it is wanted any more.
    process.kill()
    process.communicate()
