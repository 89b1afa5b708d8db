"""The whole job of transhume: from SQLite or MariaDB, into tables it makes, tables with rows of others, or a lake."""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql
from pyiceberg.catalog import load_catalog

from job import WHOLE, Figures, Ground, Job, require_rows
from legacy import BIG
from others import OTHERS, make_tables_with_others
from postgres_server import Server
from process_memory import CommandFailed, Finished, run_measured
from transhume.demo import write_project
from transhume.journal import read_journal
from transhume.version import __version__

SCHEMA = "ai"
_UNDO_ONLY = re.compile(r"unnest\(ARRAY\[md5\(record_send\(t\.\*\)\)\]\)|before_fingerprint|\"before_\d+\"")
"""Statements of a run that only an undo needs: what was there before, and images of rows that are changed."""
_ROLLBACK_MAX_S = 90.0
_DURATION = re.compile(r"duration: ([\d.]+) ms")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the command on a project: what it measured, and the project, for what is asked of it afterwards."""

    project: Path
    environment: Mapping[str, str]
    done: Finished
    parts: dict[str, float]

    def command(self, *arguments: str, limit_s: float = 1800) -> Finished:
        """Run another command of transhume on the same project, measured. Raises: CommandFailed."""
        return run_measured(_command(self.project, *arguments), dict(self.environment), limit_s=limit_s)


def migrate(folder: Path, source: str, target: str) -> Run:
    """Run the demo's migration in a fresh project. Raises: CommandFailed."""
    shutil.rmtree(folder, ignore_errors=True)
    write_project(folder)
    plan = folder / "transhume.yaml"
    # What is compared is the migration; the peers make no backup.
    plan.write_text(plan.read_text().replace("backup: required", "backup: warn"))
    environment = {**os.environ, "LEGACY_URL": source, "PLATFORM_URL": target}
    done = run_measured(_command(folder, "run"), environment)
    (journal,) = folder.glob(".transhume/runs/*/journal.jsonl")
    return Run(folder, environment, done, _parts(journal, done))


def _command(project: Path, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("transhume")), "--project", str(project), "--json", *arguments]


def _parts(journal: Path, done: Finished) -> dict[str, float]:
    """Return seconds by part. `load`: keys, transform, stage, compare and publish, which overlap; `extract` before.

    `rest` is what no stage has: starting, looking at both systems, closing.

    `comparison` is that of what readers see of the big table with what was staged, on its own; `read_back` is summed
    over the big table's batches, which are compared beside the load.
    """
    stages: Mapping[str, float] = json.loads(done.output)["stages_s"]
    events = [entry.event for entry in read_journal(journal) if entry.event.fields.get("mapping") == BIG]
    parts = {
        "extract": stages["extract"],
        "load": stages["load"] + stages["validate"] + stages["publish"],
        "read_back": sum(event.fields["compare_s"] for event in events if event.kind == "batch_compared"),
    }
    parts["verify"], parts["rest"] = stages["verify"], done.wall_s - sum(stages.values())
    parts["comparison"] = sum(event.fields["duration_s"] for event in events if event.kind == "table_verified")
    return parts


def count_rows(connection: psycopg.Connection, ground: Ground, present: int = 0) -> int:
    """Return the rows of all five tables less those of others; held against the answer key table by table."""
    total = 0
    for answer in ground.legacy.key.tables.values():
        table = sql.Identifier(SCHEMA, answer.mapping)
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        assert found is not None
        others = OTHERS.get(answer.mapping, 0) if present else 0
        require_rows(f"transhume, {answer.mapping}", found[0] - others, answer.loaded)
        total += found[0] - others
    return total


def _sqlite(ground: Ground) -> str:
    return f"sqlite:///{ground.legacy.path}"


def into_new_tables(ground: Ground) -> Figures:
    """Migrate into an empty database, then take the run back."""
    return _into_postgres(ground, _sqlite(ground), present=False)


def into_tables_with_others(ground: Ground) -> Figures:
    """Migrate into tables that stand, with keys, references and rows of others, then take the run back."""
    return _into_postgres(ground, _sqlite(ground), present=True)


def from_mariadb(ground: Ground) -> Figures:
    """Migrate the same tables out of a MariaDB into an empty database."""
    assert ground.mariadb is not None
    return _into_postgres(ground, ground.mariadb.url(ground.prepared["mariadb"]), present=False)


