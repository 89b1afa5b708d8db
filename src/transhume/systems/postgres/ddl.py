"""The statements that make tables: types, names, constraints. Nothing is executed here."""

import hashlib
from collections.abc import Iterable

from psycopg import sql

from transhume.batches import TargetTable
from transhume.schema import ForeignKey, Kind, LogicalType

NAME_BYTES_MAX = 63
"""PostgreSQL cuts longer names without a word: https://www.postgresql.org/docs/current/limits.html"""
_PLAIN = {
    Kind.UUID: "uuid",
    Kind.INT: "integer",
    Kind.BIGINT: "bigint",
    Kind.DOUBLE: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp without time zone",
    Kind.TIMESTAMPTZ: "timestamp with time zone",
    Kind.TIME: "time without time zone",
    Kind.BYTES: "bytea",
    Kind.JSON: "json",  # jsonb would print numbers anew and drop repeated keys
}


def type_name(logical: LogicalType) -> str:
    """Return PostgreSQL's name of the type that holds every value of a logical type exactly, as it prints it."""
    if logical.kind is Kind.DECIMAL:
        return f"numeric({logical.precision},{logical.scale})"
    if logical.kind is Kind.TEXT:
        return "text" if logical.length is None else f"character varying({logical.length})"
    if logical.kind is Kind.LIST:
        assert logical.element is not None
        return f"{type_name(logical.element)}[]"
    return _PLAIN[logical.kind]


def qualified(schema: str, table: str) -> sql.Identifier:
    """Return a quoted name."""
    return sql.Identifier(schema, table)


def names(columns: Iterable[str], alias: str | None = None) -> sql.Composed:
    """Return quoted column names, comma between them, behind the alias if there is one."""
    return sql.SQL(", ").join(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in columns)


def record(values: sql.Composed) -> sql.Composed:
    """Return one record of these values; without the cast, `ROW(...) *<> ROW(...)` would compare column by column."""
    return sql.SQL("ROW({})::record").format(values)


def same_key(key: Iterable[str], left: str, right: str) -> sql.Composed:
    """Return the condition that two aliases hold the same key."""
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in key]
    return sql.SQL(" AND ").join(pairs)


def create_table(schema: str, table: TargetTable) -> sql.Composed:
    """Return the CREATE TABLE of a table that the run makes: columns only, keys come last."""
    columns = []
    for column in table.table.columns:
        assert column.type is not None
        # The type's text is made of our own words and numbers above, never of what a plan says.
        kind = sql.SQL(type_name(column.type))
        tail = sql.SQL("") if column.nullable else sql.SQL(" NOT NULL")
        columns.append(sql.Identifier(column.name) + sql.SQL(" ") + kind + tail)
    return sql.SQL("CREATE TABLE {} ({})").format(qualified(schema, table.table.name), sql.SQL(", ").join(columns))


def add_keys(schema: str, table: TargetTable) -> list[sql.Composed]:
    """Return the statements that give a created table its primary key and unique constraints."""
    primary = table.table.primary_key or table.key
    wanted = [("PRIMARY KEY", "pkey", primary)] if primary else []
    wanted += [("UNIQUE", "key", columns) for columns in table.table.unique if set(columns) != set(primary)]
    made = []
    for kind, suffix, columns in wanted:
        name = constraint_name(table.table.name, columns if suffix != "pkey" else (), suffix)
        clause = sql.SQL("CONSTRAINT {} {} ({})").format(
            sql.Identifier(name), sql.SQL("PRIMARY KEY") if kind == "PRIMARY KEY" else sql.SQL("UNIQUE"), names(columns)
        )
        made.append(sql.SQL("ALTER TABLE {} ADD {}").format(qualified(schema, table.table.name), clause))
    return made


def add_foreign_key(schema: str, table: TargetTable, reference: ForeignKey) -> sql.Composed:
    """Return the statement that gives a created table one of its foreign keys."""
    clause = sql.SQL("CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({})").format(
        sql.Identifier(constraint_name(table.table.name, reference.columns, "fkey")),
        names(reference.columns),
        qualified(schema, reference.table),
        names(reference.target_columns),
    )
    tail = sql.SQL(" DEFERRABLE") if reference.deferrable else sql.SQL("")
    return sql.SQL("ALTER TABLE {} ADD {}{}").format(qualified(schema, table.table.name), clause, tail)


def constraint_name(table: str, columns: Iterable[str], suffix: str) -> str:
    """Return a name that is the same in every run and never longer than PostgreSQL keeps."""
    return fitted("_".join([table, *columns, suffix]))


def fitted(name: str, bytes_max: int = NAME_BYTES_MAX) -> str:
    """Return the name, or its beginning with a hash of all of it where it is too long."""
    if len(name.encode()) <= bytes_max:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return name.encode()[: bytes_max - 11].decode(errors="ignore") + "_" + digest
