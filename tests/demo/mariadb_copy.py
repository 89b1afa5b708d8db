"""The demo's legacy database as a MariaDB: the same rows, defects included, in types that a MariaDB would give them.

A MariaDB column takes no value of another type, so what SQLite lets stand anywhere finds its like: a word in a column
of numbers becomes a number that no integer of ours holds, bytes in a text become half a surrogate pair. A column whose
values a MariaDB would bend (months of 31 days, decimals with too many digits) is one of text there.
"""

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isfinite
from pathlib import Path
from typing import Any

import pymysql
from tests.servers import MariadbServer

NOT_A_CHARACTER = b"\xed\xa0\x80"
NO_INTEGER = 2**64 - 1
_TIME = re.compile(
    rb"(0000-00-00|[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])) ([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
)
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    whole: bool = False


def copy_to_mariadb(legacy: Path, server: MariadbServer, database: str, *, keyed: bool = False) -> None:
    """Make every table of a SQLite file in an empty database of MariaDB, in the order of its rows.

    `keyed`: with the primary keys that SQLite declares; it holds none of its rows to them.
    """
    with (
        closing(sqlite3.connect(f"file:{legacy}?mode=ro", uri=True)) as source,
        closing(
            pymysql.connect(unix_socket=str(server.socket), user="root", database=database, charset="utf8mb4")
        ) as target,
    ):
        source.text_factory = bytearray  # so that texts and blobs are told apart
        with target.cursor() as cursor:
            cursor.execute("SET sql_mode = 'NO_ENGINE_SUBSTITUTION'")
            for (table,) in source.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
            ).fetchall():
                _copy(source, cursor, str(table, "utf-8"), keyed=keyed)
        target.commit()


def _copy(source: sqlite3.Connection, cursor: Any, table: str, *, keyed: bool) -> None:
    found = source.execute(f'PRAGMA table_info("{table}")').fetchall()
    rows = source.execute(f'SELECT * FROM "{table}" ORDER BY rowid').fetchall()
    columns = [
        _column(str(name, "utf-8"), str(declared, "utf-8"), [row[place] for row in rows])
        for place, (_, name, declared, *_) in enumerate(found)
    ]
    made = ", ".join(f"{column.name} {column.kind}" for column in columns)
    key = [str(name, "utf-8") for _, name, *_, place in sorted(found, key=lambda row: row[-1]) if place]
    if keyed and key:
        made = f"{made}, PRIMARY KEY ({', '.join(key)})"
    cursor.execute(f"CREATE TABLE `{table}` ({made})")
    marks = ", ".join(["%s"] * len(columns))
    values = [
        tuple(_value(column, value, place) for column, value in zip(columns, row, strict=True))
        for place, row in enumerate(rows)
    ]
    for start in range(0, len(values), _ROWS_AT_ONCE):
        cursor.executemany(f"INSERT INTO `{table}` VALUES ({marks})", values[start : start + _ROWS_AT_ONCE])


def _column(name: str, declared: str, values: list[Any]) -> _Column:
    if declared.startswith("INT"):
        odd = any(isinstance(value, bytes | bytearray) for value in values)
        return _Column(name, "BIGINT UNSIGNED" if odd else "BIGINT", whole=True)
    if declared in {"FLOAT", "REAL"} and all(
        value is None or (isinstance(value, float) and isfinite(value)) for value in values
    ):
        return _Column(name, "DOUBLE")
    if declared == "DATETIME" and all(
        value is None or (isinstance(value, bytearray) and _TIME.fullmatch(value)) for value in values
    ):
        return _Column(name, "DATETIME(6)")
    if (decimal := re.fullmatch(r"(?:DECIMAL|NUMERIC)\((\d+),(\d+)\)", declared)) and all(
        _fits(value, int(decimal[2])) for value in values
    ):
        return _Column(name, declared)
    return _Column(name, "LONGTEXT" if name == "notes" else "TEXT" if declared == "TEXT" else "VARCHAR(600)")


def _fits(value: Any, scale: int) -> bool:
    try:
        return value is None or -Decimal(_text(value)).as_tuple().exponent <= scale  # type: ignore[operator]
    except InvalidOperation:
        return False


def _value(column: _Column, value: Any, place: int) -> Any:
    if value is None:
        return None
    if column.whole:
        return NO_INTEGER - place if isinstance(value, bytes | bytearray) else value
    if column.kind == "DOUBLE":
        return value
    return _text(value)


def _text(value: Any) -> str | bytes:
    if isinstance(value, int | float):
        return repr(value)
    try:
        return NOT_A_CHARACTER if isinstance(value, bytes) else str(value, "utf-8")
    except UnicodeDecodeError:
        return NOT_A_CHARACTER


def expected_reason(reason: str) -> str:
    """Return the reason that the copy of a row is rejected for.

    Bytes in a text are no text of UTF-8 there; infinity is a word, which no grammar of numbers knows.
    """
    return reason.replace("blob:", "bad_encoding:").replace("not_finite:", "bad_number:")


def found_by(server: MariadbServer, database: str, script: str) -> list[tuple[Any, ...]]:
    """Return the rows that a script of one statement gives."""
    connection = pymysql.connect(unix_socket=str(server.socket), user="root", database=database, charset="utf8mb4")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(script)
        return list(cursor.fetchall())
