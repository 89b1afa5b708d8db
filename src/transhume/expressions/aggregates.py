"""The numbers that a check on a table compares: aggregates of one value over rows, as trees of portable operations."""

from sqlglot import exp

from transhume import operations as op
from transhume.schema import Kind, LogicalType

ROWS, FOUND, TOTAL, SIZE, LEAST, MOST, DISTINCT = "rows", "found", "total", "size", "least", "most", "distinct"
"""Names of the numbers: all rows, values that are not NULL, their sum, the sum of their sizes without sign, ..."""


def aggregates(function: str, value: exp.Expression | None, kind: LogicalType | None) -> dict[str, exp.Expression]:
    """Return what one pass over the rows must give for `count`, `sum`, `avg`, `min`, `max`, `distinct` or `nulls`.

    `value` None: rows are counted. NULL is left out of everything but `rows`. Of doubles `size` bounds the error of
    adding them in another order.
    """
    found: dict[str, exp.Expression] = {ROWS: exp.Count(this=exp.Star())}
    if value is None:
        return found
    found[FOUND] = exp.Count(this=value.copy())
    if function in {"sum", "avg"}:
        found[TOTAL] = op.Total(this=value.copy())
        if kind is not None and kind.kind is Kind.DOUBLE:
            negative = exp.LT(this=value.copy(), expression=exp.Literal.number(0))
            size = exp.Case(ifs=[exp.If(this=negative, true=exp.Neg(this=value.copy()))], default=value.copy())
            found[SIZE] = op.Total(this=size)
    elif function == "min":
        found[LEAST] = exp.Min(this=value.copy())
    elif function == "max":
        found[MOST] = exp.Max(this=value.copy())
    elif function == "distinct":
        found[DISTINCT] = exp.Count(this=exp.Distinct(expressions=[value.copy()]))
    return found
