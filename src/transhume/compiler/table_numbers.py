"""The source's side of a check on tables: numbers of the extract's rows, all of them or those that a run kept."""

from collections.abc import Sequence

from sqlglot import exp

from transhume.compiler.conditions import condition
from transhume.compiler.layers import select_from
from transhume.compiler.reasons import none_of
from transhume.compiler.scope import MappingScope
from transhume.expressions import parse
from transhume.expressions.aggregates import aggregates
from transhume.facts import Facts
from transhume.operations import ParquetFiles
from transhume.plan.model import Plan, TableCheck, TableMapping
from transhume.rules.rule import ColumnRef, Sql
from transhume.rules.trees import case, is_true, negated
from transhume.schema import ROW, LogicalType

UNREAD, MISFIT = "unread", "misfit"
"""Names of two more numbers: rows with a value that cannot be read, and rows whose calculation does not fit."""


def compile_source_numbers(
    plan: Plan, mapping: TableMapping, facts: Facts, check: TableCheck, fates: Sequence[str], kept: exp.Expression
) -> tuple[exp.Select, LogicalType | None]:
    """Return the SELECT of one row with the numbers of a check, and the type of what is counted or measured.

    `fates` are the files that say what became of each row; `kept` is the condition over them, called `f`, of the rows
    that count.
    Raises: RuleProblem for an expression that does not fit the table.
    """
    scope = MappingScope(plan, mapping, facts, list(facts.extracts[mapping.from_].paths))
    text, where = check.source, check.where.source
    value: Sql | None = None
    outputs: dict[str, exp.Expression] = {ROW: scope.row, "is_unread": exp.false(), "is_misfit": exp.false()}
    if text is not None:
        read = {name: scope.argument(ColumnRef(name)) for name in parse(text).columns()}
        checked = parse(text).check(lambda name: read[name].type)
        misfit = checked.misfit_to_sql(lambda name: read[name].value)
        value = Sql(scope.bind(checked.to_sql(lambda name: read[name].value)), checked.type)
        reasons = [reason for sql in read.values() for reason in sql.reasons]
        outputs["value"] = value.value
        outputs["is_unread"] = negated(none_of(reasons)) if reasons else exp.false()
        outputs["is_misfit"] = is_true(misfit) if misfit is not None else exp.false()
    counts: exp.Expression = exp.true()
    if where is not None:
        passed = condition(where, lambda name: scope.argument(ColumnRef(name)))
        counts = is_true(passed.value)
    rows = scope.layers.select(outputs, counts)
    same = exp.EQ(this=exp.column(ROW, "s", quoted=True), expression=exp.column(ROW, "f", quoted=True))
    column = exp.column("value", "s", quoted=True) if value is not None else None
    numbers = aggregates(check.compare or "count", column, value.type if value is not None else None)
    numbers[UNREAD], numbers[MISFIT] = _count("is_unread"), _count("is_misfit")
    files = ParquetFiles(expressions=[exp.Literal.string(path) for path in fates])
    fate = exp.Table(this=files, alias=exp.TableAlias(this=exp.to_identifier("f", quoted=True)))
    select = select_from(rows, numbers, "s").join(fate, on=same, copy=False).where(kept.copy(), copy=False)
    return select, value.type if value is not None else None


def _count(name: str) -> exp.Expression:
    return exp.Count(this=case([(exp.column(name, "s", quoted=True), exp.true())], exp.Null()))
