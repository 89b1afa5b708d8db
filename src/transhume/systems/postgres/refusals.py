"""Every reason why tables cannot be written exactly, known before the first write. Nothing is written from here."""

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from transhume.batches import TargetTable
from transhume.facts import Catalog
from transhume.schema import Column, Kind, LogicalType, Table
from transhume.systems.postgres import ddl
from transhume.systems.postgres.connection import WatchedConnection

COLUMNS_MAX = 1600
_BYTES_MIN = {Kind.TEXT: 1, Kind.JSON: 1, Kind.BYTES: 1, Kind.BOOLEAN: 1, Kind.INT: 4, Kind.DATE: 4, Kind.UUID: 16}
_ROW_BYTES_MAX = 8160


def find(connection: WatchedConnection, schema: str, catalog: Catalog, tables: Sequence[TargetTable]) -> list[str]:
    """Return one sentence for each reason, all of them."""
    reasons = list(_rights_on_database(connection, schema, tables))
    created = {table.table.name: table for table in tables if table.create}
    for table in tables:
        name = table.table.name
        reasons.extend(_names(table))
        if table.create:
            if name in catalog.tables:
                reasons.append(f"table '{name}' exists already, but the run is to create it")
            reasons.extend(_width(table))
        elif name not in catalog.tables:
            reasons.append(f"table '{name}' is not there; write 'create: true' to have it made")
        else:
            reasons.extend(_existing(table, catalog.tables[name]))
            lacking = list(_rights_on_table(connection, schema, table))
            reasons.extend(lacking or _occupied(connection, schema, table))
            if table.on_conflict == "update":
                reasons.extend(_obstacles_to_updates(connection, schema, table))
        reasons.extend(_references(table, catalog, created))
    reasons.extend(_cycles(tables))
    return list(dict.fromkeys(reasons))


def _names(table: TargetTable) -> Iterator[str]:
    longest = ddl.NAME_BYTES_MAX
    for kind, name in [("table", table.table.name), *(("column", column.name) for column in table.table.columns)]:
        if not name or "\0" in name:
            yield f"{kind} name '{name}' of '{table.table.name}' is empty or holds a NUL"
        elif len(name.encode()) > longest:
            yield f"{kind} name '{name}' of '{table.table.name}' is longer than {longest} bytes: it would be cut"
    if len(table.table.columns) > COLUMNS_MAX:
        yield f"table '{table.table.name}' has {len(table.table.columns)} columns; PostgreSQL takes {COLUMNS_MAX}"


def _width(table: TargetTable) -> Iterator[str]:
    """A row must fit a page of 8 kB even after long values are stored elsewhere."""
    types = [column.type for column in table.table.columns if column.type is not None]
    narrowest = sum(_BYTES_MIN.get(logical.kind, 8) for logical in types) + len(types) // 8
    if narrowest > _ROW_BYTES_MAX:
        needs = f"a row of '{table.table.name}' needs at least {narrowest} bytes"
        yield f"{needs}; PostgreSQL holds {_ROW_BYTES_MAX} in a page"


def _existing(table: TargetTable, found: Table) -> Iterator[str]:
    name = found.name
    yield from (f"table '{name}' cannot be written: {obstacle}" for obstacle in found.obstacles)
    keys = [key for key in (found.primary_key, *found.unique) if key]
    if not table.key:
        yield from (
            f"table '{name}' is unique on ({', '.join(key)}), and the plan says 'key: []': name the key's columns there"
            for key in keys
        )
    elif not any(set(key) == set(table.key) for key in keys):
        columns = ", ".join(f"'{column}'" for column in table.key)
        yield f"table '{name}' has no unique constraint on its key ({columns}): two runs could write a row twice"
    mapped = {column.name for column in table.table.columns}
    for column in found.columns:
        if column.name not in mapped and not column.nullable and not column.has_default and not column.refused:
            yield f"column '{name}'.'{column.name}' must not be NULL, has no default, and is not filled"
    for column in table.table.columns:
        present = found.column(column.name)
        if present is None:
            yield f"column '{name}'.'{column.name}' is not there"
        else:
            yield from _column(name, column, present)


def _occupied(connection: WatchedConnection, schema: str, table: TargetTable) -> Iterator[str]:
    """Rows without a key cannot be told from rows that are there: a second run would write all of them twice."""
    if table.key or table.table.obstacles:
        return
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(ddl.qualified(schema, table.table.name))
    if connection.execute(query).fetchone() == (True,):
        name = table.table.name
        yield f"table '{name}' has rows, and the plan says 'key: []': new rows could not be told from those; empty it"


def _column(table: str, wanted: Column, found: Column) -> Iterator[str]:
    place = f"column '{table}'.'{found.name}'"
    if found.refused:
        yield f"{place} cannot be written: {found.refused}"
    elif found.type is None:
        yield f"{place} is of type {found.native}, which does not keep values exactly as written, or is not known"
    elif wanted.type is not None and not _holds(found.type, wanted.type):
        yield f"{place} is of type {found.native}, which cannot hold every {wanted.type}"


