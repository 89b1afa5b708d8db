"""How long the server takes for a query, and which columns no index helps to find. Reads only."""

from collections.abc import Sequence
from typing import Any

from psycopg import errors, sql

from transhume.errors import SystemRefused
from transhume.systems.postgres import ddl
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.system import TimedQuery, Timing

_INDEXES = """
SELECT (SELECT array_agg(a.attname::text ORDER BY k.ordinality)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, ordinality)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num)
FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
"""
_TIMEOUT = "SET LOCAL statement_timeout = '60s'"


def timed(connection: WatchedConnection, schema: str, query: TimedQuery) -> Timing:
    """Return the execution time that EXPLAIN ANALYZE measures, the rows and the plan. Within the transaction."""
    connection.execute(_TIMEOUT)
    connection.execute(sql.SQL("SET LOCAL search_path = {}, pg_catalog").format(sql.Identifier(schema)))
    statement: sql.Composable
    values: list[Any] = []
    if query.sql:
        # The plan's own text: a reader's query in the target's dialect, in a transaction that cannot write.
        statement = sql.SQL(query.sql)
    else:
        place, column = ddl.qualified(schema, query.table), sql.Identifier(query.column)
        if query.by == "range":
            limits = sql.SQL("SELECT min({0}), min({0}) + (max({0}) - min({0})) / 10 FROM {1}").format(column, place)
            values = list(connection.execute(limits).fetchone() or ())
            statement = sql.SQL("SELECT * FROM {} WHERE {} BETWEEN %s AND %s").format(place, column)
        else:
            one = sql.SQL("SELECT {0} FROM {1} WHERE {0} IS NOT NULL LIMIT 1").format(column, place)
            values = list(connection.execute(one).fetchone() or (None,))
            statement = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(place, column)
    try:
        explained = connection.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + statement, values or None
        ).fetchone()
    except errors.Error as problem:
        said = problem.diag.message_primary or type(problem).__name__
        message = f"the timed query cannot be run by the target ({said}); correct it under performance:"
        raise SystemRefused(message) from None
    assert explained is not None
    (told,) = explained[0]
    return Timing(float(told["Execution Time"]), int(told["Plan"]["Actual Rows"]), _lines(told["Plan"], 0))


def unindexed(
    connection: WatchedConnection, schema: str, table: str, columns: Sequence[Sequence[str]]
) -> list[tuple[str, str]]:
    """Return the lists of columns that no index begins with, in any order, with the statement that makes one."""
    place = ddl.qualified(schema, table)
    found = connection.execute(_INDEXES, [place.as_string(connection)]).fetchall()
    heads = [names or [] for (names,) in found]
    missing = []
    for wanted in columns:
        if not any(set(head[: len(wanted)]) == set(wanted) for head in heads):
            statement = sql.SQL("CREATE INDEX ON {} ({})").format(place, ddl.names(wanted))
            missing.append((", ".join(wanted), statement.as_string(connection)))
    return missing


def _lines(node: dict[str, Any], depth: int) -> str:
    """Return a plan as indented lines: kind of node, index or table, rows. No value of the data is in it."""
    what = node.get("Index Name") or node.get("Relation Name") or ""
    head = f"{'  ' * depth}{node['Node Type']} {what}".rstrip() + f" ({node['Actual Rows']} rows)"
    return "\n".join([head, *(_lines(each, depth + 1) for each in node.get("Plans", ()))])
