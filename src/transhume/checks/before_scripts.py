"""The scripts that look at a source before a run, one SELECT a check. Nothing is read here."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from transhume import operations as op
from transhume.batches import TargetTable
from transhume.checks.dates import is_impossible, is_of_other_form, is_zero
from transhume.checks.keys import duplicate_keys
from transhume.checks.references import orphans
from transhume.checks.rows import rows_of
from transhume.checks.script import NO_ROWS, Place, Script, Unsaid
from transhume.checks.table_scripts import source_table_scripts
from transhume.expressions import parse
from transhume.expressions.tree import ExpressionError
from transhume.facts import Catalog
from transhume.plan.model import Plan, TableMapping
from transhume.rules.boolean import Boolean
from transhume.rules.codes import Codes
from transhume.rules.ref import Ref
from transhume.rules.rule import ColumnRef, Rule
from transhume.rules.trees import among, every, is_null, is_present, negated, some
from transhume.schema import TEXT, Carrier, Column, Kind, LogicalType, Table

_NULL_STAYS_NULL = frozenset(
    {"copy", "codes", "names", "utc", "parse", "scale", "boolean", "path", "epoch", "replace", "ref", "lookup"}
)
_SAID_OF = {"codes": "unmapped", "names": "unmapped", "boolean": "unmapped", "utc": "time_form", "ref": "orphan"}
"""Rule to the check that is named where its column is none of the table's own."""
_SPELLED = frozenset({"codes", "names", "boolean"})
_TIMES = frozenset({Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})


@dataclass(frozen=True, slots=True)
class _Scope:
    plan: Plan
    mapping: TableMapping
    table: Table
    place: Place
    stored: Callable[[Column], LogicalType | None]

    def types(self, table: Table | None = None) -> dict[str, LogicalType]:
        columns = {column.name: self.stored(column) for column in (table or self.table).columns}
        return {name: kind for name, kind in columns.items() if kind is not None}

    def path(self, *rest: str) -> tuple[str, ...]:
        return ("tables", self.mapping.name, *rest)

    def script(
        self,
        named: tuple[str, str],
        select: exp.Select,
        texts: tuple[str, str, str],
        path: tuple[str, ...],
        types: Mapping[str, Mapping[str, LogicalType]] | None = None,
    ) -> Script:
        (name, column), (purpose, expectation, severity) = named, texts
        known = types or {"s": self.types()}
        return Script("source", name, self.table.name, purpose, expectation, severity, path, select, known, column)


def before_scripts(
    plan: Plan, source: Catalog, tables: Mapping[str, TargetTable], place: Place, *, times_as_text: bool
) -> Iterator[Script | Unsaid]:
    """Yield the scripts for a source, those of one mapping together, and the checks that no SQL says.

    `times_as_text`: dates and times stand as text in the source, as in SQLite. Rows that a mapping's `where` leaves
    out are not looked at, except where keys and references are.
    """
    for name in source.tables:
        select = exp.select(exp.alias_(exp.Count(this=exp.Star()), "row_count", quoted=True))
        yield Script(
            "source", "row_count", name, f"how many rows '{name}' has", "the number that a run reports as read",
            "note", ("source",), select.from_(rows_of(place(name), "s")), {},
        )  # fmt: skip
    for mapping in plan.tables.values():
        table = source.tables.get(mapping.from_)
        if table is None:
            continue

        def stored(column: Column) -> LogicalType | None:
            is_text = times_as_text and column.carrier is Carrier.TEXT and column.type is not None
            return TEXT if is_text and column.type is not None and column.type.kind in _TIMES else column.type

        scope = _Scope(plan, mapping, table, place, stored)
        yield from _keys(scope)
        for column, rule in mapping.columns.items():
            yield from _column(scope, source, tables.get(mapping.name), column, rule)
        yield from source_table_scripts(mapping, place, scope.types(), source.identity)


def _keys(scope: _Scope) -> Iterator[Script | Unsaid]:
    key, name = scope.mapping.key, scope.table.name
    if not key:
        yield Unsaid(
            "source", "duplicate_key", name, "", f"the plan says of '{scope.mapping.name}' that nothing is a key"
        )
        return
    if any(scope.table.column(part) is None for part in key):
        yield Unsaid("source", "duplicate_key", name, ", ".join(key), "the key comes through a join")
        return
    yield _null_rows(scope, "null_key", list(key), f"rows of '{name}' without a key", scope.path("key"))
    select = duplicate_keys(scope.place(name), key)
    present = [is_present(exp.column(part, quoted=True)) for part in key]
    texts = (f"keys of '{name}' that more than one row has", NO_ROWS, "error")
    yield scope.script(
        ("duplicate_key", ""), select.where(every(present)), texts, scope.path("key"), {"": scope.types()}
    )


