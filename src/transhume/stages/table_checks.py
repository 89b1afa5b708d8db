"""The plan's checks on whole tables: numbers of the extract and of the target compared, queries asked."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from time import monotonic
from uuid import UUID

import pyarrow as pa
import sqlglot
from sqlglot import exp

from transhume.checks import CheckResult
from transhume.checks.tables import KEPT, Numbers, compared, queries_compared, rows_found, target_numbers
from transhume.compiler.table_numbers import MISFIT, UNREAD, compile_source_numbers
from transhume.dialects import DIALECTS
from transhume.errors import EngineFailed, SystemRefused
from transhume.expressions.aggregates import TOTAL
from transhume.facts import Answer, cell
from transhume.plan.model import TableCheck, TableMapping
from transhume.rules.trees import among, negated
from transhume.schema import Kind, LogicalType, physical_names
from transhume.stages.context import RunContext
from transhume.stages.source_queries import source_answer
from transhume.stages.target_rows import TargetRows
from transhume.stages.transform import BUCKET, OUTSIDE, fates_path
from transhume.systems.system import ROWS_ASKED

_WHOLE = frozenset({Kind.INT, Kind.BIGINT})


def table_checks(
    context: RunContext, rows: TargetRows, *, shows: bool, only_queries: bool = False
) -> Iterator[CheckResult]:
    """Yield what each check on tables says of these rows; before publishing, queries to a server are left to later.

    `shows` False: no value of the data stands in the words of a result. `only_queries`: the queries to the target.
    """
    for mapping in context.plan.tables.values():
        for check in mapping.table_checks:
            if only_queries and not (check.query and "target" in check.sides):
                continue
            started = monotonic()
            result = _asked(context, rows, mapping, check, shows=shows) if check.query else None
            if not check.query:
                result = _measured(context, rows, mapping, check, shows=shows)
            if result is not None:
                yield replace(result, duration_s=round(monotonic() - started, 3))


def waits_for_publishing(context: RunContext) -> bool:
    """Say whether the plan has queries that the target can only answer when its readers see the run."""
    checks = [check for mapping in context.plan.tables.values() for check in mapping.table_checks if check.query]
    return context.target.answers_sql and any("target" in check.sides for check in checks)


def _measured(
    context: RunContext, rows: TargetRows, mapping: TableMapping, check: TableCheck, *, shows: bool
) -> CheckResult:
    try:
        sides = {side: _NUMBERS[side](context, rows, mapping, check) for side in check.sides}
    except EngineFailed as problem:
        severity = "warning" if check.then == "warn" else "error"
        return CheckResult(f"table:{check.name}", mapping.name, 1, check.compare or "", severity, str(problem))
    return compared(check, mapping.name, sides, shows=shows)


def _of_source(context: RunContext, _: TargetRows, mapping: TableMapping, check: TableCheck) -> Numbers:
    fates = [str(fates_path(context, mapping, segment.index)) for segment in context.segments[mapping.from_]]
    bucket = exp.column(BUCKET, "f", quoted=True)
    # Of a part of the source, the part is the whole.
    counts = among(bucket, KEPT) if check.rows == "kept" else negated(among(bucket, [OUTSIDE]))
    select, kind = compile_source_numbers(context.plan, mapping, context.facts(), check, fates, counts)
    return _numbers(context, select, kind)


def _of_target(context: RunContext, rows: TargetRows, mapping: TableMapping, check: TableCheck) -> Numbers:
    table = context.tables[mapping.name]
    names = physical_names(column.name for column in table.table.columns)
    found = rows.kept(mapping.name) if check.rows == "kept" else rows.all(mapping.name)
    return _numbers(context, *target_numbers(check, table, names, found))


_NUMBERS = {"source": _of_source, "target": _of_target}


def _numbers(context: RunContext, select: exp.Select, kind: LogicalType | None) -> Numbers:
    if kind is not None and kind.kind in _WHOLE:
        # The engine's own type for such a sum does not leave it.
        for column in select.expressions:
            if column.alias_or_name == TOTAL:
                wide = exp.DataType.build("DECIMAL(38, 0)")
                column.set("this", exp.Cast(this=column.this, to=wide))
    (row,) = context.engine.query(DIALECTS[context.engine.dialect].render(select)).to_pylist()
    found = {name: cell(value) for name, value in row.items()}
    return Numbers(found, int(found.pop(UNREAD, 0) or 0), int(found.pop(MISFIT, 0) or 0))


def _asked(
    context: RunContext, rows: TargetRows, mapping: TableMapping, check: TableCheck, *, shows: bool
) -> CheckResult | None:
    covered = f"query of {' and '.join(check.sides)}"
    severity = "warning" if check.then == "warn" else "error"
    if context.journal.last("subset_chosen") is not None or context.journal.last("rejects_replayed") is not None:
        detail = "not asked: a run of a part of the source, or of repaired rejects, is not held against its queries"
        return CheckResult(f"table:{check.name}", mapping.name, 1, covered, "note", detail)
    answers: dict[str, Answer] = {}
    for side in check.sides:
        if side == "source":
            answers[side] = source_answer(context, mapping, check)
            continue
        try:
            answer = _answer_of_target(context, rows, check)
        except (SystemRefused, EngineFailed) as problem:
            detail = f"the target cannot run the query: {problem}; correct it under checks"
            return CheckResult(f"table:{check.name}", mapping.name, 1, covered, severity, detail)
        if answer is None:
            return None
        answers[side] = answer
    if len(answers) > 1:
        found = {side: answer.rows for side, answer in answers.items()}
        return queries_compared(check, mapping.name, found, covered, shows=shows)
    ((side, answer),) = answers.items()
    keys = [", ".join("NULL" if value is None else str(value) for value in row) for row in answer.rows]
    return rows_found(check, mapping.name, answer.count or 0, _row_count(context, rows, mapping, side), keys, covered)


def _answer_of_target(context: RunContext, rows: TargetRows, check: TableCheck) -> Answer | None:
    """Return what the target gives; None where it can only be asked once the run is published."""
    assert check.query is not None
    query = (check.query.target or "").rstrip().rstrip(";")
    counts = len(check.sides) == 1
    if context.target.answers_sql:
        return None if rows.staged is not None else context.target.ask(query, counts=counts)
    tables = _tables_of(rows, query)
    dialect = DIALECTS[context.engine.dialect]
    named = [
        (exp.to_identifier(name, quoted=True).sql("duckdb"), dialect.render(each)) for name, each in tables.items()
    ]
    head = f"WITH {', '.join(f'{name} AS ({select})' for name, select in named)} " if named else ""
    found = f"FROM (\n{query}\n) AS found"
    # The plan's own text, one SELECT; the engine's process reaches nothing but the run's folder.
    count = int(context.engine.query(f"{head}SELECT count(*) {found}").column(0)[0].as_py()) if counts else None
    table = context.engine.query(f"{head}SELECT * {found} LIMIT {ROWS_ASKED}")
    columns = [_values(column) for column in table.columns]
    return Answer(count, tuple(tuple(map(cell, row)) for row in zip(*columns, strict=True)))


def _values(column: pa.ChunkedArray) -> list[object]:
    """Return the values of a column; UUIDs leave the engine as 16 bytes."""
    is_uuid = pa.types.is_fixed_size_binary(column.type)
    return [UUID(bytes=value) if is_uuid and value is not None else value for value in column.to_pylist()]


def _tables_of(rows: TargetRows, query: str) -> Mapping[str, exp.Select]:
    """Return the tables of the plan that a query names, each as a SELECT over what is to be seen of it."""
    tree = sqlglot.parse_one(query, dialect="duckdb")
    named = {table.name: rows.named(table.name) for table in tree.find_all(exp.Table) if not table.db}
    return {name: select for name, select in named.items() if select is not None}


def _row_count(context: RunContext, rows: TargetRows, mapping: TableMapping, side: str) -> int:
    if side == "source":
        return sum(segment.row_count for segment in context.segments[mapping.from_])
    select = exp.select(exp.Count(this=exp.Star())).from_(rows.all(mapping.name).subquery("every"))
    return int(context.engine.query(DIALECTS[context.engine.dialect].render(select)).column(0)[0].as_py())
