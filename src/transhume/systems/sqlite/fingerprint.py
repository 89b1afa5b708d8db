"""Fingerprints of SQLite tables: number of rows and the sum mod 2^128 of each row's md5. Nothing is written here.

The bytes of a row: for each stored column its storage class in one letter and its value: an integer and a real as
eight bytes, a text and a blob as their length in eight bytes and their bytes as the file has them.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Iterator

from transhume.systems.undo import FINGERPRINT_MODULUS, Fingerprint


class Text(bytes):
    """The bytes of a TEXT, told from those of a BLOB."""

    __slots__ = ()


def tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the ordinary tables, sorted; virtual tables and their shadows are none."""
    found = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%'"
        " ESCAPE '\\' ORDER BY name"
    )
    return [_name(row[0]) for row in found]


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the columns of a table that are stored; generated ones are computed from them."""
    found = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid", [table])
    return [_name(row[0]) for row in found]


def quoted(name: str) -> str:
    """Return a name as SQLite takes it anywhere."""
    return '"' + name.replace('"', '""') + '"'


def rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a table; a text comes as Text, whatever its bytes are."""
    listed = ", ".join(map(quoted, columns(connection, table)))
    cursor = connection.cursor()
    before, connection.text_factory = connection.text_factory, Text
    try:
        cursor.execute(f"SELECT {listed} FROM {quoted(table)}")  # noqa: S608 - names are quoted
        while found := cursor.fetchmany(1000):
            yield from found
    finally:
        connection.text_factory = before


def of_all(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the fingerprint of every ordinary table; one scan each, in Python."""
    return {name: str(of_table(connection, name)) for name in tables(connection)}


def of_table(connection: sqlite3.Connection, table: str) -> Fingerprint:
    """Return the fingerprint of one table."""
    count = total = 0
    for row in rows(connection, table):
        digest = hashlib.md5(b"".join(map(_bytes, row)), usedforsecurity=False).digest()
        total += int.from_bytes(digest)
        count += 1
    return Fingerprint(count, total % FINGERPRINT_MODULUS)


def _bytes(value: object) -> bytes:
    match value:
        case None:
            return b"n"
        case int():
            return b"i" + struct.pack("<q", value)
        case float():
            return b"r" + struct.pack("<d", value)
        case Text():
            return b"t" + struct.pack("<q", len(value)) + value
        case bytes():
            return b"b" + struct.pack("<q", len(value)) + value
    raise AssertionError  # pragma: no cover - SQLite has these five classes


def _name(found: object) -> str:
    return found.decode(errors="surrogateescape") if isinstance(found, bytes) else str(found)