def _into_postgres(ground: Ground, source: str, *, present: bool) -> Figures:
    server = ground.postgres
    with server.database("bench_transhume") as connection:
        if present:
            make_tables_with_others(server, "bench_transhume", ground)
        server.settle()
        cpu_before, logged = server.cpu_s(), server.log.stat().st_size
        run = migrate(ground.folder / "project", source, server.url("bench_transhume", SCHEMA))
        server_cpu_s = server.cpu_s() - cpu_before
        run.parts["undo_records"] = undo_statements_s(server, logged)
        rows = count_rows(connection, ground, present)
        if _is_undone(run):
            _require_gone(connection, present=present)
    return Figures(run.done.wall_s, run.done.cpu_s, server_cpu_s, run.done.peak_bytes, rows, run.parts)


def undo_statements_s(server: Server, logged: int) -> float:
    """Return how long the server took for statements that only an undo needs, by its log from this place on."""
    with server.log.open("rb") as log:
        log.seek(logged)
        lines = log.read().decode(errors="replace").splitlines()
    found = (_DURATION.search(line) for line in lines if _UNDO_ONLY.search(line))
    return sum(float(match[1]) for match in found if match) / 1000


def _is_undone(run: Run) -> bool:
    """Take the run back and enter how long it took; one that takes longer than waiting is worth is cut off."""
    started = monotonic()
    try:
        run.command("rollback", "--yes", limit_s=_ROLLBACK_MAX_S)
    except CommandFailed:
        if monotonic() - started < _ROLLBACK_MAX_S:
            raise
        run.parts["rollback_cut_off"] = _ROLLBACK_MAX_S
        return False
    run.parts["rollback"] = monotonic() - started
    return True


def _require_gone(connection: psycopg.Connection, *, present: bool) -> None:
    """Stop unless the rollback left exactly what was there: rows of others, or no table."""
    table = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{BIG}"]).fetchone()
    assert table is not None
    if not present:
        require_rows("rollback, tables of the run", int(table[0] is not None), 0)
        return
    found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(SCHEMA, BIG))).fetchone()
    assert found is not None
    require_rows("rollback, rows of others", found[0], OTHERS[BIG])


def into_lake(ground: Ground) -> Figures:
    """Migrate into an Iceberg lake that does not exist yet."""
    lake = ground.folder / "lake"
    run = migrate(ground.folder / "project", _sqlite(ground), f"iceberg:{lake}?namespace={SCHEMA}")
    return Figures(run.done.wall_s, run.done.cpu_s, 0, run.done.peak_bytes, _lake_rows(ground, lake), run.parts)


def _lake_rows(ground: Ground, lake: Path) -> int:
    catalog: Any = load_catalog(
        "default", type="sql", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=f"file://{lake}"
    )
    total = 0
    for answer in ground.legacy.key.tables.values():
        tasks = catalog.load_table((SCHEMA, answer.mapping)).scan().plan_files()
        rows = sum(task.file.record_count for task in tasks)
        require_rows(f"transhume, {answer.mapping} in the lake", rows, answer.loaded)
        total += rows
    return total


_DOES = "one instant, all rules and lookups, rejects kept, every value read back and compared, checks, atomic, undoable"
_NOTHING = "-"
_ALL = ("200000", "1000000", "4000000")

JOBS = (
    Job(
        "transhume", "sqlite-postgres", "transhume, tables that it makes",
        f"five tables; {_DOES}; primary and foreign keys", _NOTHING, lambda: __version__, into_new_tables, _ALL,
        {"4000000": 1},
    ),
    Job(
        "transhume-present", "sqlite-postgres", "transhume, keys and 100,000 rows of others in place",
        f"the same into tables that stand; {_DOES}", _NOTHING, lambda: __version__, into_tables_with_others,
        ("1000000",),
    ),
    Job(
        "transhume", "whole", "transhume, five tables of 8 M rows", f"{_DOES}; primary and foreign keys", _NOTHING,
        lambda: __version__, into_new_tables, (WHOLE,),
    ),
    Job(
        "transhume", "sqlite-lake", "transhume, Iceberg", f"five tables; {_DOES}", _NOTHING, lambda: __version__,
        into_lake, ("200000", "1000000"),
    ),
    Job(
        "transhume", "mariadb-postgres", "transhume, tables that it makes",
        f"five tables; {_DOES}; primary and foreign keys", _NOTHING, lambda: __version__, from_mariadb, ("1000000",),
    ),
)  # fmt: skip
