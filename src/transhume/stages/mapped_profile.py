"""Numbers of the fields that a mapping links: how many rows have no value, about how many values differ; no value."""

from collections import Counter
from typing import Any

import pyarrow.parquet as pq
from sqlglot import exp

from transhume import operations as op
from transhume.batches import TargetTable
from transhume.checks.rows import rows_of
from transhume.compiler.profile import COLUMNS_MAX, compile_measures, profiled_columns
from transhume.dialects import DIALECTS
from transhume.plan.types import resolve
from transhume.schema import ODD, Kind, physical_names
from transhume.stages.context import RunContext
from transhume.stages.target_rows import TargetRows

Numbers = dict[str, list[int]]
"""By column: rows without a value, and about how many values differ (those of another class are not among them)."""


def mapped_profile(context: RunContext, rows: TargetRows) -> dict[str, Any]:
    """Return by mapping `source` and `target`, each with `rows` and, by field, its numbers; see `Numbers`.

    A source field of a join is called alias.column. The source is what the run extracted.
    """
    sources = {name: _of_source(context, name) for name in context.source_tables()}
    found: dict[str, Any] = {}
    for name, mapping in context.plan.tables.items():
        fields = [field for rule in mapping.columns.values() for field in rule.columns()]
        linked: Numbers = {}
        for field in dict.fromkeys([*fields, *mapping.drop]):
            table, own = resolve(mapping, field)
            if own in sources[table]:
                linked[field] = sources[table][own]
        read = sum(segment.row_count for segment in context.segments[mapping.from_])
        target, shown = _of_target(context, rows, context.tables[name])
        found[name] = {"source": {"rows": read, "fields": linked}, "target": {"rows": shown, "fields": target}}
    return found


def _of_source(context: RunContext, table: str) -> Numbers:
    extracted = context.extracted(table)
    columns = profiled_columns(extracted)
    numbers: Numbers = {}
    odd = _odd_values(context, table)
    for start in range(0, len(columns), COLUMNS_MAX):
        part = columns[start : start + COLUMNS_MAX]
        select = compile_measures(extracted, part)
        (row,) = context.engine.query(DIALECTS[context.engine.dialect].render(select)).to_pylist()
        for place, column in enumerate(part):
            present = int(row[f"n{place}"] or 0)
            nulls = int(row["rows"]) - present - odd[column.name]
            numbers[column.name] = [nulls, min(int(row[f"d{place}"] or 0), present)]
    return numbers


def _odd_values(context: RunContext, table: str) -> Counter[str]:
    """Count the values of another class than their column's, which stand beside it, where the column has no value."""
    found: Counter[str] = Counter()
    for segment in context.segments[table]:
        if segment.odd_columns:
            rows = pq.read_table(context.folder.work / segment.path, columns=[ODD])[ODD].drop_null()
            found.update(each["name"] for row in rows.to_pylist() for each in row)
    return found


def _of_target(context: RunContext, rows: TargetRows, table: TargetTable) -> tuple[Numbers, int]:
    names = physical_names(column.name for column in table.table.columns)
    known = [(each, each.type.kind) for each in table.table.columns if each.type is not None]
    columns = [(column, kind) for column, kind in known if kind is not Kind.LIST]
    asked: list[exp.Expr] = [exp.alias_(exp.Count(this=exp.Star()), "rows", quoted=True)]
    for place, (column, kind) in enumerate(columns):
        value = exp.column(names[column.name], "p", quoted=True)
        asked.append(exp.alias_(exp.Count(this=value), f"n{place}", quoted=True))
        distinct = op.ApproximateDistinct(this=value.copy(), kind=exp.Literal.string(kind.value))
        asked.append(exp.alias_(distinct, f"d{place}", quoted=True))
    select = exp.select(*asked).from_(rows_of(rows.kept(table.mapping), "p"))
    (row,) = context.engine.query(DIALECTS[context.engine.dialect].render(select)).to_pylist()
    count = int(row["rows"])
    return {
        column.name: [count - int(row[f"n{place}"]), min(int(row[f"d{place}"]), int(row[f"n{place}"]))]
        for place, (column, _) in enumerate(columns)
    }, count
