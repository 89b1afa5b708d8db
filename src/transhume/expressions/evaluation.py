"""The Python twin of an expression: values of one row, three-valued logic. It knows nothing of SQL."""

import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

from transhume.expressions.tree import Column, Typed
from transhume.schema import Kind

Values = Callable[[str], Any]
_Node = Callable[[Values, list[bool]], Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EXACT_IN_DOUBLE = 2**53
_BITS_64 = 2**63
_DIGITS_ENOUGH = 80


def evaluator(typed: Typed) -> Callable[[Values], tuple[Any, bool]]:
    """Return the function of one row's columns that gives the value, and whether some number does not fit its type.

    The columns' function gives a column's value, None for NULL. The value is None where it is NULL, unknown or does
    not fit.
    """
    node = _node(typed)

    def evaluate(column: Values) -> tuple[Any, bool]:
        misfits: list[bool] = []
        return node(column, misfits), bool(misfits)

    return evaluate


def _node(typed: Typed) -> _Node:
    """Return the function that gives a node's value, and notes a number that does not fit."""
    if isinstance(typed.node, Column):
        name = typed.node.name
        return lambda column, _: column(name)
    if not typed.operands:
        literal = typed.value
        return lambda _, __: literal
    if typed.name in _CALCULATE:
        calculate = _calculation(typed)

        def number(column: Values, misfits: list[bool]) -> Any:
            found, known = calculate(column, misfits)
            if known and found is None:
                misfits.append(True)
            return found

        return number
    operands = [_node(operand) for operand in typed.operands]
    if typed.name in _COMPARE:
        left, right = operands
        name = typed.name
        return lambda column, misfits: _compared(name, left(column, misfits), right(column, misfits))
    if typed.name in _OF_NULLS:
        combine = _OF_NULLS[typed.name]
        return lambda column, misfits: combine([operand(column, misfits) for operand in operands])
    function = _OF_VALUES[typed.name]

    def of_values(column: Values, misfits: list[bool]) -> Any:
        values = [operand(column, misfits) for operand in operands]
        return None if None in values else function(values)

    return of_values


def _calculation(typed: Typed) -> Callable[[Values, list[bool]], tuple[Any, bool]]:
    """Return the function that gives the number of a calculation, and whether nothing that it starts from is NULL."""
    operands = [
        _calculation(operand) if operand.name in _CALCULATE else _given(_node(operand)) for operand in typed.operands
    ]
    calculate = _CALCULATE[typed.name]

    def calculated(column: Values, misfits: list[bool]) -> tuple[Any, bool]:
        pairs = [operand(column, misfits) for operand in operands]
        numbers, known = [number for number, _ in pairs], all(given for _, given in pairs)
        if None in numbers:
            return None, known
        with localcontext(prec=_DIGITS_ENOUGH):
            return _fitting(calculate(*numbers), typed), known

    return calculated


def _given(node: _Node) -> Callable[[Values, list[bool]], tuple[Any, bool]]:
    def given(column: Values, misfits: list[bool]) -> tuple[Any, bool]:
        number = node(column, misfits)
        return number, number is not None

    return given


def _fitting(number: Any, typed: Typed) -> Any:
    """Return a number, None if it does not fit the type."""
    if isinstance(number, float):
        return number if math.isfinite(number) or typed.name == "neg" else None
    if typed.type is not None and typed.type.kind is Kind.BIGINT:
        return number if -_BITS_64 <= number < _BITS_64 else None
    return number


def _as_double(number: int) -> float | None:
    return float(number) if abs(number) <= _EXACT_IN_DOUBLE else None


def _strongest(values: Sequence[bool | None], *, decisive: bool) -> bool | None:
    """Return `decisive` if any value is it, else None if any is unknown, else the other truth value."""
    if decisive in values:
        return decisive
    return None if None in values else not decisive


def _compared(name: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    # Texts by code points, which is Python's own order; what is not equal to itself is NaN.
    if left == left and right == right:  # noqa: PLR0124
        return _COMPARE[name](left, right)
    return _COMPARE[name](_ranked(left), _ranked(right))


def _ranked(number: float) -> tuple[bool, float]:
    """NaN equals itself and is above every other number, as in the engines."""
    return (True, 0.0) if math.isnan(number) else (False, number)


def _is_like(text: str, pattern: str) -> bool:
    """Match `%` and `_` by walking both texts, going back to the last `%` only: no time bomb in any pattern."""
    at = place = 0
    resume: tuple[int, int] | None = None
    while at < len(text):
        if place < len(pattern) and pattern[place] == "%":
            resume = (place, at)
            place += 1
        elif place < len(pattern) and pattern[place] in {"_", text[at]}:
            at, place = at + 1, place + 1
        elif resume is not None:
            resume = (resume[0], resume[1] + 1)
            place, at = resume[0] + 1, resume[1]
        else:
            return False
    return all(sign == "%" for sign in pattern[place:])


def _between(values: list[Any]) -> bool | None:
    return _strongest([_compared(">=", values[0], values[1]), _compared("<=", values[0], values[2])], decisive=False)


def _in(values: list[Any]) -> bool | None:
    return _strongest([_compared("=", values[0], member) for member in values[1:]], decisive=True)


_OF_NULLS: dict[str, Callable[[list[Any]], Any]] = {
    "is null": lambda values: values[0] is None,
    "and": lambda values: _strongest(values, decisive=False),
    "or": lambda values: _strongest(values, decisive=True),
    "coalesce": lambda values: next((value for value in values if value is not None), None),
    "between": _between,
    "in": _in,
}
"""What gives a value even where some operand is NULL."""

_OF_VALUES: dict[str, Callable[[list[Any]], Any]] = {
    "not": lambda values: not values[0],
    "like": lambda values: _is_like(values[0], values[1]),
    "||": "".join,
    "length": lambda values: len(values[0]),
}

_CALCULATE: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "neg": operator.neg,
    "double": _as_double,
    "decimal": Decimal,
}
