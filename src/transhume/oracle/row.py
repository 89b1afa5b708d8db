"""One extracted row to the target row that the plan makes of it, or to the reasons why there is none."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from transhume.batches import TargetTable
from transhume.expressions import CheckedExpression, parse
from transhume.oracle.exact import Odd, at_scale, convert, reads_text
from transhume.oracle.json_texts import changes_as_value
from transhume.plan.model import NamesLookup, Plan, TableMapping
from transhume.plan.types import SourceTypes, resolve
from transhume.rules.rule import Argument, ColumnRef, Constant, Outcome, Rule, RuleProblem, label
from transhume.schema import TEXT, UUID, Carrier, Column, Kind, LogicalType, Table


class _Mark(Enum):
    AMBIGUOUS = "ambiguous"


AMBIGUOUS: Final = _Mark.AMBIGUOUS
"""Stands for a joined row where several rows matched and none comes first."""

JoinedRow = Mapping[str, Any] | None | _Mark
ParentFate = Callable[[str, tuple[str, ...]], str | None]
Children = Callable[[str, Mapping[str, str], Sequence[str]], Iterator[tuple[Outcome, ...]]]


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


class Oracle:
    """Recomputes rows of one table mapping, one at a time."""

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
        self._results: dict[tuple[int, LogicalType | None], LogicalType] = {}
        self._conditions: dict[str, CheckedExpression] = {}
        self.lookups = lookups or {}
        self.children = children
        self.parent_fate = parent_fate or (lambda _mapping, _key: None)

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
        scope = RowScope(self, row, joined or {})
        reasons: list[str] = []
        where = scope.condition(self.mapping.where) if self.mapping.where is not None else Outcome(True)
        if not where.reasons and where.value is not True:
            return Expected("filtered")
        if dedupe == "lost":
            return Expected("deduplicated")
        reasons += where.reasons
        reasons += self._key_reasons(scope, duplicate)
        if dedupe == "tied" and self.mapping.dedupe is not None:
            reasons.append(f"tied:{','.join(self.mapping.dedupe.by)}")
        for alias in self.mapping.join:
            reasons += self._join_reasons(scope, alias)
        values: dict[str, Any] = {}
        for name, rule in self.mapping.columns.items():
            column = self.target.table.column(name)
            if column is None:
                continue
            outcome = self._target_value(scope, rule, column)
            values[name] = outcome.value
            reasons += outcome.reasons
        warnings: list[str] = []
        for check in self.mapping.checks:
            if scope.is_violated(check.sql, self.target.table, values):
                (reasons if check.then == "reject" else warnings).append(
                    f"check:{check.name}" if check.then == "reject" else f"{check.then}:{check.name}"
                )
        if reasons:
            return Expected("rejected", tuple(dict.fromkeys(reasons)))
        return Expected("loaded", (), values, tuple(warnings))

    def read(self, row: Mapping[str, Any], joined: Mapping[str, JoinedRow] | None = None) -> "RowScope":
        """Return what can be asked about one row beside these joined ones; see `expected_row`."""
        return RowScope(self, row, joined if joined is not None else {})

    def result(self, rule: Rule, wanted: LogicalType | None) -> LogicalType:
        """Return the type of a rule's value; asked once for each rule of the plan, not once a row."""
        known = self._results.get((id(rule), wanted))
        if known is None:
            known = self._results[id(rule), wanted] = rule.result(self.types, wanted)
        return known

    def condition(self, text: str, types: Callable[[str], LogicalType | None]) -> CheckedExpression:
        """Return a condition of the plan with its types; read once for all rows."""
        known = self._conditions.get(text)
        if known is None:
            known = self._conditions[text] = parse(text).check_condition(types)
        return known

    def _key_reasons(self, scope: "RowScope", duplicate: bool) -> Iterator[str]:
        for name in self.mapping.key:
            part = scope.key_part(name)
            yield from part.reasons
            if part.value is None and not part.reasons:
                yield f"null_key:{name}"
        if duplicate:
            yield f"duplicate_key:{','.join(self.mapping.key)}"

    def _join_reasons(self, scope: "RowScope", alias: str) -> Iterator[str]:
        join = self.mapping.join[alias]
        bad = [reason for name in join.on.values() for reason in scope.key_part(name).reasons]
        yield from bad
        found = scope.joined.get(alias)
        if found is AMBIGUOUS:
            yield f"ambiguous:{alias}"
        elif found is None and join.none == "reject" and not bad:
            yield f"no_match:{alias}"

    def _target_value(self, scope: "RowScope", rule: Rule, column: Column) -> Outcome:
        """Return a rule's value in the target column's type and held against the column's bounds."""
        assert column.type is not None
        source = label(rule)
        outcome = scope.argument(rule, column.type)
        reasons = list(outcome.reasons)
        value = outcome.value
        texts, innermost = list(_texts_in(value)), _innermost(column.type)
        if any("\0" in text for text in texts):
            reasons.append(f"nul_character:{source}")
        if innermost.length is not None and any(len(text) > innermost.length for text in texts):
            reasons.append(f"too_long:{source}")
        if column.type.kind is Kind.JSON and not column.keeps_text and value is not None and changes_as_value(value):
            reasons.append(f"json_changed:{source}")
        if column.bits_max is not None and value is not None and not -1 <= value >> (column.bits_max - 1) <= 0:
            reasons.append(f"out_of_range:{source}")
        if value is None and not reasons and not column.nullable:
            reasons.append(f"null:{source}")
        return Outcome(None if reasons else value, tuple(reasons))


