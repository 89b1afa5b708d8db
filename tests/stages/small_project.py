"""A small project with everything that a run can meet: several segments, references, a cycle, rejects, filters."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog

from tests.stages import forked
from transhume import Project
from transhume.stages.context import Limits

PLAN = """\
transhume: 1
name: small
namespace: small
source: ${SOURCE_URL}
target: ${TARGET_URL}
defaults: {time_zone: Europe/Berlin, max_rejects: 50%}
lookups:
  kinds: {Tree: [tree, TREE], Bush: [bush]}
tables:
  places:
    from: place
    key: id
    create: true
    types: {place_id: uuid primary key, name: text(40) not null}
    columns: {place_id: {uuid: id}, original_source_id: id, name: name}
  plants:
    from: plant
    key: id
    where: gone = 0
    create: true
    types: {plant_id: uuid primary key, place_id: uuid references places, parent_id: uuid references plants}
    columns:
      plant_id: {uuid: id}
      original_source_id: id
      place_id: {ref: place_id, table: places}
      parent_id: {ref: parent_id, table: plants, else: null}
      kind: {names: kind, in: kinds}
      height_m: height_m
      seen_at: {utc: seen}
      picture_uri: {path: picture, like: "/pictures/{name}.{ext}", to: "s3://bucket/{name}.{ext}"}
    drop: [gone]
"""
SEGMENT_ROWS = 40
PLACES, PLANTS = 50, 130


def write(folder: Path, target_url: str) -> None:
    """Make the project with its source; rows 7, 17, 27 .. of plant are rejected, every 13th is filtered."""
    folder.mkdir(parents=True)
    (folder / "transhume.yaml").write_text(PLAN)
    (folder / ".env").write_text(f"SOURCE_URL=sqlite:///source.db\nTARGET_URL={target_url}\n")
    with sqlite3.connect(folder / "source.db") as source:
        source.execute("CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT)")
        source.execute(
            "CREATE TABLE plant (id INTEGER PRIMARY KEY, place_id INTEGER, parent_id INTEGER, kind TEXT,"
            " height_m REAL, seen DATETIME, picture TEXT, gone INTEGER)"
        )
        source.executemany("INSERT INTO place VALUES (?, ?)", [(n, f"place {n}") for n in range(PLACES)])
        source.executemany("INSERT INTO plant VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_plant(n) for n in range(PLANTS)])
    source.close()


def _plant(n: int) -> tuple[Any, ...]:
    kind = "weed" if n % 10 == 7 else ("tree", "Bush ", "TREE")[n % 3]
    parent = None if n % 4 == 0 else n // 2
    return (
        n,
        n % PLACES,
        parent,
        kind,
        n / 7,
        f"2024-01-{n % 28 + 1:02d} 10:00:00",
        f"/pictures/p{n}.png",
        n % 13 == 0,
    )


def expected_buckets() -> dict[str, dict[str, int]]:
    """Return loaded, rejected and filtered rows of each table, by the formulas that made them."""
    filtered = sum(n % 13 == 0 for n in range(PLANTS))
    rejected = sum(n % 13 != 0 and n % 10 == 7 for n in range(PLANTS))
    return {
        "places": {"loaded": PLACES, "rejected": 0, "filtered": 0},
        "plants": {"loaded": PLANTS - filtered - rejected, "rejected": rejected, "filtered": filtered},
    }


def start(folder: Path, fault: str = "", **more: object) -> forked.Started:
    """Start the migration in a process of its own, with small segments, and a fault planted at a point.

    `more`: further arguments of `Project.run`.
    """
    return forked.Started(migrate, (folder, more), {"TRANSHUME_FAULT": fault})


def run(folder: Path, fault: str = "", **more: object) -> subprocess.CompletedProcess[str]:
    """Run the migration in a process of its own and wait for its end."""
    return start(folder, fault, **more).ended()


def run_anew(folder: Path, fault: str = "") -> subprocess.CompletedProcess[str]:
    """Run the migration in a new interpreter with a new engine, as a person at a terminal does."""
    code = "import sys; from pathlib import Path; from tests.stages import small_project as small;"
    command = [sys.executable, "-c", f"{code} small.migrate(Path(sys.argv[1]))", str(folder)]
    environment = {**os.environ, "TRANSHUME_FAULT": fault, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


def migrate(folder: Path, more: Mapping[str, Any] | None = None) -> None:
    """Run the project and print its result as JSON."""
    result = Project(folder).run(limits=Limits(segment_rows_max=SEGMENT_ROWS), **(more or {}))
    sys.stdout.write(json.dumps(result.to_dict()))


def buckets(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, int]]:
    """Return loaded, rejected and filtered rows of each table as a finished run says them."""
    tables = json.loads(result.stdout)["tables"]
    return {table["mapping"]: {name: table[name] for name in ("loaded", "rejected", "filtered")} for table in tables}


def postgres_content(url: str, schema: str) -> dict[str, tuple[int, str]]:
    """Return rows and fingerprint of every table of a schema, as a reader of the server sees them."""
    found = {}
    with psycopg.connect(url) as reader:
        names = reader.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", [schema]).fetchall()
        for (name,) in names:
            query = sql.SQL("SELECT md5(record_send(t.*)) FROM {} t ORDER BY 1").format(sql.Identifier(schema, name))
            rows = [row[0] for row in reader.execute(query).fetchall()]
            found[name] = (len(rows), hashlib.sha256("".join(rows).encode()).hexdigest())
    return found


def catalog(folder: Path) -> SqlCatalog:
    """Return the lake's catalog as any other program opens it."""
    return SqlCatalog("default", uri=f"sqlite:///{folder / 'lake' / 'catalog.db'}", warehouse=str(folder / "lake"))


def lake_content(folder: Path, namespace: str) -> dict[str, tuple[int, str]]:
    """Return rows and fingerprint of every table of a namespace, as pyiceberg reads them from outside.

    The batch column is left out: it names the run.
    """
    lake = catalog(folder)
    found: dict[str, tuple[int, str]] = {}
    if not lake.namespace_exists(namespace):
        return found
    for identifier in lake.list_tables(namespace):
        rows = lake.load_table(identifier).scan().to_arrow().drop_columns(["migration_batch"])
        texts = sorted(repr(sorted(row.items())) for row in rows.to_pylist())
        found[identifier[-1]] = (len(texts), hashlib.sha256("\n".join(texts).encode()).hexdigest())
    return found


def source(folder: Path, statement: str, *values: object) -> None:
    """Change the source as its application does."""
    with sqlite3.connect(folder / "source.db") as opened:
        opened.execute(statement, values)
    opened.close()
