"""What other rows say about a row: the row that a join chooses, a pivot's values, the children that are gathered.

Found by plain loops over all rows of the source tables; nothing of the compiler's relations is used.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transhume.batches import TargetTable
from transhume.oracle.reading import AMBIGUOUS, JoinedRow, RowScope
from transhume.oracle.row import Oracle
from transhume.oracle.rows import Rows
from transhume.plan.model import Dedupe, Join, Pivot, Plan, TableMapping
from transhume.rules.copy import Copy
from transhume.rules.rule import ColumnRef, Outcome, Rule
from transhume.schema import Table

Row = Mapping[str, Any]
Key = tuple[Any, ...]
_PASSED = Outcome(True)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A row that may be joined, with its place among all of its table; `doubtful` where its `where` cannot be read."""

    row: Row
    place: int
    doubtful: bool


class Relatives:
    """All rows of the source tables, to be asked about one row of a mapping."""

    def __init__(self, plan: Plan, sources: Mapping[str, Table], rows: Mapping[str, Sequence[Row]]) -> None:
        """Take the rows of each source table, each as `Oracle.expected_row` takes them."""
        self._plan, self._sources, self._rows = plan, sources, rows
        self._readers: dict[str, Oracle] = {}
        self._candidates: dict[tuple[str, str], dict[Key, list[_Candidate]]] = {}
        self._all: dict[str, Rows] = {}
        self._columns: dict[str, ColumnRef] = {}
        self._children: dict[tuple[str, tuple[str, ...]], dict[Key, list[Row]]] = {}

    def joined(self, mapping: TableMapping, row: Row) -> dict[str, JoinedRow]:
        """Return what each alias of the mapping stands for beside this row: a row, None, or AMBIGUOUS."""
        found: dict[str, JoinedRow] = {}
        own = self._reader(mapping).read(row, found)
        for alias, join in mapping.join.items():
            key = _key(own, tuple(join.on.values()))
            candidates = self._of(mapping, alias).get(key, []) if key is not None else []
            found[alias] = self._pivoted(join, candidates) if join.pivot else self._chosen(join, candidates)
        return found

    def joined_all(self, mapping: TableMapping, rows: Rows) -> list[Mapping[str, JoinedRow]]:
        """Return `joined` of each of many rows of a mapping."""
        if any("." in name for join in mapping.join.values() for name in join.on.values()):
            # The key of one alias may be a column of an earlier one.
            return [self.joined(mapping, row) for row in rows.rows]
        nothing: dict[str, JoinedRow] = dict.fromkeys(mapping.join)
        found: list[dict[str, JoinedRow]] = [nothing] * len(rows)
        for alias, join in mapping.join.items():
            index = self._of(mapping, alias)
            keys = rows.key_values(tuple(join.on.values())) if index else ()
            for place, key in enumerate(keys):
                candidates = index.get(key) if key is not None else None
                if candidates:
                    if found[place] is nothing:
                        found[place] = dict(nothing)
                    chosen = self._pivoted if join.pivot else self._chosen
                    found[place][alias] = chosen(join, candidates)
        return list(found)

    def children(self, table: str, on: Mapping[str, str], columns: Sequence[str]) -> Iterator[tuple[Outcome, ...]]:
        """Yield these columns, as texts, of every row of a table whose `on` columns have these texts."""
        names = tuple(on)
        if (table, names) not in self._children:
            index = self._children[table, names] = defaultdict(list)
            for row in self._rows[table]:
                key = _key(self._child(table).read(row), names)
                if key is not None:
                    index[key].append(row)
        for row in self._children[table, names].get(tuple(on.values()), ()):
            scope = self._child(table).read(row)
            yield tuple(scope.as_text(ColumnRef(column)) for column in columns)

    def deduplicated(self, mapping: TableMapping) -> list[str]:
        """Return for each row of the mapping's source table `lost`, `tied` or "", as `Oracle.expected_row` takes it."""
        said = ["" for _ in self._rows[mapping.from_]]
        if mapping.dedupe is None:
            return said
        groups: dict[Key, list[tuple[int, RowScope]]] = defaultdict(list)
        for place, row in enumerate(self._rows[mapping.from_]):
            scope = self._reader(mapping).read(row, self.joined(mapping, row))
            key = _key(scope, mapping.dedupe.by)
            passed = Outcome(True) if mapping.where is None else scope.condition(mapping.where)
            if key is not None and passed.value is True and not passed.reasons:
                groups[key].append((place, scope))
        for members in groups.values():
            winners = _winners(mapping.dedupe, members)
            for place, _ in members:
                if place not in winners:
                    said[place] = "lost"
                elif len(winners) > 1:
                    said[place] = "tied"
        return said

    def _of(self, mapping: TableMapping, alias: str) -> dict[Key, list[_Candidate]]:
        """Return the rows that may be joined under an alias, by their key."""
        place = (mapping.name, alias)
        if place not in self._candidates:
            join = mapping.join[alias]
            index = self._candidates[place] = defaultdict(list)
            child = self._child(join.from_)
            rows = self._near(join.from_)
            passed = [_PASSED] * len(rows) if join.where is None else child.conditions(join.where, rows)
            places = [at for at, outcome in enumerate(passed) if outcome.reasons or outcome.value is True]
            near = rows.take(places) if len(places) < len(rows) else rows
            keys = near.key_values(tuple(join.on))
            for at, key in zip(places, keys, strict=True):
                if key is not None:
                    index[key].append(_Candidate(rows.rows[at], at, bool(passed[at].reasons)))
        return self._candidates[place]

    def _chosen(self, join: Join, candidates: Sequence[_Candidate]) -> JoinedRow:
        near, left = self._near(join.from_), list(candidates)
        for column, order in (join.first or {}).items():
            texts = {each.place: self._text(near, each, column) for each in left}
            left = [each for each in left if texts[each.place] in order]
            if not any(each.doubtful for each in left):
                best = min((order.index(str(texts[each.place])) for each in left), default=0)
                left = [each for each in left if texts[each.place] == order[best]]
        if any(each.doubtful for each in left):
            return AMBIGUOUS
        if join.latest is not None and len(left) > 1:
            latest = [near.scopes[each.place].argument(self._column(join.latest)) for each in left]
            if any(outcome.reasons for outcome in latest):
                return AMBIGUOUS
            values = [outcome.value for outcome in latest if outcome.value is not None]
            top = max(values) if values else None
            left = [each for each, outcome in zip(left, latest, strict=True) if outcome.value == top]
        if len(left) > 1:
            return AMBIGUOUS
        return left[0].row if left else None

    def _pivoted(self, join: Join, candidates: Sequence[_Candidate]) -> JoinedRow:
        assert join.pivot is not None
        pivot: Pivot = join.pivot
        if not candidates:
            return None
        by_name: dict[str | None, list[_Candidate]] = defaultdict(list)
        near = self._near(join.from_)
        for each in candidates:
            by_name[self._text(near, each, pivot.name)].append(each)
        values: dict[str, Any] = {}
        for column, name in pivot.take.items():
            beside = by_name.get(name, [])
            if len(beside) > 1 or any(each.doubtful for each in beside):
                return AMBIGUOUS
            values[column] = beside[0].row[pivot.value] if beside else None
        return values

    def _text(self, near: Rows, candidate: _Candidate, column: str) -> str | None:
        text: str | None = near.scopes[candidate.place].as_text(self._column(column)).value
        return text

    def _column(self, name: str) -> ColumnRef:
        """Return the one reference to a column: the oracle knows what reads it by its identity."""
        if name not in self._columns:
            self._columns[name] = ColumnRef(name)
        return self._columns[name]

    def _near(self, table: str) -> Rows:
        """Return all rows of a table, side by side."""
        if table not in self._all:
            self._all[table] = Rows(self._child(table), self._rows[table])
        return self._all[table]

    def _child(self, table: str) -> Oracle:
        """Return a reader of a table's own columns."""
        if table not in self._readers:
            columns: dict[str, Rule] = {
                column.name: Copy(column=ColumnRef(column.name)) for column in self._sources[table].columns
            }
            mapping = TableMapping.model_construct(name=table, from_=table, key=(), join={}, columns=columns)
            self._readers[table] = self._made(mapping)
        return self._readers[table]

    def _reader(self, mapping: TableMapping) -> Oracle:
        place = f"mapping {mapping.name}"
        if place not in self._readers:
            self._readers[place] = self._made(mapping)
        return self._readers[place]

    def _made(self, mapping: TableMapping) -> Oracle:
        nothing = TargetTable(mapping.name, Table(mapping.name, ()), (), create=False)
        return Oracle(self._plan, mapping, nothing, self._sources)


def _winners(dedupe: Dedupe, members: Sequence[tuple[int, RowScope]]) -> set[int]:
    """Return the rows of a group that none is better than."""
    left = list(members)
    for column, order in (dedupe.first or {}).items():
        texts = {place: scope.as_text(ColumnRef(column)).value for place, scope in left}
        ranks = {place: order.index(text) if text in order else len(order) for place, text in texts.items()}
        left = [(place, scope) for place, scope in left if ranks[place] == min(ranks.values())]
    if dedupe.latest is not None:
        latest = {place: scope.argument(ColumnRef(dedupe.latest)) for place, scope in left}
        if not any(outcome.reasons for outcome in latest.values()):
            values = [outcome.value for outcome in latest.values() if outcome.value is not None]
            top = max(values) if values else None
            left = [(place, scope) for place, scope in left if latest[place].value == top]
    return {place for place, _ in left}


def _key(scope: RowScope, names: Sequence[str]) -> Key | None:
    """Return the values that identify a row, None where one is NULL or cannot be read."""
    parts = [scope.key_part(name) for name in names]
    values = tuple(part.value for part in parts)
    return None if any(part.reasons for part in parts) or None in values else values
