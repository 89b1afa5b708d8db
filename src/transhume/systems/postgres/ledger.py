"""The run's record inside the target: who holds it, what is staged, what is published. No data rows here.

The ledger decides, not the local journal: its lines are written in the transaction of the rows they speak of.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import errors, sql
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from transhume.batches import BatchId, StagedBatch, TargetTable
from transhume.errors import LockHeld, Refused
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.system import RunIdentity

VERSION = 3
_LOCK_CLASS = 0x7472616E  # "tran": the first half of every advisory lock of ours
LEFTOVER_S = 5.0
"""How long a server may take to notice that a client was killed: mostly nothing, some time where it is busy."""
_HOLDER = """
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN transhume.scopes s ON s.scope = %s AND s.backend = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s::bigint::oid
  AND l.objid = (%s::bigint & 4294967295)::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_CREATE = """
CREATE SCHEMA IF NOT EXISTS transhume;
COMMENT ON SCHEMA transhume IS 'ledger of data migrations; do not edit';
CREATE TABLE IF NOT EXISTS transhume.ledger (version integer PRIMARY KEY);
INSERT INTO transhume.ledger SELECT 3 WHERE NOT EXISTS (SELECT FROM transhume.ledger);
CREATE TABLE IF NOT EXISTS transhume.runs (
    run text PRIMARY KEY, scope text NOT NULL, plan_hash text NOT NULL, tool_version text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'published', 'rolled_back', 'finalized')), epoch bigint NOT NULL,
    holder text NOT NULL, started_at timestamptz NOT NULL, published_at timestamptz, publish_xid bigint,
    made_schema boolean NOT NULL DEFAULT false, undone_at timestamptz, undone text);
CREATE TABLE IF NOT EXISTS transhume.scopes (
    scope text PRIMARY KEY, epoch bigint NOT NULL, run text NOT NULL, holder text NOT NULL,
    held_since timestamptz NOT NULL, backend integer NOT NULL);
CREATE TABLE IF NOT EXISTS transhume.tables (
    run text REFERENCES transhume.runs, mapping text, ordinal integer NOT NULL, target_schema text NOT NULL,
    target_table text NOT NULL, created boolean NOT NULL, batch_count integer, inserted bigint, unchanged bigint,
    updated bigint, skipped bigint, before_fingerprint text, before_columns text, PRIMARY KEY (run, mapping));
CREATE TABLE IF NOT EXISTS transhume.batches (
    run text, mapping text, batch integer, stage_table text NOT NULL, row_count bigint NOT NULL, sha256 text NOT NULL,
    unchanged int4multirange NOT NULL, conflicts int4multirange NOT NULL, staged_at timestamptz NOT NULL,
    updated int4multirange NOT NULL DEFAULT '{}', skipped int4multirange NOT NULL DEFAULT '{}',
    PRIMARY KEY (run, mapping, batch), FOREIGN KEY (run, mapping) REFERENCES transhume.tables)
"""
_UPGRADES = {
    # 2: rows that a run replaces or leaves alone. Columns at the end with defaults: a run of version 1 that is under
    # way in another scope still writes its lines.
    1: """
    ALTER TABLE transhume.tables ADD COLUMN updated bigint, ADD COLUMN skipped bigint;
    UPDATE transhume.tables SET updated = 0, skipped = 0 WHERE inserted IS NOT NULL;
    ALTER TABLE transhume.batches ADD COLUMN updated int4multirange NOT NULL DEFAULT '{}',
        ADD COLUMN skipped int4multirange NOT NULL DEFAULT '{}';
    UPDATE transhume.ledger SET version = 2
    """,
    # 3: runs that were taken back, and what proves it.
    2: """
    ALTER TABLE transhume.runs DROP CONSTRAINT IF EXISTS runs_state_check,
        ADD CONSTRAINT runs_state_check CHECK (state IN ('open', 'published', 'rolled_back', 'finalized')),
        ADD COLUMN IF NOT EXISTS publish_xid bigint, ADD COLUMN IF NOT EXISTS undone_at timestamptz,
        ADD COLUMN IF NOT EXISTS made_schema boolean NOT NULL DEFAULT false, ADD COLUMN IF NOT EXISTS undone text;
    ALTER TABLE transhume.tables ADD COLUMN IF NOT EXISTS before_fingerprint text,
        ADD COLUMN IF NOT EXISTS before_columns text;
    UPDATE transhume.ledger SET version = 3
    """,
}
"""By version: the statements that make of a ledger one of the next version, without losing a line."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A run's right to write into a scope, as long as `epoch` is the scope's epoch."""

    run: RunIdentity
    scope: str
    epoch: int


