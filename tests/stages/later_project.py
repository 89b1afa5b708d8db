"""A project whose source goes on changing: three tables that refer to each other, and plain SQL that changes them."""

import sqlite3
import uuid
from pathlib import Path

PLAN = """\
transhume: 1
name: later
namespace: later
source: ${SOURCE_URL}
target: ${TARGET_URL}
tables:
  regions:
    from: region
    key: id
    create: true
    types: {region_id: uuid primary key, name: text(40) not null}
    columns: {region_id: {uuid: id}, original_source_id: id, name: name}
    on_conflict: MODE
  places:
    from: place
    key: id
    create: true
    types: {place_id: uuid primary key, region_id: uuid references regions}
    columns: {place_id: {uuid: id}, original_source_id: id, region_id: {ref: region_id, table: regions}, name: name}
    on_conflict: MODE
  plants:
    from: plant
    key: id
    create: true
    types: {plant_id: uuid primary key, place_id: uuid references places, parent_id: uuid references plants}
    columns:
      plant_id: {uuid: id}
      original_source_id: id
      place_id: {ref: place_id, table: places}
      parent_id: {ref: parent_id, table: plants, else: null}
      height_m: height_m
    on_conflict: MODE
"""
ROWS = {"regions": 20, "places": 30, "plants": 60}
ADDED, CHANGED, DELETED = 5, 4, 3
CHANGED_IDS = [1, 2, 3, 4]
VANISHED = {"regions": (17, 18, 19), "places": (27, 28, 29), "plants": (57, 58, 59)}
SOURCE_TABLES = {"regions": "region", "places": "place", "plants": "plant"}
CHANGES = """
INSERT INTO region SELECT 1000 + n, 'new region ' || n FROM (SELECT id AS n FROM region WHERE id < 5);
INSERT INTO place SELECT 1000 + n, CASE n WHEN 0 THEN 1000 ELSE n END, 'new place ' || n
    FROM (SELECT id AS n FROM place WHERE id < 5);
INSERT INTO plant SELECT 1000 + n, n, CASE n WHEN 4 THEN NULL ELSE 1001 + n END, 0.5
    FROM (SELECT id AS n FROM plant WHERE id < 5);
UPDATE region SET name = name || ' renamed' WHERE id BETWEEN 1 AND 4;
UPDATE place SET name = name || ' renamed' WHERE id BETWEEN 1 AND 4;
UPDATE plant SET height_m = -1.5, parent_id = CASE id WHEN 4 THEN 1004 ELSE parent_id END WHERE id BETWEEN 1 AND 4;
DELETE FROM region WHERE id BETWEEN 17 AND 19;
DELETE FROM place WHERE id BETWEEN 27 AND 29;
DELETE FROM plant WHERE id BETWEEN 57 AND 59;
"""
"""Five rows more, four changed, three fewer in each table; no row that stays refers to one that goes."""


def write(folder: Path, target_url: str, on_conflict: str) -> None:
    """Make the project with its source as it is at first."""
    folder.mkdir(parents=True)
    choose(folder, on_conflict)
    (folder / ".env").write_text(f"SOURCE_URL=sqlite:///source.db\nTARGET_URL={target_url}\n")
    change(
        folder,
        """
        CREATE TABLE region (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE place (id INTEGER PRIMARY KEY, region_id INTEGER, name TEXT);
        CREATE TABLE plant (id INTEGER PRIMARY KEY, place_id INTEGER, parent_id INTEGER, height_m REAL);
        WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 19)
            INSERT INTO region SELECT n, 'region ' || n FROM n;
        WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 29)
            INSERT INTO place SELECT n, n % 15, 'place ' || n FROM n;
        WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 59)
            INSERT INTO plant SELECT n, n % 25, CASE WHEN n % 4 = 0 THEN NULL ELSE n / 2 END, n / 7.0 FROM n;
        """,
    )


def choose(folder: Path, on_conflict: str) -> None:
    """Write the plan with this mode in every mapping."""
    (folder / "transhume.yaml").write_text(PLAN.replace("MODE", on_conflict))


def change(folder: Path, statements: str = CHANGES) -> None:
    """Change the source as its applications do."""
    with sqlite3.connect(folder / "source.db") as source:
        source.executescript(statements)
    source.close()


def key(mapping: str, number: int) -> uuid.UUID:
    """Return the UUID of a row by RULES 2, made with Python's own uuid5."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:later")
    return uuid.uuid5(namespace, f"{SOURCE_TABLES[mapping]}|{len(str(number))}:{number}")
