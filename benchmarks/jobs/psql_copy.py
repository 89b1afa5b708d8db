"""The limit: psql copies rows that somebody else has finished, in PostgreSQL's binary format, into the keyed table."""

from pathlib import Path

import psycopg
from psycopg import sql

from job import Figures, Ground, Job, require_rows
from jobs.transhume import SCHEMA
from legacy import BIG
from process_memory import run_measured


def export(connection: psycopg.Connection, folder: Path) -> None:
    """Write the published rows of the big table in COPY's binary format, and its definition without references."""
    folder.mkdir(parents=True)
    table = sql.Identifier(SCHEMA, BIG)
    rows = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(table)
    with (folder / "rows.copy").open("wb") as file, connection.cursor() as cursor, cursor.copy(rows) as copy:
        for block in copy:
            file.write(block)
    columns = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute AS a"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        (table.as_string(connection),),
    ).fetchall()
    key = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
        (table.as_string(connection),),
    ).fetchone()
    assert key is not None, f"'{BIG}' was published without a primary key"
    lines = [f'"{name}" {kind}{" NOT NULL" if not_null else ""}' for name, kind, not_null in columns]
    (folder / "table.sql").write_text(f'CREATE TABLE "{BIG}" ({", ".join([*lines, key[0]])});\n')


def run(ground: Ground) -> Figures:
    """Copy the finished rows into a table with the same columns and primary key."""
    server, finished = ground.postgres, Path(ground.prepared["finished"])
    with server.database("bench_copy") as connection:
        server.run_psql("bench_copy", (finished / "table.sql").read_text())
        server.settle()
        cpu_before = server.cpu_s()
        path = str(finished / "rows.copy").replace("'", "''")
        copy = f"\\copy \"{BIG}\" FROM '{path}' (FORMAT binary)"
        done = run_measured(server.command("psql", "bench_copy", "--no-psqlrc", "--quiet", f"--command={copy}"))
        server_cpu_s = server.cpu_s() - cpu_before
        found = connection.execute(f'SELECT count(*) FROM "{BIG}"').fetchone()
    assert found is not None
    require_rows("psql COPY", found[0], ground.legacy.models_loaded)
    return Figures(done.wall_s, done.cpu_s, server_cpu_s, done.peak_bytes, found[0])


def version() -> str:
    """The program comes with the server."""
    return "with the server"


JOBS = (
    Job(
        "limit", "sqlite-postgres", "limit: psql binary COPY of the finished rows",
        "writes one table with its primary key", "reads no source, no rule, no other table, compares nothing",
        version, run, ("200000", "1000000", "4000000"), {"4000000": 1},
    ),
    Job(
        "limit", "mariadb-postgres", "limit: psql binary COPY of the finished rows",
        "writes one table with its primary key", "reads no source, no rule, no other table, compares nothing",
        version, run, ("1000000",),
    ),
)  # fmt: skip
