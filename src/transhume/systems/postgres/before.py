"""Before-images: the rows that a run replaces, as they were seen at staging and as they were when it published.

Both stand in the run's stage schema with all columns of the target's table. What was seen says whether somebody
changed a row in between; the before-image is what an undo puts back. No row of the target is changed here.
"""

from psycopg import errors, sql

from transhume.errors import CheckFailed, Finding
from transhume.systems.postgres import ddl
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.stage import MISMATCHES_MAX, Stage, schema_name


def name(stage: Stage) -> str:
    """Return the name of the table with a mapping's before-images, in the run's stage schema."""
    return f"before_{stage.ordinal}"


def keep(connection: WatchedConnection, stage: Stage, updated: int) -> None:
    """Lock the rows that the mapping replaces and keep them whole, once they are what was seen at staging.

    Effects: the table `name(stage)`, within the transaction under way; rows of the target stay locked until its end.
    Raises: CheckFailed if one of the `updated` rows is gone, or is not as it was seen.
    """
    if not updated:
        return
    places = {
        "before": ddl.qualified(schema_name(stage.run), name(stage)),
        "seen": ddl.qualified(schema_name(stage.run), stage.seen_name),
        "target": ddl.qualified(stage.target_schema, stage.table.table.name),
        "same_key": ddl.same_key(stage.table.key, "t", "s"),
        "order": ddl.names(stage.table.key, "s"),
    }
    _require_same_columns(connection, stage, places)
    connection.execute(sql.SQL("CREATE TABLE {before} (LIKE {target})").format(**places))
    # One order for all publishers and applications that lock several rows by key.
    kept = connection.execute(
        sql.SQL(
            "INSERT INTO {before} SELECT t.* FROM {target} t JOIN {seen} s ON {same_key} ORDER BY {order} "
            "FOR UPDATE OF t"
        ).format(**places)
    ).rowcount
    changed = connection.execute(
        sql.SQL(
            "SELECT {key}, count(*) OVER () FROM {seen} s LEFT JOIN {before} t ON {same_key} "
            "WHERE {absent} IS NULL OR ROW(s.*)::record *<> ROW(t.*)::record LIMIT {limit}"
        ).format(
            key=_key_text(stage, "s"),
            absent=sql.Identifier("t", stage.table.key[0]),
            limit=sql.Literal(MISMATCHES_MAX),
            **places,
        )
    ).fetchall()
    if changed or kept != updated:
        raise _changed(stage, max(abs(updated - kept), changed[0][1] if changed else 0), [row[0] for row in changed])
    connection.execute(sql.SQL("DROP TABLE {seen}").format(**places))


def replace(connection: WatchedConnection, stage: Stage, stage_table: str) -> int:
    """Give the rows that one stage table replaces their new content, mapped columns only; return their number.

    Raises: CheckFailed for a constraint that the new content breaks.
    """
    target, key = ddl.qualified(stage.target_schema, stage.table.table.name), stage.table.key
    statement = sql.SQL(
        "UPDATE {target} t SET ({columns}) = ROW({values}) FROM {staged} s "
        "WHERE {same_key} AND EXISTS (SELECT FROM {before} b WHERE {kept})"
    ).format(
        target=target,
        columns=ddl.names(stage.columns),
        values=stage.values("s"),
        staged=ddl.qualified(schema_name(stage.run), stage_table),
        same_key=ddl.same_key(key, "t", "s"),
        before=ddl.qualified(schema_name(stage.run), name(stage)),
        kept=ddl.same_key(key, "b", "s"),
    )
    return connection.execute(statement).rowcount


def none_of(stage: Stage, alias: str) -> sql.Composed:
    """Return the condition that a staged row replaces nothing; only where the mapping has before-images."""
    return sql.SQL("NOT EXISTS (SELECT FROM {} b WHERE {})").format(
        ddl.qualified(schema_name(stage.run), name(stage)), ddl.same_key(stage.table.key, "b", alias)
    )


def _require_same_columns(connection: WatchedConnection, stage: Stage, places: dict[str, sql.Composable]) -> None:
    """Raise CheckFailed if the table's columns are not those that were seen: records could not be compared."""
    columns = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass"
    columns += " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    try:
        then, now = (
            connection.execute(columns, [places[side].as_string(connection)]).fetchall() for side in ("seen", "target")
        )
    except errors.UndefinedTable:
        then, now = [], []
    if not now or then != now:
        table = stage.table.table.name
        differing = sorted({column for column, _ in {*then} ^ {*now}})
        message = (
            f"nothing was published: the columns of '{table}' are not those that its rows had when they were staged "
            f"({', '.join(map(repr, differing)) or 'their order'}); begin a new run with --fresh"
        )
        raise CheckFailed(message)


def _changed(stage: Stage, count: int, keys: list[str]) -> CheckFailed:
    table = stage.table.table.name
    finding = Finding(
        "row_changed",
        "error",
        f"table '{table}' has rows that this run replaces and that somebody changed or removed since they were staged: "
        f"{', '.join(keys) or 'unknown'}",
        "look at these rows, then begin a new run with --fresh, which compares anew",
        table=table,
        count=count,
        sample_keys=tuple(keys),
    )
    return CheckFailed("nothing was published", [finding])


def _key_text(stage: Stage, alias: str) -> sql.Composed:
    parts = [sql.SQL("{}::text").format(sql.Identifier(alias, column)) for column in stage.table.key]
    return sql.SQL(" || ', ' || ").join(parts)
