"""How the oracle reads a row: columns, constants and nested rules as functions that are made once for all rows."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from transhume.expressions import parse
from transhume.oracle.exact import Odd, at_scale, convert, converter, reads_text
from transhume.oracle.json_texts import changes_as_value
from transhume.oracle.remembered import Remembered
from transhume.plan.model import NamesLookup
from transhume.plan.types import resolve
from transhume.rules.rule import Argument, ColumnRef, Constant, Outcome, Rule, RuleProblem, label
from transhume.schema import LINE_CLASS, TEXT, UUID, Carrier, Column, Kind, LogicalType

if TYPE_CHECKING:
    from transhume.oracle.row import Oracle
    from transhume.oracle.rows import Rows


class _Mark(Enum):
    AMBIGUOUS = "ambiguous"


AMBIGUOUS: Final = _Mark.AMBIGUOUS
"""Stands for a joined row where several rows matched and none comes first."""

JoinedRow = Mapping[str, Any] | None | _Mark
ParentFate = Callable[[str, tuple[str, ...]], str | None]
Children = Callable[[str, Mapping[str, str], Sequence[str]], Iterator[tuple[Outcome, ...]]]
Read = Callable[["RowScope"], Outcome]
Held = tuple[Any, tuple[str, ...]]
"""A value and the reasons against it: where there are any, the value is None."""

_NULL = Outcome(None)
SAME_IF_EQUAL = frozenset(
    {Kind.TEXT, Kind.INT, Kind.BIGINT, Kind.UUID, Kind.BOOLEAN, Kind.DATE, Kind.TIMESTAMP, Kind.TIME, Kind.JSON}
)
"""Kinds whose Python values are the same where they are equal: not floats (0.0, -0.0), not decimals (1.0, 1.00)."""


class RowScope:
    """What the rules' Python twins may ask about one row (`rules.rule.PythonScope`)."""

    __slots__ = ("joined", "namespace", "oracle", "row", "source_table")

    def __init__(self, oracle: "Oracle", row: Mapping[str, Any], joined: Mapping[str, JoinedRow]) -> None:
        self.oracle, self.row, self.joined = oracle, row, joined
        self.namespace: str = oracle.plan.namespace
        self.source_table: str = oracle.mapping.from_

    def type_of(self, argument: Argument) -> LogicalType:
        """Return the type of a column, constant or nested rule."""
        return self.oracle.types.argument(argument)

    def argument(self, argument: Argument, wanted: LogicalType | None = None) -> Outcome:
        """Return the value of a column, constant or nested rule, converted to `wanted` if given."""
        return self.oracle.reader(argument, wanted)(self)

    def as_text(self, argument: Argument) -> Outcome:
        """Return the argument as text."""
        return self.oracle.reader(argument, TEXT)(self)

    def lookup(self, name: str) -> Mapping[str, str | None]:
        """Return a lookup as a mapping of key text to value text."""
        return self.oracle.lookups[name]

    def canonical_names(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Return a names lookup: canonical name to its other spellings."""
        found = self.oracle.plan.lookups[name]
        assert isinstance(found, NamesLookup)
        return found.names

    def key_of(self, mapping: str) -> tuple[str, tuple[str, ...]]:
        """Return source table and key columns of another table mapping."""
        other = self.oracle.plan.tables[mapping]
        return other.from_, other.key

    def secret(self, reference: str) -> bytes:
        """Return the secret that a reference stands for. Raises: PlanError where it has no value."""
        return self.oracle.plan.origin.resolver.resolve(reference).reveal().encode()

    def parent_fate(self, mapping: str, key: tuple[str, ...]) -> str | None:
        """Return the fate of the row of a mapping that has this key, None if there is none."""
        return self.oracle.parent_fate(mapping, key)

    def children(self, table: str, on: Mapping[str, str], columns: Sequence[str]) -> Iterator[tuple[Outcome, ...]]:
        """Yield these columns, as texts, of every row of a source table whose `on` columns have these texts."""
        assert self.oracle.children is not None, "a plan that gathers needs the rows of other tables"
        return self.oracle.children(table, on, columns)

    def key_part(self, name: str) -> Outcome:
        """Return a column as it identifies rows: as text where it has one."""
        return self.oracle.key_reader(name)(self)

    def condition(self, text: str) -> Outcome:
        """Return what a portable condition over source columns gives, with the reasons of what it reads."""
        return self.oracle.condition_reader(text)(self)


class Field:
    """One target column of a mapping: its rule, and the column's bounds."""

    def __init__(self, oracle: "Oracle", rule: Rule, column: Column) -> None:
        assert column.type is not None
        self.name, self.rule = column.name, rule
        self._read = oracle.reader(rule, column.type)
        self._nullable = column.nullable
        self._length = _innermost(column.type).length
        source = label(rule)
        is_kept_as_value = column.type.kind is Kind.JSON and not column.keeps_text
        self._changes = f"json_changed:{source}" if is_kept_as_value else ""
        self._bits, self._range = column.bits_max, f"out_of_range:{source}"
        self._nul, self._long, self._null = f"nul_character:{source}", f"too_long:{source}", f"null:{source}"
        is_key = bool(oracle.mapping.key) and set(rule.columns()) >= set(oracle.mapping.key)
        self._columns = tuple(dict.fromkeys(rule.columns()))
        self._hangs_on_equals = hangs_on_equals(oracle, self._columns)
        self._key = _key_of([_place(oracle, name) for name in self._columns] if self._hangs_on_equals else [])
        self._ways: dict[Any, str] = {}
        self._known: Remembered[Held] = Remembered(is_worth_it=self._hangs_on_equals and not is_key)

    def of(self, scope: RowScope) -> Held:
        """Return the value of a row, held against the column's bounds, and the reasons against it."""
        if self._known.is_given_up:
            return self._held(self._read(scope))
        return self._known.one(self._key(scope), lambda: self._held(self._read(scope)))

    def all(self, rows: "Rows") -> list[Held]:
        """Return `of` each of many rows."""
        scopes, read, held = rows.scopes, self._read, self._held
        if self._known.is_given_up:
            return [held(read(scope)) for scope in scopes]
        return self._known.all(rows.columns(self._columns), lambda place: held(read(scopes[place])))

    @property
    def has_ways(self) -> bool:
        """Whether the rule goes several ways that a value alone does not tell apart."""
        return type(self.rule).way is not Rule.way

    def way(self, scope: RowScope) -> str:
        """Return which way the rule takes for a row."""
        if self._hangs_on_equals:
            key = self._key(scope)
            way = self._ways.get(key)
            if way is None:
                way = self._ways[key] = self.rule.way(scope)
            return way
        return self.rule.way(scope)

    def _held(self, outcome: Outcome) -> Held:
        """Return what a rule gives, held against the bounds of the column."""
        value, reasons = outcome
        if value is None:
            return outcome if reasons or self._nullable else (None, (self._null,))
        if isinstance(value, str):
            if "\0" in value or (self._length is not None and len(value) > self._length) or self._changes:
                reasons = self._against_texts([value])
        elif isinstance(value, list):
            reasons = self._against_texts(list(_texts_in(value)))
        elif self._bits is not None and not -1 <= value >> (self._bits - 1) <= 0:
            reasons = (self._range,)
        return (None, reasons) if reasons else outcome

    def _against_texts(self, texts: list[str]) -> tuple[str, ...]:
        found: tuple[str, ...] = ()
        if any("\0" in text for text in texts):
            found = (self._nul,)
        if self._length is not None and any(len(text) > self._length for text in texts):
            found = (*found, self._long)
        if self._changes and any(changes_as_value(text) for text in texts):
            found = (*found, self._changes)
        return found


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)


