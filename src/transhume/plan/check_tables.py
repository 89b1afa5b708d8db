"""What is wrong with the checks on whole tables of a mapping: their expressions, types and queries."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from transhume.batches import TargetTable
from transhume.errors import Finding
from transhume.expressions import ExpressionError, parse
from transhume.facts import Catalog
from transhume.plan.model import Plan, TableMapping
from transhume.plan.places import at
from transhume.plan.table_check import TableCheck
from transhume.schema import BOOLEAN, Kind, LogicalType, Table
from transhume.words import hint

_NUMBERS = frozenset({Kind.INT, Kind.BIGINT, Kind.DECIMAL, Kind.DOUBLE})
_ORDERED = ({Kind.TEXT}, {Kind.DATE}, {Kind.TIME}, {Kind.TIMESTAMP}, {Kind.TIMESTAMPTZ}, set(_NUMBERS))
"""Kinds whose values have one order on every side; values of different entries are not compared."""
_ADDED = frozenset({"sum", "avg"})
_LEADING_COMMENT = re.compile(r"\A(?:\s+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
Types = Callable[[str], LogicalType | None]


@dataclass(frozen=True, slots=True)
class _Text:
    """An expression of a check: the side that it is of, where it stands, whether it is a condition."""

    side: str
    path: tuple[str | int, ...]
    text: str
    is_condition: bool


def table_check_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what is wrong with a mapping's checks on tables as far as the plan alone tells."""
    for place, check in enumerate(mapping.checks):
        if not isinstance(check, TableCheck):
            continue
        here = ("tables", mapping.name, "checks", place)
        for each in _texts(check, here):
            try:
                names = parse(each.text).columns()
            except ExpressionError as problem:
                yield _at_text(plan, each, problem)
                continue
            for name in names:
                found = _name_problem(mapping, each.side, name)
                if found is not None:
                    yield _at_text(plan, each, ExpressionError(*found, max(each.text.find(name), 0)))
        for side in check.sides if check.query is not None else ():
            text = (check.query.of(side) if check.query is not None else None) or ""
            begin = text[len((_LEADING_COMMENT.match(text) or [""])[0]) :][:6].upper()
            if not begin.startswith(("SELECT", "WITH")) or ";" in text.rstrip().rstrip(";"):
                message = f"the query of the {side} is not one SELECT"
                cure = "write one SELECT without ';'; it runs in a transaction that cannot write"
                yield at(plan, (*here, "query", side), "query", message, cure)


def typed_table_check_findings(
    plan: Plan, mapping: TableMapping, tables: Mapping[str, Table], target: TargetTable | None
) -> Iterator[Finding]:
    """Yield what is wrong with them once the types of the columns are known; `target` None: nothing is known of it."""
    for place, check in enumerate(mapping.checks):
        if not isinstance(check, TableCheck):
            continue
        here = ("tables", mapping.name, "checks", place)
        kinds: dict[str, LogicalType] = {}
        for each in _texts(check, here):
            table = tables.get(mapping.from_) if each.side == "source" else target.table if target else None
            if table is None:
                continue
            found = _typed(plan, each, table)
            if isinstance(found, Finding):
                yield found
            elif found is not None and not each.is_condition:
                kinds[each.side] = found
        yield from _kind_findings(plan, check, here, kinds)


