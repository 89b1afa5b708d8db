"""One extracted row to the target row that the plan makes of it, or to the reasons why there is none."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from transhume.batches import TargetTable
from transhume.expressions import parse
from transhume.oracle.reading import (
    AMBIGUOUS,
    SAME_IF_EQUAL,
    Children,
    Field,
    JoinedRow,
    ParentFate,
    Read,
    RowScope,
    hangs_on_equals,
    make_condition,
    make_key_reader,
    make_reader,
)
from transhume.oracle.remembered import Remembered
from transhume.oracle.rows import Rows
from transhume.plan.model import Plan, RowCheck, TableMapping
from transhume.plan.types import SourceTypes
from transhume.rules.rule import Argument, ColumnRef, Outcome, Rule
from transhume.schema import LogicalType, Table

Evaluate = Callable[[Callable[[str], Any]], tuple[Any, bool]]
_READERS_MAX = 10_000
_NEAR_READERS_MAX = 2_000
_PASSED = Outcome(True)


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a row: `fate` is `loaded`, `rejected`, `filtered` or `deduplicated`.

    `reasons` of a rejected row, in rule order, each once; `values` of a loaded row by target column, in the types
    of `rules.rule.Outcome`; `warnings` of a loaded row are `warn:check` and `stop:check`.
    """

    fate: str
    reasons: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectedRows:
    """What must become of many rows, column by column.

    `fates` has one entry a row; `reasons` and `warnings` are by place, of those rows that have any. `values` are of
    the rows at the places `kept` alone (neither filtered nor deduplicated), in their order.
    """

    fates: Sequence[str]
    reasons: Mapping[int, tuple[str, ...]]
    warnings: Mapping[int, tuple[str, ...]]
    kept: Sequence[int]
    values: Mapping[str, Sequence[Any]]

    def row(self, place: int) -> Expected:
        """Return what must become of the row at a place."""
        if self.fates[place] != "loaded":
            return Expected(self.fates[place], self.reasons.get(place, ()))
        held = self.kept.index(place)
        own = {name: values[held] for name, values in self.values.items()}
        return Expected("loaded", (), own, self.warnings.get(place, ()))


