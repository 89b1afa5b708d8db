"""pgloader copies all tables of a database unchanged, with their keys: https://pgloader.readthedocs.io ."""

import subprocess

from environments import require_program
from job import Figures, Ground, Job, require_rows
from process_memory import run_measured

_DEBIAN = "pgloader"


def version() -> str:
    """Install the Debian package where it is missing and return its version."""
    require_program("pgloader", _DEBIAN)
    asked = ["dpkg-query", "--show", "--showformat=${Version}", _DEBIAN]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout or "not from Debian"


def from_sqlite(ground: Ground) -> Figures:
    """Copy the SQLite file."""
    return _copy(ground, f"sqlite://{ground.legacy.path}", "public")


def from_mariadb(ground: Ground) -> Figures:
    """Copy the MariaDB database, which becomes a schema."""
    assert ground.mariadb is not None
    database = ground.prepared["mariadb"]
    return _copy(ground, ground.mariadb.url(database), database)


def _copy(ground: Ground, source: str, schema: str) -> Figures:
    server, load = ground.postgres, ground.folder / "copy.load"
    load.write_text(
        f"load database\n     from {source}\n"
        f"     into postgresql://postgres@unix:{server.socket_folder}:{server.port}/bench_pgloader\n"
        " with include drop, create tables, create indexes, reset sequences\n"
        "  set work_mem to '64MB', maintenance_work_mem to '256MB';\n"
    )
    with server.database("bench_pgloader") as connection:
        server.settle()
        cpu_before = server.cpu_s()
        done = run_measured(["pgloader", "--root-dir", str(ground.folder / "rejects"), str(load)])
        server_cpu_s = server.cpu_s() - cpu_before
        rows = 0
        for answer in ground.legacy.key.tables.values():
            found = connection.execute(f'SELECT count(*) FROM "{schema}"."{answer.source}"').fetchone()
            assert found is not None
            require_rows(f"pgloader, {answer.source}", found[0], answer.read)
            rows += found[0]
    return Figures(done.wall_s, done.cpu_s, server_cpu_s, done.peak_bytes, rows)


_DOES = "five tables as they are, with their keys; rows that PostgreSQL refuses go to a file"
_NOT = "no rule, no comparison; commits batch by batch, so readers see parts; no undo"

JOBS = (
    Job(
        "pgloader", "sqlite-postgres", "pgloader, raw", _DOES, _NOT, version, from_sqlite,
        ("200000", "1000000", "4000000"), {"4000000": 1},
    ),
    Job("pgloader", "mariadb-postgres", "pgloader, raw", _DOES, _NOT, version, from_mariadb, ("1000000",)),
)  # fmt: skip
