"""The tables of a SQLite file: columns, keys, references, checks. Values are only counted, by storage class."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from transhume.schema import Carrier, Column, ForeignKey, LogicalType, Table
from transhume.systems.sqlite.columns import affinity, declared_type, found_type

_CLASSES = ("integer", "real", "text", "blob")
_COUNTS_MAX = 400
"""Columns counted in one statement; SQLite allows 2000 result columns."""
_HIDDEN, _COMPUTED = 1, 2
"""What `pragma_table_xinfo` says of columns of virtual tables that `*` leaves out, and of generated ones not stored."""
_PLAIN_DEFAULT = re.compile(r"NULL|CURRENT_(DATE|TIME|TIMESTAMP)|[+-]?[0-9]{1,18}", re.IGNORECASE)
"""A column cannot be added with a CURRENT_ default to a table with rows."""
_PLAIN_TEXT = re.compile(r"'(?:[^'\0]|'')*'")
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


def read_tables(connection: sqlite3.Connection) -> dict[str, Table]:
    """Return every user table by name; views and the shadow tables of virtual ones are left out.

    A virtual table is listed with columns of no type: what its module would answer is not carried.
    """
    listed = connection.execute(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') "
        "AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"
    ).fetchall()
    sql = dict(connection.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table'").fetchall())
    tables: dict[str, Table] = {}
    for name, kind, without_rowid in listed:
        if kind == "virtual":
            tables[name] = _virtual(connection, name)
        else:
            tables[name] = _table(connection, name, bool(without_rowid), sql.get(name) or "")
    return {name: _resolved(table, tables) for name, table in tables.items()}


def select(table: Table, expressions: Sequence[exp.Expression]) -> exp.Select:
    """Return a SELECT over a table under the alias `t`."""
    source = exp.Table(this=_quoted(table.name), db=_quoted("main"), alias=exp.TableAlias(this=_quoted("t")))
    return exp.Select(expressions=list(expressions)).from_(source)


def column(name: str) -> exp.Column:
    """Return a column of `t`. The alias matters: SQLite takes a lone "unknown" for a string."""
    return exp.Column(this=_quoted(name), table=_quoted("t"))


def ordered(table: Table, query: exp.Select, name: str | None, *, without_rowid: bool) -> exp.Select:
    """Return the query in the order of the table's own B-tree: the rowid, or the primary key where there is none.

    `name` is what `rowid` says.
    """
    if without_rowid:
        return query.order_by(*[column(name) for name in table.primary_key])
    # Where columns hide all three names of the rowid, a plain scan is in its order too: no index may answer it.
    return query if name is None else query.order_by(exp.column(name, table=_quoted("t")))


def rowid(connection: sqlite3.Connection, table: str) -> str | None:
    """Return the name by which the rowid of a table can be had, None where columns hide all three.

    The file is asked: a reader may want fewer columns than the table has.
    """
    query = "SELECT 1 FROM pragma_table_xinfo(?) WHERE lower(name) = ?"
    return next((name for name in _ROWID_NAMES if not connection.execute(query, [table, name]).fetchone()), None)


def between(query: exp.Select, name: str, *, numbered: bool = False) -> exp.Select:
    """Return the query for the rowids from the first parameter to the second, both included, in their order.

    `numbered`: in any order, and with the rowid behind the columns.
    """
    own = exp.column(name, table=_quoted("t"))
    low, high = exp.GTE(this=own, expression=exp.Placeholder()), exp.LTE(this=own, expression=exp.Placeholder())
    found = query.where(low, high)
    return found.select(own) if numbered else found.order_by(own)


def start(table: Table, name: str) -> exp.Select:
    """Return the query for one rowid: from the first parameter on, so many rows later as the second says."""
    own = exp.column(name, table=_quoted("t"))
    query = select(table, [own]).where(exp.GTE(this=own, expression=exp.Placeholder())).order_by(own)
    return query.limit(1).offset(exp.Placeholder())


def is_without_rowid(connection: sqlite3.Connection, name: str) -> bool:
    """Say whether a table is stored by its primary key."""
    row = connection.execute("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", [name]).fetchone()
    return bool(row and row[0])


def is_stored(connection: sqlite3.Connection, name: str, columns: Sequence[str]) -> bool:
    """Say whether the rows of a table hold all values of these columns, so that no version of SQLite computes any.

    Generated columns that are not stored are computed by whoever reads them, and so is the default of a column that was
    added later. Defaults count that all versions take for the same value: whole numbers, plain texts in TEXT columns.
    """
    # As blobs, because a connection that reads rows gives texts undecoded.
    query = "SELECT CAST(name AS BLOB), hidden, CAST(dflt_value AS BLOB), CAST(type AS BLOB) FROM pragma_table_xinfo(?)"
    facts = {row[0].decode(): row[1:] for row in _rows(connection, query, name)}
    return all(
        hidden != _COMPUTED and (default is None or _is_plain(default.decode(), declared.decode()))
        for hidden, default, declared in map(facts.__getitem__, columns)
    )


def _is_plain(default: str, declared: str) -> bool:
    is_text = affinity(declared) == "TEXT" and _PLAIN_TEXT.fullmatch(default) is not None
    return is_text or _PLAIN_DEFAULT.fullmatch(default) is not None


def _quoted(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _rows(connection: sqlite3.Connection, statement: str, name: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement, [name]).fetchall()


def _virtual(connection: sqlite3.Connection, name: str) -> Table:
    try:
        found = _rows(connection, "SELECT name, hidden FROM pragma_table_xinfo(?)", name)
    except sqlite3.Error:  # the module that answers for it is not in this SQLite
        found = []
    return Table(name, tuple(Column(each, None, native="virtual table") for each, hidden in found if hidden != _HIDDEN))


def _table(connection: sqlite3.Connection, name: str, without_rowid: bool, sql: str) -> Table:
    found = _rows(connection, 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', name)
    found = [row for row in found if row[5] != _HIDDEN]
    indexes = _rows(connection, 'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', name)
    key = tuple(row[0] for row in sorted((row for row in found if row[4]), key=lambda row: int(row[4])))
    # INTEGER PRIMARY KEY is the rowid itself; any other primary key takes NULL unless it says NOT NULL.
    # https://www.sqlite.org/lang_createtable.html#the_primary_key
    is_rowid = not without_rowid and bool(key) and not any(index[2] == "pk" for index in indexes)
    unknown = [row[0] for row in found if declared_type(row[1]) is None]
    row_count, counts = _count(connection, name, unknown)
    columns = []
    for each, declared, not_null, default, in_key, _ in found:
        kind: tuple[LogicalType, Carrier] = declared_type(declared) or found_type(declared, counts[each])
        nullable = not (not_null or (in_key and (is_rowid or without_rowid)))
        columns.append(Column(each, kind[0], nullable, declared, kind[1], has_default=default is not None))
    return Table(
        name,
        tuple(columns),
        primary_key=key,
        unique=_unique(connection, indexes),
        foreign_keys=_references(connection, name),
        checks=_checks(sql),
        row_count=row_count,
    )


def _count(connection: sqlite3.Connection, name: str, columns: list[str]) -> tuple[int, dict[str, dict[str, int]]]:
    table = Table(name, ())
    query = select(table, [exp.Count(this=exp.Star())]).sql(dialect="sqlite")
    row_count = int(connection.execute(query).fetchone()[0])
    counts: dict[str, dict[str, int]] = {}
    for start in range(0, len(columns), _COUNTS_MAX):
        part = columns[start : start + _COUNTS_MAX]
        sums = [
            exp.Sum(this=exp.EQ(this=exp.func("typeof", column(each)), expression=exp.Literal.string(kind)))
            for each in part
            for kind in _CLASSES
        ]
        row = connection.execute(select(table, sums).sql(dialect="sqlite")).fetchone()
        for position, each in enumerate(part):
            values = row[position * len(_CLASSES) : (position + 1) * len(_CLASSES)]
            counts[each] = {kind: value or 0 for kind, value in zip(_CLASSES, values, strict=True)}
    return row_count, counts


def _unique(connection: sqlite3.Connection, indexes: list[tuple[Any, ...]]) -> tuple[tuple[str, ...], ...]:
    found = []
    for name, unique, origin, partial in indexes:
        if unique and origin != "pk" and not partial:
            names = [row[0] for row in _rows(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)]
            if all(each is not None for each in names):  # None: an expression
                found.append(tuple(names))
    return tuple(sorted(found))


def _references(connection: sqlite3.Connection, name: str) -> tuple[ForeignKey, ...]:
    rows = _rows(
        connection, 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', name
    )
    grouped: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return tuple(
        ForeignKey(tuple(row[2] for row in group), group[0][1], tuple(row[3] for row in group if row[3] is not None))
        for group in grouped.values()
    )


def _resolved(table: Table, tables: Mapping[str, Table]) -> Table:
    """Give references the parent's own spelling, and its primary key where they name no column."""
    by_name = {name.lower(): found for name, found in tables.items()}
    own = {each.name.lower(): each.name for each in table.columns}
    references = []
    for reference in table.foreign_keys:
        parent = by_name.get(reference.table.lower())
        spelling = {each.name.lower(): each.name for each in parent.columns} if parent else {}
        targets = reference.target_columns or (parent.primary_key if parent else ())
        references.append(
            ForeignKey(
                tuple(own.get(each.lower(), each) for each in reference.columns),
                parent.name if parent else reference.table,
                tuple(spelling.get(each.lower(), each) for each in targets),
            )
        )
    return Table(
        table.name,
        table.columns,
        table.primary_key,
        table.unique,
        tuple(references),
        table.checks,
        table.obstacles,
        table.row_count,
    )


def _checks(sql: str) -> tuple[str, ...]:
    try:
        tree = parse_one(sql, dialect="sqlite")
    except SqlglotError:  # only shown to people, so what SQLGlot cannot read is left out
        return ()
    return tuple(found.this.sql(dialect="sqlite") for found in tree.find_all(exp.CheckColumnConstraint, exp.Check))