def exists(connection: WatchedConnection) -> bool:
    """Say whether the target has a ledger that this role can see."""
    row = connection.execute("SELECT to_regclass('transhume.runs') IS NOT NULL").fetchone()
    return bool(row and row[0])


def create(connection: WatchedConnection) -> None:
    """Make the ledger if it is missing, or bring an older one to this version; raises Refused for any other.

    Effects: within the transaction under way; two programs that start at once do it one after the other.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK_CLASS])
    if not exists(connection):
        connection.execute(_CREATE)
    found = _version(connection)
    while found in _UPGRADES:
        connection.execute(_UPGRADES[found])
        found = _version(connection)
    if found != VERSION:
        told = "none" if found is None else found
        message = f"the target's ledger has version {told}, this program knows version {VERSION}; use the matching one"
        raise Refused(message)


def _version(connection: WatchedConnection) -> int | None:
    row = connection.execute("SELECT max(version) FROM transhume.ledger").fetchone()
    return row[0] if row else None


def take_lock(connection: WatchedConnection, scope: str) -> bool:
    """Try to take the scope's lock for as long as this connection lives.

    A process of the same run that was killed a moment ago still holds it until the server has noticed: that is waited
    for, `LEFTOVER_S` at most. Anybody else's lock is an answer at once.
    """
    deadline = time.monotonic() + LEFTOVER_S
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK_CLASS, _lock_number(scope)]).fetchone()
        if row and row[0]:
            return True
        if time.monotonic() > deadline or not _is_held_by_this_run(connection, scope):
            return False
        time.sleep(0.1)


def _is_held_by_this_run(connection: WatchedConnection, scope: str) -> bool:
    """Say whether the session that holds the lock is named as this one is, which means: after the same run."""
    row = connection.execute(
        f"SELECT a.application_name = current_setting('application_name') {_HOLDER}",
        [scope, _LOCK_CLASS, _lock_number(scope)],
    ).fetchone()
    return row is None or bool(row[0])


def who_holds(connection: WatchedConnection, scope: str, identity: str) -> LockHeld:
    """Return the error that says who holds the scope's lock, where, and since when."""
    row = connection.execute(
        f"""
        SELECT s.run, s.holder, coalesce(s.held_since, a.backend_start), a.application_name,
               coalesce(host(a.client_addr), 'the server itself')
        {_HOLDER}
        """,
        [scope, _LOCK_CLASS, _lock_number(scope)],
    ).fetchone()
    if row is None:
        return LockHeld(f"another run held {identity} a moment ago; run the same command again")
    run, holder, since, application, address = row
    who = f"run '{run}' of {holder}" if run else f"a run that is just starting ('{application}')"
    when = f"since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "since an unknown time"
    message = (
        f"{identity} is held by {who}, connected from {address}, {when}; nothing was written; "
        "wait until it ends, or end it there"
    )
    return LockHeld(message)


def open_run(connection: WatchedConnection, run: RunIdentity, scope: str, backend: int) -> tuple[Hold, str]:
    """Enter the run, or find it, and take the scope over; return the hold and the run's state.

    Raises: Refused if the run was begun with another plan or version.
    """
    hold = _take_scope(connection, run, scope, backend)
    found = connection.execute(
        "SELECT scope, plan_hash, tool_version, state FROM transhume.runs WHERE run = %s", [run.run]
    ).fetchone()
    if found is None:
        connection.execute(
            "INSERT INTO transhume.runs VALUES (%s, %s, %s, %s, 'open', %s, %s, now(), NULL)",
            [run.run, scope, run.plan_hash, run.tool_version, hold.epoch, run.holder],
        )
        return hold, "open"
    _require_same_plan(run, scope, found)
    if found[3] in {"rolled_back", "finalized"}:
        message = (
            f"run '{run.run}' is {found[3].replace('_', ' ')} and cannot go on; nothing was written. Say 'transhume "
            f"rollback {run.run}' to have the project know it, then 'transhume run' begins a new run."
        )
        raise Refused(message)
    connection.execute(
        "UPDATE transhume.runs SET epoch = %s, holder = %s WHERE run = %s", [hold.epoch, run.holder, run.run]
    )
    return hold, found[3]


def enter_undo(connection: WatchedConnection, run: RunIdentity, scope: str, backend: int) -> tuple[Hold, str]:
    """Take the scope over to undo a run and return the hold and the run's state, `absent` where it is not known.

    Raises: Refused if the ledger knows the run by another plan or in another scope.
    """
    hold = _take_scope(connection, run, scope, backend)
    found = connection.execute(
        "SELECT scope, plan_hash, tool_version, state FROM transhume.runs WHERE run = %s", [run.run]
    ).fetchone()
    if found is None:
        return hold, "absent"
    # What was staged is undone, by whatever version knows this ledger.
    _require_same_plan(run, scope, (*found[:2], run.tool_version))
    connection.execute(
        "UPDATE transhume.runs SET epoch = %s, holder = %s WHERE run = %s", [hold.epoch, run.holder, run.run]
    )
    return hold, found[3]


