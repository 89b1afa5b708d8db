"""Staged rows become visible: one transaction over all tables. No batch is staged here, and nothing verified."""

from collections import Counter
from collections.abc import Sequence

from psycopg import errors, sql

from transhume.batches import BatchId
from transhume.errors import CheckFailed, Finding
from transhume.schema import ForeignKey
from transhume.systems.permission import Permission
from transhume.systems.postgres import before, ddl, faults, fingerprint, ledger, replace_all
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.ledger import Hold
from transhume.systems.postgres.stage import MISMATCHES_MAX, Stage, schema_name, table_name
from transhume.systems.system import PublishedTable
from transhume.systems.undo import Fingerprint

_MEMORY = "SET LOCAL work_mem = '64MB'; SET LOCAL maintenance_work_mem = '256MB'"
"""Per statement under way, so that joins of a batch and the building of one key stay in memory."""


_STILL_HERE_S = 60.0
"""How often a transaction that waits says that it is still wanted: a session that is idle for long is ended."""


class KeysAppeared(Exception):
    """A row with a staged key was inserted by somebody since; becomes a CheckFailed once the keys are known."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        super().__init__(stage.table.mapping)


def publish(
    connection: WatchedConnection,
    hold: Hold,
    schema: str,
    stages: Sequence[Stage],
    permission: Permission,
) -> list[PublishedTable]:
    """Move every staged row of every table into place, within the transaction under way.

    Shape: `stages` stand in reference order, parents first. Readers see none of it before the commit.
    `permission` says what is ready, and when the whole may be committed.
    Idempotent: a run that the ledger calls published is reported, not repeated.
    Raises: KeysAppeared; CheckFailed for a reference or constraint that does not hold.
    """
    ledger.check_hold(connection, hold)
    if ledger.state(connection, hold.run.run) == "published":
        return recorded(connection, hold.run.run)
    connection.execute(_MEMORY)
    # Several mappings may fill one table, which is created once.
    created = list({stage.table.table.name: stage for stage in stages if stage.table.create}.values())
    made_schema = False
    if created:
        found = connection.execute("SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", [schema])
        made_schema = found.fetchone() == (True,)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for stage in created:
        connection.execute(ddl.create_table(schema, stage.table))
    if is_alone(stages):
        staged = _fill_own(connection, schema, stages, permission)
    else:
        staged = {stage.table.mapping: _sealed_rows(connection, stage) for stage in stages}
        _lock(connection, schema, stages, staged)
        _remember_what_was(connection, stages)
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        replace_all.empty(connection, schema, stages)
        for stage in stages:
            _require_same_types(connection, stage)
            _bring(connection, stage, staged[stage.table.mapping])
        _constrain(connection, schema, created)
    while not permission.wait(_STILL_HERE_S):
        connection.execute("SELECT")
    for stage in stages:
        connection.execute(
            """
            UPDATE transhume.tables SET inserted = %(rows)s - n.updated, unchanged = n.unchanged, updated = n.updated,
                skipped = n.skipped
            FROM (SELECT coalesce(sum((SELECT sum(upper(r) - lower(r)) FROM unnest(b.unchanged) r)), 0) AS unchanged,
                         coalesce(sum((SELECT sum(upper(r) - lower(r)) FROM unnest(b.updated) r)), 0) AS updated,
                         coalesce(sum((SELECT sum(upper(r) - lower(r)) FROM unnest(b.skipped) r)), 0) AS skipped
                  FROM transhume.batches b WHERE b.run = %(run)s AND b.mapping = %(mapping)s) n
            WHERE run = %(run)s AND mapping = %(mapping)s
            """,
            {"rows": staged[stage.table.mapping], "run": stage.run, "mapping": stage.table.mapping},
        )
    # By its number the rows of this transaction are known later from those that were there and those that came since.
    connection.execute(
        "UPDATE transhume.runs SET state = 'published', published_at = now(), made_schema = %s,"
        " publish_xid = pg_current_xact_id()::text::bigint WHERE run = %s",
        [made_schema, hold.run.run],
    )
    return recorded(connection, hold.run.run)


def _fill_own(
    connection: WatchedConnection, schema: str, stages: Sequence[Stage], permission: Permission
) -> dict[str, int]:
    """Fill tables that are all the run's own, each as soon as it may be, with keys and references; return their rows.

    The ledger's line of a mapping is not touched before it is sealed: sealing would wait for this transaction.
    """
    staged: dict[str, int] = {}
    left = Counter(stage.table.table.name for stage in stages)
    waiting: list[tuple[Stage, ForeignKey]] = []
    for stage in stages:
        staged[stage.table.mapping] = _insert_as_ready(connection, stage, permission)
        _remember_what_was(connection, [stage])
        left[stage.table.table.name] -= 1
        if not left[stage.table.table.name]:
            _add_keys(connection, schema, stage)
            waiting += [(stage, reference) for reference in stage.table.table.foreign_keys]
            ready = [each for each in waiting if not left[each[1].table]]
            waiting = [each for each in waiting if each not in ready]
            _add_references(connection, schema, ready)
    return staged


def _insert_as_ready(connection: WatchedConnection, stage: Stage, permission: Permission) -> int:
    """Insert the batches of a mapping into a table of the run's own as they become ready; return the rows of all."""
    mapping, inserted = stage.table.mapping, 0
    done: dict[str, None] = {}
    is_whole = False
    while not is_whole:
        ready, is_whole = permission.wait_for_rows(mapping, len(done), _STILL_HERE_S)
        for batch in ready:
            name = table_name(BatchId(mapping, batch))
            done[name] = None
            inserted += connection.execute(_insertion(stage, name)).rowcount
        if not ready:
            connection.execute("SELECT")
    rows = _sealed_rows(connection, stage)
    # Batches of an earlier process are ready, and nobody says so.
    for name in ledger.stage_tables(connection, stage.run, mapping):
        if name not in done:
            inserted += connection.execute(_insertion(stage, name)).rowcount
    _require_count(stage, rows, inserted, "inserted")
    return rows


