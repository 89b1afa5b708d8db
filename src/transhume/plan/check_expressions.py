"""What is wrong with the expressions of a mapping: `where`, the joins' `where`, checks. Rules check their own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from transhume.batches import TargetTable
from transhume.errors import Finding
from transhume.expressions import Expression, ExpressionError, parse
from transhume.plan.check_joins import alias_problem
from transhume.plan.model import Plan, RowCheck, TableMapping
from transhume.plan.places import at
from transhume.plan.types import SourceTypes
from transhume.rules.rule import RuleProblem
from transhume.schema import LogicalType, Table
from transhume.words import hint

Path = tuple[str | int, ...]


def expression_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what is wrong with the form of a mapping's expressions, and with names that the plan alone can judge."""
    for path, text in _texts(mapping):
        try:
            expression = parse(text)
        except ExpressionError as problem:
            yield _finding(plan, path, text, problem)
            continue
        for name in expression.columns():
            problem_and_cure = _name_problem(mapping, path, name)
            if problem_and_cure is not None:
                message, cure = problem_and_cure
                yield _finding(plan, path, text, ExpressionError(message, cure, max(text.find(name), 0)))


def typed_expression_findings(
    plan: Plan, mapping: TableMapping, tables: Mapping[str, Table], target: TargetTable | None
) -> Iterator[Finding]:
    """Yield what is wrong with a mapping's expressions once the types of the columns are known.

    `target` None: its table has errors of its own; the checks on its columns are left out.
    """
    scope = SourceTypes(mapping, tables)
    for path, text in _texts(mapping):
        expression = _parsed(text)
        if expression is None:
            continue
        types, choices = _types_for(mapping, path, scope, target)
        if types is None:
            continue
        unknown = [name for name in expression.columns() if types(name) is None]
        for name in unknown:
            message, cure = f"'{name}' is not a column here", hint(name, choices, "the columns are")
            yield _finding(plan, path, text, ExpressionError(message, cure, max(text.find(name), 0)))
        if unknown:
            continue
        try:
            expression.check_condition(types)
        except ExpressionError as problem:
            yield _finding(plan, path, text, problem)


def condition_columns(text: str) -> tuple[str, ...]:
    """Return the columns that a condition reads; none if it is not of the language."""
    expression = _parsed(text)
    return expression.columns() if expression else ()


def _texts(mapping: TableMapping) -> Iterator[tuple[Path, str]]:
    here = ("tables", mapping.name)
    if mapping.where is not None:
        yield (*here, "where"), mapping.where
    for alias, join in mapping.join.items():
        if join.where is not None:
            yield (*here, "join", alias, "where"), join.where
    for place, check in enumerate(mapping.checks):
        if isinstance(check, RowCheck):
            yield (*here, "checks", place, "sql"), check.sql


def _parsed(text: str) -> Expression | None:
    try:
        return parse(text)
    except ExpressionError:
        return None


def _name_problem(mapping: TableMapping, path: Path, name: str) -> tuple[str, str] | None:
    if path[2] == "checks":
        if name in mapping.columns:
            return None
        message = f"'{name}' is not a target column of '{mapping.name}'; a check looks at the row as it will be loaded"
        return message, hint(name, mapping.columns, "its columns are")
    if path[2] == "join":
        alias, point, _ = name.partition(".")
        if point and alias in mapping.join:
            message = f"'{name}' names another join; a join's 'where' sees only the joined table's own columns"
            return message, f"write the column without '{alias}.', or put the condition into the mapping's 'where'"
        return None
    return alias_problem(mapping, name)


def _types_for(
    mapping: TableMapping, path: Path, scope: SourceTypes, target: TargetTable | None
) -> tuple[Callable[[str], LogicalType | None] | None, list[str]]:
    """Return what gives a column its type where an expression stands, and the names that it may use."""
    if path[2] == "checks":
        if target is None:
            return None, []
        return _of_table(target.table), [column.name for column in target.table.columns]
    if path[2] == "join":
        joined = scope.tables.get(mapping.join[str(path[3])].from_)
        return (_of_table(joined), [column.name for column in joined.columns]) if joined else (None, [])
    own = scope.tables.get(mapping.from_)
    if own is None:
        return None, []
    names = [column.name for column in own.columns]
    for alias, join in mapping.join.items():
        joined = scope.tables.get(join.from_)
        names += [f"{alias}.{column.name}" for column in joined.columns] if joined else []

    def of_source(name: str) -> LogicalType | None:
        try:
            return scope.column(name).type
        except RuleProblem:
            return None

    return of_source, names


def _of_table(table: Table) -> Callable[[str], LogicalType | None]:
    def of_column(name: str) -> LogicalType | None:
        column = table.column(name)
        return column.type if column else None

    return of_column


def _finding(plan: Plan, path: Path, text: str, problem: ExpressionError) -> Finding:
    what = "the check" if path[2] == "checks" else "'where'"
    found = at(plan, path, "expression", f"{what}: {problem.message}", problem.cure)
    return replace(found, position=plan.origin.position_in(path, text, problem.offset))
