"""What a rule sees while one table mapping is compiled: typed columns, names for values, joins."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from transhume import operations as op
from transhume.compiler.conversion import convert, parse_reason, parsed, typed_null
from transhume.compiler.layers import Layers, with_columns
from transhume.compiler.scans import extract_columns, parquet, scan
from transhume.facts import ExtractedTable, Facts, Need
from transhume.plan.constants import constant_problem
from transhume.plan.model import Pivot, Plan, TableMapping
from transhume.plan.types import SourceTypes, resolve
from transhume.rules.rule import Argument, ColumnRef, Constant, Reason, Rule, RuleProblem, Sql, label
from transhume.rules.trees import every, is_present, is_true
from transhume.schema import LINE_CLASS, ODD, ROW, TEXT, UUID, Carrier, Column, Kind, LogicalType, physical_names

_KEY_KINDS = frozenset({Kind.TEXT, Kind.INT, Kind.BIGINT, Kind.UUID})
_INTEGERS = frozenset({Kind.INT, Kind.BIGINT})
_READ_AS_WANTED = frozenset({Kind.TEXT, Kind.DOUBLE, Kind.DECIMAL})
"""Kinds that an exact number's text is read as at once, because the way over the column's own type would lose."""
SMALL_ROWS_MAX = 10_000
"""Rows of a relation up to which operations on its columns are computed in it, once a batch."""
LARGE_ROWS_MIN = 50_000
"""Rows of a relation above which a batch holds only the rows whose keys it has, so that memory stays bounded."""
_ABSENT = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class _Place:
    """A source column where it stands: its extract, and references to its value and the row's odd values."""

    table: ExtractedTable
    column: Column
    value: exp.Expression
    odd: exp.Expression


@dataclass(frozen=True, slots=True)
class Comparable:
    """One side of a key comparison: the value, and whether both sides are compared as key texts."""

    value: exp.Expression
    as_text: bool


@dataclass(frozen=True, slots=True)
class DeferredReference:
    """A reference to rows whose fate is not known yet; `as_text` says of each key part how it is compared."""

    parent: str
    as_text: tuple[bool, ...]