def _insertion(stage: Stage, name: str) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} s").format(
        ddl.qualified(stage.target_schema, stage.table.table.name),
        ddl.names(stage.columns),
        stage.values("s"),
        ddl.qualified(schema_name(stage.run), name),
    )


def is_alone(stages: Sequence[Stage]) -> bool:
    """Say whether publishing takes no lock that anyone else could wait for: the run makes every table it touches."""
    made = {stage.table.table.name for stage in stages if stage.table.create}
    return all(
        stage.table.create and all(reference.table in made for reference in stage.table.table.foreign_keys)
        for stage in stages
    )


def _remember_what_was(connection: WatchedConnection, stages: Sequence[Stage]) -> None:
    """Enter the fingerprint of what the tables hold before the run, for a rollback to be proved against.

    Of a table that the run makes it is that of no rows. A large one is not read here: publishing holds locks.
    """
    for stage in stages:
        known, columns = "", ""
        if stage.table.create:
            known = str(Fingerprint())
        else:
            place = ddl.qualified(stage.target_schema, stage.table.table.name)
            if fingerprint.size_bytes(connection, place) <= fingerprint.AT_PUBLISH_BYTES_MAX:
                known = str(fingerprint.of_rows(connection, sql.SQL("{} t").format(place)))
                columns = fingerprint.columns_of(connection, place)
        connection.execute(
            "UPDATE transhume.tables SET before_fingerprint = nullif(%s, ''), before_columns = %s"
            " WHERE run = %s AND mapping = %s",
            [known, columns, stage.run, stage.table.mapping],
        )


def recorded(connection: WatchedConnection, run: str) -> list[PublishedTable]:
    """Return what the ledger says the publishing did."""
    rows = connection.execute(
        "SELECT target_table, inserted, unchanged, updated, skipped FROM transhume.tables WHERE run = %s"
        " ORDER BY ordinal",
        [run],
    ).fetchall()
    return [PublishedTable(*row) for row in rows]


def appeared(connection: WatchedConnection, stage: Stage) -> CheckFailed:
    """Return the error that names keys which are staged and, since then, in the target too."""
    key = stage.table.key
    keys: list[str] = []
    seen = ddl.qualified(schema_name(stage.run), stage.seen_name)
    new: sql.Composable = sql.SQL("")
    if ledger.count_updated(connection, stage.run, stage.table.mapping):
        new = sql.SQL(" WHERE NOT EXISTS (SELECT FROM {} b WHERE {})").format(seen, ddl.same_key(key, "b", "s"))
    for name in ledger.stage_tables(connection, stage.run, stage.table.mapping):
        statement = sql.SQL("SELECT {} FROM {} s JOIN {} t ON {}{} LIMIT {}").format(
            sql.SQL(" || ', ' || ").join(sql.SQL("{}::text").format(sql.Identifier("s", column)) for column in key),
            ddl.qualified(schema_name(stage.run), name),
            ddl.qualified(stage.target_schema, stage.table.table.name),
            ddl.same_key(key, "s", "t"),
            new,
            sql.Literal(MISMATCHES_MAX - len(keys)),
        )
        keys += [row[0] for row in connection.execute(statement).fetchall()]
        if len(keys) >= MISMATCHES_MAX:
            break
    table = stage.table.table.name
    finding = Finding(
        "key_appeared",
        "error",
        f"table '{table}' has rows with staged keys that somebody inserted meanwhile: {', '.join(keys) or 'unknown'}",
        "remove them or begin a new run with --fresh, which compares them",
        table=table,
        count=len(keys),
        sample_keys=tuple(keys),
    )
    return CheckFailed("nothing was published", [finding])


