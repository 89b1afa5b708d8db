"""The drill of a rollback: rows of others planted next to the run's, and what must be left computed on its own.

What is expected follows from readings of the scratch place and from the references alone; nothing of the rollback's
sets, counts or fingerprints is used here. Nothing is taken back here either.
"""

import hashlib
import heapq
import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from transhume.batches import TargetTable
from transhume.facts import Catalog
from transhume.schema import Column, Kind, Table
from transhume.systems.scratch import Planting, Scratch, TextRow
from transhume.systems.undo import Fingerprint, UndoReference

Key = tuple[str | None, ...]
_Wanted = dict[tuple[str, tuple[str, ...]], set[Key]]
"""By table and columns: what rows that stay refer to."""
_ADDED = 3
_EDITED = 3
_INTEGERS = (1_500_000_000, 2_100_000_000)
"""Where new whole numbers of keys come from: within 32 bits, above what most sources hold."""


@dataclass(slots=True)
class DrilledTable:
    """One target table in the drill; all numbers are rows.

    `before` stood there before the run and `published` came by it. Others then `added` rows, `edited` rows of the run,
    and wrote rows `referring` to rows of the run. `kept` rows of the run must stay: the edited ones and what rows that
    stay refer to. `left` is what is there after the rollback; `is_equal` says that it is exactly what is `expected`.
    """

    table: str
    before: int = 0
    published: int = 0
    added: int = 0
    edited: int = 0
    referring: int = 0
    kept: int = 0
    expected: int = 0
    left: int = 0
    is_equal: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Drilled:
    """What is known of one table while the drill goes on."""

    table: TargetTable
    held: Table
    numbers: DrilledTable
    before: Fingerprint = field(default_factory=Fingerprint)
    before_keys: set[Key] = field(default_factory=set)
    theirs: dict[Key, TextRow] = field(default_factory=dict)
    edited: set[Key] = field(default_factory=set)
    expected: Fingerprint = field(default_factory=Fingerprint)
    kept: set[Key] = field(default_factory=set)

    def key(self, row: TextRow) -> Key:
        return tuple(row[name] for name in self.table.key)