def _column(
    scope: _Scope, source: Catalog, target: TargetTable | None, name: str, rule: Rule
) -> Iterator[Script | Unsaid]:
    first = next(iter(rule.arguments()), None)
    column = scope.table.column(first.name) if isinstance(first, ColumnRef) else None
    if column is None:
        if rule.verb in _SAID_OF:
            reason = f"what '{name}' is made of comes through a rule or a join"
            yield Unsaid("source", _SAID_OF[rule.verb], scope.table.name, name, reason)
        return
    path = scope.path("columns", name)
    made = target.table.column(name) if target is not None else None
    if (
        made is not None
        and not made.nullable
        and rule.verb in _NULL_STAYS_NULL
        and column.name not in scope.mapping.key
    ):
        purpose = f"rows of '{scope.table.name}' without '{column.name}', which '{name}' of the target must have"
        yield _null_rows(scope, "null", [column.name], purpose, path)
    if rule.verb in _SPELLED:
        yield from _spellings(scope, column, rule, path)
    if isinstance(rule, Ref):
        yield from _orphans(scope, source, rule, path)
    if rule.verb == "utc":
        yield from _dates(scope, column, path)
    if rule.verb == "copy" and made is not None and made.type is not None and made.type.length is not None:
        kind = scope.stored(column)
        if kind is not None and kind.kind is Kind.TEXT and (kind.length is None or kind.length > made.type.length):
            bound = made.type.length
            wide = exp.GT(this=op.CodePoints(this=_own(column.name)), expression=exp.Literal.number(bound))
            purpose = f"texts of '{scope.table.name}.{column.name}' that are longer than the {bound} of '{name}'"
            yield _wrong(scope, "too_long", column.name, wide, purpose, path)


def _spellings(scope: _Scope, column: Column, rule: Rule, path: tuple[str, ...]) -> Iterator[Script | Unsaid]:
    value = exp.column(column.name, "s", quoted=True)
    count = exp.alias_(exp.Count(this=exp.Star()), "row_count", quoted=True)
    select = exp.select(value.copy(), count).from_(rows_of(scope.place(scope.table.name), "s")).group_by(value.copy())
    texts = (f"every spelling of '{scope.table.name}.{column.name}'", "spellings that the plan knows", "note")
    yield scope.script(("spellings", column.name), select, texts, path)
    if rule.verb == "names":
        reason = "names fold case, forms and punctuation of Unicode, which SQL does not; read 'spellings' instead"
        yield Unsaid("source", "unmapped", scope.table.name, column.name, reason)
    known = _known(rule)
    kind = scope.stored(column)
    if not known or kind is None:
        return
    if kind.kind in {Kind.INT, Kind.BIGINT}:
        raw: exp.Expression = op.IntegerText(this=_own(column.name))
    elif kind.kind is Kind.TEXT:
        raw = op.TrimAscii(this=_own(column.name))
    else:
        reason = f"codes of type {kind} have no text that all databases write alike"
        yield Unsaid("source", "unmapped", scope.table.name, column.name, reason)
        return
    purpose = f"rows of '{scope.table.name}' whose '{column.name}' is no code of the plan: {', '.join(known)}"
    yield _wrong(scope, "unmapped", column.name, negated(among(raw, known)), purpose, path)


def _known(rule: Rule) -> tuple[str, ...]:
    """Return the texts beside which a rule rejects every other; empty where there is no such list, or no reject."""
    if isinstance(rule, Codes) and rule.otherwise.action == "reject":
        return tuple(rule.to)
    if isinstance(rule, Boolean) and rule.otherwise.action == "reject":
        return (*rule.true_texts, *rule.false_texts)
    return ()


