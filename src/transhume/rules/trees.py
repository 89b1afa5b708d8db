"""Small builders of SQLGlot nodes that the SQL twins are written with. No meaning of a single rule stands here."""

from collections.abc import Iterable, Sequence
from functools import reduce

from sqlglot import exp

from transhume.rules.rule import Reason, Sql, SqlScope

_CHAIN_MAX = 100
"""Terms that stand in one chain of AND or OR."""


def text(literal: str) -> exp.Expression:
    """Return a text literal."""
    return exp.Literal.string(literal)


def null() -> exp.Expression:
    """Return NULL."""
    return exp.Null()


def is_null(value: exp.Expression) -> exp.Expression:
    """Return `value IS NULL`."""
    return exp.Is(this=_operand(value), expression=exp.Null())


def is_present(value: exp.Expression) -> exp.Expression:
    """Return `value IS NOT NULL`."""
    return negated(is_null(value))


def is_true(condition: exp.Expression) -> exp.Expression:
    """Return the condition with NULL turned to FALSE."""
    return exp.Coalesce(this=condition.copy(), expressions=[exp.false()])


def negated(condition: exp.Expression) -> exp.Expression:
    """Return `NOT condition`."""
    return exp.Not(this=_operand(condition))


def compared(
    kind: type[exp.EQ | exp.GT | exp.GTE | exp.LT], left: exp.Expression, right: exp.Expression
) -> exp.Expression:
    """Return the comparison of two values."""
    return kind(this=_operand(left), expression=_operand(right))


def among(value: exp.Expression, words: Iterable[str]) -> exp.Expression:
    """Return `value IN (words)`."""
    return exp.In(this=value.copy(), expressions=[text(word) for word in words])


def every(conditions: Iterable[exp.Expression]) -> exp.Expression:
    """Return the conjunction, TRUE for none."""
    terms = [_operand(condition) for condition in conditions]
    return _chained(exp.And, terms) if terms else exp.true()


def some(conditions: Iterable[exp.Expression]) -> exp.Expression:
    """Return the disjunction, FALSE for none."""
    terms = [_operand(condition) for condition in conditions]
    return _chained(exp.Or, terms) if terms else exp.false()


def _chained(connector: type[exp.Expression], terms: list[exp.Expression]) -> exp.Expression:
    """Return the terms joined, many of them in groups: a chain of a thousand columns is too deep for every parser."""
    while len(terms) > _CHAIN_MAX:
        groups = [terms[first : first + _CHAIN_MAX] for first in range(0, len(terms), _CHAIN_MAX)]
        terms = [exp.Paren(this=_chained(connector, group)) for group in groups]
    return reduce(lambda left, right: connector(this=left, expression=right), terms)


def case(branches: Sequence[tuple[exp.Expression, exp.Expression]], default: exp.Expression) -> exp.Expression:
    """Return a searched CASE; without branches, the default."""
    if not branches:
        return default.copy()
    ifs = [exp.If(this=condition.copy(), true=value.copy()) for condition, value in branches]
    return exp.Case(ifs=ifs, default=default.copy())


def joined(parts: Sequence[exp.Expression]) -> exp.Expression:
    """Return the parts joined by `||`: NULL if any of them is."""
    whole = _operand(parts[0])
    for part in parts[1:]:
        whole = exp.DPipe(this=whole, expression=_operand(part))
    return whole


def bound(scope: SqlScope, value: exp.Expression) -> exp.Expression:
    """Return a name for the value that may be used many times; a name is its own."""
    return value if isinstance(value, exp.Column) else scope.bind(value)


def named(scope: SqlScope, sql: Sql) -> Sql:
    """Return the same value and reasons as names, each evaluated once per row."""
    reasons = tuple(Reason(bound(scope, reason.condition), reason.text) for reason in sql.reasons)
    return Sql(bound(scope, sql.value), sql.type, reasons)


def reasons_of(arguments: Iterable[Sql]) -> tuple[Reason, ...]:
    """Return the reasons of all arguments, in order."""
    return tuple(reason for argument in arguments for reason in argument.reasons)


def sound(reasons: Iterable[Reason]) -> exp.Expression | None:
    """Return the condition that none of these reasons holds; None where there are none."""
    conditions = [is_true(reason.condition) for reason in reasons]
    return negated(some(conditions)) if conditions else None


def where_sound(reasons: Sequence[Reason], condition: exp.Expression) -> exp.Expression:
    """Return the condition, FALSE where one of the reasons already says that the row is bad."""
    guard = sound(reasons)
    return condition if guard is None else every([guard, condition])


def value_where_sound(reasons: Sequence[Reason], value: exp.Expression) -> exp.Expression:
    """Return the value, NULL where one of the reasons holds."""
    guard = sound(reasons)
    return value if guard is None else case([(guard, value)], null())


def _operand(value: exp.Expression) -> exp.Expression:
    is_whole = isinstance(value, exp.Column | exp.Literal | exp.Func | exp.Paren | exp.Boolean | exp.Null)
    return value.copy() if is_whole else exp.Paren(this=value.copy())
