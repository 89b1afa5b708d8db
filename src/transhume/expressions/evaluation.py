"""The Python twin of an expression: values of one row, three-valued logic. It knows nothing of SQL."""

import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

from transhume.expressions.tree import Column, Typed
from transhume.schema import Kind

Values = Callable[[str], Any]

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


class Evaluation:
    """One row's evaluation; `misfit` is True afterwards if some number of it did not fit its type."""

    def __init__(self, column: Values) -> None:
        """Take the function that gives a column's value, None for NULL."""
        self._column = column
        self.misfit = False

    def value(self, typed: Typed) -> Any:
        """Return the value of a node, None where it is NULL, unknown or does not fit its type."""
        if isinstance(typed.node, Column):
            return self._column(typed.node.name)
        if not typed.operands:
            return typed.value
        if typed.name in _CALCULATE:
            number, known = self._calculated(typed)
            self.misfit = self.misfit or (known and number is None)
            return number
        values = [self.value(operand) for operand in typed.operands]
        if typed.name in _OF_NULLS:
            return _OF_NULLS[typed.name](values)
        return None if None in values else _OF_VALUES[typed.name](values)

    def _calculated(self, typed: Typed) -> tuple[Any, bool]:
        """Return the number of a calculation, and whether nothing that it starts from is NULL."""
        numbers, known = [], True
        for operand in typed.operands:
            if operand.name in _CALCULATE:
                number, operand_known = self._calculated(operand)
            else:
                number = self.value(operand)
                operand_known = number is not None
            numbers.append(number)
            known = known and operand_known
        if None in numbers:
            return None, known
        with localcontext(prec=_DIGITS_ENOUGH):
            return _fitting(_CALCULATE[typed.name](*numbers), typed), known


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
    if isinstance(left, float) or isinstance(right, float):
        return _COMPARE[name](_ranked(left), _ranked(right))
    return _COMPARE[name](left, right)  # texts by code points, which is Python's own order


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


def _comparison(name: str) -> Callable[[list[Any]], bool | None]:
    return lambda values: _compared(name, values[0], values[1])


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
    **{name: _comparison(name) for name in _COMPARE},
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
