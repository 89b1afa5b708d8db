"""The rule `scale`: a number times a constant, exactly."""

import re
from collections.abc import Iterator
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from sqlglot import exp

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    RuleProblem,
    Sql,
    SqlScope,
    TypeScope,
    label,
)
from transhume.schema import BIGINT, DECIMAL_PRECISION_MAX, Kind, LogicalType

_INTEGER_DIGITS = 19
_TEXT_FRACTION_DIGITS = 12
"""Fraction digits that a number in a text may have."""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _factor(text: str) -> str:
    match = re.fullmatch(r"-?([0-9]{1,18})(?:\.([0-9]{1,18}))?", text)
    if match is None or Decimal(text) == 0 or len(match[1] + (match[2] or "")) > 18:
        message = f"'{text}' is not a factor; write a decimal number other than 0 with at most 18 digits, such as 1048576"
        raise ValueError(message)
    return text


class Scale(Rule):
    """The number times `times`, in decimal arithmetic; nothing is rounded.

    Takes integers, decimals and texts of decimal numbers with at most 12 fraction digits. An integer times an
    integer is a BIGINT, everything else a decimal. A text that is no number is `bad_number`, a result with too many
    digits `overflow`. Doubles are refused: their product would be rounded.
    """

    verb: ClassVar[str] = "scale"
    column: Argument = Field(alias="scale")
    times: Annotated[str, AfterValidator(_factor)]

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return BIGINT or a decimal wide enough. Raises: RuleProblem for what is no exact number."""
        own = scope.argument(self.column)
        if own.kind in {Kind.INT, Kind.BIGINT} and "." not in self.times:
            return BIGINT
        return self._product(self._operand(own))

    def _operand(self, own: LogicalType) -> LogicalType:
        """Return the decimal type that the column is brought to before it is multiplied."""
        room = DECIMAL_PRECISION_MAX - self._digits()
        if own.kind in {Kind.INT, Kind.BIGINT}:
            return LogicalType(Kind.DECIMAL, precision=_INTEGER_DIGITS, scale=0)
        if own.kind is Kind.TEXT:
            return LogicalType(Kind.DECIMAL, precision=room, scale=_TEXT_FRACTION_DIGITS)
        if own.kind is Kind.DECIMAL:
            precision, scale = own.precision or DECIMAL_PRECISION_MAX, own.scale or 0
            if scale <= room:
                return LogicalType(Kind.DECIMAL, precision=min(precision, room), scale=scale)
            message = f"'{label(self)}' is {own}; times {self.times} it has more than {DECIMAL_PRECISION_MAX} digits"
            raise RuleProblem(message, "use a factor with fewer digits")
        message = f"'{label(self)}' is {own}; the rule 'scale' multiplies integers, decimals and decimal texts"
        raise RuleProblem(message, "write an expression by {sql: ...} where rounding is wanted")

    def _product(self, operand: LogicalType) -> LogicalType:
        assert operand.precision is not None
        assert operand.scale is not None
        fraction = len(self.times.partition(".")[2])
        return LogicalType(Kind.DECIMAL, precision=operand.precision + self._digits(), scale=operand.scale + fraction)

    def _digits(self) -> int:
        return len(self.times.lstrip("-").replace(".", ""))
