"""Taking a run back on PostgreSQL: one transaction over all tables, the ledger's state and the report included."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors, sql

from transhume.batches import JournalAnchor, TargetTable
from transhume.errors import Refused, RollbackStopped
from transhume.faults import reach
from transhume.systems.postgres import ddl, faults, journals, ledger, undo_indexes, undo_proof, undo_sets
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.stage import schema_name
from transhume.systems.postgres.undo_references import References, foreign_keys
from transhume.systems.postgres.undo_script import undo_script
from transhume.systems.postgres.undo_sets import GOES, UndoSet, at
from transhume.systems.system import RunIdentity
from transhume.systems.undo import (
    KeptRow,
    UndoChoice,
    UndoneTable,
    UndoReport,
    UndoScript,
    report_of,
)

_DROPPED_AT_ONCE = 200
"""Tables of a stage that one transaction drops; each holds a lock."""
_KEPT = "kept"
_MEMORY = "SET LOCAL work_mem = '64MB'; SET LOCAL enable_mergejoin = off"


class _Looked(Exception):
    """Ends a look: its transaction is rolled back, and the report is handed on."""

    def __init__(self, report: UndoReport) -> None:
        self.report = report
        super().__init__()


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look has found: the sets in the order of deletion, the report, and each table's numbers."""

    order: list[UndoSet]
    report: UndoReport
    goes: Mapping[str, int]