def _dates(scope: _Scope, column: Column, path: tuple[str, ...]) -> Iterator[Script | Unsaid]:
    if scope.stored(column) != TEXT:
        reason = f"a column of type {scope.stored(column)} refuses what is no date"
        yield Unsaid("source", "impossible_date", scope.table.name, column.name, reason)
        return
    value, where = op.TrimAscii(this=_own(column.name)), f"'{scope.table.name}.{column.name}'"
    yield _wrong(scope, "zero_date", column.name, is_zero(value), f"zero dates in {where}", path, "warning")
    purpose = f"days in {where} that are in no calendar"
    yield _wrong(scope, "impossible_date", column.name, is_impossible(value), purpose, path)
    purpose = f"texts in {where} that are no date with a time (YYYY-MM-DD HH:MM:SS); what follows is not looked at"
    yield _wrong(scope, "time_form", column.name, is_of_other_form(value), purpose, path)


def _orphans(scope: _Scope, source: Catalog, rule: Ref, path: tuple[str, ...]) -> Iterator[Script | Unsaid]:
    parent = scope.plan.tables[rule.table]
    parts = list(rule.arguments())
    names = [part.name for part in parts if isinstance(part, ColumnRef) and scope.table.column(part.name)]
    table = source.tables.get(parent.from_)
    if table is None:
        return
    shown = ", ".join(names) or "a rule"
    if len(names) != len(parts) or any(table.column(part) is None for part in parent.key):
        reason = "the reference goes through a rule or a join"
        yield Unsaid("source", "orphan", scope.table.name, shown, reason)
        return
    child_types, parent_types = scope.types(), scope.types(table)
    kinds = [(child_types.get(name), parent_types.get(key)) for name, key in zip(names, parent.key, strict=True)]
    if any(one is None or other is None or _family(one) != _family(other) for one, other in kinds):
        reason = f"'{shown}' and the key of '{table.name}' are of different types"
        yield Unsaid("source", "orphan", scope.table.name, shown, reason)
        return
    select = orphans(scope.place(scope.table.name), names, scope.place(table.name), parent.key)
    filtered, sentence = _filter(scope, "c")
    if filtered is not None:
        select = select.where(filtered)
    select = _keyed(scope, select, "c", names)
    purpose = f"rows of '{scope.table.name}' whose {shown} is no key of '{table.name}'{sentence}"
    severity = "error" if rule.otherwise.action == "reject" else "warning"
    yield scope.script(
        ("orphan", shown), select, (purpose, NO_ROWS, severity), path, {"c": child_types, "p": parent_types}
    )


def _family(kind: LogicalType) -> Kind:
    return Kind.BIGINT if kind.kind is Kind.INT else kind.kind


def _own(name: str) -> exp.Column:
    return exp.column(name, "s", quoted=True)


def _keyed(scope: _Scope, select: exp.Select, alias: str, names: list[str]) -> exp.Select:
    """Return the SELECT with the table's key before its other columns."""
    key = [part for part in scope.mapping.key if scope.table.column(part) and part not in names]
    columns = [exp.column(part, alias, quoted=True) for part in key]
    select.set("expressions", [*columns, *select.expressions])
    return select


def _null_rows(scope: _Scope, name: str, columns: list[str], purpose: str, path: tuple[str, ...]) -> Script:
    missing = some(is_null(_own(column)) for column in columns)
    return _wrong(scope, name, ", ".join(columns), missing, purpose, path)


def _wrong(
    scope: _Scope, name: str, column: str, wrong: exp.Expression, purpose: str, path: tuple[str, ...],
    severity: str = "error",
) -> Script:  # fmt: skip
    filtered, sentence = _filter(scope)
    shown = [part for part in [*scope.mapping.key, *column.split(", ")] if scope.table.column(part)]
    columns = [_own(part) for part in dict.fromkeys(shown)]
    select = exp.select(*columns).from_(rows_of(scope.place(scope.table.name), "s"))
    select = select.where(wrong.copy() if filtered is None else every([filtered, wrong]))
    return scope.script((name, column), select, (purpose + sentence, NO_ROWS, severity), path)


def _filter(scope: _Scope, alias: str = "s") -> tuple[exp.Expression | None, str]:
    """Return the mapping's `where` over its own columns, and what is to be said of it."""
    where = scope.mapping.where
    if where is None:
        return None, ""
    types = scope.types()
    expression = parse(where)
    if any("." in name and name not in types for name in expression.columns()):
        return None, f" (rows that `where: {where}` leaves out are looked at too: it goes through a join)"
    try:
        checked = expression.check_condition(types.get)
    except ExpressionError:
        return None, f" (rows that `where: {where}` leaves out are looked at too)"
    return checked.to_sql(lambda name: exp.column(name, alias, quoted=True)), f" (of the rows where {where})"
