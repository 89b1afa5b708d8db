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
_FRACTION_DIGITS = 12
"""Fraction digits that a number may have; a decimal column's own scale where that is more."""
_FACTOR_DIGITS = 18
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _factor(text: str) -> str:
    match = re.fullmatch(r"-?([0-9]{1,18})(?:\.([0-9]{1,18}))?", text)
    if match is None or Decimal(text) == 0 or len(match[1] + (match[2] or "")) > _FACTOR_DIGITS:
        message = f"'{text}' is not a factor; write a decimal number other than 0, at most 18 digits, such as 1048576"
        raise ValueError(message)
    return text


class Scale(Rule):
    """The number times `times`, in decimal arithmetic; nothing is rounded.

    Takes integers, decimals, and texts of decimal numbers. A whole number column times a whole number is a BIGINT,
    and beyond 64 bits `overflow`; everything else is a decimal(38). What is no number, or has more than 12 fraction
    digits (a decimal column: more than its own) or too many digits for the product, is `bad_number`. Doubles are
    refused: their product would be rounded.
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

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the product of two decimals whose type has room for every digit."""
        own = scope.argument(self.column).type
        factor = self._factor_sql()
        if own.kind in {Kind.INT, Kind.BIGINT}:
            operand = LogicalType(Kind.DECIMAL, precision=_INTEGER_DIGITS, scale=0)
            number = trees.named(scope, scope.argument(self.column, operand))
            product = _times(number.value, factor, self._product(operand))
            if "." in self.times:
                return Sql(product, self._product(operand), number.reasons)
            value = scope.bind(op.IntegerFromDecimal(this=product))
            over = trees.every([trees.is_present(number.value), trees.is_null(value)])
            return Sql(value, BIGINT, (*number.reasons, Reason(over, f"overflow:{label(self)}")))
        operand = self._operand(own)
        raw = trees.named(scope, scope.as_text(self.column))
        bounds = {"precision": operand.precision, "scale": operand.scale}
        parsed = op.ParseDecimal(
            this=raw.value.copy(), **{name: exp.Literal.number(bound) for name, bound in bounds.items()}
        )
        decimal = scope.bind(parsed)
        bad = trees.every([trees.is_present(raw.value), trees.is_null(decimal)])
        product = _times(decimal, factor, self._product(operand))
        return Sql(product, self._product(operand), (*raw.reasons, Reason(bad, f"bad_number:{label(self)}")))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the product by Python's decimal module, in unlimited precision."""
        own = scope.type_of(self.column)
        if own.kind in {Kind.INT, Kind.BIGINT}:
            whole = scope.argument(self.column, LogicalType(Kind.DECIMAL, precision=19, scale=0))
            if whole.value is None:
                return whole
            exact = _EXACT.multiply(whole.value, Decimal(self.times))
            if "." in self.times:
                return Outcome(exact)
            inside = -(2**63) <= exact < 2**63
            return Outcome(int(exact)) if inside else Outcome(None, (f"overflow:{label(self)}",))
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        text = raw.value.strip(" \t\n\v\f\r")
        if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", text, re.ASCII | re.IGNORECASE):
            number = Decimal(text).normalize(_EXACT)
            fraction = max(own.scale or 0, 12) if own.kind is Kind.DECIMAL else 12
            digits = 38 - sum(digit.isdigit() for digit in self.times)
            if number == 0 or (number.adjusted() < digits - fraction and _lowest(number) >= -fraction):
                return Outcome(_EXACT.multiply(number, Decimal(self.times)))
        return Outcome(None, (f"bad_number:{label(self)}",))

    def _operand(self, own: LogicalType) -> LogicalType:
        """Return the decimal type that the column is brought to before it is multiplied."""
        room = DECIMAL_PRECISION_MAX - self._digits()
        if own.kind in {Kind.INT, Kind.BIGINT}:
            return LogicalType(Kind.DECIMAL, precision=_INTEGER_DIGITS, scale=0)
        if own.kind is Kind.TEXT:
            return LogicalType(Kind.DECIMAL, precision=room, scale=_FRACTION_DIGITS)
        if own.kind is Kind.DECIMAL:
            scale = max(own.scale or 0, _FRACTION_DIGITS)
            if scale <= room:
                return LogicalType(Kind.DECIMAL, precision=room, scale=scale)
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

    def _factor_sql(self) -> exp.Expression:
        fraction = len(self.times.partition(".")[2])
        return op.ParseDecimal(
            this=trees.text(self.times),
            precision=exp.Literal.number(self._digits()),
            scale=exp.Literal.number(fraction),
        )


def _times(number: exp.Expression, factor: exp.Expression, product: LogicalType) -> exp.Expression:
    return op.DecimalProduct(
        this=number.copy(),
        expression=factor,
        precision=exp.Literal.number(product.precision or 0),
        scale=exp.Literal.number(product.scale or 0),
    )


def _lowest(number: Decimal) -> int:
    """Return the power of ten of the last digit."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent
