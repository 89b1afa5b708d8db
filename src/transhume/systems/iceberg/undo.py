"""Taking a run back in a lake: new metadata for each table first, then one catalog transaction swaps all pointers."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import FileScanTask, Table

from transhume.batches import JournalAnchor, TargetTable
from transhume.errors import Interrupted, Refused, RollbackStopped, SystemUnavailable
from transhume.faults import reach
from transhume.systems.iceberg import journals
from transhume.systems.iceberg.files import canonical
from transhume.systems.iceberg.fingerprint import Fingerprints, of_rows, row_md5s
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import Ledger, Pointer, PointerMoved, TableState
from transhume.systems.iceberg.lock import LakeLock
from transhume.systems.iceberg.present import KeyIndex, keys_of
from transhume.systems.iceberg.snapshots import MAIN, head_of, scan_file, tag_name, tasks
from transhume.systems.iceberg.undo_metadata import back_to, files_of_all_snapshots, without_refs, without_rows
from transhume.systems.iceberg.undo_rows import (
    LEAVES,
    NOT_RESTORED,
    LakeReferences,
    UndoTableRows,
    look_for_rows,
    require_counts,
)
from transhume.systems.iceberg.undo_script import undo_script
from transhume.systems.undo import (
    Fingerprint,
    KeptRow,
    ReferringRows,
    UndoChoice,
    UndoneTable,
    UndoReference,
    UndoReport,
    UndoScript,
    merged_tables,
    proof,
    report_of,
)

_ATTEMPTS_MAX = 10


class IcebergUndo:
    """One hold on a lake for taking one run back; see `TargetUndo`."""

    def __init__(
        self,
        lake: Lake | None,
        ledger: Ledger | None,
        lock: LakeLock | None,
        run: str,
        tables: Sequence[TargetTable],
        references: Sequence[UndoReference],
    ) -> None:
        self._open_lake, self._open_ledger, self._lock = lake, ledger, lock
        self._run = run
        self._tables = merged_tables(tables)
        self._references = references
        self.state = "absent" if ledger is None else ledger.state()

    @property
    def _lake(self) -> Lake:
        assert self._open_lake is not None
        return self._open_lake

    @property
    def _ledger(self) -> Ledger:
        assert self._open_ledger is not None
        return self._open_ledger

    def preview(self, choice: UndoChoice) -> UndoReport:
        """Return what `undo` would do now; only reads."""
        if self.state != "published":
            return self._unpublished_report()
        return self._look(choice)[1]

    def undo(self, choice: UndoChoice) -> UndoReport:
        """Take the run back; see `TargetUndo.undo`."""
        if self.state == "absent":
            return self._unpublished_report()
        if self.state == "finalized":
            message = (
                f"run '{self._run}' is finalized: its branch and staged files were dropped on purpose, so it cannot be "
                "rolled back any more; the backup of the tables is the other way back"
            )
            raise Refused(message)
        if self.state == "published":
            report = self._take_back(choice)
        else:
            report = self._unpublished_report()
            if self.state == "open":
                self._give_up(report)
            if not report.tables:
                self._delete_files()
        self.state = "rolled_back"
        return report

    def script(self) -> UndoScript:
        """Return the undoing as a script for Python and pyiceberg; see `TargetUndo.script`."""
        states = self._ledger.tables()
        with storage_errors("reading the run's tables"):
            ledger = {name: (states[name], self._ledger.table_lines(name)) for name in self._tables}
            return undo_script(self._lake, self._ledger.scope, self._run, self._tables, ledger)

    def kept(self) -> Iterator[KeptRow]:
        """Yield every row that stayed when the run was rolled back."""
        if self.state != "absent":
            for table, key, why in self._ledger.kept():
                yield KeptRow(table, key, why)

    def remember(self, anchor: JournalAnchor) -> None:
        """Write down how far the run's journal has come; see `TargetUndo.remember`."""
        with self._ledger.noting("remembering the journal's end") as connection:
            journals.remember(connection, self._run, anchor)

    def finalize(self) -> Sequence[str]:
        """Drop the run's branch and tag, and its files where no snapshot needs them; idempotent."""
        if self.state == "absent":
            return []
        if self.state == "open":
            message = (
                f"run '{self._run}' is not finished: 'transhume run' goes on with it, 'transhume rollback' gives it up"
            )
            raise Refused(message)
        dropped = self._drop_refs("finalized")
        self.state = "finalized"
        deleted = self._delete_files()
        if deleted:
            dropped.append(f"{deleted} data files that no snapshot names")
        return dropped

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()

    def _unpublished_report(self) -> UndoReport:
        if self.state in {"absent", "finalized"}:
            return UndoReport(self._run, self.state)
        if told := self._ledger.report():
            return replace(report_of(json.loads(told)), state=self.state)
        notes = (f"branch 'wap_{self._run}' and the staged files are dropped; no reader ever saw them",)
        return UndoReport(self._run, self.state, notes=notes)

    def _look(self, choice: UndoChoice) -> tuple[dict[str, UndoTableRows], UndoReport]:
        """Return what is there of the run's rows, and the report of what would be done."""
        states = self._ledger.tables()
        found: dict[str, UndoTableRows] = {}
        for name, mappings in self._tables.items():
            with storage_errors(f"reading table '{name}'"):
                lines = self._ledger.table_lines(name)
                table = self._lake.table(name)
                images = {} if table is None else self._images(table, states[name])
                found[name] = look_for_rows(self._lake.files, table, mappings, lines, images, choice)
            found[name].created = states[name].created
        owners = self._ledger.later_files()
        with storage_errors("following references"):
            told = LakeReferences(found, self._references).follow(choice, lambda path: owners.get(path, ""))
        for rows in found.values():
            require_counts(rows)
        referring = tuple(
            ReferringRows(table, columns, parent, rows, run) for (table, columns, parent, run), rows in told.items()
        )
        later = tuple(
            f"run '{each.run}' builds on this one: {each.rows} rows of it in '{each.table}' refer to rows in "
            f"'{each.parent}'; roll it back first: transhume rollback {each.run}"
            for each in referring
            if each.run
        )
        later += tuple(self._changed_by_later_runs(found))
        tables = tuple(
            UndoneTable(
                table=rows.name,
                created=rows.created,
                published=rows.published,
                removed=rows.goes,
                edited=len(rows.edited) if choice.edited == "keep" else 0,
                needed=rows.needed,
                vanished=rows.vanished,
                updated=rows.updated,
                restored=sum(map(len, rows.restored.values())),
                not_restored=sum(why == NOT_RESTORED for why, _ in rows.kept.values()),
                dropped=rows.created and rows.found is not None and self._is_emptied(rows),
            )
            for rows in found.values()
        )
        return found, UndoReport(self._run, "published", tables, referring, later, tuple(_notes(found.values())))

    def _changed_by_later_runs(self, found: Mapping[str, UndoTableRows]) -> Iterator[str]:
        """Yield one sentence for each later run that changed rows of this one."""
        for run, name, _, path in self._ledger.later_images():
            rows = found.get(name)
            changed = rows.edited | rows.changed_again if rows is not None else set()
            if rows is None or not changed:
                continue
            mapping = rows.mappings[0]
            with storage_errors(f"reading before-images of run '{run}'"):
                images = self._lake.files.batches(path, mapping.key)
                count = sum(
                    key in changed
                    for batch in images
                    for key in keys_of(canonical(batch, mapping, mapping.key), mapping.key)
                )
            if count:
                yield (
                    f"run '{run}' builds on this one: it changed {count} rows of it in '{name}'; roll it back first: "
                    f"transhume rollback {run}"
                )

    def _images(self, table: Table, state: TableState) -> dict[str, pa.Table]:
        """Return by mapping the rows that the run changed, as they were, in the columns that the table has now.

        Raises: RollbackStopped if a file of them is not what the run wrote.
        """
        schema = schema_to_pyarrow(table.schema())
        images = {}
        for mapping, told in state.replaced.items():
            if self._lake.files.sha256(str(told["before"])) != told["before_sha256"]:
                message = (
                    f"the before-images of '{state.table}' are not what the run wrote; nothing was changed. Restore "
                    "the file, or use the backup of the tables."
                )
                raise RollbackStopped(message)
            rows = self._lake.files.table(str(told["before"]))
            columns = [
                rows.column(field.name).cast(field.type)
                if field.name in rows.column_names
                else pa.nulls(rows.num_rows, field.type)
                for field in schema
            ]
            images[mapping] = pa.Table.from_arrays(columns, schema=schema)
        return images

    def _coming_back(self, rows: UndoTableRows, state: TableState) -> list[pa.Table]:
        """Return the before-images of the rows that get their former content back."""
        if rows.found is None or not any(rows.restored.values()):
            return []
        coming = []
        for name, images in self._images(rows.found, state).items():
            mapping = next(table for table in rows.mappings if table.mapping == name)
            keys = [
                key
                for batch in images.to_batches()
                for key in keys_of(canonical(batch, mapping, mapping.key), mapping.key)
            ]
            coming.append(images.filter(pa.array([key in rows.restored[name] for key in keys])))
        return coming

    def _is_emptied(self, rows: UndoTableRows) -> bool:
        for task in rows.tasks():
            path = task.file.file_path
            if path in rows.whole:
                continue
            fates = rows.fates.get(path)
            if fates is None and not any(batch.num_rows for batch in scan_file(_there(rows), task)):
                continue
            if fates is None or any(fate not in LEAVES for fate in fates):
                return False
        return True

    def _take_back(self, choice: UndoChoice) -> UndoReport:
        for _ in range(_ATTEMPTS_MAX):
            found, report = self._look(choice)
            self._require_free(report, choice)
            reach("undo:set_made")
            told = {table.table: table for table in report.tables}
            pointers, done = [], []
            for name, rows in found.items():
                with storage_errors(f"undoing table '{name}'"):
                    pointer, table = self._prepare(rows, told[name], self._ledger.tables()[name])
                done.append(table)
                if pointer is not None:
                    pointers.append(pointer)
            report = replace(report, tables=tuple(done))
            kept = [(name, key, why) for name, rows in found.items() for why, key in rows.kept.values()]
            reach("undo:prepared")
            try:
                self._ledger.undo(pointers, json.dumps(report.to_dict(), ensure_ascii=False), kept)
            except PointerMoved:
                continue
            except SystemUnavailable:
                if self._ledger.state() != "rolled_back":
                    raise
            return report
        message = f"others changed the tables {_ATTEMPTS_MAX} times meanwhile; nothing was changed. Run again later."
        raise Interrupted(message)

    def _require_free(self, report: UndoReport, choice: UndoChoice) -> None:
        if report.later_runs:
            message = f"nothing was changed: {'; '.join(report.later_runs)}"
            raise Refused(message)
        if report.referring and choice.referenced == "refuse":
            listed = "; ".join(map(str, report.referring))
            message = f"nothing was changed: {listed}. Say --referenced keep to let the rows stay that are referred to."
            raise Refused(message)

    def _prepare(self, rows: UndoTableRows, told: UndoneTable, state: TableState) -> tuple[Pointer | None, UndoneTable]:
        """Write the metadata of one table without the run's rows, and compare what readers will get of it."""
        if rows.found is None:
            return None, replace(told, proof_text="others dropped the table")
        found = rows.found
        if told.dropped:
            text = "the run made the table, only its rows were in it, and it is gone"
            done = replace(told, fingerprint_before_run=str(Fingerprint()), proof="equal", proof_text=text)
            return Pointer(state.table, found.metadata_location, None), done
        known = Fingerprints()
        start = known.of_snapshot(found, head_of(found, MAIN))
        goes = self._fingerprint_of_goes(rows, known)
        base = None if state.created else head_of(found, tag_name(self._run))
        images = self._coming_back(rows, state)
        if not rows.goes and not images:
            after_table, where = found, None
        elif (
            base is not None
            and head_of(found, MAIN) == state.published_snapshot
            and rows.goes == rows.published
            and told.restored == rows.updated
        ):
            after_table, where = back_to(found, self._lake.files, base)
        else:
            after_table, where = without_rows(found, self._lake.files, self._run, rows.whole, rows.fates, images)
        after = known.of_snapshot(after_table, head_of(after_table, MAIN))
        back = sum((of_rows(batch) for table in images for batch in table.to_batches()), Fingerprint())
        if after != start - goes + back:
            message = (
                f"table '{rows.name}' would not be what it must be after the removal (fingerprint {after}); nothing "
                "was changed. This is a fault of transhume: report it; the backup of the tables is the other way back."
            )
            raise RollbackStopped(message)
        before = Fingerprint() if state.created else None
        if base is not None:
            before = known.of_snapshot(found, base)
        elif not state.created and state.base_snapshot is None:
            before = Fingerprint()
        stood = None if before is None else _stood(after_table, base, known)
        word, text = proof(before, stood, after, told.kept)
        done = replace(
            told,
            fingerprint_before_run=str(before or ""),
            fingerprint_at_start=str(start),
            fingerprint_after=str(after),
            proof=word,
            proof_text=text,
        )
        pointer = None if where is None else Pointer(state.table, found.metadata_location, where)
        return pointer, done

    def _fingerprint_of_goes(self, rows: UndoTableRows, known: Fingerprints) -> Fingerprint:
        goes = Fingerprint()
        for task in rows.tasks():
            path = task.file.file_path
            if path in rows.whole:
                goes += known.of_file(_there(rows), task)
            elif path in rows.fates:
                first = 0
                for batch in scan_file(_there(rows), task):
                    here = rows.fates[path][first : first + batch.num_rows]
                    goes += of_rows(batch.filter([fate in LEAVES for fate in here]))
                    first += batch.num_rows
        return goes

    def _give_up(self, report: UndoReport) -> None:
        """Set an open run to rolled back and drop its branches in the same transaction."""
        del report
        self._drop_refs("rolled_back")

    def _drop_refs(self, state: str) -> list[str]:
        for _ in range(_ATTEMPTS_MAX):
            pointers = []
            for name in self._tables:
                found = self._lake.table(name)
                with storage_errors(f"dropping the branch of table '{name}'"):
                    where = None if found is None else without_refs(found, self._lake.files, self._run)
                if found is not None and where is not None:
                    pointers.append(Pointer(name, found.metadata_location, where))
            try:
                self._ledger.set_state(state, pointers)
            except PointerMoved:
                continue
            return [f"branch and tag of the run on table '{pointer.table}'" for pointer in pointers]
        message = f"others changed the tables {_ATTEMPTS_MAX} times meanwhile; nothing was dropped. Run again later."
        raise Interrupted(message)

    def _delete_files(self) -> int:
        """Delete the run's data files that no snapshot of a table names; the commit that freed them is known."""
        deleted = 0
        states = self._ledger.tables()
        report = self._ledger.report()
        by_us = {table.table for table in report_of(json.loads(report)).tables if table.dropped} if report else set()
        for name in self._tables:
            found = self._lake.table(name)
            if found is None and name in states and states[name].published_snapshot is not None and name not in by_us:
                # Others dropped it, or it has another name, or another catalog, and its files are read there.
                continue
            with storage_errors(f"deleting staged files of table '{name}'"):
                named = set() if found is None else files_of_all_snapshots(found)
                own = [path for line in self._ledger.table_lines(name) for path in line.paths]
                for told in states[name].replaced.values() if name in states else ():
                    own += [str(told["before"]), *(str(new) for new, _ in told["rewritten"].values())]
                for path in own:
                    if path not in named and self._lake.files.exists(path):
                        self._lake.files.delete(path)
                        deleted += 1
                        reach("undo:file_deleted")
        return deleted


