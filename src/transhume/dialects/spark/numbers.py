"""Spark's SQL for numbers: read from text, converted without loss, calculated with."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import (
    between,
    binary,
    call,
    concatenated,
    equal,
    every,
    integer_argument,
    number,
    text_literal,
    when,
)
from transhume.dialects.dialect import Lowering
from transhume.dialects.spark.builders import cast, group_of, matches, named, try_cast
from transhume.dialects.spark.texts import BLANK, DIGITS, gated, parse_by
from transhume.dialects.spark.types import decimal_type
from transhume.schema import DECIMAL_PRECISION_MAX

_NUMBER = rf"[+-]?{DIGITS}(?:\.{DIGITS})?(?:[eE][+-]?{DIGITS})?"
_WITH_EXPONENT = rf"{BLANK}([+-]?)({DIGITS})(?:\.({DIGITS}))?[eE]([+-]?{DIGITS}){BLANK}"
_EXACT_IN_DOUBLE = 2**53
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_INFINITE = exp.Cast(this=exp.Literal.string("Infinity"), to=exp.DataType.build("DOUBLE"))
_BIGINT_END = 2**63


def _fraction(scale: int) -> str:
    return rf"(?:\.[0-9]{{1,{scale}}}0*)?" if scale else r"(?:\.0+)?"


def _parse_decimal(node: op.Operation) -> exp.Expression:
    """Plain digits go straight to the cast; a text with an exponent is moved to plain digits first."""
    precision, scale = integer_argument(node, "precision"), integer_argument(node, "scale")
    plain = gated(node.this, f"[+-]?{DIGITS}{_fraction(scale)}", decimal_type(precision, scale))
    return exp.Coalesce(this=plain, expressions=[_parse_exponent(node.this, precision, scale)])


def _parse_exponent(value: exp.Expression, precision: int, scale: int) -> exp.Expression:
    """Shift the digits of `1.5e3` by the exponent, in text, so that no digit can be lost unseen."""
    sign, whole, fraction, exponent = (group_of(value, _WITH_EXPONENT, group) for group in range(1, 5))
    zero = text_literal("0")

    def moved(digits: exp.Expression) -> exp.Expression:
        significant = exp.Trim(this=digits.copy(), expression=zero.copy(), position="TRAILING")
        dropped = binary(exp.Sub, call("length", digits), call("length", significant))
        # decimal places by which the significant digits are moved to give a number counted in units of 10^-scale
        places = binary(exp.Sub, try_cast(exponent, "INT"), call("length", fraction))
        shift = call("try_add", call("try_add", places, dropped), number(scale))
        size = call("try_add", call("length", significant), shift)
        fits = every(binary(exp.GTE, shift, number(0)), binary(exp.LTE, size, number(precision)))
        units = concatenated(significant, call("repeat", zero, shift))
        padded = call("lpad", units, number(DECIMAL_PRECISION_MAX + 1), zero)
        point = DECIMAL_PRECISION_MAX + 1 - scale
        plain = concatenated(
            sign, call("left", padded, number(point)), text_literal("."), call("substr", padded, number(point + 1))
        )
        kind = decimal_type(precision, scale)
        is_zero = equal(significant, text_literal(""))
        return when((is_zero, exp.Cast(this=number(0), to=kind)), (fits, try_cast(plain, kind)))

    digits = exp.Trim(this=concatenated(whole, fraction), expression=zero.copy(), position="LEADING")
    return when((matches(value, _WITH_EXPONENT), named(digits, moved, "digits")))


def _parse_double(node: op.Operation) -> exp.Expression:
    is_zero = matches(node.this, rf"{BLANK}[+-]?0+(?:\.0+)?(?:[eE][+-]?{DIGITS})?{BLANK}")

    def held(parsed: exp.Expression) -> exp.Expression:
        kept = exp.Or(this=exp.Paren(this=exp.NEQ(this=parsed.copy(), expression=number(0))), expression=is_zero)
        return when((every(_is_finite(parsed), exp.Paren(this=kept)), parsed))

    return named(gated(node.this, _NUMBER, "DOUBLE"), held, "double")


def _is_finite(value: exp.Expression) -> exp.Expression:
    """Spark orders NaN above infinity."""
    return binary(exp.LT, call("abs", value), _INFINITE)


def _integer_from_double(node: op.Operation) -> exp.Expression:
    """Spark's own cast takes 2^63 for the greatest BIGINT."""

    def whole(value: exp.Expression) -> exp.Expression:
        low = binary(exp.GTE, value, cast(number(-_BIGINT_END), "DOUBLE"))
        high = binary(exp.LT, value, cast(number(_BIGINT_END), "DOUBLE"))
        return when((every(low, high, equal(value, call("rint", value))), try_cast(value, "BIGINT")))

    return named(node.this, whole, "double")


