"""A MariaDB of the benchmark's own, from the machine's packages, filled with the rows of a SQLite file."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from environments import Unavailable, require_program
from postgres_server import free_port

USER, PASSWORD = "bench", "bench"
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--innodb-buffer-pool-size=256M",
    "--max-allowed-packet=64M",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    "--secure-file-priv=",
)
_TYPES = {"FLOAT": "DOUBLE", "DATETIME": "DATETIME(6)", "INT": "BIGINT", "INTEGER": "BIGINT"}
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class MariadbServer:
    """The running server: a socket for the benchmark, a port on loopback for the jobs."""

    port: int
    socket: Path
    version: str

    def url(self, database: str, scheme: str = "mysql") -> str:
        """Return the URL of one database."""
        return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> Any:
        """Return a connection as root."""
        return pymysql.connect(unix_socket=str(self.socket), user="root", database=database, autocommit=True)

    def fill(self, database: str, legacy: Path, folder: Path) -> None:
        """Make a database with all tables of a SQLite file, in the types and with the keys that it declares."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        with closing(sqlite3.connect(f"file:{legacy}?mode=ro", uri=True)) as source, closing(self.connect()) as target:
            cursor = target.cursor()
            cursor.execute(f"CREATE DATABASE `{database}`")
            cursor.execute(f"USE `{database}`")
            tables = source.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
            for (table,) in tables:
                found = source.execute(f'PRAGMA table_info("{table}")').fetchall()
                parts = [f"`{name}` {_TYPES.get(declared, declared)}" for _, name, declared, *_ in found]
                parts += [f"PRIMARY KEY (`{name}`)" for _, name, _, _, _, place in found if place]
                cursor.execute(f"CREATE TABLE `{table}` ({', '.join(parts)})")
                path = folder / f"{table}.tsv"
                with path.open("w", encoding="utf-8", newline="\n") as file:
                    for row in source.execute(f'SELECT * FROM "{table}" ORDER BY rowid'):
                        file.write("\t".join(_field(value) for value in row) + "\n")
                cursor.execute(f"LOAD DATA INFILE '{path}' INTO TABLE `{table}` CHARACTER SET utf8mb4")
                path.unlink()
                cursor.execute(f"ANALYZE TABLE `{table}`")
            _settle(cursor)


def _settle(cursor: Any, patience_s: float = 120.0) -> None:
    """Have the server write out all that was filled in, so that the first job does not pay for it."""
    deadline = time.monotonic() + patience_s
    cursor.execute("SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, GLOBAL innodb_max_dirty_pages_pct = 0")
    while cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'") and cursor.fetchone()[1] != "0":
        if time.monotonic() > deadline:
            message = f"MariaDB still writes out what was filled in, {patience_s:.0f} s later"
            raise Unavailable(message)
        time.sleep(0.1)
    cursor.execute("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT")
    cursor.execute("SET GLOBAL innodb_max_dirty_pages_pct_lwm = DEFAULT")


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    return value.translate(_ESCAPED) if isinstance(value, str) else repr(value)


@contextmanager
def running_mariadb(folder: Path) -> Iterator[MariadbServer]:
    """Start a server in this folder and stop it at the end, by its process id. Raises: Unavailable."""
    require_program("mariadbd", "mariadb-server-core", path=_PATH)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    plain = [f"--datadir={folder / 'data'}", *(["--user=root"] if os.geteuid() == 0 else [])]
    environment = {**os.environ, "PATH": _PATH}
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *plain, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip
    port, socket = free_port(), folder / "s"
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", *plain, f"--socket={socket}", f"--port={port}", *_SETTINGS],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        version = _wait(process, MariadbServer(port, socket, ""))
        yield MariadbServer(port, socket, version)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


def _wait(process: subprocess.Popen[bytes], server: MariadbServer, patience_s: float = 60.0) -> str:
    """Wait until the server answers, make the user of the jobs, and return the server's version."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with closing(server.connect()) as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
                cursor.execute(f"GRANT ALL ON *.* TO '{USER}'@'%'")
                cursor.execute("SELECT version()")
                return str(cursor.fetchone()[0]).split("-")[0]
        except pymysql.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                message = "MariaDB did not start"
                raise Unavailable(message) from None
            time.sleep(0.1)
