"""Bringing a target's tables back from a restored dump: into a schema beside them, then swapped, in one transaction.

The tables stay the same tables, with their keys, rights and views: rows that the dump does not have leave, rows that
are missing come. Where the dump was restored to is the caller's.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import psycopg
from psycopg import sql

from transhume.errors import Refused, RollbackStopped
from transhume.faults import reach
from transhume.systems.backup import ABSENT, RestoredTable, require_expected, taken_back_report
from transhume.systems.postgres import faults, ledger
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.row_prints import of_tables
from transhume.systems.system import RunIdentity

_COLUMNS = """
SELECT attname::text, format_type(atttypid, atttypmod), attgenerated <> '' FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEYS_INSIDE = """
SELECT c.relname::text, p.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND n.nspname = %s AND p.relnamespace = c.relnamespace
  AND c.relname = ANY(%s) AND p.relname = ANY(%s)
"""
KEYS_THAT_CHANGE_OTHERS = """
SELECT DISTINCT k.conrelid::regclass::text, p.relname::text FROM pg_constraint k
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace
JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd') AND n.nspname = %s AND p.relname = ANY(%s)
  AND NOT (c.relnamespace = p.relnamespace AND c.relname = ANY(%s))
"""
_KEYS_THAT_CANNOT_WAIT = """
SELECT n.nspname::text, c.relname::text, k.conname::text FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND NOT k.condeferrable AND k.conparentid = 0 AND pn.nspname = %s AND p.relname = ANY(%s)
ORDER BY 1, 2, 3
"""
_NUMBERED = (
    "SELECT x.ctid AS place, md5(record_send(x.*)) AS content,"
    " row_number() OVER (PARTITION BY md5(record_send(x.*))) AS number FROM {} AS x"
)


def restore(
    address: Address,
    restored: Address | None,
    wanted: Mapping[str, str],
    run: RunIdentity,
    known: Sequence[str],
    expected: Mapping[str, str] | None = None,
) -> Sequence[RestoredTable]:
    """Make the tables of `wanted` have these fingerprints; `restored` is where their rows are, None: there are none.

    `expected`: what their fingerprints must be before.
    Effects: one transaction. Published runs that are not among `known` count as rolled back from then on.
    Raises: LockHeld; Refused, RollbackStopped: nothing was changed.
    """
    lock = Session(address, f"transhume lock {run.run}")
    writer = Session(address, f"transhume restore {run.run}")
    rows = None if restored is None else Session(restored, "transhume restore")
    try:
        writer.transact(ledger.create, where=address.identity)
        locked = lock.connection()
        try:
            if not ledger.take_lock(locked, address.schema):
                raise ledger.who_holds(locked, address.schema, address.identity)
        except psycopg.Error as problem:
            faults.reraise(problem, address.identity)
        backend = locked.pgconn.backend_pid

        def work(connection: WatchedConnection) -> list[RestoredTable]:
            ledger.enter_undo(connection, run, address.schema, backend)
            return _Swap(connection, address.schema, wanted).done(rows, run, known, expected)

        return writer.transact(work, where=f"{address.identity} not restored; nothing was changed")
    finally:
        for session in (writer, lock, *([rows] if rows else [])):
            session.close()