def _there(rows: UndoTableRows) -> Table:
    assert rows.found is not None
    return rows.found


def _stood(after: Table, base: int | None, known: Fingerprints) -> Fingerprint:
    """Return the fingerprint of the rows of `after` that readers of `base` saw as well, whatever file they are in."""
    before = {_file(task): task for task in tasks(after, base)}
    now = {_file(task): task for task in tasks(after, head_of(after, MAIN))}
    stood = Fingerprint()
    for key in before.keys() & now.keys():
        stood += known.of_file(after, now[key])
    rewritten = before.keys() - now.keys()
    if not rewritten:
        return stood
    index = KeyIndex()
    try:
        for key in rewritten:
            for batch in scan_file(after, before[key]):
                hashes = row_md5s(batch)
                index.add(hashes, hashes)
        index.build()
        for key in now.keys() - before.keys():
            for batch in scan_file(after, now[key]):
                stood += of_rows(batch.filter([hit is not None for hit in index.find(row_md5s(batch))]))
    finally:
        index.close()
    return stood


def _file(task: FileScanTask) -> tuple[str, frozenset[str]]:
    return task.file.file_path, frozenset(delete.file_path for delete in task.delete_files)


def _notes(tables: Iterable[UndoTableRows]) -> Iterator[str]:
    for rows in tables:
        if rows.found is None:
            yield f"table '{rows.name}' is not there any more: others dropped it"
        elif not rows.created and (rows.published or rows.updated):
            yield f"table '{rows.name}' keeps its history: earlier snapshots show the run's rows until they are expired"
    yield "files and snapshots of the run stay until 'transhume finalize', for a look"
