"""What others do to a target between a run and its rollback, and what they see: without the driver under test."""

import hashlib
from pathlib import Path

import psycopg
from psycopg import sql

MODULUS = 2**128
PLACES_OF_OTHERS = (
    "CREATE TABLE ai.places (place_id uuid PRIMARY KEY, original_source_id bigint, name varchar(40) NOT NULL,"
    " note text DEFAULT 'by default', number bigserial)"
)


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements as somebody else and return the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as other:
        for statement in statements:
            cursor = other.execute(statement)
        return cursor.fetchall() if cursor.description else []


def rows(url: str, query: str) -> tuple[int, int]:
    """Return number and sum of hashes of the rows of a query, computed here from their texts."""
    with psycopg.connect(url) as reader:
        found = reader.execute(sql.SQL("SELECT r::text FROM ({}) r").format(sql.SQL(query))).fetchall()
    total = sum(int.from_bytes(hashlib.md5(row[0].encode()).digest()) for row in found)
    return len(found), total % MODULUS


def stages(url: str) -> list[str]:
    """Return the schemas of ours that hold staged rows."""
    found = execute(url, "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'transhume_stage_%' ORDER BY 1")
    return [str(row[0]) for row in found]


def kept(folder: Path) -> list[str]:
    """Return the lines of the newest run's list of rows that stayed."""
    path = max(folder.glob(".transhume/runs/*")) / "kept.csv"
    return path.read_text().splitlines()[1:]