class PostgresUndo:
    """One hold on a schema for taking one run back; see `TargetUndo`."""

    state: str

    def __init__(self, address: Address, run: RunIdentity, tables: Sequence[TargetTable]) -> None:
        self._address = address
        self._run = run
        self._tables = list(tables)
        self._lock = Session(address, f"transhume lock {run.run}")
        self._writer = Session(address, f"transhume undo {run.run}")
        try:
            self._enter()
        except BaseException:
            self.close()
            raise

    def _enter(self) -> None:
        where, scope = self._address.identity, self._address.schema
        with self._writer.reading(where) as connection:
            if not ledger.exists(connection):
                self.state = "absent"
                return
        self._writer.transact(ledger.create, where=where)
        locked = self._lock.connection()
        try:
            if not ledger.take_lock(locked, scope):
                raise ledger.who_holds(locked, scope, where)
        except psycopg.Error as problem:
            faults.reraise(problem, where)
        backend = locked.pgconn.backend_pid
        self._hold, self.state = self._writer.transact(
            lambda connection: ledger.enter_undo(connection, self._run, scope, backend), where=where
        )

    def preview(self, choice: UndoChoice) -> UndoReport:
        """Return what `undo` would do now, from one snapshot; what it needs to make for that is rolled back."""
        if self.state != "published":
            return self._unpublished_report()

        def look(connection: WatchedConnection) -> None:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            raise _Looked(self._look(connection, choice).report)

        try:
            self._writer.transact(look, where=f"nothing was changed in {self._address.identity}")
        except _Looked as looked:
            return looked.report
        raise AssertionError  # pragma: no cover - a look always ends by its report

    def undo(self, choice: UndoChoice) -> UndoReport:
        """Take the run back; see `TargetUndo.undo`."""
        if self.state == "absent":
            return self._unpublished_report()
        if self.state == "finalized":
            raise Refused(_finalized(self._run.run))
        if self.state == "published":
            where = f"nothing was changed in {self._address.identity}"
            report = self._writer.transact(lambda connection: self._take_back(connection, choice), where=where)
            reach("undo:after_commit")
        else:
            report = self._unpublished_report()
            self._writer.transact(self._give_up, where=self._address.identity)
            reach("undo:after_commit")
            if not report.tables:
                # Of a published run the stage stays, as what can be looked at; `finalize` drops it.
                self._drop_stage()
        self.state = "rolled_back"
        return report

    def script(self) -> UndoScript:
        """Return the undoing as a script for psql; see `TargetUndo.script`."""
        with self._writer.reading(self._address.identity) as connection:
            stages = undo_sets.stages_of(connection, self._run.run, self._address, self._tables)
            return undo_script(connection, self._run.run, self._address.schema, stages)

    def kept(self) -> Iterator[KeptRow]:
        """Yield every row that stayed when the run was rolled back."""
        place = ddl.qualified(schema_name(self._run.run), _KEPT)
        with self._writer.reading(self._address.identity) as connection:
            found = connection.execute("SELECT to_regclass(%s)", [place.as_string(connection)]).fetchone()
            if found is None or found[0] is None:
                return
            rows = connection.execute(
                sql.SQL("SELECT target_table, key, why FROM {} ORDER BY target_table, key").format(place)
            ).fetchall()
        yield from (KeptRow(table, tuple(key), why) for table, key, why in rows)

    def remember(self, anchor: JournalAnchor) -> None:
        """Write down how far the run's journal has come; see `TargetUndo.remember`."""
        journals.remember(self._writer, self._hold, anchor, self._address.identity)

    def finalize(self) -> Sequence[str]:
        """Drop the stage with its before-images and set the run to finalized; idempotent."""
        if self.state == "absent":
            return []
        if self.state == "open":
            message = (
                f"run '{self._run.run}' is not finished: 'transhume run' goes on with it, 'transhume rollback' gives "
                "it up"
            )
            raise Refused(message)

        def end(connection: WatchedConnection) -> None:
            ledger.check_hold(connection, self._hold)
            connection.execute("UPDATE transhume.runs SET state = 'finalized' WHERE run = %s", [self._run.run])

        self._writer.transact(end, where=self._address.identity)
        reach("finalize:state_set")
        self.state = "finalized"
        dropped = self._drop_stage()
        name = schema_name(self._run.run)
        return [f"schema '{name}' with {dropped} tables of staged rows and before-images"] if dropped else []

    def close(self) -> None:
        """Give the lock back."""
        for session in (self._writer, self._lock):
            session.close()

    def _unpublished_report(self) -> UndoReport:
        if self.state in {"absent", "finalized"}:
            return UndoReport(self._run.run, self.state)
        with self._writer.reading(self._address.identity) as connection:
            row = connection.execute("SELECT undone FROM transhume.runs WHERE run = %s", [self._run.run]).fetchone()
        if row and row[0]:
            return replace(report_of(json.loads(row[0])), state=self.state)
        notes = (f"schema '{schema_name(self._run.run)}' with the staged rows is dropped; no reader ever saw them",)
        return UndoReport(self._run.run, self.state, notes=notes)

    def _give_up(self, connection: WatchedConnection) -> None:
        ledger.check_hold(connection, self._hold)
        connection.execute(
            "UPDATE transhume.runs SET state = 'rolled_back', undone_at = now() WHERE run = %s AND state = 'open'",
            [self._run.run],
        )
        reach("undo:before_commit")

    def _look(self, connection: WatchedConnection, choice: UndoChoice) -> _Found:
        """Make the sets, follow the references, count. Raises: RollbackStopped."""
        connection.execute(_MEMORY)
        stages = undo_sets.stages_of(connection, self._run.run, self._address, self._tables)
        sets, all_counts = undo_sets.make_sets(connection, self._run.run, stages, choice)
        references = References(connection, self._run.run, sets)
        referring = references.follow(choice)
        later = list(references.later_runs(referring))
        numbers, tables = {}, []
        for each in sets.values():
            counts = all_counts[each.name]
            found = undo_sets.fates(connection, each)
            undo_sets.require_counts(each, counts, found, choice)
            numbers[each.name] = found.get("remove", 0) + found.get("other", 0)
            tables.append(self._counted(connection, each, counts, found))
        order = [*references.sets, *(each for each in sets.values() if each.oid is None)]
        for each in order:
            if each.name not in sets:
                numbers[each.name] = gone = undo_sets.fates(connection, each).get("other", 0)
                tables.append(UndoneTable(each.name, created=False, others_removed=gone))
        notes = [*self._notes(connection, order), *self._unchanged_elsewhere(connection)]
        notes += [
            f"{gone} rows of '{table.table}' that the run changed were removed by others since"
            for table in tables
            if (gone := table.updated - table.restored - table.not_restored)
        ]
        report = UndoReport(self._run.run, "published", tuple(tables), tuple(referring), tuple(later), tuple(notes))
        return _Found(order, report, numbers)

    def _counted(
        self, connection: WatchedConnection, each: UndoSet, counts: undo_sets.Counts, found: Mapping[str, int]
    ) -> UndoneTable:
        goes = found.get("remove", 0) + found.get("other", 0)
        dropped = False
        if each.created and each.oid is not None:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(each.place)).fetchone()
            dropped = row == (goes,)
        updated = sum(
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(before)).fetchone()[0]  # type: ignore[index]
            for before in each.images
            if before is not None
        )
        return UndoneTable(
            table=each.name,
            created=each.created,
            published=counts.published,
            removed=found.get("remove", 0),
            edited=found.get("edited", 0),
            needed=found.get("needed", 0),
            vanished=counts.vanished,
            updated=updated,
            restored=found.get("restore", 0),
            not_restored=found.get("not_restored", 0),
            others_removed=found.get("other", 0),
            dropped=dropped,
        )

    def _take_back(self, connection: WatchedConnection, choice: UndoChoice) -> UndoReport:
        """Do it, within the transaction under way; a run that an earlier attempt took back is only reported."""
        ledger.check_hold(connection, self._hold)
        row = connection.execute("SELECT state, undone FROM transhume.runs WHERE run = %s", [self._run.run]).fetchone()
        if row and row[0] == "rolled_back" and row[1]:
            return report_of(json.loads(row[1]))
        self._lock_tables(connection, choice)
        found = self._look(connection, choice)
        self._require_free(found.report, choice)
        self._keep_list(connection, found.order)
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        told = {table.table: table for table in found.report.tables}
        dropped = self._drop_created(connection, [each for each in found.order if told[each.name].dropped])
        standing = [each for each in found.order if each.oid is not None and each.name not in dropped]
        # Of a table that is gone nothing is left to be compared; taking its fingerprint was a third of the time.
        begun = {each.name: undo_proof.Begun.of(connection, each) for each in standing}
        indexes = undo_indexes.make(connection, standing, found.goes)
        # Rows that get their former content back do not refer to rows of the run any more; so they come first.
        for each in standing:
            _restore(connection, each)
        for each in standing:
            _delete(connection, each, found.goes[each.name])
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        reach("undo:deleted")
        done = {}
        for each in found.order:
            table = replace(told[each.name], dropped=each.name in dropped)
            done[each.name] = undo_proof.proved(connection, self._run.run, each, table, begun.get(each.name))
        notes = [*found.report.notes, *self._drop_schema(connection)]
        report = replace(found.report, tables=tuple(done[name] for name in told), notes=tuple(notes))
        undo_indexes.drop(connection, indexes)
        for each in found.order:
            if each.is_made:
                connection.execute(sql.SQL("DROP TABLE {}").format(each.rows))
        connection.execute(
            "UPDATE transhume.runs SET state = 'rolled_back', undone_at = now(), undone = %s WHERE run = %s",
            [json.dumps(report.to_dict(), ensure_ascii=False), self._run.run],
        )
        reach("undo:before_commit")
        return report

    def _lock_tables(self, connection: WatchedConnection, choice: UndoChoice) -> None:
        """Keep others from writing the tables of the run, and those in which the server would change rows by itself."""
        names = {(self._address.schema, table.table.name) for table in self._tables}
        oids = []
        places: dict[str, sql.Identifier] = {}
        for schema, name in names:
            place = ddl.qualified(schema, name)
            row = connection.execute("SELECT to_regclass(%s)::oid", [place.as_string(connection)]).fetchone()
            if row and row[0] is not None:
                oids.append(row[0])
                places[place.as_string(connection)] = place
        for key in foreign_keys(connection, oids):
            if key.changes_rows or choice.referenced == "remove":
                places[key.place.as_string(connection)] = key.place
        for _, place in sorted(places.items()):
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(place))

    def _require_free(self, report: UndoReport, choice: UndoChoice) -> None:
        if report.later_runs:
            message = f"nothing was changed: {'; '.join(report.later_runs)}"
            raise Refused(message)
        if report.referring and choice.referenced == "refuse":
            listed = "; ".join(map(str, report.referring))
            message = (
                f"nothing was changed: {listed}. Say --referenced keep to let the rows stay that are referred to, or "
                "--referenced remove to remove the referring rows as well."
            )
            raise Refused(message)

    def _keep_list(self, connection: WatchedConnection, order: Sequence[UndoSet]) -> None:
        """Write down, beside the stage, the key of every row that stays."""
        place = ddl.qualified(schema_name(self._run.run), _KEPT)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place))
        connection.execute(
            sql.SQL("CREATE TABLE {} (target_table text NOT NULL, key text[] NOT NULL, why text NOT NULL)").format(
                place
            )
        )
        for each in order:
            for stage in each.stages if each.oid is not None and not each.is_all else ():
                key = sql.SQL(", ").join(
                    sql.SQL("{}::text").format(sql.Identifier("t", name)) for name in stage.table.key
                )
                connection.execute(
                    sql.SQL(
                        "INSERT INTO {place} SELECT {name}, ARRAY[{key}], u.fate FROM {target} t JOIN {rows} u ON {at} "
                        "WHERE u.mapping = {mapping} AND u.fate IN ('edited', 'needed', 'not_restored')"
                    ).format(
                        place=place,
                        name=sql.Literal(each.name),
                        key=key,
                        target=each.place,
                        rows=each.rows,
                        at=at("t"),
                        mapping=sql.Literal(stage.table.mapping),
                    )
                )

    def _drop_created(self, connection: WatchedConnection, wanted: Sequence[UndoSet]) -> set[str]:
        """Drop tables that the run made and that hold only its rows; what others have built on one keeps it."""
        if not wanted:
            return set()
        places = sql.SQL(", ").join(each.place for each in wanted)
        if _try(connection, sql.SQL("DROP TABLE {}").format(places)):
            return {each.name for each in wanted}
        return {each.name for each in wanted if _try(connection, sql.SQL("DROP TABLE {}").format(each.place))}

    def _drop_schema(self, connection: WatchedConnection) -> list[str]:
        row = connection.execute("SELECT made_schema FROM transhume.runs WHERE run = %s", [self._run.run]).fetchone()
        if not row or not row[0]:
            return []
        name = self._address.schema
        if _try(connection, sql.SQL("DROP SCHEMA {}").format(sql.Identifier(name))):
            return [f"schema '{name}', which the run made, is dropped"]
        return [f"schema '{name}', which the run made, stays: it is not empty"]

    def _notes(self, connection: WatchedConnection, order: Sequence[UndoSet]) -> Iterator[str]:
        """Yield what is not restored."""
        for each in order:
            if each.oid is None:
                yield f"table '{each.name}' is not there any more: others dropped it"
                continue
            sequences = connection.execute(
                "SELECT DISTINCT d.objid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid"
                " WHERE d.refobjid = %s AND s.relkind = 'S' AND d.classid = 'pg_class'::regclass ORDER BY 1",
                [each.oid],
            ).fetchall()
            for (name,) in sequences if not each.created else ():
                yield f"sequence '{name}' is not set back: numbers that it gave meanwhile may be in use"
            triggers = connection.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled IN ('O', 'A')"
                " AND (tgtype & 8) <> 0 ORDER BY 1",
                [each.oid],
            ).fetchall()
            for (name,) in triggers:
                yield f"trigger '{name}' on '{each.name}' runs for each removed row; what it does elsewhere stays"
            if not each.created:
                yield f"table '{each.name}' keeps its physical layout: the room of removed rows is free for new ones"

    def _unchanged_elsewhere(self, connection: WatchedConnection) -> Iterator[str]:
        rows = connection.execute(
            """
            SELECT r.run, t.target_table, t.unchanged FROM transhume.runs r JOIN transhume.tables t USING (run)
            JOIN transhume.runs mine ON mine.run = %s
            JOIN transhume.tables ours ON ours.run = mine.run AND ours.target_table = t.target_table
            WHERE r.state = 'published' AND r.scope = mine.scope AND r.published_at > mine.published_at
              AND t.unchanged > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2
            """,
            [self._run.run],
        ).fetchall()
        for run, table, unchanged in rows:
            yield f"run '{run}' found {unchanged} rows of '{table}' there already; those of this run go all the same"

    def _drop_stage(self) -> int:
        """Drop the run's schema, some tables at a time, so that a stage of any size needs few locks."""
        name = schema_name(self._run.run)
        total = 0
        while True:

            def drop(connection: WatchedConnection) -> int:
                ledger.check_hold(connection, self._hold)
                rows = connection.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1 LIMIT %s",
                    [name, _DROPPED_AT_ONCE],
                ).fetchall()
                if rows:
                    places = sql.SQL(", ").join(ddl.qualified(name, row[0]) for row in rows)
                    connection.execute(sql.SQL("DROP TABLE {}").format(places))
                else:
                    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(name)))
                return len(rows)

            dropped = self._writer.transact(drop, where=f"the stage '{name}' is not dropped yet")
            reach("undo:stage_dropped")
            if not dropped:
                return total
            total += dropped