class _Swap:
    """The work of one transaction."""

    def __init__(self, connection: WatchedConnection, schema: str, wanted: Mapping[str, str]) -> None:
        self._connection = connection
        self._schema = schema
        self._wanted = wanted
        self._beside = f"transhume_restore_{secrets.token_hex(4)}"
        self._filled = [name for name, value in wanted.items() if value != ABSENT]
        self._there = {name for name in wanted if self._columns(name)}

    def done(
        self, rows: Session | None, run: RunIdentity, known: Sequence[str], expected: Mapping[str, str] | None
    ) -> list[RestoredTable]:
        """Do it and return what was done; raises Refused, RollbackStopped."""
        missing = [name for name in self._filled if name not in self._there]
        if missing:
            listed = ", ".join(f"'{name}'" for name in missing)
            message = (
                f"others dropped {listed}; nothing was changed. Make it again from the dump by pg_restore, then run "
                "the same command again."
            )
            raise Refused(message)
        for name in sorted(self._there):
            self._execute("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", self._place(name))
        before = self._fingerprints()
        if before != dict(self._wanted):
            # Else nobody's work is lost; it may be this very transaction, whose commit was not heard of.
            require_expected(before, expected)
        try:
            self._fill(rows)
            self._require_own_rows()
            gone = sorted(self._there - set(self._filled))
            if gone:
                self._execute("DROP TABLE {}", sql.SQL(", ").join(map(self._place, gone)))
            order = self._order()
            waiting = self._let_keys_wait()
            self._connection.execute("SET CONSTRAINTS ALL DEFERRED")
            for name in reversed(order):
                self._remove(name)
            for name in order:
                self._bring(name)
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for place, key in waiting:
                self._execute("ALTER TABLE {} ALTER CONSTRAINT {} NOT DEFERRABLE", place, key)
        except (psycopg.errors.IntegrityError, psycopg.errors.DependentObjectsStillExist) as problem:
            table = problem.diag.table_name or "another table"
            message = f"'{table}' refers to rows or tables that would go; nothing was changed. Take those away first."
            raise Refused(message) from None
        self._there -= set(gone)
        after = self._fingerprints()
        if wrong := sorted(name for name, value in self._wanted.items() if after[name] != value):
            listed = ", ".join(f"'{name}'" for name in wrong)
            message = (
                f"{listed} would not be what the snapshot holds (a trigger of others?); nothing was changed. Restore "
                "the dump by hand with pg_restore."
            )
            raise RollbackStopped(message)
        done = [RestoredTable(n, before[n], after[n], n in gone) for n in self._wanted]
        self._tell_ledger(done, run, known)
        self._execute("DROP SCHEMA {} CASCADE", sql.Identifier(self._beside))
        reach("restore:before_commit")
        return done

    def _fill(self, rows: Session | None) -> None:
        """Copy the restored rows into tables of the same columns beside the real ones."""
        self._execute("CREATE SCHEMA {}", sql.Identifier(self._beside))
        for name in self._filled:
            assert rows is not None
            with rows.reading("the restored snapshot") as source:
                held = self._columns(name, source)
                if [column[:2] for column in held] != [column[:2] for column in self._columns(name)]:
                    message = f"'{name}' has other columns than when the snapshot was made; nothing was changed"
                    raise Refused(message)
                beside = sql.Identifier(self._beside, name)
                self._execute("CREATE TABLE {} (LIKE {})", beside, self._place(name))
                # What a column demands, the real table demands when the rows come in.
                listed = sql.SQL(", ").join(sql.Identifier(column[0]) for column in held)
                out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(listed, self._place(name))
                into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(beside, listed)
                with source.cursor().copy(out) as taken, self._connection.cursor().copy(into) as given:
                    for block in taken:
                        given.write(block)

    def _require_own_rows(self) -> None:
        """Raise Refused where deleting a row would change a table that is none of these."""
        names = list(self._wanted)
        for table, parent in self._connection.execute(
            KEYS_THAT_CHANGE_OTHERS, [self._schema, self._filled, names]
        ).fetchall():
            message = (
                f"'{table}' refers to '{parent}' by a key that deletes or changes its rows along; nothing was changed. "
                "Restore the dump by hand with pg_restore, or take the key away for the time."
            )
            raise Refused(message)

    def _order(self) -> list[str]:
        """Return the tables, parents first."""
        found = self._connection.execute(_KEYS_INSIDE, [self._schema, self._filled, self._filled]).fetchall()
        parents: dict[str, set[str]] = {name: set() for name in self._filled}
        for child, parent in found:
            parents[child].add(parent)
        try:
            return list(TopologicalSorter(parents).static_order())
        except CycleError:
            # Only keys that may wait can hold such rows.
            return list(self._filled)

    def _let_keys_wait(self) -> list[tuple[sql.Identifier, sql.Identifier]]:
        """Have references to the tables checked at the end, for this transaction; return those that are to be set back.

        A row with another content leaves before it comes, and rows that stay may refer to it. Without the right to
        alter a table its keys stay as they are.
        """
        waiting = []
        found = self._connection.execute(_KEYS_THAT_CANNOT_WAIT, [self._schema, self._filled]).fetchall()
        for schema, table, name in found:
            place, key = sql.Identifier(schema, table), sql.Identifier(name)
            self._connection.execute("SAVEPOINT key")
            try:
                self._execute("ALTER TABLE {} ALTER CONSTRAINT {} DEFERRABLE INITIALLY DEFERRED", place, key)
            except psycopg.errors.InsufficientPrivilege:
                self._connection.execute("ROLLBACK TO SAVEPOINT key")
            else:
                waiting.append((place, key))
            self._connection.execute("RELEASE SAVEPOINT key")
        return waiting

    def _remove(self, name: str) -> None:
        numbered = sql.SQL(_NUMBERED)
        statement = (
            "DELETE FROM {} WHERE ctid IN (SELECT h.place FROM ({}) AS h WHERE NOT EXISTS"
            " (SELECT FROM ({}) AS w WHERE w.content = h.content AND w.number = h.number))"
        )
        here, there = numbered.format(self._place(name)), numbered.format(sql.Identifier(self._beside, name))
        self._execute(statement, self._place(name), here, there)

    def _bring(self, name: str) -> None:
        numbered = sql.SQL(_NUMBERED)
        here, beside = self._place(name), sql.Identifier(self._beside, name)
        listed = sql.SQL(", ").join(sql.Identifier(c) for c, _, generated in self._columns(name) if not generated)
        statement = (
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS r WHERE r.ctid IN (SELECT w.place"
            " FROM ({}) AS w WHERE NOT EXISTS (SELECT FROM ({}) AS h WHERE h.content = w.content"
            " AND h.number = w.number))"
        )
        self._execute(statement, here, listed, listed, beside, numbered.format(beside), numbered.format(here))

    def _tell_ledger(self, done: Sequence[RestoredTable], run: RunIdentity, known: Sequence[str]) -> None:
        """Set the runs that the snapshot does not know to rolled back, each with a report."""
        found = self._connection.execute(
            "SELECT run FROM transhume.runs WHERE scope = %s AND state = 'published'"
            " AND run <> ALL(%s) ORDER BY published_at",
            [self._schema, list(known)],
        ).fetchall()
        for (name,) in found:
            report = taken_back_report(name, done, run.run)
            self._connection.execute(
                "UPDATE transhume.runs SET state = 'rolled_back', undone_at = now(), undone = %s WHERE run = %s",
                [json.dumps(report.to_dict(), ensure_ascii=False), name],
            )

    def _fingerprints(self) -> dict[str, str]:
        found = of_tables(self._connection, [(self._schema, name) for name in sorted(self._there)])
        return {name: found.get(f"{self._schema}.{name}", ABSENT) for name in self._wanted}

    def _columns(self, name: str, connection: WatchedConnection | None = None) -> list[tuple[str, str, bool]]:
        connection = connection or self._connection
        return connection.execute(_COLUMNS, [self._place(name).as_string(connection)]).fetchall()

    def _place(self, name: str) -> sql.Identifier:
        return sql.Identifier(self._schema, name)

    def _execute(self, statement: str, *parts: sql.Composable) -> None:
        self._connection.execute(sql.SQL(statement).format(*parts))
