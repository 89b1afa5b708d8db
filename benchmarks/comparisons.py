"""Which jobs run beside one another, how often, and what has to stand before the first of them."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from environments import FOLDER
from job import WHOLE, Ground
from jobs import psql_copy, table_comparison
from jobs.transhume import SCHEMA, migrate
from legacy import BIG, legacy
from mariadb_server import running_mariadb
from rows_digest import rows_digest
from transhume.demo.project import read_project_file

_LARGE = "1000000"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Jobs of one task. `base` is the job whose time is 1 in the report; `rounds` are by size.

    `prepare` gives the ground with what its jobs need, for one size; nothing of it is measured.
    """

    name: str
    title: str
    base: str
    rounds: Mapping[str, int]
    prepare: Callable[[Ground], AbstractContextManager[Ground]]


@contextmanager
def _with_finished_rows(ground: Ground) -> Iterator[Ground]:
    finished, digest = _finished(ground)
    yield replace(ground, prepared={"finished": str(finished), "digest": digest, "shape": _shape(ground)})


@contextmanager
def _with_mariadb(ground: Ground) -> Iterator[Ground]:
    finished, _ = _finished(ground)
    with running_mariadb(ground.folder / "mariadb") as server:
        _say("filling MariaDB")
        server.fill("legacy", ground.legacy.path, ground.folder / "tsv")
        yield replace(ground, mariadb=server, prepared={"mariadb": "legacy", "finished": str(finished)})


@contextmanager
def _with_two_tables(ground: Ground) -> Iterator[Ground]:
    with ground.postgres.database(table_comparison.DATABASE):
        _say("making the two tables")
        project = table_comparison.prepare(ground, ground.folder / "compared")
        yield replace(ground, prepared={"compared": str(project)})


def _finished(ground: Ground) -> tuple[Path, str]:
    """Return the folder with the finished rows of this size, and their digest; made once for a plan and kept."""
    plan = hashlib.sha256(read_project_file("transhume.yaml").encode()).hexdigest()[:12]
    folder = FOLDER / "finished" / f"{ground.size}-{plan}"
    note = folder / "digest"
    if not note.exists():
        _say("finishing the rows that the limit copies")
        shutil.rmtree(folder, ignore_errors=True)
        with ground.postgres.database("bench_finished") as connection:
            target = ground.postgres.url("bench_finished", SCHEMA)
            migrate(ground.folder / "finishing", f"sqlite:///{ground.legacy.path}", target)
            psql_copy.export(connection, folder)
            note.write_text(str(rows_digest(connection, BIG, SCHEMA)[1]))
    return folder, note.read_text()


def _shape(ground: Ground) -> str:
    """Return the SQL that makes the plan's tables as a run makes them, with keys and references, and no row."""
    server, small = ground.postgres, legacy(FOLDER / "data", "2000")
    with server.database("bench_shape"):
        migrate(ground.folder / "shape", f"sqlite:///{small.path}", server.url("bench_shape", SCHEMA))
        dump = server.command("pg_dump", "bench_shape", "--schema-only", "--no-owner", f"--schema={SCHEMA}")
        return subprocess.run(dump, capture_output=True, text=True, check=True).stdout


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


COMPARISONS = (
    Comparison(
        "sqlite-postgres", "SQLite to PostgreSQL", "limit", {"200000": 3, _LARGE: 3, "4000000": 1}, _with_finished_rows
    ),
    Comparison("mariadb-postgres", "MariaDB to PostgreSQL", "limit", {_LARGE: 3}, _with_mariadb),
    Comparison("sqlite-lake", "SQLite to a lake", "limit", {"200000": 3, _LARGE: 3}, nullcontext),
    Comparison("two-tables", "Two PostgreSQL tables compared", "reladiff", {_LARGE: 3}, _with_two_tables),
    Comparison("whole", "All five tables large, SQLite to PostgreSQL", "transhume", {WHOLE: 1}, nullcontext),
)
"""In the order in which they run."""