def _delete(connection: WatchedConnection, each: UndoSet, goes: int) -> None:
    try:
        only = sql.SQL("USING {} u WHERE {} AND u.fate IN {}").format(each.rows, at("t"), sql.SQL(GOES))
        statement = sql.SQL("DELETE FROM {} t {}").format(each.place, sql.SQL("") if each.is_all else only)
        removed = connection.execute(statement).rowcount
    except errors.IntegrityError as problem:
        raise Refused(str(faults.explain(problem, "nothing was changed"))) from None
    if removed != goes:
        message = (
            f"{goes} rows of '{each.name}' were to be removed and the server removed {removed}; nothing was changed. "
            "Look for triggers or rules on the table."
        )
        raise RollbackStopped(message)


def _restore(connection: WatchedConnection, each: UndoSet) -> None:
    """Give rows that the run changed their former content back, column by column."""
    for stage, before in zip(each.stages, each.images, strict=True):
        if before is None:
            continue
        columns = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped"
            " AND attgenerated = '' AND attidentity <> 'a' ORDER BY attnum",
            [each.oid],
        ).fetchall()
        names = [row[0] for row in columns]
        restored = connection.execute(
            sql.SQL("UPDATE {target} t SET {pairs} FROM {before} b, {rows} u WHERE {same} AND {at} {fate}").format(
                target=each.place,
                pairs=sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("b", name)) for name in names
                ),
                before=before,
                rows=each.rows,
                same=ddl.same_key(stage.table.key, "b", "t"),
                at=at("t"),
                fate=sql.SQL("AND u.fate = 'restore' AND u.mapping = {}").format(sql.Literal(stage.table.mapping)),
            )
        ).rowcount
        wanted = connection.execute(
            sql.SQL("SELECT count(*) FROM {} u WHERE u.fate = 'restore' AND u.mapping = {}").format(
                each.rows, sql.Literal(stage.table.mapping)
            )
        ).fetchone()
        if wanted != (restored,):
            message = f"rows of '{each.name}' did not get their former content back; nothing was changed"
            raise RollbackStopped(message)


def _try(connection: WatchedConnection, statement: sql.Composed) -> bool:
    """Run a statement that others' objects may forbid; say whether it went."""
    connection.execute("SAVEPOINT trying")
    try:
        connection.execute(statement)
    except (errors.DependentObjectsStillExist, errors.InsufficientPrivilege):
        connection.execute("ROLLBACK TO SAVEPOINT trying")
        return False
    connection.execute("RELEASE SAVEPOINT trying")
    return True


def _finalized(run: str) -> str:
    return (
        f"run '{run}' is finalized: its staged rows and before-images were dropped on purpose, so it cannot be rolled "
        "back any more; the backup of the tables is the other way back"
    )