class MappingScope:
    """The scope of one table mapping over one or more files of its source table's extract.

    `deferred` are mappings whose rows' fates are not known yet: references to them are recorded in
    `references`, and taken to be loaded rows except for the positions in `assumed_lost`.
    """

    def __init__(
        self,
        plan: Plan,
        mapping: TableMapping,
        facts: Facts,
        paths: Sequence[str],
        deferred: frozenset[str] = frozenset(),
    ) -> None:
        """Start with the rows of these files, which are files of the mapping's source table."""
        self.plan, self.mapping, self.facts, self.deferred = plan, mapping, facts, deferred
        self.source = facts.extracts[mapping.from_]
        self.source_table = mapping.from_
        self.namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"transhume:{plan.namespace}").hex
        self.types = SourceTypes(mapping, {name: extract.table for name, extract in facts.extracts.items()})
        self._physical = {
            name: physical_names(column.name for column in extract.table.columns)
            for name, extract in facts.extracts.items()
        }
        self._is_one_segment = len(paths) == 1
        columns = extract_columns(self.source.table)
        self.layers = Layers(scan(paths, columns), columns)
        self.references: list[tuple[DeferredReference, tuple[exp.Expression, ...]]] = []
        self.assumed_lost: set[int] = set()
        self._types: dict[exp.Expression, LogicalType] = {}
        self._places: dict[str, _Place] = {}

    @property
    def row(self) -> exp.Column:
        """The row's position in its table's extract."""
        return self.layers.column(ROW)

    def argument(self, argument: Argument, wanted: LogicalType | None = None) -> Sql:
        """Return the value of a column, constant or nested rule, converted to `wanted` if given.

        A value that is not of the wanted type is NULL and has a reason (`compiler.conversion` lists them).
        Raises: RuleProblem where the types do not fit.
        """
        if isinstance(argument, Constant):
            return self._typed(_constant(argument, wanted or TEXT))
        if isinstance(argument, ColumnRef):
            return self._typed(self._column(argument.name, wanted))
        return self._typed(self._rule(argument, wanted))

    def as_text(self, argument: Argument) -> Sql:
        """Return the argument as text where that is exact; the text that the source holds where it is one."""
        return self.argument(argument, TEXT)

    def bind(self, expression: exp.Expression) -> exp.Column:
        """Evaluate an expression once per row and return a name for it that may be used many times."""
        name = self.layers.bind(expression)
        if expression in self._types:
            self._types[name] = self._types[expression]
        return name

    def join(self, need: Need, on: Mapping[str, exp.Expression]) -> Callable[[str], exp.Column]:
        """Left-join the relation of `need` on its columns being equal to these expressions.

        Integers, texts and UUIDs are compared as themselves where both sides have them, else as key texts.
        """
        if need.kind == "parents" and need.subject in self.deferred:
            return self._deferred(need.subject, on)
        relation = self.facts.relations[str(own_need(self.mapping, need))]
        sides = {name: self._comparable(value, relation.columns[name]) for name, value in on.items()}
        as_text = {name: relation.columns[name] for name, side in sides.items() if side.as_text}
        rows = parquet([relation.path])
        if as_text:
            rows = _with_key_texts(rows, as_text)
        keys = {_text_name(name) if side.as_text else name: self.bind(side.value) for name, side in sides.items()}
        return self.layers.join(
            rows,
            keys,
            is_small=relation.row_count <= SMALL_ROWS_MAX,
            is_large=relation.row_count > LARGE_ROWS_MIN and self._is_one_segment,
        )

    def key_of(self, mapping: str) -> tuple[str, tuple[str, ...]]:
        """Return source table and key columns of another table mapping."""
        other = self.plan.tables[mapping]
        return other.from_, other.key

    def key(self) -> tuple[Sql, ...]:
        """Return the values of the mapping's key, part by part, as they stand in fates and relations."""
        return tuple(self.key_value(part) for part in self.mapping.key)

    def key_value(self, name: str) -> Sql:
        """Return a column in the type in which it identifies rows (`key_type`)."""
        table, own = resolve(self.mapping, name)
        return self.argument(ColumnRef(name), key_type(self.facts.extracts[table], own))

    def joined(self, alias: str) -> Callable[[str], exp.Column]:
        """Return the columns of a join's relation, by their names there."""
        own = self.mapping.join[alias].on.values()
        on = {f"_k{place}": self.key_value(name).value for place, name in enumerate(own)}
        return self.join(join_need(self.mapping, alias), on)

    def _comparable(self, value: exp.Expression, other: LogicalType) -> Comparable:
        given = self._types.get(value, other)
        if given.kind is other.kind or {given.kind, other.kind} <= _INTEGERS:
            return Comparable(value, as_text=False)
        origin = self.layers.origin(value)
        # The text of an integer equals the text of another integer exactly where the integers are equal.
        if isinstance(origin, op.IntegerText) and other.kind in _INTEGERS:
            return Comparable(origin.this, as_text=False)
        if isinstance(origin, op.UuidText) and other.kind is Kind.UUID:
            return Comparable(origin.this, as_text=False)
        text = convert(Sql(value, given), TEXT, "key", self.bind)
        return Comparable(text.value, as_text=True)

    def _deferred(self, parent: str, on: Mapping[str, exp.Expression]) -> Callable[[str], exp.Column]:
        types = key_types(self.plan.tables[parent], self.facts)
        parts = tuple(self._comparable(value, kind) for value, kind in zip(on.values(), types, strict=True))
        bound = tuple(Comparable(self.bind(part.value), part.as_text) for part in parts)
        for part, kind in zip(bound, types, strict=True):
            self._types[part.value] = TEXT if part.as_text else kind
        reference = DeferredReference(parent, tuple(part.as_text for part in bound))
        keys = tuple(part.value for part in bound)
        if (reference, keys) not in self.references:
            self.references.append((reference, keys))
        place = self.references.index((reference, keys))
        given = every(is_present(key) for key in keys)
        loaded = place not in self.assumed_lost

        def column(name: str) -> exp.Column:
            if name == "fate":
                fate = exp.Literal.string("loaded" if loaded else "rejected")
                return self.bind(exp.Case(ifs=[exp.If(this=given.copy(), true=fate)]))
            if not loaded:
                return self.bind(typed_null(UUID))
            absent = op.ParseUuid(this=exp.Literal.string(str(_ABSENT)))
            return self.bind(exp.Case(ifs=[exp.If(this=given.copy(), true=absent)]))

        return column

    def type_of(self, value: exp.Expression) -> LogicalType:
        """Return the type of a value that this scope gave."""
        return self._types[value]

    def _typed(self, sql: Sql) -> Sql:
        self._types[sql.value] = sql.type
        return sql

    def _rule(self, rule: Rule, wanted: LogicalType | None) -> Sql:
        aim = wanted if wanted is not None else rule.result(self.types, None)
        sql = rule.to_sql(self, aim)
        return convert(sql, aim, label(rule), self.bind)

    def _column(self, name: str, wanted: LogicalType | None) -> Sql:
        place = self._place(name)
        own = place.column.type
        if own is None:
            message = f"'{name}' has the type '{place.column.native}', which cannot be carried exactly"
            raise RuleProblem(message, "leave the column out, or cast it in a view of the source")
        aim = wanted or own
        clean = self._clean(place, own, aim, name)
        return self._with_odd(place, clean, aim, name) if place.column.name in place.table.odd_columns else clean

    def _clean(self, place: _Place, own: LogicalType, aim: LogicalType, name: str) -> Sql:
        if place.column.carrier is Carrier.NATIVE:
            value = place.value
            if own.kind is Kind.UUID:
                value = self.bind(op.UuidFromBytes(this=value))
            elif own.kind is Kind.LIST and own.element == UUID:
                value = self.bind(op.ListMap(this=value, expression=op.UuidFromBytes(this=op.Element())))
            return convert(Sql(value, own), aim, name, self.bind)
        text = Sql(place.value, TEXT)
        if aim.kind is own.kind or aim.kind is Kind.TEXT:
            return convert(text, aim, name, self.bind)
        if own.kind is Kind.DECIMAL and aim.kind in _READ_AS_WANTED:
            return convert(text, aim, name, self.bind)
        return convert(convert(text, own, name, self.bind), aim, name, self.bind)

    def _with_odd(self, place: _Place, clean: Sql, aim: LogicalType, name: str) -> Sql:
        """Add what the row's list of odd values holds for this column."""
        own_name = exp.Literal.string(place.column.name)
        odd_class = self.bind(op.OddClass(this=place.odd.copy(), name=own_name))
        odd_text = self.bind(op.OddText(this=place.odd.copy(), name=own_name.copy()))
        reasons = [
            Reason(self.bind(_is(odd_class, "invalid")), f"bad_encoding:{name}"),
            Reason(self.bind(_is(odd_class, "blob")), f"blob:{name}"),
            Reason(self.bind(_is(odd_class, "refused")), f"bad_value:{name}"),
        ]
        if place.table.table.located:
            reasons.append(Reason(self.bind(_is(odd_class, LINE_CLASS)), f"bad_line:{place.table.table.name}"))
        if aim.kind is not Kind.TEXT and parse_reason(aim) is None:
            reasons.append(Reason(is_present(odd_text), f"bad_value:{name}"))
            return Sql(clean.value, aim, (*reasons, *clean.reasons))
        odd = convert(Sql(odd_text, TEXT), aim, name, self.bind)
        value = self.bind(exp.Coalesce(this=clean.value.copy(), expressions=[odd.value.copy()]))
        return Sql(value, aim, (*reasons, *clean.reasons, *odd.reasons))

    def _place(self, name: str) -> _Place:
        if name in self._places:
            return self._places[name]
        table, own = resolve(self.mapping, name)
        column = self.types.column(name)
        extract = self.facts.extracts[table]
        physical = self._physical[table][own]
        if table == self.mapping.from_ and own == name:
            read: Callable[[str], exp.Column] = self.layers.column
        else:
            read = self.joined(name.partition(".")[0])
        odd_name = ODD
        pivoted = pivoted_column(self.mapping, name)
        if pivoted is not None:
            physical, odd_name = pivoted
        value: exp.Expression = read(physical) if column.type is not None else exp.Null()
        odd: exp.Expression = read(odd_name) if own in extract.odd_columns else exp.Null()
        self._places[name] = _Place(extract, column, value, odd)
        return self._places[name]


