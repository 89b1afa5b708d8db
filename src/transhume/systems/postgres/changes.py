"""Whether rows of tables changed since a snapshot, by one pass over their row headers; no value is read.

A row that came or was changed since has the number of a transaction that the snapshot does not see; rows that are gone
are missing in the count. Where the server has begun no writing transaction since, nothing is read at all.
Source: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
"""

from collections.abc import Mapping, Sequence

from psycopg import sql

from transhume.schema import Table
from transhume.systems.postgres.connection import WatchedConnection

_NUMBERS = 2**32


def changed(
    connection: WatchedConnection, schema: str, mark: str, tables: Sequence[Table], row_counts: Mapping[str, int]
) -> dict[str, str]:
    """Return what is known of each table that changed since snapshot `mark`, as `pg_current_snapshot()` gave it."""
    now = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    if now == (mark,):
        return {}
    _, next_number, under_way = mark.split(":")
    known = [str(int(number) % _NUMBERS) for number in under_way.split(",") if number]
    parameters = {"next": str(int(next_number) % _NUMBERS), "under_way": known}
    found = {}
    for table in tables:
        place = sql.Identifier(schema, table.name)
        row = connection.execute(
            "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [place.as_string(connection)]
        ).fetchone()
        if row is None:
            found[table.name] = "the table is gone"
        elif row[0] not in {"r", "p"}:
            found[table.name] = ""
        else:
            only = sql.SQL("" if row[0] == "p" else "ONLY ")
            statement = sql.SQL(
                "SELECT count(*), count(*) FILTER (WHERE age(t.xmin) <= age(%(next)s::xid)"
                " OR t.xmin::text = ANY(%(under_way)s)) FROM {}{} AS t"
            ).format(only, place)
            if told := _told(connection, statement, parameters, row_counts[table.name]):
                found[table.name] = told
    return found


def _told(
    connection: WatchedConnection, statement: sql.Composed, parameters: Mapping[str, object], rows_then: int
) -> str:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    rows_now, written = row
    gone = rows_then - (rows_now - written)
    return f"{written} rows came or were changed, {gone} are gone or were changed" if written or gone else ""
