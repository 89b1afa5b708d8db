"""DuckDB's SQL for numbers: read from text, converted without loss, calculated with."""

import math
import re

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
    when,
)
from transhume.dialects.dialect import Lowering
from transhume.dialects.duckdb.builders import cast, matches, try_cast
from transhume.dialects.duckdb.texts import BLANK, DIGITS, gated, parse_by
from transhume.dialects.duckdb.types import decimal_type
from transhume.schema import DECIMAL_PRECISION_MAX

_NUMBER = rf"[+-]?{DIGITS}(?:\.{DIGITS})?(?:[eE][+-]?{DIGITS})?"
_EXACT_IN_DOUBLE = 2**53
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1


def _parse_decimal(node: op.Operation) -> exp.Expression:
    """Plain digits go straight to the cast (0.1 s); a text with an exponent is moved to plain digits first."""
    precision, scale = integer_argument(node, "precision"), integer_argument(node, "scale")
    fraction = rf"(?:\.[0-9]{{1,{scale}}}0*)?" if scale else r"(?:\.0+)?"
    kind = decimal_type(precision, scale)
    plain = gated(node.this, f"[+-]?{DIGITS}{fraction}", kind)
    if isinstance(plain, exp.TryCast):
        return plain
    return exp.Coalesce(this=plain, expressions=[_parse_exponent(node.this, precision, scale)])


def _parse_exponent(value: exp.Expression, precision: int, scale: int) -> exp.Expression:
    """Shift the digits of `1.5e3` by the exponent, in text, so that no digit can be lost unseen."""
    parts = rf"\A{BLANK}([+-]?)({DIGITS})(?:\.({DIGITS}))?[eE]([+-]?{DIGITS}){BLANK}\z"
    names = exp.Array(expressions=[exp.Literal.string(name) for name in ("sign", "whole", "fraction", "exponent")])
    found = call("regexp_extract", value, exp.Literal.string(parts), names)
    piece = exp.to_identifier("_k parts", quoted=True)

    def part(name: str) -> exp.Expression:
        return exp.Dot(this=piece.copy(), expression=exp.to_identifier(name, quoted=True))

    digits = call("ltrim", concatenated(part("whole"), part("fraction")), exp.Literal.string("0"))
    significant = call("rtrim", digits, exp.Literal.string("0"))
    dropped = exp.Sub(this=call("length", digits), expression=call("length", significant))
    # decimal places by which the significant digits are moved to give a number counted in units of 10^-scale
    shift = exp.Add(
        this=exp.Add(
            this=exp.Sub(this=try_cast(part("exponent"), "INT"), expression=call("length", part("fraction"))),
            expression=exp.Paren(this=dropped),
        ),
        expression=number(scale),
    )
    size = exp.Add(this=call("length", significant), expression=shift)
    units = concatenated(significant, call("repeat", exp.Literal.string("0"), cast(shift, "BIGINT")))
    padded = call("lpad", units, number(DECIMAL_PRECISION_MAX + 1), exp.Literal.string("0"))
    point = DECIMAL_PRECISION_MAX + 1 - scale
    plain = concatenated(
        part("sign"),
        call("left", padded, number(point)),
        exp.Literal.string("."),
        call("substr", padded, number(point + 1)),
    )
    kind = decimal_type(precision, scale)
    fits = every(
        exp.GTE(this=exp.Paren(this=shift), expression=number(0)),
        exp.LTE(this=exp.Paren(this=size), expression=number(precision)),
    )
    moved = when(
        (equal(part("whole"), exp.Literal.string("")), exp.Cast(this=exp.Null(), to=kind)),
        (equal(significant, exp.Literal.string("")), exp.Cast(this=exp.Literal.string("0"), to=kind.copy())),
        (fits, try_cast(plain, kind)),
    )
    lambda_ = exp.Lambda(this=moved, expressions=[piece.copy()], colon=True)
    each = call("list_transform", exp.Array(expressions=[found]), lambda_)
    return call("array_extract", each, number(1))


def _parse_double(node: op.Operation) -> exp.Expression:
    value = node.this
    parsed = gated(value, _NUMBER, "DOUBLE")
    is_zero = rf"[+-]?0+(?:\.0+)?(?:[eE][+-]?{DIGITS})?"
    if isinstance(parsed, exp.TryCast) and (0 < abs(float(value.name)) < math.inf or re.fullmatch(is_zero, value.name)):
        return parsed
    zero = matches(value, f"{BLANK}{is_zero}{BLANK}")
    held = exp.Or(this=exp.Paren(this=exp.NEQ(this=parsed.copy(), expression=number(0))), expression=zero)
    return when((every(call("isfinite", parsed), exp.Paren(this=held)), parsed))


