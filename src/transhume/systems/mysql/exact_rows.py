"""INSERT statements that make every row of a table again bit by bit; the server's own dump cuts the digits of floats.

Texts and bytes stand as hex digits of what is stored, numbers and times as the server prints them.
"""

from collections.abc import Iterator

from transhume.errors import SystemRefused
from transhume.systems.mysql.connection import Connection
from transhume.systems.mysql.describe import quoted
from transhume.systems.mysql.types import is_float, is_spatial

_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COALESCE(CHARACTER_OCTET_LENGTH, 0) FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND EXTRA NOT LIKE '%GENERATED%' ORDER BY TABLE_NAME, ORDINAL_POSITION
"""
_FLOATING = """
SELECT DISTINCT c.TABLE_NAME FROM information_schema.COLUMNS c JOIN information_schema.TABLES t
  ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
  AND (c.DATA_TYPE = 'float' OR (c.DATA_TYPE = 'double' AND c.NUMERIC_SCALE IS NOT NULL)) ORDER BY c.TABLE_NAME
"""


def tables_with_floats(connection: Connection) -> list[str]:
    """Return the tables of which the server's own dump would cut digits off."""
    return [name for (name,) in connection.rows(_FLOATING)]


def statements(connection: Connection, tables: list[str]) -> Iterator[bytes]:
    """Yield the statements, each a line, that fill these tables, which are there and empty."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind, octets in connection.rows(_COLUMNS):
        columns.setdefault(table, []).append((quoted(name), _literal(quoted(name), kind.lower(), int(octets))))
    yield b"SET FOREIGN_KEY_CHECKS = 0, UNIQUE_CHECKS = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';\n"
    for table in tables:
        own = columns[table]
        head = f"INSERT INTO {quoted(table)} ({', '.join(name for name, _ in own)}) VALUES (".encode()  # noqa: S608
        expression = ", ',', ".join(literal for _, literal in own)
        where = f"table '{table}' of {connection.address.identity}"
        statement = " ".join([f"SELECT CONCAT({expression}) FROM", quoted(table)])
        for (rows,) in connection.stream(statement, 1, where):
            if None in rows:
                message = f"{where}: a row is longer than the server lets a text be; raise its max_allowed_packet"
                raise SystemRefused(message)
            yield b"".join(head + row + b");\n" for row in rows if row is not None)


def _literal(name: str, kind: str, octets: int) -> str:
    if is_spatial(kind):
        value = f"CONCAT('ST_GeomFromWKB(x''', HEX(ST_AsWKB({name})), ''', ', ST_SRID({name}), ')')"
    elif octets:
        value = f"CONCAT('x''', HEX({name}), '''')"
    elif is_float(kind):
        value = f"{name} + 0e0"
    elif kind == "bit":
        value = f"{name} + 0"
    elif kind in {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"}:
        value = name
    else:
        value = f"QUOTE(CAST({name} AS CHAR))"
    return f"IFNULL({value}, 'NULL')"
