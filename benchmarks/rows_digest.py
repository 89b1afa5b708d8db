"""Whether two tables hold the same rows: their number and a sum over a hash of each row's text, whatever the order."""

import psycopg
from psycopg import sql

_PRIME = 9223372036854775783


def rows_digest(connection: psycopg.Connection, table: str, schema: str = "public") -> tuple[int, int]:
    """Return row count and digest of a table; equal for tables of equal rows with columns in equal order."""
    statement = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) % {} FROM {} t")
    found = connection.execute(statement.format(sql.Literal(_PRIME), sql.Identifier(schema, table))).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])
