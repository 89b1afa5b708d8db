"""Scripts of the plan's checks on tables: the numbers of one side, or the plan's own query as it stands."""

from collections.abc import Iterator, Mapping

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks.rows import rows_of
from transhume.checks.script import NO_ROWS, Place, Script, Unsaid
from transhume.checks.tables import query_dialect, target_numbers
from transhume.expressions import parse
from transhume.expressions.aggregates import aggregates
from transhume.expressions.tree import ExpressionError
from transhume.plan.model import TableCheck, TableMapping
from transhume.rules.trees import is_true
from transhume.schema import LogicalType

_SEVERITY = {"stop": "error", "warn": "warning"}


def source_table_scripts(
    mapping: TableMapping, place: Place, types: Mapping[str, LogicalType], identity: str
) -> Iterator[Script | Unsaid]:
    """Yield what a person runs on the source for the checks on tables of a mapping."""
    for check, path in _checks(mapping, "source"):
        if check.query is not None:
            yield _query(check, "source", mapping.from_, path, identity)
            continue
        try:
            select = _source_numbers(check, rows_of(place(mapping.from_), "p"), types)
        except ExpressionError as problem:
            reason = f"the source stores what it reads in another type ({problem.message})"
            yield Unsaid("source", f"table:{check.name}", mapping.from_, "", reason)
            continue
        yield _numbers(check, "source", mapping.from_, path, select, types)


def target_table_scripts(
    mapping: TableMapping, target: TargetTable, place: Place, identity: str
) -> Iterator[Script | Unsaid]:
    """Yield what a person runs on the target for the checks on tables of a mapping."""
    types = {column.name: column.type for column in target.table.columns if column.type is not None}
    for check, path in _checks(mapping, "target"):
        if check.query is not None:
            yield _query(check, "target", target.table.name, path, identity)
            continue
        names = {column.name: column.name for column in target.table.columns}
        select, _ = target_numbers(check, target, names, place(target.table.name))
        yield _numbers(check, "target", target.table.name, path, select, types)


def _checks(mapping: TableMapping, side: str) -> Iterator[tuple[TableCheck, tuple[str | int, ...]]]:
    for place, check in enumerate(mapping.checks):
        if isinstance(check, TableCheck) and side in check.sides:
            yield check, ("tables", mapping.name, "checks", place)


def _source_numbers(check: TableCheck, rows: exp.Table | exp.Subquery, types: Mapping[str, LogicalType]) -> exp.Select:
    def column(name: str) -> exp.Expression:
        return exp.column(name, "p", quoted=True)

    value = kind = None
    if check.source is not None:
        checked = parse(check.source).check(types.get)
        value, kind = checked.to_sql(column), checked.type
    numbers = aggregates(check.compare or "count", value, kind)
    select = exp.select(*[exp.alias_(number, name, quoted=True) for name, number in numbers.items()]).from_(rows)
    if check.where.source is not None:
        select = select.where(is_true(parse(check.where.source).check_condition(types.get).to_sql(column)))
    return select


def _numbers(
    check: TableCheck,
    side: str,
    table: str,
    path: tuple[str | int, ...],
    select: exp.Select,
    types: Mapping[str, LogicalType],
) -> Script:
    what = {"avg": "total / found", "nulls": "rows less found", "count": "found where it is there, else rows"}
    shown = what.get(check.compare or "", "numbers")
    looked = f"{check.compare} of '{check.expression(side) or 'rows'}' in '{table}', as {shown}"
    if len(check.sides) > 1:
        other = "target" if side == "source" else "source"
        expectation = f"the number of the {other}'s script of this name"
        expectation += f", {check.tolerance} more or less" if check.tolerance is not None else ""
        if check.rows == "kept":
            expectation += "; rows that the run filtered or rejected, and rows of other writers, come on top here"
    else:
        limits = [f"{word} {limit}" for word, limit in (("least", check.least), ("most", check.most)) if limit]
        expectation = f"{' and '.join(limits)}" + (" of the rows" if "%" in "".join(limits) else "")
    severity = _SEVERITY[check.then]
    return Script(side, f"table:{check.name}", table, looked, expectation, severity, path, select, {"p": types})


def _query(check: TableCheck, side: str, table: str, path: tuple[str | int, ...], identity: str) -> Script:
    assert check.query is not None
    expectation = NO_ROWS
    if len(check.sides) > 1:
        expectation = f"the values that the query of the {'target' if side == 'source' else 'source'} gives"
        expectation += f", {check.tolerance} more or less" if check.tolerance is not None else ""
    elif check.most is not None:
        expectation = f"at most {check.most}" + (" of the table's rows" if check.most.is_share else " rows")
    # A comment at its end must not hold the semicolon that follows.
    text = (check.query.of(side) or "").strip().rstrip(";") + "\n"
    purpose, dialect = f"the plan's own query on the {side}", query_dialect(identity, side)
    nothing, severity = exp.Select(), _SEVERITY[check.then]
    name = f"table:{check.name}"
    return Script(side, name, table, purpose, expectation, severity, path, nothing, {}, text=text, dialect=dialect)
