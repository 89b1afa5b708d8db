"""The SQL twin of an expression: a tree of portable operations."""

from collections.abc import Callable, Iterator

from sqlglot import exp

from transhume import operations as op
from transhume.expressions.tree import WHITE, Column, Null, Number, Quoted, Typed, calculations, inputs
from transhume.schema import DECIMAL_PRECISION_MAX, Kind, LogicalType

Columns = Callable[[str], exp.Expression]

_COMPARISONS: dict[str, type[exp.Expression]] = {
    "=": exp.EQ,
    "<>": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
_INTEGERS: dict[str, type[op.Operation]] = {"+": op.IntegerSum, "-": op.IntegerDifference, "*": op.IntegerProduct}
_DECIMALS: dict[str, type[op.Operation]] = {"+": op.DecimalSum, "-": op.DecimalDifference, "*": op.DecimalProduct}
_DOUBLES: dict[str, type[op.Operation]] = {"+": op.DoubleSum, "-": op.DoubleDifference, "*": op.DoubleProduct}
_PARSES: dict[Kind, type[op.Operation]] = {
    Kind.UUID: op.ParseUuid,
    Kind.DATE: op.ParseDate,
    Kind.TIME: op.ParseTime,
    Kind.TIMESTAMP: op.ParseTimestamp,
    Kind.TIMESTAMPTZ: op.ParseInstant,
}


def to_tree(typed: Typed, column: Columns) -> exp.Expression:
    """Return the value of an expression; NULL where it is unknown or does not fit its type."""
    tree = _tree(typed, column)
    # an integer literal alone has the size that it needs, not the type that it was given
    return _bigint(tree) if typed.is_literal and typed.type is not None and typed.type.kind is Kind.BIGINT else tree


def _tree(typed: Typed, column: Columns) -> exp.Expression:
    if isinstance(typed.node, Column):
        return column(typed.node.name).copy()
    if isinstance(typed.node, Null):
        return exp.Null()
    if typed.is_literal:
        return _literal(typed)
    operands = [_tree(operand, column) for operand in typed.operands]
    if typed.name in _COMPARISONS:
        return _COMPARISONS[typed.name](this=operands[0], expression=operands[1])
    if typed.name in _INTEGERS:
        return _arithmetic(typed, operands)
    return _CALLS[typed.name](typed, operands)


def misfits(typed: Typed, column: Columns) -> Iterator[exp.Expression]:
    """Yield, for each calculation of the expression, the condition that its number does not fit its type."""
    for calculation in calculations(typed):
        condition: exp.Expression = _is_null(_tree(calculation, column))
        for operand in inputs(calculation):
            if not operand.is_literal:
                condition = exp.And(this=exp.Not(this=_is_null(_tree(operand, column))), expression=condition)
        yield condition


def _literal(typed: Typed) -> exp.Expression:
    assert typed.type is not None
    kind = typed.type.kind
    if kind is Kind.BOOLEAN:
        return exp.true() if typed.value else exp.false()
    if kind is Kind.TEXT:
        return exp.Literal.string(str(typed.value))
    if kind is Kind.BIGINT:
        digits = exp.Literal.number(abs(typed.value))
        return exp.Neg(this=digits) if typed.value < 0 else digits
    if isinstance(typed.node, Number) and kind is Kind.DOUBLE:
        return op.ParseDouble(this=exp.Literal.string(typed.node.digits))
    if kind is Kind.DECIMAL:
        return op.ParseDecimal(this=exp.Literal.string(format(typed.value, "f")), **_bounds(typed.type))
    assert isinstance(typed.node, Quoted)
    return _PARSES[kind](this=exp.Literal.string(typed.node.text.strip(WHITE)))


def _bounds(logical: LogicalType) -> dict[str, exp.Expression]:
    precision, scale = logical.precision or DECIMAL_PRECISION_MAX, logical.scale or 0
    return {"precision": exp.Literal.number(precision), "scale": exp.Literal.number(scale)}


def _is_null(value: exp.Expression) -> exp.Expression:
    return exp.Is(this=value, expression=exp.Null())


def _bigint(value: exp.Expression) -> exp.Expression:
    return exp.Cast(this=value, to=exp.DataType.build("BIGINT"))


def _arithmetic(typed: Typed, operands: list[exp.Expression]) -> exp.Expression:
    assert typed.type is not None
    kind = typed.type.kind
    if kind is Kind.DECIMAL:
        return _DECIMALS[typed.name](this=operands[0], expression=operands[1], **_bounds(typed.type))
    chosen = _INTEGERS if kind is Kind.BIGINT else _DOUBLES
    return chosen[typed.name](this=operands[0], expression=operands[1])


def _negated(typed: Typed, operands: list[exp.Expression]) -> exp.Expression:
    if typed.type is not None and typed.type.kind is Kind.BIGINT:
        return op.IntegerDifference(this=exp.Literal.number(0), expression=operands[0])
    return exp.Neg(this=operands[0])


def _chain(kind: type[exp.Expression]) -> "_Build":
    """A balanced tree: the operators are associative, and a long chain must not become a deep tree."""

    def build(_: Typed, operands: list[exp.Expression]) -> exp.Expression:
        while len(operands) > 1:
            pairs = [operands[at : at + 2] for at in range(0, len(operands), 2)]
            operands = [kind(this=pair[0], expression=pair[1]) if len(pair) > 1 else pair[0] for pair in pairs]
        return operands[0]

    return build


def _coalesce(typed: Typed, operands: list[exp.Expression]) -> exp.Expression:
    chosen = exp.Coalesce(this=operands[0], expressions=operands[1:])
    return _bigint(chosen) if typed.type is not None and typed.type.kind is Kind.BIGINT else chosen


def _double(typed: Typed, operands: list[exp.Expression]) -> exp.Expression:
    given = typed.operands[0].type
    if given is not None and given.kind is Kind.INT:
        return exp.Cast(this=operands[0], to=exp.DataType.build("DOUBLE"))
    return op.DoubleFromInteger(this=operands[0])


def _decimal(typed: Typed, operands: list[exp.Expression]) -> exp.Expression:
    """Widen only: every digit has its place in the wanted type, so that the cast can neither round nor fail."""
    assert typed.type is not None
    params = [exp.DataTypeParam(this=bound) for bound in _bounds(typed.type).values()]
    return exp.Cast(this=operands[0], to=exp.DataType(this=exp.DataType.Type.DECIMAL, expressions=params))


_Build = Callable[[Typed, list[exp.Expression]], exp.Expression]
_CALLS: dict[str, _Build] = {
    "and": _chain(exp.And),
    "or": _chain(exp.Or),
    "||": _chain(exp.DPipe),
    "not": lambda _, operands: exp.Not(this=operands[0]),
    "is null": lambda _, operands: _is_null(operands[0]),
    "between": lambda _, operands: exp.Between(this=operands[0], low=operands[1], high=operands[2]),
    "in": lambda _, operands: exp.In(this=operands[0], expressions=operands[1:]),
    "like": lambda _, operands: op.TextLike(this=operands[0], pattern=operands[1]),
    "length": lambda _, operands: op.CodePoints(this=operands[0]),
    "neg": _negated,
    "coalesce": _coalesce,
    "double": _double,
    "decimal": _decimal,
}