class RowScope:
    """What the rules' Python twins may ask about one row (`rules.rule.PythonScope`)."""

    def __init__(self, oracle: Oracle, row: Mapping[str, Any], joined: Mapping[str, JoinedRow]) -> None:
        self._oracle, self._row, self.joined = oracle, row, joined
        self.namespace = oracle.plan.namespace
        self.source_table = oracle.mapping.from_

    def type_of(self, argument: Argument) -> LogicalType:
        """Return the type of a column, constant or nested rule."""
        return self._oracle.types.argument(argument)

    def argument(self, argument: Argument, wanted: LogicalType | None = None) -> Outcome:
        """Return the value of a column, constant or nested rule, converted to `wanted` if given."""
        if isinstance(argument, Constant):
            return convert(argument.text, TEXT, wanted or TEXT, "constant")
        if isinstance(argument, ColumnRef):
            return self._column(argument.name, wanted)
        aim = wanted if wanted is not None else self._oracle.result(argument, None)
        outcome = argument.to_python(self, aim)
        if outcome.value is None:
            return outcome  # NULL, or a reason
        given, value = self._oracle.result(argument, aim), outcome.value
        if given.kind is Kind.DECIMAL:
            # A decimal's text shows the digits of its type, so the value is brought to the rule's own type first.
            value = at_scale(value, given.scale or 0)
        return convert(value, given, aim, label(argument))

    def as_text(self, argument: Argument) -> Outcome:
        """Return the argument as text."""
        return self.argument(argument, TEXT)

    def lookup(self, name: str) -> Mapping[str, str | None]:
        """Return a lookup as a mapping of key text to value text."""
        return self._oracle.lookups[name]

    def canonical_names(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Return a names lookup: canonical name to its other spellings."""
        found = self._oracle.plan.lookups[name]
        assert isinstance(found, NamesLookup)
        return found.names

    def key_of(self, mapping: str) -> tuple[str, tuple[str, ...]]:
        """Return source table and key columns of another table mapping."""
        other = self._oracle.plan.tables[mapping]
        return other.from_, other.key

    def secret(self, reference: str) -> bytes:
        """Return the secret that a reference stands for. Raises: PlanError where it has no value."""
        return self._oracle.plan.origin.resolver.resolve(reference).reveal().encode()

    def parent_fate(self, mapping: str, key: tuple[str, ...]) -> str | None:
        """Return the fate of the row of a mapping that has this key, None if there is none."""
        return self._oracle.parent_fate(mapping, key)

    def children(self, table: str, on: Mapping[str, str], columns: Sequence[str]) -> Iterator[tuple[Outcome, ...]]:
        """Yield these columns, as texts, of every row of a source table whose `on` columns have these texts."""
        assert self._oracle.children is not None, "a plan that gathers needs the rows of other tables"
        return self._oracle.children(table, on, columns)

    def key_part(self, name: str) -> Outcome:
        """Return a column as it identifies rows: as text where it has one."""
        try:
            return self.as_text(ColumnRef(name))
        except RuleProblem:
            return self.argument(ColumnRef(name))

    def condition(self, text: str) -> Outcome:
        """Return what a portable condition over source columns gives, with the reasons of what it reads."""
        checked = self._oracle.condition(text, lambda name: self.type_of(ColumnRef(name)))
        names = checked.expression.columns()
        outcomes = {name: self.argument(ColumnRef(name)) for name in names}
        reasons = [reason for outcome in outcomes.values() for reason in outcome.reasons]
        read = _reader({name: outcome.value for name, outcome in outcomes.items()})
        if not reasons and checked.misfit(read):
            reasons.append(f"out_of_range:{next(iter(names), 'constant')}")
        return Outcome(None if reasons else checked.evaluate(read), tuple(reasons))

    def is_violated(self, text: str, table: Table, values: Mapping[str, Any]) -> bool:
        """Say whether a row check is FALSE for these target values, or holds a number that does not fit.

        NULL counts as passed.
        """
        types = {column.name: column.type for column in table.columns}
        check, read = self._oracle.condition(text, types.get), _reader(values)
        return check.evaluate(read) is False or check.misfit(read)

    def _column(self, name: str, wanted: LogicalType | None) -> Outcome:
        _, own_name = resolve(self._oracle.mapping, name)
        column = self._oracle.types.column(name)
        own = column.type
        if own is None:
            message = f"'{name}' has the type '{column.native}', which cannot be carried exactly"
            raise RuleProblem(message)
        value = self._value(name, own_name)
        aim = wanted or own
        if isinstance(value, Odd):
            return _odd(value, aim, name)
        if column.carrier is Carrier.TEXT:
            return _carried_as_text(value, own, aim, name)
        if own.kind is Kind.UUID and isinstance(value, bytes):
            value = uuid.UUID(bytes=value)
        elif own.element == UUID and value is not None:
            value = [uuid.UUID(bytes=each) if isinstance(each, bytes) else each for each in value]
        return convert(value, own, aim, name)

    def _value(self, name: str, own_name: str) -> Any:
        if name == own_name:
            return self._row[own_name]
        found = self.joined.get(name.partition(".")[0])
        # By the alias's own name of the column: of a pivot's columns each one is the same column of its table.
        return None if found is None or isinstance(found, _Mark) else found[name.partition(".")[2]]


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)


def _innermost(logical: LogicalType) -> LogicalType:
    return logical if logical.element is None else _innermost(logical.element)


def _reader(values: Mapping[str, Any]) -> Callable[[str], Any]:
    return lambda name: values[name]


def _odd(odd: Odd, aim: LogicalType, name: str) -> Outcome:
    """Return what a value of another class gives: texts, integers and reals are read as text is read."""
    if odd.storage == "invalid":
        return Outcome(None, (f"bad_encoding:{name}",))
    if odd.storage == "blob":
        return Outcome(None, (f"blob:{name}",))
    if not reads_text(aim):
        return Outcome(None, (f"bad_value:{name}",))
    return convert(odd.content.decode(), TEXT, aim, name)


def _carried_as_text(value: str | None, own: LogicalType, aim: LogicalType, name: str) -> Outcome:
    """Return what an exact text of the column's own type gives; its digits are read as the wanted number at once."""
    is_direct = aim.kind in {own.kind, Kind.TEXT} or (own.kind is Kind.DECIMAL and aim.kind is Kind.DOUBLE)
    if is_direct:
        return convert(value, TEXT, aim, name)
    first = convert(value, TEXT, own, name)
    return convert(first.value, own, aim, name) if not first.reasons else first