def _take_scope(connection: WatchedConnection, run: RunIdentity, scope: str, backend: int) -> Hold:
    epoch_row = connection.execute(
        """
        INSERT INTO transhume.scopes VALUES (%(scope)s, 1, %(run)s, %(holder)s, now(), %(backend)s)
        ON CONFLICT (scope) DO UPDATE SET epoch = scopes.epoch + 1, run = excluded.run, holder = excluded.holder,
            held_since = excluded.held_since, backend = excluded.backend
        RETURNING epoch
        """,
        {"scope": scope, "run": run.run, "holder": run.holder, "backend": backend},
    ).fetchone()
    assert epoch_row is not None
    return Hold(run, scope, epoch_row[0])


def _require_same_plan(run: RunIdentity, scope: str, found: tuple[Any, ...]) -> None:
    wanted = {"scope": scope, "plan hash": run.plan_hash, "version": run.tool_version}
    differences = [
        f"{name}: '{before}' then, '{wanted[name]}' now"
        for name, before in zip(wanted, found[:3], strict=True)
        if before != wanted[name]
    ]
    if differences:
        message = (
            f"run '{run.run}' was begun with something else ({'; '.join(differences)}); begin a new run with --fresh"
        )
        raise Refused(message)


def check_hold(connection: WatchedConnection, hold: Hold) -> None:
    """Raise LockHeld if another process has taken the scope over; keeps it from doing so until this commit."""
    try:
        row = connection.execute(
            "SELECT epoch, run, holder, held_since FROM transhume.scopes WHERE scope = %s FOR SHARE", [hold.scope]
        ).fetchone()
    except errors.UndefinedTable:
        row = None
    if row is None:
        message = f"the target's ledger no longer knows '{hold.scope}': this is not the database that the run began on"
        raise Refused(message)
    if row[0] != hold.epoch:
        message = (
            f"run '{hold.run.run}' was taken over: run '{row[1]}' of {row[2]} holds the target since "
            f"{row[3]:%Y-%m-%d %H:%M:%S} UTC; this process wrote nothing more"
        )
        raise LockHeld(message)


def enter_tables(connection: WatchedConnection, hold: Hold, schema: str, tables: Iterable[TargetTable]) -> None:
    """Write down which tables the run fills, and which of them it creates."""
    for ordinal, table in enumerate(tables):
        connection.execute(
            """
            INSERT INTO transhume.tables (run, mapping, ordinal, target_schema, target_table, created)
            VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (run, mapping) DO NOTHING
            """,
            [hold.run.run, table.mapping, ordinal, schema, table.table.name, table.create],
        )


def read_batches(connection: WatchedConnection, run: str, mapping: str) -> dict[int, StagedBatch]:
    """Return the ledger's lines of one mapping, by batch."""
    rows = connection.execute(
        "SELECT batch, row_count, sha256, unchanged, conflicts, updated, skipped FROM transhume.batches"
        " WHERE run = %s AND mapping = %s ORDER BY batch",
        [run, mapping],
    ).fetchall()
    return {row[0]: _line(BatchId(mapping, row[0]), *row[1:]) for row in rows}


def read_batch(connection: WatchedConnection, run: str, batch: BatchId) -> StagedBatch | None:
    """Return one line of the ledger, or None."""
    row = connection.execute(
        "SELECT row_count, sha256, unchanged, conflicts, updated, skipped FROM transhume.batches"
        " WHERE run = %s AND mapping = %s AND batch = %s",
        [run, batch.mapping, batch.index],
    ).fetchone()
    return row and _line(batch, *row)


def _line(batch: BatchId, row_count: int, sha256: str, *ranges: Multirange[int]) -> StagedBatch:
    """Return a line; `ranges` are the positions in the order of StagedBatch's fields."""
    return StagedBatch(batch, row_count, sha256, *(tuple(positions(one)) for one in ranges))


def lock_batch(connection: WatchedConnection, run: str, batch: BatchId) -> None:
    """Let one transaction at a time look whether a batch is there, and write it; held until this transaction ends."""
    digest = hashlib.sha256(f"{run}/{batch}".encode()).digest()
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])