def query_findings(
    plan: Plan, mapping: TableMapping, side: str, dialect: str, catalog: Catalog | None
) -> Iterator[Finding]:
    """Yield what is wrong with the queries of one side; `dialect` "": the side answers no SQL.

    What our parser cannot read is left to the side itself. `catalog` None: its tables are not known.
    """
    known = set(catalog.tables) if catalog is not None else set()
    known |= {each.target_table for each in plan.tables.values()} if side == "target" else set()
    for place, check in enumerate(mapping.checks):
        text = check.query.of(side) if isinstance(check, TableCheck) and check.query is not None else None
        if text is None:
            continue
        path = ("tables", mapping.name, "checks", place, "query", side)
        if not dialect:
            message = f"the {side} answers no SQL, so the check '{check.name}' cannot ask it"
            yield at(plan, path, "query", message, "write 'compare:', which reads what a run extracted")
            continue
        try:
            tree = sqlglot.parse_one(text, dialect=dialect)
        except (SqlglotError, RecursionError):
            message = f"the query of the {side} is not understood here; whether it runs is known when it is asked"
            yield at(plan, path, "query", message, "", "note")
            continue
        if not isinstance(tree, exp.Query) or tree.find(exp.Insert, exp.Update, exp.Delete, exp.Into, exp.Merge):
            message = f"the query of the {side} does more than read"
            yield at(plan, path, "query", message, "write one SELECT; it runs in a transaction that cannot write")
            continue
        own = {each.alias_or_name for each in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            plain = isinstance(table.this, exp.Identifier) and not table.db
            if plain and known and table.name not in own and table.name.casefold() not in map(str.casefold, known):
                message = f"the query of the {side} reads '{table.name}', and there is no such table"
                yield at(plan, path, "unknown_table", message, hint(table.name, sorted(known), "the tables are"))


def _texts(check: TableCheck, here: tuple[str | int, ...]) -> Iterator[_Text]:
    if check.query is not None:
        return
    for side in check.sides:
        text, where = check.expression(side), check.where.of(side)
        if text is not None:
            yield _Text(side, (*here, side), text, is_condition=False)
        if where is not None:
            yield _Text(side, (*here, "where", side), where, is_condition=True)


def _name_problem(mapping: TableMapping, side: str, name: str) -> tuple[str, str] | None:
    if side == "target":
        if name in mapping.columns:
            return None
        return f"'{name}' is not a target column of '{mapping.name}'", hint(name, mapping.columns, "its columns are")
    alias, point, _ = name.partition(".")
    if point and alias in mapping.join:
        message = f"'{name}' is a column of a join; a check on tables sees the columns of '{mapping.from_}' alone"
        return message, "compare a column of its own table, or write a 'query:' that joins"
    return None


def _typed(plan: Plan, each: _Text, table: Table) -> Finding | LogicalType | None:
    """Return the type of an expression, or what is wrong with it; None where that was said already."""
    types = {column.name: column.type for column in table.columns}
    try:
        expression = parse(each.text)
    except ExpressionError:
        return None
    for name in expression.columns():
        if types.get(name) is None:
            choices = [column for column, kind in types.items() if kind is not None]
            message = f"'{name}' is not a column of the {each.side}'s '{table.name}'"
            if name in types:
                message = f"'{name}' of the {each.side} has a type that cannot be carried exactly"
            cure = hint(name, choices, "the columns are")
            return _at_text(plan, each, ExpressionError(message, cure, max(each.text.find(name), 0)))
    try:
        if each.is_condition:
            expression.check_condition(types.get)
            return BOOLEAN
        return expression.check(types.get).type
    except ExpressionError as problem:
        return _at_text(plan, each, problem)


def _kind_findings(
    plan: Plan, check: TableCheck, here: tuple[str | int, ...], kinds: Mapping[str, LogicalType]
) -> Iterator[Finding]:
    for side, kind in kinds.items():
        if check.compare in _ADDED and kind.kind not in _NUMBERS:
            message = f"'compare: {check.compare}' adds numbers, and '{check.expression(side)}' is {kind}"
            yield at(plan, (*here, side), "types", message, "compare 'distinct', 'count' or 'nulls' of it")
        elif check.compare in {"min", "max"} and not any(kind.kind in each for each in _ORDERED):
            message = f"'compare: {check.compare}' needs values with an order, and '{check.expression(side)}' is {kind}"
            yield at(plan, (*here, side), "types", message, "compare 'distinct', 'count' or 'nulls' of it")
    if check.compare not in {"min", "max"}:
        return
    group = {side: next((n for n, each in enumerate(_ORDERED) if k.kind in each), -1) for side, k in kinds.items()}
    if len(group) > 1 and -1 not in group.values() and len(set(group.values())) > 1:
        message = f"a {kinds['source']} of the source is not compared with a {kinds['target']} of the target"
        cure = "compare columns of one kind; what a rule turned into another kind, such as local times into instants, "
        yield at(plan, (*here, "target"), "types", message, cure + "is compared by a 'query:' of each side")
    if check.tolerance is not None or check.is_limited:
        for side, kind in kinds.items():
            if kind.kind not in _NUMBERS:
                message = f"a tolerance or limit is a number, and '{check.expression(side)}' is {kind}"
                yield at(plan, (*here, side), "types", message, "leave it out: such values are compared exactly")


def _at_text(plan: Plan, each: _Text, problem: ExpressionError) -> Finding:
    found = at(plan, each.path, "expression", f"the check: {problem.message}", problem.cure)
    return replace(found, position=plan.origin.position_in(each.path, each.text, problem.offset))
