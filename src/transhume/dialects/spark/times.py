"""Spark's SQL for dates, times and instants; the session's zone is UTC."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import between, binary, call, equal, number, text_literal, when
from transhume.dialects.dialect import Lowering
from transhume.dialects.spark.builders import cast, group_of, matches, named, try_cast
from transhume.dialects.spark.texts import BLANK, parse_by, trim

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = f"{_YEAR}-[0-9]{{2}}-[0-9]{{2}}"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FRACTION = r"(?:\.[0-9]{1,6}0*)?"
_TIME = f"{_CLOCK}{_FRACTION}"
_TIMESTAMP = f"{_DATE}[ T]{_TIME}"
_HOURS = "([01][0-9]|2[0-3])"
_OFFSET = rf"(?:Z|([+-]){_HOURS}(?::([0-5][0-9])(?::([0-5][0-9]))?)?)"
_INSTANT = rf"{BLANK}({_TIMESTAMP}){_OFFSET}{BLANK}"
_TIME_LENGTH, _TIMESTAMP_LENGTH = 15, 26
"""Characters up to the sixth digit of a second's fraction; further ones are zeros, which Spark need not read."""
_SECOND = 1_000_000
_YEAR_1_US = -62_135_596_800_000_000
_YEAR_9999_END_US = 253_402_300_799_999_999


def _parse_time(node: op.Operation) -> exp.Expression:
    text = call("left", trim(node.this), number(_TIME_LENGTH))
    return when((matches(node.this, f"{BLANK}{_TIME}{BLANK}"), try_cast(text, "TIME(6)")))


def _parse_timestamp(node: op.Operation) -> exp.Expression:
    text = call("left", trim(node.this), number(_TIMESTAMP_LENGTH))
    return when((matches(node.this, f"{BLANK}{_TIMESTAMP}{BLANK}"), try_cast(text, "TIMESTAMP_NTZ")))


def _parse_instant(node: op.Operation) -> exp.Expression:
    """By arithmetic: Spark itself takes no offset of more than 18 hours."""
    local, sign, hours, minutes, seconds = (group_of(node.this, _INSTANT, group) for group in range(1, 6))
    here = call("left", local, number(_TIMESTAMP_LENGTH))
    parts = [
        binary(exp.Mul, exp.Coalesce(this=try_cast(part, "BIGINT"), expressions=[number(0)]), number(scale * _SECOND))
        for part, scale in ((hours, 3600), (minutes, 60), (seconds, 1))
    ]
    ahead = binary(exp.Add, binary(exp.Add, parts[0], parts[1]), parts[2])
    signed = when((equal(sign, text_literal("-")), exp.Neg(this=exp.Paren(this=ahead))), otherwise=ahead)
    micros = binary(exp.Sub, _micros(try_cast(here, "TIMESTAMP_NTZ")), signed)
    return when((matches(node.this, _INSTANT), named(micros, _instant, "micros")))


def _micros(value: exp.Expression) -> exp.Expression:
    return call("unix_micros", cast(value, "TIMESTAMP"))


def _instant(micros: exp.Expression) -> exp.Expression:
    return when((between(micros, _YEAR_1_US, _YEAR_9999_END_US), call("timestamp_micros", micros)))


def _is_zero_date(node: op.Operation) -> exp.Expression:
    return matches(node.this, rf"{BLANK}0000-00-00(?:[ T][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]+)?)?{BLANK}")


def _instant_text(node: op.Operation) -> exp.Expression:
    micros = exp.Mod(this=call("unix_micros", node.this), expression=number(_SECOND))
    seconds = call("date_format", node.this, text_literal("yyyy-MM-dd'T'HH:mm:ss'Z'"))
    fraction = call("date_format", node.this, text_literal("yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"))
    return when((equal(micros, number(0)), seconds), otherwise=fraction)


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.ParseDate: parse_by(_DATE, "DATE"),
    op.ParseTime: _parse_time,
    op.ParseTimestamp: _parse_timestamp,
    op.ParseInstant: _parse_instant,
    op.IsZeroDate: _is_zero_date,
    op.LocalMicros: lambda node: _micros(node.this),
    op.LocalYear: lambda node: cast(call("year", node.this), "BIGINT"),
    op.InstantFromMicros: lambda node: _instant(node.this),
    op.InstantText: _instant_text,
    op.TimestampFromDate: lambda node: cast(node.this, "TIMESTAMP_NTZ"),
}
