"""A SQLite database as SQL statements that make it again, value by value. Reads only; the file is the caller's.

Python's own `iterdump` ends a text at its first NUL, stops at bytes that are no UTF-8 and names generated columns.
"""

import math
import sqlite3
from collections.abc import Iterator

from transhume.systems.sqlite.fingerprint import Text, columns, quoted, rows, tables

_PRAGMAS = ("user_version", "application_id")


def statements(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the statements of a dump: tables, their rows, then indexes, views and triggers.

    Virtual tables and what they keep in shadow tables are left out. A REAL is written so that it reads back as the
    same bits, a text with bytes that no literal holds as a blob that is cast.
    """
    encoding = connection.execute("PRAGMA encoding").fetchone()[0]
    yield f"PRAGMA encoding = '{encoding}';"
    yield "PRAGMA foreign_keys = OFF;"
    yield "BEGIN;"
    made = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall())
    names = tables(connection)
    for name in names:
        yield f"{made[name]};"
    for name in names:
        listed = ", ".join(map(quoted, columns(connection, name)))
        for row in rows(connection, name):
            values = ", ".join(_literal(value, encoding) for value in row)
            yield f"INSERT INTO {quoted(name)} ({listed}) VALUES ({values});"  # noqa: S608 - a dump is SQL
    if "sqlite_sequence" in made:
        yield "DELETE FROM sqlite_sequence;"
        for name, number in connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
            values = f"{_literal(name, encoding)}, {_literal(number, encoding)}"
            yield f"INSERT INTO sqlite_sequence VALUES ({values});"  # noqa: S608 - a dump is SQL
    later = "SELECT sql FROM sqlite_schema WHERE type IN ('index', 'view', 'trigger') AND sql IS NOT NULL"
    kept = {name.casefold() for name in names}
    for (statement,) in connection.execute(
        f"{later} AND (type = 'view' OR lower(tbl_name) IN ({', '.join('?' * len(kept))}))"
        " ORDER BY type = 'trigger', type = 'view', rowid",
        sorted(kept),
    ).fetchall():
        yield f"{statement};"
    for pragma in _PRAGMAS:
        yield f"PRAGMA {pragma} = {connection.execute(f'PRAGMA {pragma}').fetchone()[0]};"
    yield "COMMIT;"


def _literal(value: object, encoding: str) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else ("9e999" if value > 0 else "-9e999")
        case Text():
            return _text(value, encoding)
        case str():
            return _text(value.encode(), encoding)
        case bytes():
            return f"X'{value.hex()}'"
    raise AssertionError  # pragma: no cover - SQLite has these five classes


def _text(value: bytes, encoding: str) -> str:
    """Return a text as a literal. Bytes as the driver gives them are UTF-8 in a database of any encoding."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"CAST(X'{value.hex()}' AS TEXT)"
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    # A line end would be changed by whatever carries text; a NUL would end it.
    return f"CAST(X'{text.encode(encoding).hex()}' AS TEXT)"
