"""Fingerprints of whole tables that may be compared between databases, as a backup and its original are."""

from collections.abc import Sequence

from psycopg import sql

from transhume.systems.postgres import fingerprint
from transhume.systems.postgres.connection import WatchedConnection

_FIRST_OF_USERS = 16384
"""Types from this number on are not of the server itself; another database gives them other numbers."""
_COLUMNS = """
SELECT a.attname::text, a.atttypid >= %s OR t.typname ~ '^_?reg'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def of_tables(connection: WatchedConnection, tables: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the fingerprints by `schema.table`, of the tables' own rows.

    The bytes of a row hold the numbers of its types, so a value of a type that users made, or that names an object
    of the database, counts as its text.
    """
    found = {}
    for place in tables:
        name = sql.Identifier(*place)
        columns = connection.execute(_COLUMNS, [_FIRST_OF_USERS, name.as_string(connection)]).fetchall()
        listed = sql.SQL(", ").join(
            sql.SQL("o.{0}::text AS {0}" if as_text else "o.{0}").format(sql.Identifier(column))
            for column, as_text in columns
        )
        relation = sql.SQL("(SELECT {} FROM ONLY {} AS o) AS t").format(listed, name)
        found[".".join(place)] = str(fingerprint.of_rows(connection, relation))
    return found
