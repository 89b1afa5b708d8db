"""Fingerprints of MySQL tables: number of rows and the sum mod 2^128 of each row's md5. Nothing is written here.

The bytes of a row: for each stored column its length and its value as the server prints it, in the column's own
character set; of a long value its md5. A float counts as the double that it is, a geometry as its well-known bytes.
"""

from transhume.errors import SystemUnavailable
from transhume.systems.mysql.connection import Connection
from transhume.systems.mysql.describe import quoted
from transhume.systems.mysql.types import is_float, is_spatial
from transhume.systems.undo import FINGERPRINT_MODULUS, Fingerprint

_SHORT_BYTES_MAX = 4096
_COLUMNS = """
SELECT t.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, COALESCE(c.CHARACTER_OCTET_LENGTH, 0), c.PRIVILEGES
FROM information_schema.TABLES t JOIN information_schema.COLUMNS c
  ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
  AND c.EXTRA NOT LIKE '%GENERATED%' ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION
"""


def of_all(connection: Connection) -> dict[str, str]:
    """Return the fingerprint of every table of the database; one scan each, on the server.

    Raises: SystemUnavailable where the user may not read a column.
    """
    columns: dict[str, list[str]] = {}
    hidden = []
    for table, name, kind, octets, privileges in connection.rows(_COLUMNS):
        columns.setdefault(table, []).append(_bytes(name, kind.lower(), int(octets)))
        if "select" not in privileges.lower().split(","):
            hidden.append(f"'{table}.{name}'")
    if hidden:
        message = f"no right to read {', '.join(hidden[:5])}; a backup needs SELECT on all columns of the database"
        raise SystemUnavailable(message)
    return {table: str(_of_table(connection, table, parts)) for table, parts in columns.items()}


def tables(connection: Connection) -> list[str]:
    """Return the names of the tables, sorted; views and sequences are none."""
    return list(dict.fromkeys(row[0] for row in connection.rows(_COLUMNS)))


def _of_table(connection: Connection, table: str, parts: list[str]) -> Fingerprint:
    count = total = 0
    statement = " ".join([f"SELECT UNHEX(MD5(CONCAT({', '.join(parts)}))) FROM", quoted(table)])
    for (digests,) in connection.stream(statement, 1, f"table '{table}' of {connection.address.identity}"):
        count += len(digests)
        total += sum(int.from_bytes(each or b"") for each in digests)
    return Fingerprint(count, total % FINGERPRINT_MODULUS)


def _bytes(name: str, kind: str, octets: int) -> str:
    own = quoted(name)
    if is_spatial(kind):
        value = f"CONCAT(ST_SRID({own}), MD5(ST_AsWKB({own})))"
    elif octets > _SHORT_BYTES_MAX:
        value = f"MD5({own})"
    elif octets:
        value = f"CAST({own} AS BINARY)"
    elif is_float(kind):
        value = f"{own} + 0e0"
    else:
        value = f"{own} + 0" if kind == "bit" else f"CAST({own} AS CHAR)"
    return f"IFNULL(CONCAT(LENGTH({value}), ':', {value}), 'n')"
