"""What readers see of a run's rows against what was staged, every value bit by bit. Nothing is changed here."""

from collections.abc import Sequence

from psycopg import sql

from transhume.systems.postgres import ddl, fingerprint, ledger
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.received import Multiset, Received
from transhume.systems.postgres.stage import MISMATCHES_MAX, Stage, schema_name
from transhume.systems.system import Mismatch

_MEMORY = "SET LOCAL work_mem = '64MB'"
"""Per join of stage tables with the target."""
_JOINED_MAX = 64
"""Stage tables that one statement reads: each holds a lock, and more joins than needed read the target again."""
_READ_SIZE_MAX = 2
"""A target that is larger than what was staged by more than this is not read whole: keys are looked up."""


def verify(connection: WatchedConnection, stage: Stage) -> list[Mismatch]:
    """Return what differs between the rows that readers now see and the staged ones, at most MISMATCHES_MAX values.

    What this process read back of the stage is held against the target's rows as they come, in any order; where that is
    not known, or not equal, the server compares whole records.
    """
    names = ledger.stage_tables(connection, stage.run, stage.table.mapping)
    if not names or _reads_as_staged(connection, stage, names):
        return []
    mismatches: list[Mismatch] = []
    connection.execute(_MEMORY)
    if stage.table.create:
        # Nobody has counted the rows of a new table yet, and a planner that takes it for tiny walks it once a row:
        # 2 s for 5,000 rows. All of a new table is ours, so reading it once is right at any size.
        connection.execute("SET LOCAL enable_nestloop = off")
    if not stage.table.key:
        return _verify_multiset(connection, stage, names)
    for first in range(0, len(names), _JOINED_MAX):
        if len(mismatches) < MISMATCHES_MAX:
            mismatches += _verify_batches(
                connection, stage, names[first : first + _JOINED_MAX], MISMATCHES_MAX - len(mismatches)
            )
    return mismatches


def _reads_as_staged(connection: WatchedConnection, stage: Stage, names: Sequence[str]) -> bool:
    """Say whether the rows that the run's publishing wrote, as COPY sends them, are those that were read back staged.

    A row that was changed since is no longer of that transaction, and so is missing here.
    """
    staged, xid = stage.read_back(names), ledger.publish_xid(connection, stage.run)
    if staged is None or xid is None or _is_mostly_of_others(connection, stage, names):
        return False
    statement = sql.SQL("COPY (SELECT {} FROM {} t WHERE t.xmin = {}::xid) TO STDOUT (FORMAT binary)").format(
        ddl.names(stage.columns, "t"),
        ddl.qualified(stage.target_schema, stage.table.table.name),
        sql.Literal(xid),
    )
    # One process sends while the client counts; several would first hand each row to the one that sends.
    connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
    with connection.cursor() as cursor, cursor.copy(statement):
        shown: Multiset = Received(connection).rows()
    connection.execute("RESET max_parallel_workers_per_gather")
    return shown == staged


def _is_mostly_of_others(connection: WatchedConnection, stage: Stage, names: Sequence[str]) -> bool:
    """Say whether reading the whole target costs much more than looking up what was staged."""
    target = ddl.qualified(stage.target_schema, stage.table.table.name)
    places = [ddl.qualified(schema_name(stage.run), name).as_string(connection) for name in names]
    staged = connection.execute(
        "SELECT sum(pg_relation_size(name::regclass)) FROM unnest(%s::text[]) name", [places]
    ).fetchone()
    assert staged is not None
    return fingerprint.size_bytes(connection, target) > _READ_SIZE_MAX * int(staged[0])


def _verify_multiset(connection: WatchedConnection, stage: Stage, names: list[str]) -> list[Mismatch]:
    """Return how many staged rows the target lacks, each counted as often as it is staged: there is no key to join by.

    The digest is over the bytes that the server would send of a row, so that json and the sign of zero count.
    """
    staged = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT md5(record_send({})) FROM {} s").format(
            stage.record("s"), ddl.qualified(schema_name(stage.run), name)
        )
        for name in names
    )
    found = connection.execute(
        sql.SQL(
            "SELECT count(*) FROM (({staged}) EXCEPT ALL SELECT md5(record_send({theirs})) FROM {target} t) missing"
        ).format(
            staged=staged,
            theirs=ddl.record(ddl.names(stage.columns, "t")),
            target=ddl.qualified(stage.target_schema, stage.table.table.name),
        )
    ).fetchone()
    missing = found[0] if found else 0
    table = stage.table.table.name
    return [Mismatch(table, -1, "", f"{missing} rows as staged", "no such rows")] if missing else []


def _verify_batches(connection: WatchedConnection, stage: Stage, names: list[str], limit: int) -> list[Mismatch]:
    """Return what differs in these batches; one join for many of them, because each join reads the whole target."""
    staged = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} FROM {} s").format(stage.values("s"), ddl.qualified(schema_name(stage.run), name))
        for name in names
    )
    joined = sql.SQL(
        "FROM ({staged}) s ({columns}) LEFT JOIN {target} t ON {same_key} WHERE {ours} *<> {theirs}"
    ).format(
        staged=staged,
        columns=ddl.names(stage.columns),
        target=ddl.qualified(stage.target_schema, stage.table.table.name),
        same_key=ddl.same_key(stage.table.key, "s", "t"),
        ours=ddl.record(ddl.names(stage.columns, "s")),
        theirs=ddl.record(ddl.names(stage.columns, "t")),
    )
    # Counted first: a LIMIT makes the planner believe that the first differences come soon, and walk the index.
    counted = connection.execute(sql.SQL("SELECT count(*) ") + joined).fetchone()
    if counted == (0,):
        return []
    absent = sql.SQL(" AND ").join(sql.SQL("{} IS NULL").format(sql.Identifier("t", name)) for name in stage.table.key)
    texts = [
        sql.SQL("{}::text").format(sql.Identifier(alias, column)) for alias in ("s", "t") for column in stage.columns
    ]
    statement = sql.SQL("SELECT {}, {} {} LIMIT {}").format(
        absent, sql.SQL(", ").join(texts), joined, sql.Literal(limit)
    )
    mismatches: list[Mismatch] = []
    for missing, *values in connection.execute(statement).fetchall():
        width = len(stage.columns)
        mismatches += _differences(stage, missing=missing, staged=values[:width], found=values[width:])
    return mismatches[:limit]


def _differences(stage: Stage, *, missing: bool, staged: list[str | None], found: list[str | None]) -> list[Mismatch]:
    table, key = stage.table.table.name, stage.columns.index(stage.table.key[0])
    if missing:
        return [Mismatch(table, -1, stage.columns[key], str(staged[key]), "no such row")]
    pairs = zip(stage.columns, staged, found, strict=True)
    differing = [(column, ours, theirs) for column, ours, theirs in pairs if ours != theirs]
    if not differing:
        # Same text, other bits (the sign of zero in a numeric's scale, a NaN): name the row.
        return [Mismatch(table, -1, stage.columns[key], str(staged[key]), "a row of the same texts but other bits")]
    return [
        Mismatch(table, -1, column, "NULL" if ours is None else ours, "NULL" if theirs is None else theirs)
        for column, ours, theirs in differing
    ]