def _whole(node: op.Operation) -> exp.Expression:
    return when((equal(node.this, call("trunc", node.this)), try_cast(node.this, "BIGINT")))


def _double_from_integer(node: op.Operation) -> exp.Expression:
    exact = between(node.this, -_EXACT_IN_DOUBLE, _EXACT_IN_DOUBLE)
    return when((exact, cast(node.this, "DOUBLE")))


def _decimal_from_integer(node: op.Operation) -> exp.Expression:
    return try_cast(node.this, decimal_type(integer_argument(node, "precision"), integer_argument(node, "scale")))


def _decimal_from_decimal(node: op.Operation) -> exp.Expression:
    """By way of the text: a cast between decimals rounds."""
    scale = integer_argument(node, "scale")
    fraction = rf"(?:\.[0-9]{{1,{scale}}}0*)?" if scale else r"(?:\.0+)?"
    text = cast(node.this, "TEXT")
    kind = decimal_type(integer_argument(node, "precision"), scale)
    return when((matches(text, f"-?{DIGITS}{fraction}"), try_cast(text, kind)))


def _double_from_decimal(node: op.Operation) -> exp.Expression:
    """By way of the text: a direct cast divides, and rounds twice beyond 2^53."""
    return cast(cast(node.this, "TEXT"), "DOUBLE")


def _integer_arithmetic(kind: type[exp.Expression]) -> Lowering:
    """In 128 bits, which no two 64-bit integers can overflow by one operation."""

    def lowered(node: op.Operation) -> exp.Expression:
        wide = binary(kind, cast(node.this, "HUGEINT"), cast(node.expression, "HUGEINT"))
        return try_cast(wide, "BIGINT")

    return lowered


def _decimal_arithmetic(kind: type[exp.Expression]) -> Lowering:
    def lowered(node: op.Operation) -> exp.Expression:
        precision, scale = integer_argument(node, "precision"), integer_argument(node, "scale")
        exact = call("try", binary(kind, node.this, node.expression))
        return try_cast(exact, decimal_type(precision, scale))

    return lowered


def _decimal_product(node: op.Operation) -> exp.Expression:
    """DuckDB keeps the product of two decimals of up to 18 digits within 18; one of 19 makes room for 38."""
    wide_one = exp.Cast(this=number(1), to=decimal_type(19, 0))
    node.set("this", exp.Paren(this=binary(exp.Mul, wide_one, node.this)))
    return _decimal_arithmetic(exp.Mul)(node)


def _double_arithmetic(kind: type[exp.Expression]) -> Lowering:
    """By way of a list of one: a result that stood twice would double the text with every nested operation."""

    def lowered(node: op.Operation) -> exp.Expression:
        value = exp.to_identifier("_k double", quoted=True)
        finite = when((call("isfinite", value), value))
        each = exp.Lambda(this=finite, expressions=[value.copy()], colon=True)
        result = exp.Array(expressions=[binary(kind, node.this, node.expression)])
        return call("array_extract", call("list_transform", result, each), number(1))

    return lowered


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.IntegerText: lambda node: cast(node.this, "TEXT"),
    op.DecimalText: lambda node: cast(node.this, "TEXT"),
    op.ParseInteger: parse_by(f"[+-]?{DIGITS}", "BIGINT"),
    op.ParseDecimal: _parse_decimal,
    op.ParseDouble: _parse_double,
    op.IntegerFromDouble: _whole,
    op.IntegerFromDecimal: _whole,
    op.DoubleFromInteger: _double_from_integer,
    op.DoubleFromDecimal: _double_from_decimal,
    op.DecimalFromInteger: _decimal_from_integer,
    op.DecimalFromDecimal: _decimal_from_decimal,
    op.IsFinite: lambda node: call("isfinite", node.this),
    op.FitsInt: lambda node: between(node.this, _INT_MIN, _INT_MAX),
    op.IntegerSum: _integer_arithmetic(exp.Add),
    op.IntegerDifference: _integer_arithmetic(exp.Sub),
    op.IntegerProduct: _integer_arithmetic(exp.Mul),
    op.DecimalSum: _decimal_arithmetic(exp.Add),
    op.DecimalDifference: _decimal_arithmetic(exp.Sub),
    op.DecimalProduct: _decimal_product,
    op.DoubleSum: _double_arithmetic(exp.Add),
    op.DoubleDifference: _double_arithmetic(exp.Sub),
    op.DoubleProduct: _double_arithmetic(exp.Mul),
}
