"""Which rows of a lake an undo is about: found by file where a file is whole, else by key and content.

Nothing is written here. A row is known by its data file and its position among the rows that a scan of it gives.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import FileScanTask, Table

from transhume.batches import TargetTable
from transhume.errors import RollbackStopped, SystemRefused
from transhume.systems.iceberg.files import LakeFiles, canonical
from transhume.systems.iceberg.fingerprint import row_md5s
from transhume.systems.iceberg.ledger import Line
from transhume.systems.iceberg.present import KeyIndex, keys_of
from transhume.systems.iceberg.rowbytes import digests
from transhume.systems.iceberg.snapshots import MAIN, head_of, scan_file, tasks
from transhume.systems.iceberg.types import BATCH_COLUMN
from transhume.systems.undo import UndoChoice, UndoReference

GOES, EDITED, NEEDED, OTHERS = "goes", "edited", "needed", "others"
RESTORE, NOT_RESTORED = "restore", "not_restored"
LEAVES = frozenset({GOES, RESTORE})
"""Fates of rows that leave the table; in the place of a restored one comes its before-image."""
Referring = tuple[str, tuple[str, ...], str, str]
"""Rows of others in one table: its name, the referring columns, the table referred to, the later run or ""."""


@dataclass(slots=True)
class UndoTableRows:
    """One target table: the live files that hold rows of the run, and the fate of each of their rows.

    `whole`: files that the run wrote and that stand as they were written; all their rows go unless they are needed.
    `fates`: for other files with rows of the run one fate a row. `keys` of rows that stay, with the reason.
    """

    name: str
    created: bool
    mappings: tuple[TargetTable, ...]
    lines: tuple[Line, ...]
    found: Table | None
    whole: dict[str, Line] = field(default_factory=dict)
    fates: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[bytes, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    edited: set[bytes] = field(default_factory=set)
    changed_again: set[bytes] = field(default_factory=set)
    """Keys of rows that the run changed, and somebody since."""
    vanished: int = 0
    restored: dict[str, set[bytes]] = field(default_factory=dict)
    """Mapping to the keys of rows that the run changed and that get their former content back."""

    @property
    def published(self) -> int:
        """Rows that the ledger says the run inserted."""
        return sum(map(inserted, self.lines))

    @property
    def updated(self) -> int:
        """Rows that the ledger says the run changed."""
        return sum(len(line.staged.updated) for line in self.lines)

    @property
    def needed(self) -> int:
        """Rows that stay because rows that stay refer to them."""
        return sum(why == NEEDED for why, _ in self.kept.values())

    @property
    def goes(self) -> int:
        """Rows that go."""
        found = sum(fates.count(GOES) for fates in self.fates.values())
        return found + sum(map(inserted, self.whole.values()))

    def mapping(self, line: Line) -> TargetTable:
        """Return the mapping that brought a line."""
        return next(table for table in self.mappings if table.mapping == line.staged.batch.mapping)

    def tasks(self) -> list[FileScanTask]:
        """Return the live files that readers get."""
        return [] if self.found is None else list(tasks(self.found, head_of(self.found, MAIN)))


def look_for_rows(
    files: LakeFiles,
    found: Table | None,
    mappings: Sequence[TargetTable],
    lines: Sequence[Line],
    images: Mapping[str, pa.Table],
    choice: UndoChoice,
) -> UndoTableRows:
    """Return what is there of a table's published rows; `images` are the before-images of those that it changed.

    Raises: RollbackStopped if a row is there more often than it was published, or a count does not come out.
    """
    rows = UndoTableRows(mappings[0].table.name, False, tuple(mappings), tuple(lines), found)
    if found is None:
        rows.vanished = rows.published
        return rows
    live = rows.tasks()
    mine = {line.path: line for line in lines if line.path}
    for task in live:
        line = mine.get(task.file.file_path)
        if line is not None and not task.delete_files:
            _require_bytes(files, line)
            rows.whole[line.path] = line
    lost = [line for line in mine.values() if line.path not in rows.whole]
    if lost:
        _look_by_key(files, rows, lost, [task for task in live if task.file.file_path not in rows.whole], choice)
    for mapping in rows.mappings:
        if mapping.mapping in images:
            others = [task for task in live if task.file.file_path not in rows.whole]
            _look_for_changed(files, rows, mapping, images[mapping.mapping], others, choice)
    require_counts(rows)
    return rows


def inserted(line: Line) -> int:
    """Return how many rows of a batch were new to the table."""
    return line.staged.row_count - len(line.staged.updated)


def _require_bytes(files: LakeFiles, line: Line) -> None:
    if files.sha256(line.path) != line.staged.sha256:
        message = (
            f"the file of batch {line.staged.batch} is not what was staged; nothing was changed. Look at the storage; "
            "the backup of the tables is the other way back."
        )
        raise RollbackStopped(message)


def _look_by_key(
    files: LakeFiles, rows: UndoTableRows, lost: Sequence[Line], others: Sequence[FileScanTask], choice: UndoChoice
) -> None:
    """Find the rows of staged files that are no longer in the table as they were: others rewrote or removed them."""
    for mapping in rows.mappings:
        own = [line for line in lost if line.staged.batch.mapping == mapping.mapping]
        if not own:
            continue
        if not mapping.key:
            message = (
                f"others wrote the files of table '{rows.name}' anew, and nothing identifies its rows: which of them "
                "are the run's cannot be told; nothing was changed. The backup of the tables is the other way back."
            )
            raise RollbackStopped(message)
        columns = [column.name for column in mapping.table.columns]
        index = KeyIndex()
        try:
            for line in own:
                _require_bytes(files, line)
                for batch in files.batches(line.path, columns):
                    staged = canonical(batch, mapping, columns)
                    index.add(keys_of(staged, mapping.key), digests(staged, columns))
            index.build()
            seen: set[bytes] = set()
            for task in others:
                _judge_file(rows, mapping, index, task, seen, choice)
        finally:
            index.close()
        rows.vanished += sum(map(inserted, own)) - len(seen)


def _judge_file(
    rows: UndoTableRows,
    mapping: TargetTable,
    index: KeyIndex,
    task: FileScanTask,
    seen: set[bytes],
    choice: UndoChoice,
) -> None:
    assert rows.found is not None
    columns = [column.name for column in mapping.table.columns]
    path = task.file.file_path
    fates = rows.fates.pop(path, [])
    first = 0
    for batch in scan_file(rows.found, task):
        own = canonical(batch, mapping, columns)
        keys = keys_of(own, mapping.key)
        found = index.find(keys)
        if len(fates) < first + batch.num_rows:
            fates += [OTHERS] * batch.num_rows
        hits = [position for position, content in enumerate(found) if content is not None]
        if hits:
            contents = digests(own, columns)
            filled = _filled_by_others(batch, columns)
            for position in hits:
                if keys[position] in seen:
                    raise RollbackStopped(_copied(rows.name))
                seen.add(keys[position])
                same = contents[position] == found[position] and not filled[position]
                if not same:
                    rows.edited.add(keys[position])
                fates[first + position] = GOES if same or choice.edited == "remove" else EDITED
                if fates[first + position] == EDITED:
                    rows.kept[keys[position]] = (EDITED, key_texts(own, mapping.key, position))
        first += batch.num_rows
    if any(fate != OTHERS for fate in fates):
        rows.fates[path] = fates


def _look_for_changed(
    files: LakeFiles,
    rows: UndoTableRows,
    mapping: TargetTable,
    images: pa.Table,
    others: Sequence[FileScanTask],
    choice: UndoChoice,
) -> None:
    """Find the rows that the run changed: those that are still as it left them get their before-image back."""
    columns = [column.name for column in mapping.table.columns]
    rest = [name for name in images.column_names if name not in columns and name != BATCH_COLUMN]
    staged, unmapped = KeyIndex(), KeyIndex()
    rows.restored[mapping.mapping] = set()
    seen: set[bytes] = set()
    try:
        for line in rows.lines:
            if line.updates_path and line.staged.batch.mapping == mapping.mapping:
                for batch in files.batches(line.updates_path, columns):
                    own = canonical(batch, mapping, columns)
                    staged.add(keys_of(own, mapping.key), digests(own, columns))
        for batch in images.to_batches():
            unmapped.add(keys_of(canonical(batch, mapping, mapping.key), mapping.key), row_md5s(batch.select(rest)))
        staged.build()
        unmapped.build()
        for task in others:
            _judge_changed(rows, mapping, task, rest, (staged, unmapped), seen, choice)
    finally:
        staged.close()
        unmapped.close()


def _judge_changed(
    rows: UndoTableRows,
    mapping: TargetTable,
    task: FileScanTask,
    rest: Sequence[str],
    indexes: tuple[KeyIndex, KeyIndex],
    seen: set[bytes],
    choice: UndoChoice,
) -> None:
    columns = [column.name for column in mapping.table.columns]
    path, first = task.file.file_path, 0
    fates = rows.fates.pop(path, [])
    for batch in scan_file(_table_of(rows), task):
        own = canonical(batch, mapping, columns)
        keys = keys_of(own, mapping.key)
        hits = [position for position, found in enumerate(indexes[0].find(keys)) if found is not None]
        if len(fates) < first + batch.num_rows:
            fates += [OTHERS] * batch.num_rows
        is_same = _as_left(batch, own, keys, hits, rest, indexes) if hits else {}
        for position in hits:
            if keys[position] in seen:
                raise RollbackStopped(_copied(rows.name))
            seen.add(keys[position])
            if not is_same[position]:
                rows.changed_again.add(keys[position])
            comes_back = is_same[position] or choice.edited == "remove"
            fates[first + position] = RESTORE if comes_back else NOT_RESTORED
            if comes_back:
                rows.restored[mapping.mapping].add(keys[position])
            else:
                rows.kept[keys[position]] = (NOT_RESTORED, key_texts(own, mapping.key, position))
        first += batch.num_rows
    if any(fate != OTHERS for fate in fates):
        rows.fates[path] = fates


def _as_left(
    batch: pa.RecordBatch,
    own: pa.RecordBatch,
    keys: Sequence[bytes],
    hits: Sequence[int],
    rest: Sequence[str],
    indexes: tuple[KeyIndex, KeyIndex],
) -> dict[int, bool]:
    """Tell which rows have the content that the run gave them, and in the other columns what was there before."""
    staged, unmapped = (index.find([keys[position] for position in hits]) for index in indexes)
    contents = digests(own, own.schema.names)
    others = row_md5s(batch.select([name for name in rest if name in batch.schema.names]))
    return {
        position: contents[position] == staged[number] and others[position] == unmapped[number]
        for number, position in enumerate(hits)
    }


def _table_of(rows: UndoTableRows) -> Table:
    assert rows.found is not None
    return rows.found


def _filled_by_others(batch: pa.RecordBatch, columns: Sequence[str]) -> list[bool]:
    """Tell which rows have a value in a column that the run did not fill: somebody else has edited them."""
    others = [name for name in batch.schema.names if name not in columns and name != BATCH_COLUMN]
    filled = pa.array([False] * batch.num_rows)
    for name in others:
        filled = pc.or_(filled, pc.is_valid(batch.column(name)))
    told: list[bool] = filled.to_pylist()
    return told


def require_counts(rows: UndoTableRows) -> None:
    """Raise RollbackStopped unless published rows less those that stay or vanished are those that would go."""
    staying = sum(fates.count(EDITED) + fates.count(NEEDED) for fates in rows.fates.values())
    named = sum(why in {EDITED, NEEDED} for why, _ in rows.kept.values())
    wanted = rows.published - rows.vanished - staying
    # Rows that stay were named when they were found: a set that took one of them would still add up.
    if rows.goes == wanted and rows.vanished >= 0 and staying == named:
        return
    message = (
        f"the rows to remove from '{rows.name}' do not come out: the ledger says {rows.published} published, "
        f"{rows.vanished} are gone, {staying} of {named} that must stay do; so {wanted} must go, and the set holds "
        f"{rows.goes}. Nothing was changed. Look at the table for copies of keys; the backup of the tables is the "
        "other way back."
    )
    raise RollbackStopped(message)


def _copied(table: str) -> str:
    return (
        f"a row of the run is in '{table}' more than once, so that it cannot be told which one is the run's; nothing "
        "was changed. Remove the copies, then run the same command again."
    )


def key_texts(batch: pa.RecordBatch, key: Sequence[str], position: int) -> tuple[str, ...]:
    """Return a row's key as texts; a UUID in its usual form."""
    texts = []
    for name in key:
        value = batch.column(name)[position].as_py()
        is_uuid = isinstance(value, bytes) and len(value) == 16  # noqa: PLR2004 - a UUID has 16 bytes
        texts.append(
            f"{value[:4].hex()}-{value[4:6].hex()}-{value[6:8].hex()}-{value[8:10].hex()}-{value[10:].hex()}"
            if is_uuid
            else str(value)
        )
    return tuple(texts)


