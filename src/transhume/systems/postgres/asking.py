"""A query of the plan, in the server's own SQL, asked within a transaction that cannot write."""

import psycopg
from psycopg import sql

from transhume.errors import SystemRefused
from transhume.facts import Answer, cell
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.faults import data_fault, speaks_of_values
from transhume.systems.system import ROWS_ASKED


def asked(connection: WatchedConnection, schema: str, query: str, *, counts: bool) -> Answer:
    """Return the first rows of a SELECT, and with `counts` their number. Names without a schema are of `schema`.

    A savepoint keeps the transaction usable where the server refuses.
    Raises: SystemRefused, in the server's words where these cannot hold a value.
    """
    connection.execute("SAVEPOINT asked")
    connection.execute(sql.SQL("SET LOCAL search_path = {}, pg_catalog").format(sql.Identifier(schema)))
    found = f"FROM (\n{query.rstrip().rstrip(';')}\n) AS found"
    try:
        # The plan's own text; a statement that is prepared is one statement, whatever the text holds.
        count = _fetched(connection, f"SELECT count(*) {found}") if counts else None
        rows = _fetched(connection, f"SELECT * {found} LIMIT {ROWS_ASKED}")
    except psycopg.OperationalError as problem:
        if problem.sqlstate is None:
            raise
        raise _refused(connection, problem) from None
    except psycopg.Error as problem:
        raise _refused(connection, problem) from None
    # The search path goes back to what it was, too.
    connection.execute("ROLLBACK TO SAVEPOINT asked")
    return Answer(int(str(count[0][0])) if count else None, tuple(tuple(map(cell, row)) for row in rows))


def _fetched(connection: WatchedConnection, statement: str) -> list[tuple[object, ...]]:
    return connection.execute(statement.encode(), prepare=True).fetchall()


def _refused(connection: WatchedConnection, problem: psycopg.Error) -> SystemRefused:
    said = problem.diag.message_primary or type(problem).__name__
    if speaks_of_values(problem):
        said = data_fault(problem)
    connection.execute("ROLLBACK TO SAVEPOINT asked")
    return SystemRefused(said)
