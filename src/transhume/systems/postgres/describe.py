"""What the server's catalog says of the tables of one schema, in our own terms. Nothing is written from here.

Source: https://www.postgresql.org/docs/current/catalogs.html
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from transhume.facts import Catalog
from transhume.schema import DECIMAL_PRECISION_MAX, Column, ForeignKey, Kind, LogicalType, Table
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.connection import WatchedConnection

_TABLES = """
SELECT c.oid, c.relname, c.relkind::text, row_security_active(c.oid),
       c.relhasrules AND EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid OR (i.inhparent = c.oid AND c.relkind = 'r')),
       greatest(c.reltuples, 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY c.relname
"""
_COLUMNS = """
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.atthasdef OR a.attidentity <> '', a.attidentity::text, a.attgenerated::text,
       format_type(t.typbasetype, t.typtypmod), t.typtype::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""
_CONSTRAINTS = """
SELECT o.conrelid, o.contype::text, o.condeferrable, f.relname, fn.nspname, pg_get_constraintdef(o.oid),
       (SELECT array_agg(a.attname::text ORDER BY k.ordinality) FROM unnest(o.conkey) WITH ORDINALITY k(num, ordinality)
        JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.num),
       (SELECT array_agg(a.attname::text ORDER BY k.ordinality)
        FROM unnest(o.confkey) WITH ORDINALITY k(num, ordinality)
        JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.num)
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class f ON f.oid = o.confrelid LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
WHERE n.nspname = %s AND o.contype IN ('p', 'u', 'f', 'c', 'x') ORDER BY o.conrelid, o.conname
"""
_UNIQUE_INDEXES = """
SELECT i.indrelid, (SELECT array_agg(a.attname::text ORDER BY k.ordinality)
                    FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, ordinality)
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND i.indisunique AND NOT i.indisprimary AND i.indisvalid AND i.indpred IS NULL
      AND i.indexprs IS NULL ORDER BY i.indexrelid
"""
_TRIGGERS = """
SELECT g.tgrelid, g.tgname FROM pg_trigger g
JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND (g.tgtype & 4) <> 0 ORDER BY g.tgname
"""
_SIMPLE = {
    "uuid": Kind.UUID,
    "integer": Kind.INT,
    "smallint": Kind.INT,
    "bigint": Kind.BIGINT,
    "double precision": Kind.DOUBLE,
    "boolean": Kind.BOOLEAN,
    "text": Kind.TEXT,
    "character varying": Kind.TEXT,
    "date": Kind.DATE,
    "timestamp without time zone": Kind.TIMESTAMP,
    "timestamp with time zone": Kind.TIMESTAMPTZ,
    "time without time zone": Kind.TIME,
    "bytea": Kind.BYTES,
    "json": Kind.JSON,
    "jsonb": Kind.JSON,
}
_KINDS = {"f": "a foreign table", "v": "a view", "m": "a materialized view"}


def target_type(native: str) -> LogicalType | None:
    """Return the logical type whose every value a column of this native type stores and gives back unchanged.

    None for a type that bends what is written into it (char(n) pads, real rounds, timestamp(0) rounds) or that
    transhume does not know.
    """
    if native.endswith("[]"):
        # What a jsonb or a smallint would change can be told of a value of its own, not of one in a list.
        element = None if native in {"jsonb[]", "smallint[]"} else target_type(native[:-2])
        return None if element is None or element.kind is Kind.LIST else LogicalType(Kind.LIST, element=element)
    if native in _SIMPLE:
        return LogicalType(_SIMPLE[native])
    if match := re.fullmatch(r"character varying\((\d+)\)", native):
        return LogicalType(Kind.TEXT, length=int(match[1]))
    if match := re.fullmatch(r"numeric\((\d+),(\d+)\)", native):
        precision, scale = int(match[1]), int(match[2])
        if scale <= precision <= DECIMAL_PRECISION_MAX:
            return LogicalType(Kind.DECIMAL, precision=precision, scale=scale)
    return None


def read_catalog(connection: WatchedConnection, address: Address) -> Catalog:
    """Return the tables of the address's schema with columns, keys, references, checks and obstacles."""
    schema = address.schema
    columns = _grouped(connection, _COLUMNS, schema)
    constraints = _grouped(connection, _CONSTRAINTS, schema)
    indexes = _grouped(connection, _UNIQUE_INDEXES, schema)
    triggers = _grouped(connection, _TRIGGERS, schema)
    tables = {}
    for oid, name, kind, secured, ruled, inherits, rows in connection.execute(_TABLES, [schema]).fetchall():
        obstacles = [f"it is {_KINDS[kind]}"] if kind in _KINDS else []
        obstacles += ["row security hides rows from this role"] if secured else []
        obstacles += ["it has rules that rewrite what is written"] if ruled else []
        obstacles += ["it takes part in table inheritance"] if inherits and kind != "p" else []
        obstacles += [f"trigger '{trigger}' may change or drop what is written" for (trigger,) in triggers[oid]]
        obstacles += [f"exclusion constraint {row[4]}" for row in constraints[oid] if row[0] == "x"]
        tables[name] = _table(name, columns[oid], constraints[oid], indexes[oid], (obstacles, rows, schema))
    return Catalog(address.identity, tables)


def _grouped(connection: WatchedConnection, query: str, schema: str) -> Mapping[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for oid, *rest in connection.execute(query, [schema]).fetchall():
        found[oid].append(tuple(rest))
    return found


def _table(
    name: str,
    columns: list[tuple[Any, ...]],
    constraints: list[tuple[Any, ...]],
    indexes: list[tuple[Any, ...]],
    extra: tuple[list[str], int, str],
) -> Table:
    obstacles, rows, schema = extra
    primary = next((tuple(row[5]) for row in constraints if row[0] == "p"), ())
    references = tuple(
        ForeignKey(
            columns=tuple(row[5]),
            table=row[2] if row[3] == schema else f"{row[3]}.{row[2]}",
            target_columns=tuple(row[6]),
            deferrable=row[1],
        )
        for row in constraints
        if row[0] == "f"
    )
    return Table(
        name=name,
        columns=tuple(_column(*row) for row in columns),
        primary_key=primary,
        unique=tuple(tuple(row[0]) for row in indexes if row[0]),
        foreign_keys=references,
        checks=tuple(row[4] for row in constraints if row[0] == "c"),
        obstacles=tuple(obstacles),
        row_count=rows,
    )


def _column(
    name: str,
    native: str,
    not_null: bool,
    has_default: bool,
    identity: str,
    generated: str,
    base: str | None,
    kind: str,
) -> Column:
    refused = ""
    if generated:
        refused = "the server computes it (GENERATED)"
    elif identity == "a":
        refused = "the server numbers it (GENERATED ALWAYS AS IDENTITY)"
    elif kind == "d":
        # A domain's CHECK could refuse a row only when publishing; its base type alone says nothing about that.
        refused = f"its type is the domain '{native}' over {base}"
    return Column(
        name=name,
        type=target_type(native),
        nullable=not not_null,
        native=native,
        has_default=has_default,
        refused=refused,
        keeps_text=native != "jsonb",
        bits_max=16 if native == "smallint" else None,
    )
