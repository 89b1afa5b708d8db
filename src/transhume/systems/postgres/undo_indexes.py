"""Indexes for the time of one undo, on columns that refer to rows which go; they are gone again before it is committed.

For each row that leaves a table the server asks every table that refers to it. Without an index on the referring
columns each answer is a scan, of rows too that have just been removed: 20,000 parents of a million rows are an hour.
"""

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from transhume.systems.postgres import ddl
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.undo_references import foreign_keys
from transhume.systems.postgres.undo_sets import UndoSet

_PAGES_READ_MAX = 100_000
"""Pages that may be read without an index, a second's work: rows that go times pages of the table that is asked."""
_ALLOWED = """
SELECT pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(c.relnamespace, 'CREATE')
       AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                       WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = ANY(%s)),
       pg_relation_size(c.oid) / current_setting('block_size')::bigint
FROM pg_class c WHERE c.oid = %s
"""


def make(connection: WatchedConnection, sets: Sequence[UndoSet], goes: Mapping[str, int]) -> list[sql.Identifier]:
    """Make an index where the server would read too much without; return their names.

    `sets` are tables that this transaction has locked; `goes` are rows by the set's name. Where the role may not make
    one, there is none. Must come before the first change: an index over rows changed here could not be used here.
    """
    made = []
    for place, columns, name in _wanted(connection, sets, goes):
        statement = sql.SQL("CREATE INDEX {} ON {} ({})").format(sql.Identifier(name), place, ddl.names(columns))
        connection.execute(statement)
        row = connection.execute(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::regclass",
            [place.as_string(connection)],
        ).fetchone()
        assert row is not None
        made.append(sql.Identifier(row[0], name))
    return made


def drop(connection: WatchedConnection, made: Sequence[sql.Identifier]) -> None:
    """Take the indexes away; whoever reads these tables is waited for, so it comes last."""
    for name in made:
        connection.execute(sql.SQL("DROP INDEX {}").format(name))


def _wanted(
    connection: WatchedConnection, sets: Sequence[UndoSet], goes: Mapping[str, int]
) -> Iterator[tuple[sql.Identifier, tuple[str, ...], str]]:
    by_oid = {each.oid: each for each in sets if each.oid is not None}
    seen = set()
    for key in foreign_keys(connection, list(by_oid)):
        if key.child not in by_oid or (key.child, key.columns) in seen:
            continue
        row = connection.execute(_ALLOWED, [list(key.columns), key.child]).fetchone()
        if row and row[0] and row[1] * goes[by_oid[key.parent].name] > _PAGES_READ_MAX:
            seen.add((key.child, key.columns))
            yield key.place, key.columns, f"transhume_undo_{len(seen):03d}"