def _sealed_rows(connection: WatchedConnection, stage: Stage) -> int:
    """Return how many rows are staged; raises CheckFailed unless every batch is there."""
    row = connection.execute(
        """
        SELECT t.batch_count, count(b.batch), coalesce(sum(b.row_count), 0)::bigint, min(b.batch), max(b.batch)
        FROM transhume.tables t LEFT JOIN transhume.batches b USING (run, mapping)
        WHERE run = %s AND mapping = %s GROUP BY t.run, t.mapping
        """,
        [stage.run, stage.table.mapping],
    ).fetchone()
    expected, found, rows, first, last = row or (None, 0, 0, None, None)
    complete = expected == found and (found == 0 or (first, last) == (0, found - 1))
    if expected is None or not complete:
        says = "is not sealed" if expected is None else f"has {found} of {expected} batches"
        message = f"nothing was published: the stage of '{stage.table.mapping}' {says}; run the same command again"
        raise CheckFailed(message)
    return int(rows)


def _lock(connection: WatchedConnection, schema: str, stages: Sequence[Stage], staged: dict[str, int]) -> None:
    """Take every table's lock at the start and in one order, so that two publishers cannot wait for each other."""
    modes: dict[str, str] = {}
    made = {stage.table.table.name for stage in stages if stage.table.create}
    for stage in stages:
        if not stage.table.create and staged[stage.table.mapping]:
            modes.setdefault(stage.table.table.name, "ROW EXCLUSIVE")
        if not stage.table.create and stage.table.replaces is not None:
            modes[stage.table.table.name] = "SHARE ROW EXCLUSIVE"
        for reference in stage.table.table.foreign_keys if stage.table.create else ():
            if reference.table not in made:
                modes[reference.table] = "SHARE ROW EXCLUSIVE"
    for name, mode in sorted(modes.items()):
        statement = sql.SQL("LOCK TABLE {} IN {} MODE").format(ddl.qualified(schema, name), sql.SQL(mode))
        connection.execute(statement)


def _require_same_types(connection: WatchedConnection, stage: Stage) -> None:
    """Raise CheckFailed if a column is no longer what was staged for it: an insert would convert without a word."""
    names = ledger.stage_tables(connection, stage.run, stage.table.mapping)
    if stage.table.create or not names:
        return
    staged = ddl.qualified(schema_name(stage.run), names[0]).as_string(connection)
    target = ddl.qualified(stage.target_schema, stage.table.table.name).as_string(connection)
    drifted = connection.execute(
        """
        SELECT s.attname, format_type(s.atttypid, s.atttypmod), format_type(t.atttypid, t.atttypmod)
        FROM pg_attribute s LEFT JOIN pg_attribute t
          ON t.attrelid = %s::regclass AND t.attname = s.attname AND NOT t.attisdropped
        WHERE s.attrelid = %s::regclass AND s.attnum > 0
          AND replace(format_type(t.atttypid, t.atttypmod), 'jsonb', 'json')
              IS DISTINCT FROM format_type(s.atttypid, s.atttypmod)
        """,
        [target, staged],
    ).fetchall()
    if drifted:
        told = "; ".join(f"'{name}' was {before}, is {after or 'gone'}" for name, before, after in drifted)
        message = (
            f"nothing was published: columns of '{stage.table.table.name}' changed since rows were staged for them "
            f"({told}); begin a new run with --fresh"
        )
        raise CheckFailed(message)


def _bring(connection: WatchedConnection, stage: Stage, rows: int) -> None:
    """Put the staged rows of one mapping into its table: rows that replace others, with before-images, and new ones."""
    updated = ledger.count_updated(connection, stage.run, stage.table.mapping)
    before.keep(connection, stage, updated)
    if stage.references_itself:
        # A replaced row may refer to a new one, which must stand before.
        _insert(connection, stage, rows, updated)
        _replace(connection, stage, updated)
    else:
        # A value of a unique column may pass from a replaced row to a new one.
        _replace(connection, stage, updated)
        _insert(connection, stage, rows, updated)