def _integer_from_decimal(node: op.Operation) -> exp.Expression:
    text = cast(node.this, "STRING")
    digits = call("substring_index", text, text_literal("."), number(1))
    return when((matches(text, rf"-?{DIGITS}(?:\.0+)?"), try_cast(digits, "BIGINT")))


def _double_from_integer(node: op.Operation) -> exp.Expression:
    return when((between(node.this, -_EXACT_IN_DOUBLE, _EXACT_IN_DOUBLE), cast(node.this, "DOUBLE")))


def _decimal_from_integer(node: op.Operation) -> exp.Expression:
    return try_cast(node.this, decimal_type(integer_argument(node, "precision"), integer_argument(node, "scale")))


def _decimal_from_decimal(node: op.Operation) -> exp.Expression:
    """By way of the text: a cast between decimals rounds."""
    scale = integer_argument(node, "scale")
    text = cast(node.this, "STRING")
    kind = decimal_type(integer_argument(node, "precision"), scale)
    return when((matches(text, f"-?{DIGITS}{_fraction(scale)}"), try_cast(text, kind)))


def _decimal_arithmetic(function: str) -> Lowering:
    def lowered(node: op.Operation) -> exp.Expression:
        precision, scale = integer_argument(node, "precision"), integer_argument(node, "scale")
        return try_cast(call(function, node.this, node.expression), decimal_type(precision, scale))

    return lowered


def _double_arithmetic(kind: type[exp.Expression]) -> Lowering:
    def lowered(node: op.Operation) -> exp.Expression:
        result = binary(kind, node.this, node.expression)
        return named(result, lambda value: when((_is_finite(value), value)), "double")

    return lowered


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.IntegerText: lambda node: cast(node.this, "STRING"),
    op.DecimalText: lambda node: cast(node.this, "STRING"),
    op.ParseInteger: parse_by(f"[+-]?{DIGITS}", "BIGINT"),
    op.ParseDecimal: _parse_decimal,
    op.ParseDouble: _parse_double,
    op.IntegerFromDouble: _integer_from_double,
    op.IntegerFromDecimal: _integer_from_decimal,
    op.DoubleFromInteger: _double_from_integer,
    op.DoubleFromDecimal: lambda node: cast(cast(node.this, "STRING"), "DOUBLE"),
    op.DecimalFromInteger: _decimal_from_integer,
    op.DecimalFromDecimal: _decimal_from_decimal,
    op.IsFinite: lambda node: _is_finite(node.this),
    op.FitsInt: lambda node: between(node.this, _INT_MIN, _INT_MAX),
    op.IntegerSum: lambda node: call("try_add", cast(node.this, "BIGINT"), cast(node.expression, "BIGINT")),
    op.IntegerDifference: lambda node: call("try_subtract", cast(node.this, "BIGINT"), cast(node.expression, "BIGINT")),
    op.IntegerProduct: lambda node: call("try_multiply", cast(node.this, "BIGINT"), cast(node.expression, "BIGINT")),
    op.DecimalSum: _decimal_arithmetic("try_add"),
    op.DecimalDifference: _decimal_arithmetic("try_subtract"),
    op.DecimalProduct: _decimal_arithmetic("try_multiply"),
    op.DoubleSum: _double_arithmetic(exp.Add),
    op.DoubleDifference: _double_arithmetic(exp.Sub),
    op.DoubleProduct: _double_arithmetic(exp.Mul),
}