def _innermost(logical: LogicalType) -> LogicalType:
    return logical if logical.element is None else _innermost(logical.element)


def hangs_on_equals(oracle: "Oracle", names: Iterable[str]) -> bool:
    """Say whether what hangs on these columns is the same wherever their values are equal."""
    for name in names:
        column = oracle.types.column(name)
        if column.type is None or not (column.carrier is Carrier.TEXT or column.type.kind in SAME_IF_EQUAL):
            return False
    return True


def _key_of(places: list[Callable[[RowScope], Any]]) -> Callable[[RowScope], Any]:
    """Return what reads all of the columns: the value of one, or a tuple."""
    if len(places) == 1:
        return places[0]
    return lambda scope: tuple([place(scope) for place in places])


def make_key_reader(oracle: "Oracle", name: str) -> Read:
    """Return the function that gives a column of any row as it identifies rows: as text where it has one."""
    as_text = _column_reader(oracle, name, TEXT)
    as_itself = _column_reader(oracle, name, None)

    def read(scope: RowScope) -> Outcome:
        try:
            return as_text(scope)
        except RuleProblem:
            return as_itself(scope)

    return read


def _place(oracle: "Oracle", name: str) -> Callable[[RowScope], Any]:
    _, own = resolve(oracle.mapping, name)
    if own == name:
        return lambda scope: scope.row[name]
    # By the alias's own name of the column: of a pivot's columns each one is the same column of its table.
    alias, _, column = name.partition(".")

    def joined(scope: RowScope) -> Any:
        found = scope.joined.get(alias)
        return None if found is None or isinstance(found, _Mark) else found[column]

    return joined


def make_reader(oracle: "Oracle", argument: Argument, wanted: LogicalType | None) -> Read:
    """Return the function that gives a column, constant or nested rule of any row as the wanted type."""
    if isinstance(argument, Constant):
        constant = convert(argument.text, TEXT, wanted or TEXT, "constant")
        return lambda _: constant
    if isinstance(argument, ColumnRef):
        return _column_reader(oracle, argument.name, wanted)
    rule, aim = argument, wanted if wanted is not None else oracle.result(argument, None)
    given, source = oracle.result(rule, aim), label(rule)
    is_decimal = given.kind is Kind.DECIMAL
    to_aim, twin = converter(given, aim, source), rule.to_python
    if to_aim is Outcome:
        return lambda scope: twin(scope, aim)

    def read(scope: RowScope) -> Outcome:
        outcome = twin(scope, aim)
        value = outcome.value
        if value is None:
            return outcome  # NULL, or a reason
        if is_decimal:
            # A decimal's text shows the digits of its type, so the value is brought to the rule's own type first.
            value = at_scale(value, given.scale or 0)
        return to_aim(value)

    return read


