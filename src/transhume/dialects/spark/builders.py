"""Small builders of Spark's own nodes: its casts, its search for a pattern, its literals, one value used twice."""

from collections.abc import Callable

from sqlglot import exp

from transhume.dialects.builders import call, number, text_literal
from transhume.dialects.spark.types import spark_type


def cast(value: exp.Expression, kind: str) -> exp.Expression:
    """Return a cast to a type of Spark's."""
    return exp.Cast(this=value.copy(), to=spark_type(kind))


def try_cast(value: exp.Expression, kind: exp.DataType | str) -> exp.Expression:
    """Return a cast that gives NULL where it finds no value."""
    return exp.TryCast(this=value.copy(), to=kind.copy() if isinstance(kind, exp.DataType) else spark_type(kind))


def matches(value: exp.Expression, pattern: str) -> exp.Expression:
    r"""Return the condition that the whole text matches a pattern; Java's `$` would forgive a line feed at the end."""
    return call("regexp_like", value, text_literal(rf"\A(?:{pattern})\z"))


def group_of(value: exp.Expression, pattern: str, group: int) -> exp.Expression:
    """Return what a group holds if the whole text matches; an empty text where it does not or was left out."""
    return call("regexp_extract", value, text_literal(rf"\A{pattern}\z"), number(group))


def named(value: exp.Expression, use: Callable[[exp.Expression], exp.Expression], name: str) -> exp.Expression:
    """Return `use` of a value that is computed once, under a name.

    By way of a list of one: a value that stood twice would double the text with every nested operation.
    """
    parameter = exp.to_identifier(f"_k {name}", quoted=True)
    each = exp.Lambda(this=use(exp.Column(this=parameter.copy())), expressions=[parameter])
    transformed = call("transform", call("array", value), each)
    return call("get", transformed, number(0))