def key_type(extract: ExtractedTable, name: str) -> LogicalType:
    """Return the type in which a column's values identify rows.

    A column of texts, integers or UUIDs is compared as it is; where the extract holds text, or holds values of
    another class beside, as text, so that no row falls out because of its value's class. Types without an
    exact text stay as they are.
    """
    column = extract.table.column(name)
    assert column is not None
    if column.type is None:
        return TEXT
    if column.carrier is Carrier.TEXT:
        return TEXT
    if name not in extract.odd_columns and column.type.kind in _KEY_KINDS:
        return LogicalType(column.type.kind)
    return TEXT if column.type.kind in _KEY_KINDS | {Kind.DECIMAL, Kind.JSON} else column.type


def key_types(mapping: TableMapping, facts: Facts) -> tuple[LogicalType, ...]:
    """Return the types of the key columns `_k0`, `_k1` .. of a mapping's fates and of its parents relation."""
    names = [resolve(mapping, part) for part in mapping.key]
    return tuple(key_type(facts.extracts[table], own) for table, own in names)


def pivot_columns(pivot: Pivot) -> dict[str, tuple[str, str]]:
    """Return for each column of a pivot's alias the names of its value and its row's odd values in the relation."""
    return {column: (f"_p{place}", f"_p{place}_odd") for place, column in enumerate(pivot.take)}