def write_batch(connection: WatchedConnection, run: str, line: StagedBatch, stage_table: str) -> None:
    """Write one line; the primary key refuses a second one for the same batch."""
    connection.execute(
        "INSERT INTO transhume.batches (run, mapping, batch, stage_table, row_count, sha256, unchanged, conflicts,"
        " updated, skipped, staged_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
        [
            run,
            line.batch.mapping,
            line.batch.index,
            stage_table,
            line.row_count,
            line.sha256,
            _ranges(line.unchanged),
            _ranges(line.conflicts),
            _ranges(line.updated),
            _ranges(line.skipped),
        ],
    )


def stage_tables(connection: WatchedConnection, run: str, mapping: str, *, updating: bool = False) -> list[str]:
    """Return the names of a mapping's stage tables, in batch order; `updating`: those with rows that replace others."""
    rows = connection.execute(
        "SELECT stage_table FROM transhume.batches WHERE run = %s AND mapping = %s"
        " AND (NOT %s OR NOT isempty(updated)) ORDER BY batch",
        [run, mapping, updating],
    ).fetchall()
    return [row[0] for row in rows]


def count_updated(connection: WatchedConnection, run: str, mapping: str) -> int:
    """Return how many staged rows of a mapping replace a row of the target."""
    row = connection.execute(
        "SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM transhume.batches b, unnest(b.updated) r"
        " WHERE b.run = %s AND b.mapping = %s",
        [run, mapping],
    ).fetchone()
    return int(row[0]) if row else 0


def state(connection: WatchedConnection, run: str) -> str:
    """Return the run's state as it is now."""
    row = connection.execute("SELECT state FROM transhume.runs WHERE run = %s", [run]).fetchone()
    if row is None:
        message = f"the target's ledger no longer knows run '{run}'; was it finalized, or is this another database?"
        raise Refused(message)
    return str(row[0])


def publish_xid(connection: WatchedConnection, run: str) -> str | None:
    """Return the number of the publishing transaction as rows show it (32 bits), None where it was not kept."""
    row = connection.execute(
        "SELECT (publish_xid & 4294967295)::text FROM transhume.runs WHERE run = %s", [run]
    ).fetchone()
    return row[0] if row else None


def standing_runs(connection: WatchedConnection, scope: str) -> list[str]:
    """Return the runs of a scope that were published and not taken back, oldest first."""
    rows = connection.execute(
        "SELECT run FROM transhume.runs WHERE scope = %s AND state IN ('published', 'finalized')"
        " ORDER BY published_at, run",
        [scope],
    ).fetchall()
    return [run for (run,) in rows]


def read_runs(connection: WatchedConnection, scope: str) -> list[dict[str, object]]:
    """Return the runs of a scope, oldest first, with row counts per mapping; None for what an older ledger lacks."""
    columns = ("run", "plan_hash", "tool_version", "state", "started_at", "published_at", "holder")
    selected = sql.SQL("SELECT {} FROM transhume.runs WHERE scope = %s ORDER BY started_at, run").format(
        sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    runs: list[dict[str, object]] = []
    for values in connection.execute(selected, [scope]).fetchall():
        run = dict(zip(columns, values, strict=True))
        for moment in ("started_at", "published_at"):
            run[moment] = run[moment].isoformat() if run[moment] is not None else None
        counts = connection.execute(
            """
            SELECT t.mapping, t.target_table, count(b.batch), coalesce(sum(b.row_count), 0)::bigint, t.inserted,
                   t.unchanged, (to_jsonb(t) ->> 'updated')::bigint, (to_jsonb(t) ->> 'skipped')::bigint
            FROM transhume.tables t LEFT JOIN transhume.batches b USING (run, mapping)
            WHERE run = %s GROUP BY t.run, t.mapping ORDER BY t.ordinal
            """,
            [run["run"]],
        ).fetchall()
        names = ("mapping", "table", "batches", "staged", "inserted", "unchanged", "updated", "skipped")
        run["tables"] = [dict(zip(names, row, strict=True)) for row in counts]
        runs.append(run)
    return runs


def _lock_number(scope: str) -> int:
    return int.from_bytes(hashlib.sha256(scope.encode()).digest()[:4], "big", signed=True)


def _ranges(positions: Iterable[int]) -> Multirange[int]:
    """Return positions as ranges: a whole batch of unchanged rows is one entry of the ledger."""
    ranges: list[Range[int]] = []
    first = last = -2
    for position in sorted(positions):
        if position != last + 1:
            if first >= 0:
                ranges.append(Range(first, last + 1))
            first = position
        last = position
    if first >= 0:
        ranges.append(Range(first, last + 1))
    return Multirange(ranges)


def positions(ranges: Multirange[int]) -> Iterator[int]:
    """Yield the positions that the ledger keeps as ranges."""
    for one in ranges:
        assert one.lower is not None
        assert one.upper is not None
        yield from range(one.lower, one.upper)
