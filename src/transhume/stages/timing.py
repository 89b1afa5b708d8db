"""Performance: the plan's queries timed on the target, and references that no index helps to follow."""

from collections.abc import Iterator

from transhume.batches import TargetTable
from transhume.checks import CheckResult
from transhume.checks.references import references
from transhume.errors import SystemRefused
from transhume.plan.model import PerformanceCheck
from transhume.schema import Kind
from transhume.stages.context import RunContext
from transhume.systems.system import TimedQuery

_BY = {"key": "equal", "reference": "equal", "time range": "range"}


def performance(context: RunContext) -> Iterator[CheckResult]:
    """Yield the plan's queries that took longer than their limit, and the references without an index."""
    for check in context.plan.performance:
        yield _timed(context, check)
    for table in context.tables.values():
        wanted = [each.columns for each in references(context.plan, context.tables) if each.child == table.mapping]
        missing = context.target.unindexed(table, list(dict.fromkeys(wanted)))
        detail = "; ".join(f"no index begins with {columns}: {statement}" for columns, statement in missing)
        covered = f"{len(wanted)} references"
        yield CheckResult("reference_index", table.mapping, len(missing), covered, "warning", detail)


def _timed(context: RunContext, check: PerformanceCheck) -> CheckResult:
    name = check.table or "(query)"
    table = context.tables.get(check.table or "")
    if check.query is None and table is None:
        detail = f"there is no table mapping '{name}'"
        return CheckResult("performance", name, 1, check.name, detail=detail)
    column = "" if table is None else _column(context, table, check)
    if check.query is None and not column:
        detail = f"'{name}' has no column for by: {check.by}"
        return CheckResult("performance", name, 1, check.name, detail=detail)
    query = TimedQuery(table.table.name if table else "", column, _BY.get(check.by or "", "equal"), check.query or "")
    try:
        took = context.target.timed(query)
    except SystemRefused as problem:
        return CheckResult("performance", name, 1, check.name, detail=str(problem))
    said = f"{check.name}: {took.duration_ms:.1f} ms for {took.row_count} rows, allowed {check.limit_ms} ms"
    return CheckResult(
        "performance",
        name,
        int(took.duration_ms > check.limit_ms),
        check.query or f"by {check.by} ({column})",
        detail=f"{said}; {took.plan}",
        duration_s=round(took.duration_ms / 1000, 6),
    )


def _column(context: RunContext, table: TargetTable, check: PerformanceCheck) -> str:
    if check.column is not None:
        return check.column if table.table.column(check.column) else ""
    if check.by == "key":
        return table.key[0] if table.key else ""
    if check.by == "reference":
        found = (each.columns[0] for each in references(context.plan, context.tables) if each.child == table.mapping)
        return next(found, "")
    times = {Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.DATE}
    named = (column.name for column in table.table.columns if column.type is not None and column.type.kind in times)
    return next(named, "")
