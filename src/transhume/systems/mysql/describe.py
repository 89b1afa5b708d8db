"""What information_schema says of the tables of one database, in our own terms. No row of a table is read from here.

Source: https://mariadb.com/docs/server/reference/system-tables/information-schema
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transhume.schema import Column, ForeignKey, Table
from transhume.systems.mysql.connection import Connection
from transhume.systems.mysql.types import NativeType, source_type

_TABLES = """
SELECT t.TABLE_NAME, t.ENGINE, t.TABLE_ROWS, t.UPDATE_TIME, e.TRANSACTIONS
FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY t.TABLE_NAME
"""
_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH,
       NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_SET_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, PRIVILEGES
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION
"""
_INDEXES = """
SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0
ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX
"""
_REFERENCES = """
SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA = DATABASE(), REFERENCED_TABLE_SCHEMA,
       REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION
"""
_CHECKS = {
    "MariaDB": """
SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY TABLE_NAME, CONSTRAINT_NAME
""",
    "MySQL": """
SELECT t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c
JOIN information_schema.TABLE_CONSTRAINTS t
  ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME
WHERE c.CONSTRAINT_SCHEMA = DATABASE() ORDER BY t.TABLE_NAME, c.CONSTRAINT_NAME
""",
}
_PRIMARY = "PRIMARY"


@dataclass(frozen=True, slots=True)
class Described:
    """One table with the server's own types by column. `has_instant` says that a snapshot covers it (InnoDB).

    `updated` is when it was last written, "" where the server does not tell.
    """

    table: Table
    natives: dict[str, NativeType]
    has_instant: bool
    engine: str
    updated: str


def read_tables(connection: Connection) -> dict[str, Described]:
    """Return every base table of the database that the user may see, by name; views and sequences are left out."""
    columns = _grouped(connection.rows(_COLUMNS))
    indexes = _grouped(connection.rows(_INDEXES))
    references = _grouped(connection.rows(_REFERENCES))
    checks = _grouped(connection.rows(_CHECKS[connection.flavour]))
    found = {}
    for name, engine, rows, updated, transactions in connection.rows(_TABLES):
        clauses = tuple(clause for (clause,) in checks[name])
        natives = {row[0]: _native(row, clauses) for row in columns[name]}
        keys = _keys(indexes[name])
        table = Table(
            name=name,
            columns=tuple(_column(row, natives[row[0]]) for row in columns[name]),
            primary_key=keys.pop(_PRIMARY, ()),
            unique=tuple(sorted(key for key in keys.values() if key)),
            foreign_keys=tuple(_references(references[name])),
            checks=clauses,
            row_count=None if rows is None else int(rows),
        )
        found[name] = Described(table, natives, transactions == "YES", engine or "none", str(updated or ""))
    return found


def quoted(name: str) -> str:
    """Return a name as an identifier of MySQL."""
    return "`" + name.replace("`", "``") + "`"


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for name, *rest in rows:
        found[name].append(tuple(rest))
    return found


def _native(row: tuple[Any, ...], clauses: tuple[str, ...]) -> NativeType:
    name, kind, full, length, octets, precision, scale, charset = row[:8]
    return NativeType(
        name=kind.lower(),
        full=_text(full),
        length=_number(length),
        octets=_number(octets),
        precision=_number(precision),
        scale=_number(scale),
        charset=charset or "",
        # MariaDB's JSON is a LONGTEXT with this check.
        is_json=kind.lower() == "longtext" and f"json_valid({quoted(name)})" in clauses,
    )


def _column(row: tuple[Any, ...], native: NativeType) -> Column:
    name, nullable, default, extra, privileges = row[0], *row[8:12]
    carried = source_type(native)
    # MariaDB writes "NULL" where a column may be left out only because it takes NULL.
    has_default = default not in {None, "NULL"} or "auto_increment" in extra.lower()
    if "select" not in privileges.lower().split(","):
        told = f"{native.full} without the right to SELECT"
        return Column(name, None, nullable == "YES", told, has_default=has_default)
    if carried is None:
        return Column(name, None, nullable == "YES", native.full, has_default=has_default)
    return Column(name, carried[0], nullable == "YES", native.full, carried[1], has_default=has_default)


def _keys(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the columns of each unique index; none for one over a part of a text or over an expression."""
    found: dict[str, list[str]] = defaultdict(list)
    partial = set()
    for index, column, part in rows:
        found[index].append(column)
        if column is None or part is not None:
            partial.add(index)
    return {name: tuple(columns) for name, columns in found.items() if name not in partial}


def _references(rows: Iterable[tuple[Any, ...]]) -> Iterable[ForeignKey]:
    grouped: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for constraint, *rest in rows:
        grouped[constraint].append(tuple(rest))
    for parts in grouped.values():
        _, own, schema, table, _ = parts[0]
        yield ForeignKey(
            columns=tuple(part[0] for part in parts),
            table=table if own == "1" else f"{schema}.{table}",
            target_columns=tuple(part[4] for part in parts),
        )


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