def make_condition(oracle: "Oracle", text: str) -> Read:
    """Return the function that gives what a portable condition over source columns says of any row."""
    checked = parse(text).check_condition(lambda name: oracle.types.argument(ColumnRef(name)))
    evaluate = checked.evaluator()
    names = checked.expression.columns()
    misfit_reason = f"out_of_range:{next(iter(names), 'constant')}"
    readers = [(name, oracle.reader(ColumnRef(name), None)) for name in names]

    def read(scope: RowScope) -> Outcome:
        values: dict[str, Any] = {}
        reasons: tuple[str, ...] = ()
        for name, reader in readers:
            values[name], own = reader(scope)
            reasons += own
        if reasons:
            return Outcome(None, reasons)
        value, misfit = evaluate(values.__getitem__)
        return Outcome(None, (misfit_reason,)) if misfit else Outcome(value)

    return read


def _column_reader(oracle: "Oracle", name: str, wanted: LogicalType | None) -> Read:
    column = oracle.types.column(name)
    own = column.type
    if own is None:
        message = f"'{name}' has the type '{column.native}', which cannot be carried exactly"
        raise RuleProblem(message)
    aim = wanted or own
    from_own = _from_own(column, own, aim, name)
    if own.kind is Kind.UUID and column.carrier is not Carrier.TEXT and not isinstance(from_own, RuleProblem):
        from_own = _from_bytes(from_own)
    elif own.element == UUID and not isinstance(from_own, RuleProblem):
        from_own = _from_list_of_bytes(from_own)
    table, own_name = resolve(oracle.mapping, name)
    if own_name != name or isinstance(from_own, RuleProblem):
        return _careful_reader(_place(oracle, name), from_own, aim, (name, table))

    def read(scope: RowScope) -> Outcome:
        value = scope.row[name]
        if value is None:
            return _NULL
        if value.__class__ is Odd:
            return _odd(value, aim, name, table)
        return from_own(value)

    return read


def _from_bytes(convert_uuid: Callable[[Any], Outcome]) -> Callable[[Any], Outcome]:
    return lambda value: convert_uuid(uuid.UUID(bytes=value) if isinstance(value, bytes) else value)


def _from_list_of_bytes(convert_list: Callable[[Any], Outcome]) -> Callable[[Any], Outcome]:
    return lambda values: convert_list([uuid.UUID(bytes=each) if isinstance(each, bytes) else each for each in values])


def _careful_reader(
    place: Callable[[RowScope], Any],
    from_own: Callable[[Any], Outcome] | RuleProblem,
    aim: LogicalType,
    column: tuple[str, str],
) -> Read:
    """Return the reader of a joined column, or of one that only values of another class have a conversion for.

    `column` is its name and its source table.
    """

    def read(scope: RowScope) -> Outcome:
        value = place(scope)
        if value.__class__ is Odd:
            return _odd(value, aim, *column)
        if isinstance(from_own, RuleProblem):
            raise from_own
        return _NULL if value is None else from_own(value)

    return read


def _from_own(column: Column, own: LogicalType, aim: LogicalType, name: str) -> Callable[[Any], Outcome] | RuleProblem:
    """Return the conversion of a value of the column's own class, or the problem that there is none."""
    try:
        if column.carrier is Carrier.TEXT:
            return _carried_as_text(own, aim, name)
        return converter(own, aim, name)
    except RuleProblem as problem:
        return problem


def _odd(odd: Odd, aim: LogicalType, name: str, table: str) -> Outcome:
    """Return what a value of another class gives: texts, integers and reals are read as text is read."""
    if odd.storage == "invalid":
        return Outcome(None, (f"bad_encoding:{name}",))
    if odd.storage == LINE_CLASS:
        return Outcome(None, (f"bad_line:{table}",))
    if odd.storage == "blob":
        return Outcome(None, (f"blob:{name}",))
    if odd.storage == "refused" or not reads_text(aim):
        return Outcome(None, (f"bad_value:{name}",))
    return convert(odd.content.decode(), TEXT, aim, name)


def _carried_as_text(own: LogicalType, aim: LogicalType, name: str) -> Callable[[Any], Outcome]:
    """Return what an exact text of the column's own type gives; its digits are read as the wanted number at once."""
    if aim.kind in {own.kind, Kind.TEXT} or (own.kind is Kind.DECIMAL and aim.kind is Kind.DOUBLE):
        return converter(TEXT, aim, name)
    first, second = converter(TEXT, own, name), converter(own, aim, name)

    def through_own(text: Any) -> Outcome:
        outcome = first(text)
        return outcome if outcome.value is None else second(outcome.value)

    return through_own
