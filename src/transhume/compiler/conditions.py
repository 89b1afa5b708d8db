"""Portable expressions of the plan inside compiled SELECTs: `where` and row checks."""

from collections.abc import Callable

from transhume.compiler.reasons import none_of
from transhume.expressions import ExpressionError, parse
from transhume.rules.rule import Reason, RuleProblem, Sql
from transhume.rules.trees import every
from transhume.schema import BOOLEAN


def condition(text: str, column: Callable[[str], Sql]) -> Sql:
    """Return a condition of the plan over these columns.

    Its reasons are those of the columns that it reads; where there are none, `out_of_range` if a number in it does
    not fit.
    Raises: RuleProblem for what is no condition over these columns.
    """
    try:
        expression = parse(text)
        read = {name: column(name) for name in expression.columns()}
        checked = expression.check_condition(lambda name: read[name].type)
    except ExpressionError as problem:
        raise RuleProblem(problem.message, problem.cure) from problem
    reasons = [reason for sql in read.values() for reason in sql.reasons]
    misfit = checked.misfit_to_sql(lambda name: read[name].value)
    if misfit is not None:
        sound = every([misfit, none_of(reasons)]) if reasons else misfit
        reasons.append(Reason(sound, f"out_of_range:{next(iter(read), 'constant')}"))
    return Sql(checked.to_sql(lambda name: read[name].value), BOOLEAN, tuple(reasons))


def columns_of(text: str) -> tuple[str, ...]:
    """Return the names of the columns that a condition reads. Raises: RuleProblem if it is not of the language."""
    try:
        return parse(text).columns()
    except ExpressionError as problem:
        raise RuleProblem(problem.message, problem.cure) from problem