class Oracle:
    """Recomputes rows of one table mapping, one at a time.

    What does not depend on the row is settled once: types, conversions, labels, conditions. The rules' Python twins
    are asked for every row, or once for every distinct value where a rule reads values that are equal only if they
    are the same.
    """

    def __init__(
        self,
        plan: Plan,
        mapping: TableMapping,
        target: TargetTable,
        sources: Mapping[str, Table],
        *,
        lookups: Mapping[str, Mapping[str, str | None]] | None = None,
        parent_fate: ParentFate | None = None,
        children: Children | None = None,
    ) -> None:
        """Take the plan, what the target must hold, the source tables, and what lookups and parents are.

        `lookups` hold key text to value text by lookup; `parent_fate(mapping, key texts)` is None for no such row;
        `children` is `Relatives.children`, for plans that gather.
        """
        self.plan, self.mapping, self.target = plan, mapping, target
        self.types = SourceTypes(mapping, sources)
        self.lookups = lookups or {}
        self.children = children
        self.parent_fate = parent_fate or (lambda _mapping, _key: None)
        self._results: dict[tuple[int, LogicalType | None], LogicalType] = {}
        self._readers: dict[tuple[str | int, int], tuple[Read, Any]] = {}
        self._key_readers: dict[str, Read] = {}
        self._near_readers: dict[tuple[int, int], tuple[Read, Any]] = {}
        self._conditions: dict[str, tuple[Sequence[str], Remembered[Outcome]]] = {}
        self._condition_readers: dict[str, Read] = {}
        self._fields: list[Field] | None = None
        self._checks: list[_Check] | None = None

    def expected_row(
        self,
        row: Mapping[str, Any],
        joined: Mapping[str, JoinedRow] | None = None,
        *,
        duplicate: bool = False,
        dedupe: str = "",
    ) -> Expected:
        """Return what must become of one extracted row.

        `row` holds each source column's value: as the extract carries it, `Odd` where its class is not the column's.
        `joined` gives for each alias the row that was found, None, or AMBIGUOUS. `duplicate` says that another row
        has the same key; `dedupe` is `lost` where a better row stands for this one, `tied` where others win equally.
        """
        rows = Rows(self, [row], [joined or {}])
        return self.expected_rows(rows, [duplicate], [dedupe]).row(0)

    def expected_rows(
        self, rows: Rows, duplicates: Sequence[bool] | None = None, dedupe: Sequence[str] | None = None
    ) -> ExpectedRows:
        """Return what must become of many rows; see `expected_row`. Each column is gone through as a whole."""
        reasons: dict[int, list[str]] = defaultdict(list)
        fates = self._left_out(rows, dedupe, reasons)
        kept = [place for place, fate in enumerate(fates) if not fate]
        if len(kept) < len(rows):
            rows = rows.take(kept)
        found = _Reasons(kept, reasons)
        self._key_reasons(rows, found)
        if duplicates is not None and any(duplicates):
            found.add_where([duplicates[place] for place in kept], f"duplicate_key:{','.join(self.mapping.key)}")
        if dedupe is not None and self.mapping.dedupe is not None:
            found.add_where([dedupe[place] == "tied" for place in kept], f"tied:{','.join(self.mapping.dedupe.by)}")
        for alias in self.mapping.join:
            self._join_reasons(rows, alias, found)
        values: dict[str, list[Any]] = {}
        for each in self.fields():
            held = each.all(rows)
            values[each.name] = [value for value, _ in held]
            found.add([own for _, own in held])
        warned = self._checked(values, found, len(kept))
        rejected = {place: tuple(dict.fromkeys(own)) for place, own in reasons.items() if not fates[place]}
        fates = [fate or ("rejected" if place in rejected else "loaded") for place, fate in enumerate(fates)]
        warnings = {place: own for place, own in warned.items() if place not in rejected}
        return ExpectedRows(fates, rejected, warnings, kept, values)

    def _left_out(self, rows: Rows, dedupe: Sequence[str] | None, reasons: dict[int, list[str]]) -> list[str]:
        """Return the fates of the rows that are left out, "" of others, and note the reasons of `where`."""
        fates = [""] * len(rows)
        for place, outcome in enumerate(self._where(rows)):
            if outcome.reasons:
                reasons[place] += outcome.reasons
            elif outcome.value is not True:
                fates[place] = "filtered"
        for place, said in enumerate(dedupe or ()):
            if said == "lost" and not fates[place]:
                fates[place] = "deduplicated"
        return fates

    def _where(self, rows: Rows) -> Sequence[Outcome]:
        where = self.mapping.where
        return [_PASSED] * len(rows) if where is None else self.conditions(where, rows)

    def conditions(self, text: str, rows: Rows) -> list[Outcome]:
        """Return what a portable condition over source columns says of each row; see `RowScope.condition`."""
        read = self.condition_reader(text)
        names, known = self._conditions[text]
        return known.all(rows.columns(names), lambda place: read(rows.scopes[place]))

    def is_filtered(self, rows: Rows) -> list[bool]:
        """Say of each row whether the mapping's `where` leaves it out."""
        return [not outcome.reasons and outcome.value is not True for outcome in self._where(rows)]

    def read(self, row: Mapping[str, Any], joined: Mapping[str, JoinedRow] | None = None) -> RowScope:
        """Return what can be asked about one row beside these joined ones; see `expected_row`."""
        return RowScope(self, row, joined if joined is not None else {})

    def fields(self) -> "list[Field]":
        """Return the target columns with what settles their values, in the order of the plan."""
        if self._fields is None:
            columns = [(rule, self.target.table.column(name)) for name, rule in self.mapping.columns.items()]
            self._fields = [Field(self, rule, column) for rule, column in columns if column is not None]
        return self._fields

    def result(self, rule: Rule, wanted: LogicalType | None) -> LogicalType:
        """Return the type of a rule's value; asked once for each rule of the plan, not once a row."""
        known = self._results.get((id(rule), wanted))
        if known is None:
            known = self._results[id(rule), wanted] = rule.result(self.types, wanted)
        return known

    def reader(self, argument: Argument, wanted: LogicalType | None) -> "Read":
        """Return the function that gives an argument's value, converted to `wanted`, for any row."""
        near = self._near_readers.get((id(argument), id(wanted)))
        if near is not None:
            return near[0]
        key = (argument.name if isinstance(argument, ColumnRef) else id(argument), id(wanted))
        found = self._readers.get(key)
        if found is None:
            read = make_reader(self, argument, wanted)
            if len(self._readers) >= _READERS_MAX:
                self._readers.clear()
            # Argument and type are kept with it, so that no other object gets their identity.
            found = self._readers[key] = (read, (argument, wanted))
        if len(self._near_readers) < _NEAR_READERS_MAX:
            self._near_readers[id(argument), id(wanted)] = (found[0], (argument, wanted))
        return found[0]

    def key_reader(self, name: str) -> "Read":
        """Return the function that gives a column of any row as it identifies rows."""
        found = self._key_readers.get(name)
        if found is None:
            found = self._key_readers[name] = make_key_reader(self, name)
        return found

    def condition_reader(self, text: str) -> "Read":
        """Return the function that gives a condition over source columns, with the reasons of what it reads."""
        found = self._condition_readers.get(text)
        if found is None:
            found = self._condition_readers[text] = make_condition(self, text)
            names = parse(text).columns()
            self._conditions[text] = (names, Remembered(is_worth_it=hangs_on_equals(self, names)))
        return found

    def _checked(self, values: Mapping[str, Sequence[Any]], found: "_Reasons", size: int) -> dict[int, tuple[str, ...]]:
        """Add the reasons of the checks that reject, and return the warnings of the others by place."""
        warnings: dict[int, list[str]] = defaultdict(list)
        for check, names, evaluate, known in self._row_checks():
            columns = [values[name] for name in names]
            keys = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)) or [()] * size
            # NULL counts as passed; a number that does not fit leaves the condition unknown, which must not pass.
            failed = [holds is False or misfit for holds, misfit in known.all(keys, _answer(evaluate, values))]
            if True not in failed:
                continue
            if check.then == "reject":
                found.add_where(failed, f"check:{check.name}")
            else:
                for place in found.places_where(failed):
                    warnings[place].append(f"{check.then}:{check.name}")
        return {place: tuple(own) for place, own in warnings.items()}

    def _row_checks(self) -> "list[_Check]":
        if self._checks is None:
            types = {column.name: column.type for column in self.target.table.columns}
            self._checks = []
            for check in self.mapping.row_checks:
                expression = parse(check.sql)
                names = tuple(expression.columns())
                kinds = {None if (held := types.get(name)) is None else held.kind for name in names}
                known: Remembered[tuple[Any, bool]] = Remembered(is_worth_it=bool(names) and kinds <= SAME_IF_EQUAL)
                self._checks.append((check, names, expression.check_condition(types.get).evaluator(), known))
        return self._checks

    def _key_reasons(self, rows: Rows, found: "_Reasons") -> None:
        for name in self.mapping.key:
            for place, (value, reasons) in enumerate(rows.key_parts(name)):
                if value is None:
                    found.extend(place, reasons or (f"null_key:{name}",))

    def _join_reasons(self, rows: Rows, alias: str, found: "_Reasons") -> None:
        join = self.mapping.join[alias]
        bad: set[int] = set()
        for name in join.on.values():
            for place, (_, reasons) in enumerate(rows.key_parts(name)):
                if reasons:
                    bad.add(place)
                    found.extend(place, reasons)
        for place, known in enumerate(rows.joined):
            other = known.get(alias)
            if other is AMBIGUOUS:
                found.extend(place, (f"ambiguous:{alias}",))
            elif other is None and join.none == "reject" and place not in bad:
                found.extend(place, (f"no_match:{alias}",))


def _answer(evaluate: Evaluate, values: Mapping[str, Sequence[Any]]) -> Callable[[int], tuple[Any, bool]]:
    """Return what a check says of the row at a place."""
    return lambda place: evaluate(lambda name: values[name][place])


_Check = tuple[RowCheck, Sequence[str], Evaluate, Remembered[tuple[Any, bool]]]


class _Reasons:
    """The reasons against some of many rows, kept by the rows' own places."""

    def __init__(self, places: Sequence[int], reasons: dict[int, list[str]]) -> None:
        self._places, self._reasons = places, reasons

    def add(self, columns: Sequence[tuple[str, ...]]) -> None:
        """Take the reasons of every row."""
        for place, own in enumerate(columns):
            if own:
                self._reasons[self._places[place]] += own

    def extend(self, place: int, reasons: Iterable[str]) -> None:
        """Take the reasons of one row."""
        self._reasons[self._places[place]] += reasons

    def add_where(self, holds: Sequence[bool], reason: str) -> None:
        """Take one reason wherever it holds."""
        for place in self.places_where(holds):
            self._reasons[place].append(reason)

    def places_where(self, holds: Sequence[bool]) -> Iterator[int]:
        """Yield the rows' own places where something holds."""
        return compress(self._places, holds)