def pivoted_column(mapping: TableMapping, name: str) -> tuple[str, str] | None:
    """Return `pivot_columns`'s names of `alias.column`; None for what is not a pivot's column."""
    alias, point, column = name.partition(".")
    pivot = mapping.join[alias].pivot if point and alias in mapping.join else None
    return pivot_columns(pivot)[column] if pivot is not None else None


def join_need(mapping: TableMapping, alias: str) -> Need:
    """Return what names the relation of a mapping's join."""
    return Need("join", alias, mapping.name)


def own_need(mapping: TableMapping, need: Need) -> Need:
    """Return a rule's need as this mapping has it: a name map holds the values of one mapping's rows."""
    if need.kind == "names":
        return Need(need.kind, need.subject, f"{mapping.name}:{need.argument}")
    return need


def _constant(constant: Constant, wanted: LogicalType) -> Sql:
    problem = constant_problem(constant, wanted)
    if problem is not None:
        raise RuleProblem(problem, "write a value of the target column's type")
    if constant.text is None:
        return Sql(typed_null(wanted), wanted)
    literal = exp.Literal.string(constant.text)
    if wanted.kind is Kind.TEXT:
        return Sql(literal, wanted)
    return Sql(parsed(literal, wanted), wanted)


def _with_key_texts(rows: exp.Expression, as_text: Mapping[str, LogicalType]) -> exp.Expression:
    """Return the relation with the texts of these key columns beside its own columns."""
    texts = {
        _text_name(name): convert(Sql(exp.column(name, quoted=True), kind), TEXT, name, unbound).value
        for name, kind in as_text.items()
    }
    return with_columns(rows, texts)


def _text_name(name: str) -> str:
    return f"{name} as text"


def unbound(expression: exp.Expression) -> exp.Column:
    """Refuse to name a value: the `bind` of conversions that are one operation. Raises: TypeError."""
    message = f"a key text is one operation, not {type(expression).__name__}"
    raise TypeError(message)


def _is(value: exp.Expression, text: str) -> exp.Expression:
    return is_true(value.copy().eq(exp.Literal.string(text)))