def _replace(connection: WatchedConnection, stage: Stage, updated: int) -> None:
    """Give rows of the target the content that is staged for them."""
    if not updated:
        return
    replaced = 0
    for name in ledger.stage_tables(connection, stage.run, stage.table.mapping, updating=True):
        try:
            replaced += before.replace(connection, stage, name)
        except errors.IntegrityError as problem:
            raise _failed(problem) from None
    _require_count(stage, updated, replaced, "replaced")


def _insert(connection: WatchedConnection, stage: Stage, rows: int, updated: int) -> None:
    """Insert the staged rows whose keys are new to the target."""
    if rows == updated:
        return
    tables = ledger.stage_tables(connection, stage.run, stage.table.mapping)
    new: sql.Composable = sql.SQL(" WHERE ") + before.none_of(stage, "s") if updated else sql.SQL("")
    selects = [
        sql.SQL("SELECT {} FROM {} s{}").format(stage.values("s"), ddl.qualified(schema_name(stage.run), name), new)
        for name in tables
    ]
    order = sql.Composed([])
    if stage.table.key and not stage.table.create:
        # Rows in the order of a standing key touch each of its pages once.
        order = sql.SQL(" ORDER BY ") + sql.SQL(", ").join(
            sql.Literal(stage.columns.index(column) + 1) for column in stage.table.key
        )
    if stage.references_itself:
        # A reference is checked when its statement ends, so parents and children of any batch must share one.
        selects = [sql.SQL(" UNION ALL ").join(selects)]
    into = sql.SQL("INSERT INTO {} ({}) ").format(
        ddl.qualified(stage.target_schema, stage.table.table.name), ddl.names(stage.columns)
    )
    inserted = 0
    for select in selects:
        try:
            inserted += connection.execute(into + select + order).rowcount
        except errors.UniqueViolation as problem:
            raise KeysAppeared(stage) from problem
        except errors.IntegrityError as problem:
            raise _failed(problem) from None
    _require_count(stage, rows - updated, inserted, "inserted")


def _require_count(stage: Stage, expected: int, found: int, done: str) -> None:
    if found != expected:
        message = (
            f"nothing was published: {expected} rows of '{stage.table.mapping}' were to be {done}, but the server "
            f"{done} {found}; look for rules or triggers on '{stage.table.table.name}'"
        )
        raise CheckFailed(message)


def _constrain(connection: WatchedConnection, schema: str, created: Sequence[Stage]) -> None:
    """Check what was deferred, then give created tables their keys and, last, their references."""
    try:
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except errors.IntegrityError as problem:
        raise _failed(problem) from None
    for stage in created:
        _add_keys(connection, schema, stage)
    references = [(stage, reference) for stage in created for reference in stage.table.table.foreign_keys]
    _add_references(connection, schema, references)


def _add_keys(connection: WatchedConnection, schema: str, stage: Stage) -> None:
    try:
        for statement in ddl.add_keys(schema, stage.table):
            connection.execute(statement)
    except errors.IntegrityError as problem:
        raise _failed(problem) from None


def _add_references(connection: WatchedConnection, schema: str, references: Sequence[tuple[Stage, ForeignKey]]) -> None:
    try:
        for stage, reference in references:
            connection.execute(ddl.add_foreign_key(schema, stage.table, reference))
    except errors.IntegrityError as problem:
        raise _failed(problem) from None


def _failed(problem: errors.IntegrityError) -> CheckFailed:
    told = str(faults.explain(problem, "nothing was published"))
    return CheckFailed(told)


def advance_sequences(connection: WatchedConnection, stage: Stage) -> None:
    """Move the sequences behind filled columns up to the highest value there, never down.

    Explicit values do not advance a sequence: the next insert of the application would meet a key that is taken.
    Effects: after the commit, because sequences do not roll back.
    """
    if stage.table.create:
        return
    target = ddl.qualified(stage.target_schema, stage.table.table.name)
    for column in stage.columns:
        found = connection.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", [target.as_string(connection), column]
        ).fetchone()
        if found is None or found[0] is None:
            continue
        statement = sql.SQL(
            "SELECT setval({name}, top) FROM (SELECT max({column}) AS top FROM {target}) m, {sequence} s "
            "WHERE top > s.last_value OR (top = s.last_value AND NOT s.is_called)"
        ).format(
            name=sql.Literal(found[0]),
            column=sql.Identifier(column),
            target=target,
            sequence=sql.SQL(found[0]),  # the server's own, quoted answer
        )
        connection.execute(statement)
