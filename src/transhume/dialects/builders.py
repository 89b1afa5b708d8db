"""Small builders of nodes that every dialect's lowerings are written with. No meaning of an operation stands here."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.dialect import LoweringError


def call(function: str, *arguments: exp.Expression) -> exp.Expression:
    """Return a call of one of the engine's functions."""
    return exp.Anonymous(this=function, expressions=[argument.copy() for argument in arguments])


def number(value: int) -> exp.Expression:
    """Return an integer literal."""
    return exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))


def operand(value: exp.Expression) -> exp.Expression:
    """Return a value as an operand: in parentheses where it is an operator itself."""
    grouped = exp.Paren(this=value) if isinstance(value, exp.Binary | exp.Unary | exp.Between | exp.In) else value
    return value.copy() if isinstance(value, exp.Paren | exp.Dot) else grouped.copy()


def binary(kind: type[exp.Expression], left: exp.Expression, right: exp.Expression) -> exp.Expression:
    """Return a binary operator over two values."""
    return kind(this=operand(left), expression=operand(right))


def equal(left: exp.Expression, right: exp.Expression) -> exp.Expression:
    """Return `left = right`."""
    return binary(exp.EQ, left, right)


def concatenated(*parts: exp.Expression) -> exp.Expression:
    """Return the parts joined by `||`."""
    joined = operand(parts[0])
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=operand(part))
    return joined


def every(*conditions: exp.Expression) -> exp.Expression:
    """Return the conjunction of conditions."""
    joined: exp.Expression = operand(conditions[0])
    for condition in conditions[1:]:
        joined = exp.And(this=joined, expression=operand(condition))
    return joined


def when(*branches: tuple[exp.Expression, exp.Expression], otherwise: exp.Expression | None = None) -> exp.Expression:
    """Return a searched CASE; without `otherwise`, NULL where no branch is taken."""
    ifs = [exp.If(this=condition.copy(), true=value.copy()) for condition, value in branches]
    return exp.Case(ifs=ifs, default=None if otherwise is None else otherwise.copy())


def between(value: exp.Expression, low: int, high: int) -> exp.Expression:
    """Return `value BETWEEN low AND high`."""
    return exp.Between(this=operand(value), low=number(low), high=number(high))


def integer_argument(node: op.Operation, name: str) -> int:
    """Return an argument that must be an integer literal. Raises: LoweringError where it is not."""
    value = node.args[name]
    if not isinstance(value, exp.Literal) or value.is_string:
        message = f"argument '{name}' of {type(node).__name__} must be an integer literal"
        raise LoweringError(message)
    return int(value.name)


def text_argument(node: op.Operation, name: str) -> str:
    """Return an argument that must be a text literal without NUL. Raises: LoweringError where it is not."""
    value = node.args[name]
    if not isinstance(value, exp.Literal) or not value.is_string:
        message = f"argument '{name}' of {type(node).__name__} must be a text literal without U+0000"
        raise LoweringError(message)
    return str(value.name)


def text_literal(literal: str) -> exp.Expression:
    """Return a text literal; NUL, which ends the text of a statement in many tools, is written chr(0)."""
    if "\x00" not in literal:
        return exp.Literal.string(literal)
    parts: list[exp.Expression] = []
    for index, piece in enumerate(literal.split("\x00")):
        if index:
            parts.append(call("chr", number(0)))
        parts.append(exp.Literal.string(piece))
    return exp.Paren(this=concatenated(*parts))