def _holds(found: LogicalType, wanted: LogicalType) -> bool:
    if found.kind is not wanted.kind:
        return False
    if found.kind is Kind.TEXT:
        return found.length is None or (wanted.length is not None and wanted.length <= found.length)
    if found.kind is Kind.LIST and found.element is not None and wanted.element is not None:
        return _holds(found.element, wanted.element)
    return found == wanted


def _references(table: TargetTable, catalog: Catalog, created: Mapping[str, TargetTable]) -> Iterator[str]:
    if not table.create:
        return
    for reference in table.table.foreign_keys:
        if reference.table in created:
            parent = created[reference.table]
            keys = [parent.table.primary_key or parent.key, *parent.table.unique]
        elif reference.table in catalog.tables:
            keys = [catalog.tables[reference.table].primary_key, *catalog.tables[reference.table].unique]
        else:
            yield f"table '{table.table.name}' references '{reference.table}', which is not there and not created"
            continue
        if not any(set(key) == set(reference.target_columns) for key in keys):
            columns = ", ".join(reference.target_columns)
            yield f"table '{table.table.name}' references '{reference.table}' ({columns}), which is no key there"


def _cycles(tables: Sequence[TargetTable]) -> Iterator[str]:
    """An existing table whose reference points forwards can only be filled if the reference may wait."""
    order = {table.table.name: ordinal for ordinal, table in enumerate(tables)}
    for table in tables:
        for reference in () if table.create else table.table.foreign_keys:
            later = order.get(reference.table, -1) > order[table.table.name]
            if later and not reference.deferrable:
                columns = ", ".join(reference.columns)
                yield (
                    f"tables '{table.table.name}' and '{reference.table}' reference each other; make the foreign key "
                    f"on ({columns}) DEFERRABLE"
                )


def _rights_on_database(connection: WatchedConnection, schema: str, tables: Sequence[TargetTable]) -> Iterator[str]:
    row = connection.execute(
        """
        SELECT has_database_privilege(current_database(), 'CREATE'), current_database(), current_user,
               (SELECT has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = %(schema)s),
               (SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace n WHERE n.nspname = %(schema)s)
        """,
        {"schema": schema},
    ).fetchone()
    assert row is not None
    may_create, database, role, may_create_tables, may_use = row
    if not may_create:
        yield f"role '{role}' may not create schemas in database '{database}' (GRANT CREATE ON DATABASE), as a stage is"
    if may_use is False:
        yield f"role '{role}' may not use schema '{schema}' (GRANT USAGE ON SCHEMA)"
    if may_create_tables is False and any(table.create for table in tables):
        yield f"role '{role}' may not create tables in schema '{schema}' (GRANT CREATE ON SCHEMA)"


def _rights_on_table(connection: WatchedConnection, schema: str, table: TargetTable) -> Iterator[str]:
    row = connection.execute(
        """
        SELECT current_user, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
               has_table_privilege(c.oid, 'UPDATE')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
        """,
        [schema, table.table.name],
    ).fetchone()
    assert row is not None
    needed = ("SELECT", "INSERT", "UPDATE") if table.on_conflict == "update" else ("SELECT", "INSERT")
    missing = [right for right, granted in zip(needed, row[1:], strict=False) if not granted]
    if missing:
        yield f"role '{row[0]}' lacks {' and '.join(missing)} on table '{table.table.name}'"


def _obstacles_to_updates(connection: WatchedConnection, schema: str, table: TargetTable) -> Iterator[str]:
    """Whatever would change more, or something else, than the rows and columns that an update names."""
    name, mapped = table.table.name, [column.name for column in table.table.columns]
    where = [schema, name]
    triggers = connection.execute(
        """
        SELECT g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
          AND (g.tgtype & 16) <> 0 AND (g.tgtype & 4) = 0 ORDER BY g.tgname
        """,
        where,
    ).fetchall()
    for (trigger,) in triggers:
        yield f"table '{name}' cannot be updated: trigger '{trigger}' may change or drop what is written"
    cascades = connection.execute(
        """
        SELECT o.conname, r.relname FROM pg_constraint o JOIN pg_class c ON c.oid = o.confrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class r ON r.oid = o.conrelid
        WHERE n.nspname = %s AND c.relname = %s AND o.contype = 'f' AND o.confupdtype IN ('c', 'n', 'd')
          AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (o.confkey)
                      AND a.attname = ANY (%s) AND a.attname <> ALL (%s)) ORDER BY o.conname
        """,
        [*where, mapped, list(table.key)],
    ).fetchall()
    for constraint, other in cascades:
        yield (
            f"table '{name}' cannot be updated: '{constraint}' would carry the change on into rows of '{other}', "
            "of which no before-image is kept"
        )