class LakeReferences:
    """Follows the references that the plan makes between the tables of a run; a lake itself knows none."""

    def __init__(self, tables: Mapping[str, UndoTableRows], references: Sequence[UndoReference]) -> None:
        self._tables = tables
        self._references = [each for each in references if each.parent in tables and each.table in tables]

    def follow(
        self, choice: UndoChoice, owner: Callable[[str], str]
    ) -> dict[tuple[str, tuple[str, ...], str, str], int]:
        """Let rows stay to which rows that stay refer; return the referring rows of others.

        `owner` gives the later run that wrote a file.
        """
        if choice.referenced == "remove":
            message = "rows of others in a lake are not removed along; say --referenced keep, or ask their owners"
            raise SystemRefused(message)
        told: dict[Referring, int] = {}
        changed = True
        while changed:
            changed = False
            for reference in self._references:
                now: dict[Referring, int] = {}
                changed |= self._follow_one(reference, choice, owner, now)
                for place, count in now.items():
                    # What is kept for others is not met again; what is refused is met in every round.
                    told[place] = count + (told.get(place, 0) if choice.referenced == "keep" else 0)
        return told

    def _follow_one(
        self,
        reference: UndoReference,
        choice: UndoChoice,
        owner: Callable[[str], str],
        told: dict[Referring, int],
    ) -> bool:
        child, parent = self._tables[reference.table], self._tables[reference.parent]
        staying = list(self._staying(child, reference.columns)) if parent.goes else []
        if not staying:
            return False
        wanted: dict[bytes, bool] = {}
        going = self._going(parent, reference.parent_columns)
        for path, is_ours, keys in staying:
            hits = [key for key in keys if key in going]
            if not hits:
                continue
            if not is_ours:
                place = (reference.table, reference.columns, reference.parent, owner(path))
                told[place] = told.get(place, 0) + len(hits)
            if is_ours or choice.referenced == "keep":
                wanted.update(dict.fromkeys(hits, True))
        return bool(wanted) and self._keep(parent, reference.parent_columns, wanted)

    def _staying(self, child: UndoTableRows, columns: Sequence[str]) -> Iterator[tuple[str, bool, list[bytes]]]:
        """Yield file, whether the rows are the run's, and the referring values of the rows that stay."""
        if child.found is None:
            return
        mapping = next(table for table in child.mappings if all(table.table.column(name) for name in columns))
        for task in child.tasks():
            path = task.file.file_path
            fates = child.fates.get(path)
            if path in child.whole:
                continue
            first = 0
            for batch in scan_file(child.found, task):
                own = canonical(batch, mapping, columns)
                valid = pc.is_valid(own.column(0))
                for name in columns[1:]:
                    valid = pc.and_(valid, pc.is_valid(own.column(name)))
                here = fates[first : first + batch.num_rows] if fates else [OTHERS] * batch.num_rows
                # A reference with a NULL refers to nothing; and keys are told by their bytes only where none is NULL.
                keys = keys_of(own.filter(valid), columns)
                referring = [fate for fate, is_valid in zip(here, valid.to_pylist(), strict=True) if is_valid]
                rows = list(zip(referring, keys, strict=True))
                yield path, False, [key for fate, key in rows if fate == OTHERS]
                yield path, True, [key for fate, key in rows if fate in {EDITED, NEEDED, NOT_RESTORED}]
                first += batch.num_rows

    def _going(self, parent: UndoTableRows, columns: Sequence[str]) -> set[bytes]:
        """Return the values of `columns` of the rows that go."""
        going: set[bytes] = set()
        for _, own, fates in self._rows_of_run(parent):
            keys = keys_of(own, columns) if own.num_rows else []
            going.update(key for key, fate in zip(keys, fates, strict=True) if fate == GOES)
        return going

    def _rows_of_run(self, table: UndoTableRows) -> Iterator[tuple[str, pa.RecordBatch, list[str]]]:
        assert table.found is not None
        for task in table.tasks():
            path = task.file.file_path
            if path not in table.whole and path not in table.fates:
                continue
            mapping = table.mapping(table.whole[path]) if path in table.whole else table.mappings[0]
            names = [column.name for column in mapping.table.columns]
            first = 0
            for batch in scan_file(table.found, task):
                fates = table.fates.get(path)
                here = fates[first : first + batch.num_rows] if fates else [GOES] * batch.num_rows
                yield path, canonical(batch, mapping, names), here
                first += batch.num_rows

    def _keep(self, parent: UndoTableRows, columns: Sequence[str], wanted: Mapping[bytes, bool]) -> bool:
        """Let the rows with these values stay; a file of the run with one of them is rewritten then."""
        changed = False
        marks: dict[str, list[str]] = {}
        for path, own, fates in self._rows_of_run(parent):
            keys = keys_of(own, columns) if own.num_rows else []
            made = list(fates)
            for position, key in enumerate(keys):
                if made[position] == GOES and key in wanted:
                    made[position] = NEEDED
                    key_names = parent.mappings[0].key
                    parent.kept[keys_of(own.slice(position, 1), key_names)[0]] = (
                        NEEDED,
                        key_texts(own, key_names, position),
                    )
                    changed = True
            marks.setdefault(path, []).extend(made)
        for path, made in marks.items():
            if NEEDED in made:
                parent.fates[path] = made
                parent.whole.pop(path, None)
        return changed