class Drill:
    """One drill on a scratch place: `remember` before the run, `plant` after it, `judge` after the rollback."""

    def __init__(self, scratch: Scratch, tables: Iterable[TargetTable], seed: int) -> None:
        """Take the scratch place and the run's target tables, parents first; `seed` chooses the rows."""
        self._scratch = scratch
        self._dice = random.Random(f"drill:{seed}")  # noqa: S311 - a draw that can be repeated, no secret
        self._seed = seed
        self._tables: dict[str, _Drilled] = {}
        for each in tables:
            name = each.table.name
            self._tables.setdefault(name, _Drilled(each, each.table, DrilledTable(name)))
        self._references: list[UndoReference] = []
        self.notes: list[str] = []
        """What could not be planted, one sentence each."""

    @property
    def refers(self) -> bool:
        """Whether rows of others refer to rows of the run, so that a rollback must refuse at first."""
        return any(each.numbers.referring for each in self._tables.values())

    def remember(self) -> None:
        """Read what is there before the run."""
        for name, each in self._tables.items():
            for row in self._scratch.read(name):
                each.before += _fingerprint(row)
                each.before_keys.add(each.key(row))
            each.numbers.before = each.before.rows

    def plant(self, catalog: Catalog, references: Sequence[UndoReference]) -> None:
        """Write rows of others: new ones, edits of rows of the run, rows that refer to rows of the run.

        `catalog` is the scratch place's, after publishing. Effects: rows in the scratch place.
        """
        declared = [
            UndoReference(name, reference.columns, reference.table, reference.target_columns)
            for name in self._tables
            for reference in (catalog.tables[name].foreign_keys if name in catalog.tables else ())
            if reference.table in self._tables
        ]
        self._references = list(dict.fromkeys([*references, *declared]))
        for name, each in self._tables.items():
            each.held = catalog.tables.get(name, each.held)
            chosen, children = self._candidates(each)
            self._add(each, chosen[:_ADDED])
            self._edit(each, chosen[-_EDITED:])
            self._refer(each, children)
        self._expect()

    def judge(self, kept: Iterable[tuple[str, str]]) -> tuple[list[DrilledTable], list[str]]:
        """Return the tables as they are left, and what is wrong, one sentence each.

        `kept` are the rows that the rollback says it kept: table, and key as a text.
        """
        problems = []
        if not any(each.numbers.published for each in self._tables.values()):
            problems.append("the run brought no row that was not there already, so no undo was drilled")
        told: dict[str, set[str]] = {}
        for table, key in kept:
            told.setdefault(table, set()).add(key)
        for name, each in self._tables.items():
            left = Fingerprint()
            for row in self._scratch.read(name):
                left += _fingerprint(row)
            each.numbers.left, each.numbers.expected = left.rows, each.expected.rows
            each.numbers.is_equal = left == each.expected
            if not each.numbers.is_equal:
                problems.append(
                    f"table '{name}' holds {left.rows} rows after the rollback that are not the {each.expected.rows} "
                    "which stood there before the run or must stay for others"
                )
            wanted = {", ".join(map(str, key)) for key in each.kept}
            if told.get(name, set()) != wanted:
                problems.append(
                    f"the rollback lists {len(told.get(name, ()))} rows of '{name}' as kept, and others' work holds "
                    f"{len(wanted)}"
                )
        return [each.numbers for each in self._tables.values()], problems

    def _candidates(self, each: _Drilled) -> tuple[list[TextRow], dict[UndoReference, TextRow]]:
        """Return rows of the run by chance, and for each reference one that has it."""
        name, ours = each.table.table.name, 0
        mine = [reference for reference in self._references if reference.table == name]
        lots: list[tuple[str, int, TextRow]] = []
        children: dict[UndoReference, TextRow] = {}
        for row in self._scratch.read(name):
            key = each.key(row)
            if key in each.before_keys:
                continue
            ours += 1
            lot = hashlib.sha256(repr((self._seed, key)).encode()).hexdigest()
            entry = (lot, ours, row)
            lots = heapq.nsmallest(_ADDED + _EDITED, [*lots, entry])
            for reference in mine:
                if reference not in children and None not in _part(row, reference.columns):
                    children[reference] = row
        each.numbers.published = ours
        return [row for _, _, row in lots], children

    def _add(self, each: _Drilled, like: Sequence[TextRow]) -> None:
        """Add rows of others that refer to nothing of the run."""
        made = []
        for row in like:
            changes = self._fresh(each)
            for reference in self._references:
                if reference.table == each.table.table.name and changes is not None:
                    changes = self._elsewhere(each, reference, changes)
            if changes is not None:
                made.append(Planting("add", self._at(each, row), changes))
        each.numbers.added = self._do(each, made, "rows of others next to those of the run")

    def _refer(self, each: _Drilled, children: Mapping[UndoReference, TextRow]) -> None:
        """Add rows of others that refer to what rows of the run refer to."""
        if not children:
            return
        fresh = ((row, self._fresh(each)) for row in children.values())
        made = [Planting("add", self._at(each, row), changes) for row, changes in fresh if changes is not None]
        self._do(each, made, "rows of others that refer to rows of the run")

    def _edit(self, each: _Drilled, rows: Sequence[TextRow]) -> None:
        """Change one column in rows of the run: the first whose change the system takes."""
        columns = self._editable(each)
        for row in rows:
            for column in columns:
                value = self._value(column)
                if value is None or value == row[column.name]:
                    continue
                planting = Planting("edit", self._at(each, row), {column.name: value})
                if self._scratch.plant(each.table.table.name, [planting]) == [True]:
                    each.edited.add(each.key(row))
                    break
        each.numbers.edited = len(each.edited)
        if rows and not each.edited:
            self.notes.append(f"no row of '{each.table.table.name}' could be edited as others do")

    def _do(self, each: _Drilled, made: Sequence[Planting], what: str) -> int:
        name = each.table.table.name
        done = self._scratch.plant(name, made) if made else []
        for planting, is_done in zip(made, done, strict=True):
            if is_done:
                key = tuple(planting.changes.get(part, planting.at[part]) for part in each.table.key)
                each.theirs[key] = {**planting.at, **planting.changes}
        if each.numbers.published and not any(done):
            self.notes.append(f"'{name}' took no {what}")
        return sum(done)

    def _fresh(self, each: _Drilled) -> dict[str, str | None] | None:
        """Return a new key, and new values of what must be unique; None where there is no way."""
        own = {name for each_of in self._of(each) for name in each_of.columns}
        changes: dict[str, str | None] = {}
        for parts in (each.table.key, *each.held.unique):
            if set(parts) & changes.keys():
                continue
            columns = [column for name in parts if name not in own and (column := each.held.column(name)) is not None]
            value = next(((column.name, value) for column in columns if (value := self._value(column))), None)
            if value is None:
                return None
            changes[value[0]] = value[1]
        return changes

    def _elsewhere(
        self, each: _Drilled, reference: UndoReference, changes: dict[str, str | None]
    ) -> dict[str, str | None] | None:
        """Return the changes with a reference that leads to no row of the run; None where there is none."""
        columns = [each.held.column(name) for name in reference.columns]
        if all(column is not None and column.nullable for column in columns):
            return {**changes, **dict.fromkeys(reference.columns)}
        parents = self._tables[reference.parent].theirs.values()
        for parent in parents:
            if parent.keys() >= set(reference.parent_columns):
                found = (parent[name] for name in reference.parent_columns)
                return {**changes, **dict(zip(reference.columns, found, strict=True))}
        return None

    def _editable(self, each: _Drilled) -> list[Column]:
        taken = set(each.table.key) | {name for parts in each.held.unique for name in parts}
        taken |= {name for reference in self._of(each) for name in reference.columns}
        name = each.table.table.name
        taken |= {part for other in self._references if other.parent == name for part in other.parent_columns}
        return [column for column in each.table.table.columns if column.name not in taken]

    def _of(self, each: _Drilled) -> list[UndoReference]:
        return [reference for reference in self._references if reference.table == each.table.table.name]

    def _at(self, each: _Drilled, row: TextRow) -> dict[str, str | None]:
        return {name: row[name] for name in each.table.key}

    def _value(self, column: Column) -> str | None:
        """Return a value by chance as others might write it; None for kinds that are not planted."""
        if column.type is None or column.refused:
            return None
        kind = column.type.kind
        number = self._dice.randrange(*_INTEGERS)
        if kind is Kind.UUID:
            return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        if kind is Kind.TEXT:
            return f"{number} of others"[: column.type.length]
        plain = {
            Kind.INT: str(number),
            Kind.BIGINT: str(number),
            Kind.DOUBLE: f"{number % 1000}.5",
            Kind.DECIMAL: str(number % 10),
            Kind.DATE: f"2001-02-{number % 28 + 1:02d}",
            Kind.TIMESTAMP: f"2001-02-03T04:05:{number % 60:02d}",
            Kind.TIMESTAMPTZ: f"2001-02-03T04:05:{number % 60:02d}+00:00",
        }
        return plain.get(kind)

    def _expect(self) -> None:
        """Compute what must be left: what stood there, what is of others, and what rows that stay refer to."""
        wanted: _Wanted = {}
        for each in self._tables.values():
            each.expected = each.before
            for row in self._scratch.read(each.table.table.name):
                key = each.key(row)
                if key in each.theirs or key in each.edited:
                    self._stays(each, key, row, wanted)
                elif key in each.before_keys:
                    self._follow(each, row, wanted)
        while any(self._grow(each, wanted) for each in self._tables.values()):
            pass

    def _grow(self, each: _Drilled, wanted: _Wanted) -> bool:
        """Let the rows of the run stay that are wanted in a table; return whether there was a new one."""
        name, grown = each.table.table.name, False
        searched = [(columns, keys) for (parent, columns), keys in wanted.items() if parent == name]
        for row in self._scratch.read(name) if searched else ():
            key = each.key(row)
            if key in each.before_keys or key in each.theirs or key in each.kept:
                continue
            if any(_part(row, columns) in keys for columns, keys in searched):
                self._stays(each, key, row, wanted)
                grown = True
        return grown

    def _stays(self, each: _Drilled, key: Key, row: TextRow, wanted: _Wanted) -> None:
        each.expected += _fingerprint(row)
        refers = self._follow(each, row, wanted)
        if key not in each.theirs:
            each.kept.add(key)
            each.numbers.kept += 1
        elif refers:
            each.numbers.referring += 1

    def _follow(self, each: _Drilled, row: TextRow, wanted: _Wanted) -> bool:
        """Want what a row that stays refers to; return whether any of it may be a row of the run."""
        refers = False
        for reference in self._of(each):
            part = _part(row, reference.columns)
            if None not in part:
                wanted.setdefault((reference.parent, reference.parent_columns), set()).add(part)
                refers = refers or self._is_of_the_run(reference, part)
        return refers

    def _is_of_the_run(self, reference: UndoReference, part: Key) -> bool:
        parent = self._tables[reference.parent]
        if reference.parent_columns != parent.table.key:
            return True
        return part not in parent.before_keys and part not in parent.theirs


def _part(row: TextRow, columns: Sequence[str]) -> Key:
    return tuple(row[name] for name in columns)


def _fingerprint(row: TextRow) -> Fingerprint:
    """Return the fingerprint of one row, of all its columns as texts."""
    text = json.dumps(sorted(row.items()), ensure_ascii=False)
    return Fingerprint(1, int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()))
