"""Small builders of DuckDB's own nodes: its casts, its search for a pattern, its literals."""

from sqlglot import exp

from transhume.dialects.builders import call


def cast(value: exp.Expression, kind: str) -> exp.Expression:
    """Return a cast to a type of DuckDB's."""
    return exp.Cast(this=value.copy(), to=exp.DataType.build(kind, dialect="duckdb"))


def try_cast(value: exp.Expression, kind: exp.DataType | str) -> exp.Expression:
    """Return a cast that gives NULL where it finds no value."""
    to = kind.copy() if isinstance(kind, exp.DataType) else exp.DataType.build(kind, dialect="duckdb")
    return exp.TryCast(this=value.copy(), to=to)


def matches(value: exp.Expression, pattern: str) -> exp.Expression:
    """Return the condition that the whole text matches a pattern."""
    return call("regexp_full_match", value, exp.Literal.string(pattern))
