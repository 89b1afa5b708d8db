"""Exact conversion of one Python value to a logical type, or the reason why there is none. No plan stands here."""

import datetime as dt
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

from transhume.oracle.json_texts import read_json
from transhume.rules.rule import Outcome, RuleProblem
from transhume.schema import Kind, LogicalType, is_contained, is_convertible

_BLANKS = " \t\n\v\f\r"
_UNBOUNDED = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?")
_SHIFT = re.compile(r"([+-])([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}))?)?")
_EXPONENT_MAX = 100_000
_HOURS, _SIXTY = 24, 60
_EXACT_IN_DOUBLE = 2**53


@dataclass(frozen=True, slots=True)
class Odd:
    """A value whose class is not its column's, as `batches.ODD_TYPE` lists them, and its bytes.

    The bytes are those of `batches.ODD_TYPE`: digits, repr or text as UTF-8; the raw bytes of the others.
    """

    storage: str
    content: bytes


def convert(value: Any, given: LogicalType, wanted: LogicalType, column: str) -> Outcome:
    """Return a value as the wanted type, or NULL and the reason, which names `column`.

    Raises: RuleProblem where the types have no exact conversion at all, whatever the value.
    """
    if not is_convertible(given, wanted):
        message = f"'{column}' is {given}, and {given} cannot become {wanted} exactly"
        raise RuleProblem(message)
    if value is None:
        return Outcome(None)
    reason: str | None
    if given.kind is Kind.LIST and not is_contained(given, wanted):
        return _list(value, given, wanted, column)
    if given.kind is Kind.DOUBLE and not math.isfinite(value):
        result, reason = None, "not_finite"
    elif wanted.kind is Kind.INT:
        return _to_int(value, given, column)
    elif given.kind is wanted.kind and given.kind is not Kind.DECIMAL:
        result, reason = value, None
    elif given.kind is Kind.TEXT:
        result = parse(value, wanted)
        reason = _BAD_TEXT[wanted.kind] if result is None else None
    else:
        result, reason = _between(value, given, wanted)
    return Outcome(result) if reason is None else Outcome(None, (f"{reason}:{column}",))


def converter(given: LogicalType, wanted: LogicalType, column: str) -> Callable[[Any], Outcome]:
    """Return `convert` for values of these types other than NULL, made once for many.

    Raises: RuleProblem where the types have no exact conversion at all.
    """
    convert(None, given, wanted, column)
    if given.kind is wanted.kind and given.kind not in {Kind.DECIMAL, Kind.DOUBLE, Kind.INT, Kind.LIST}:
        return Outcome
    if given.kind in {Kind.INT, Kind.BIGINT} and wanted.kind is Kind.TEXT:
        return lambda value: Outcome(str(value))
    if given.kind is Kind.DOUBLE and wanted.kind is Kind.DOUBLE:
        bad = Outcome(None, (f"not_finite:{column}",))
        return lambda value: Outcome(value) if math.isfinite(value) else bad
    return lambda value: convert(value, given, wanted, column)


def parse(text: str, wanted: LogicalType) -> Any:
    """Return the value that a text has in the wanted type's grammar, None if it is not of it."""
    if wanted.kind is Kind.JSON:
        return read_json(text)
    trimmed = text.strip(_BLANKS)
    if wanted.kind is Kind.DECIMAL:
        return _decimal(trimmed, wanted)
    return _PARSERS[wanted.kind](trimmed)


def reads_text(wanted: LogicalType) -> bool:
    """Say whether there is a grammar that reads texts as this type; text itself is one."""
    return wanted.kind in {Kind.TEXT, Kind.DECIMAL, Kind.INT, *_PARSERS}


def at_scale(number: Decimal, scale: int) -> Decimal:
    """Return the number with exactly so many fraction digits; it has no more. Zero has no sign."""
    return Decimal(0).scaleb(-scale) if number == 0 else number.quantize(Decimal(1).scaleb(-scale), context=_UNBOUNDED)


def _list(values: list[Any], given: LogicalType, wanted: LogicalType, column: str) -> Outcome:
    """Convert element by element; the reasons of all, each once, in the order in which one element could have them."""
    assert given.element is not None
    assert wanted.element is not None
    outcomes = [convert(value, given.element, wanted.element, column) for value in values]
    reasons = {reason for outcome in outcomes for reason in outcome.reasons}
    if reasons:
        return Outcome(None, tuple(sorted(reasons, key=_order)))
    return Outcome([outcome.value for outcome in outcomes])


def _order(reason: str) -> tuple[bool, str]:
    """Return what puts reasons in the order of the looks that a conversion takes.

    What is no number comes first. The others stand in the alphabet as they are looked for: what the text is not, what
    is no whole number, what is beyond 32 bits.
    """
    return not reason.startswith("not_finite:"), reason


def _to_int(value: Any, given: LogicalType, column: str) -> Outcome:
    if given.kind is Kind.BOOLEAN:
        return Outcome(int(value))
    whole = convert(value, given, LogicalType(Kind.BIGINT), column)
    if whole.value is None or -(2**31) <= whole.value < 2**31:
        return whole
    return Outcome(None, (f"out_of_range:{column}",))


def _between(value: Any, given: LogicalType, wanted: LogicalType) -> tuple[Any, str | None]:
    """Return the value as a type of another kind (decimals: also of other bounds), or None and the reason."""
    result: Any
    reason = "inexact"
    match given.kind, wanted.kind:
        case (_, Kind.DECIMAL):
            result = _fit(Decimal(value), wanted)
        case ((Kind.INT | Kind.BIGINT), Kind.DOUBLE):
            result = float(value) if abs(value) <= _EXACT_IN_DOUBLE else None
        case (_, Kind.BOOLEAN):
            result, reason = {1: True, 0: False}.get(value), "bad_boolean"
        case (Kind.DECIMAL, Kind.BIGINT):
            result = int(value) if value == value.to_integral_value() and _is_long(value) else None
        case (Kind.DOUBLE, Kind.BIGINT):
            result = int(value) if value.is_integer() and _is_long(int(value)) else None
        case (Kind.DECIMAL, Kind.TEXT):
            result = format(at_scale(value, given.scale or 0), "f")
        case (Kind.DATE, Kind.TIMESTAMP):
            result = dt.datetime.combine(value, dt.time())
        case (_, Kind.TEXT):
            result = str(value)
        case (_, Kind.DOUBLE):
            result = float(value)
        case _:
            result = int(value)
    return result, None if result is not None else reason


def _is_long(number: Any) -> bool:
    return bool(-(2**63) <= number < 2**63)


def _fit(number: Decimal, wanted: LogicalType) -> Decimal | None:
    """Return the number at the type's scale, None if a digit other than zero has no place."""
    precision, scale = wanted.precision or 38, wanted.scale or 0
    if number == 0:
        return at_scale(number, scale)
    least = number.normalize(_UNBOUNDED)
    exponent = least.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent < -scale or number.adjusted() >= precision - scale:
        return None
    return at_scale(least, scale)


def _decimal(text: str, wanted: LogicalType) -> Decimal | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = _number(text)
    return None if number is None else _fit(number, wanted)


def _number(text: str) -> Decimal | None:
    mantissa, _, exponent = text.lower().partition("e")
    value = _UNBOUNDED.create_decimal(mantissa)
    if value == 0:
        return Decimal(0)
    digits = exponent.lstrip("+-").lstrip("0") or "0"
    # An exponent of more digits than this is beyond every type, whatever digits stand before it.
    power = int(digits) if len(digits) < 20 else 10**19  # noqa: PLR2004
    power = -power if exponent.startswith("-") else power
    if abs(value.adjusted() + power) > _EXPONENT_MAX:
        return None
    return value.scaleb(power, context=_UNBOUNDED)


def _double(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    if math.isinf(number) or (number == 0 and any(digit in "123456789" for digit in text.lower().partition("e")[0])):
        return None
    return number


def _integer(text: str) -> int | None:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > 19:  # noqa: PLR2004 - more than 64 bits have
        return None
    number = -int(digits) if text.startswith("-") else int(digits)
    return number if _is_long(number) else None


def _boolean(text: str) -> bool | None:
    return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}.get(text)


def _uuid(text: str) -> uuid.UUID | None:
    is_uuid = re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text)
    return uuid.UUID(text) if is_uuid else None


def _date(text: str) -> dt.date | None:
    match = _DATE.fullmatch(text)
    try:
        return dt.date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def _time(text: str) -> dt.time | None:
    match = _CLOCK.fullmatch(text)
    if match is None or (match[4] or "")[6:].strip("0"):
        return None
    micros = int((match[4] or "")[:6].ljust(6, "0"))
    try:
        return dt.time(int(match[1]), int(match[2]), int(match[3]), micros)
    except ValueError:
        return None


def _timestamp(text: str) -> dt.datetime | None:
    day, clock = _date(text[:10]), _time(text[11:])
    if day is None or clock is None or text[10] not in " T":
        return None
    return dt.datetime.combine(day, clock)


def _instant(text: str) -> dt.datetime | None:
    match = re.fullmatch(r"(.{19,}?)(Z|[+-][0-9:]+)", text)
    local = _timestamp(match[1]) if match else None
    if match is None or local is None:
        return None
    if match[2] == "Z":
        return local.replace(tzinfo=dt.UTC)
    shift = _SHIFT.fullmatch(match[2])
    if shift is None:
        return None
    hours, minutes, seconds = (int(shift[group] or 0) for group in (2, 3, 4))
    if hours >= _HOURS or minutes >= _SIXTY or seconds >= _SIXTY:
        return None
    east = dt.timedelta(hours=hours, minutes=minutes, seconds=seconds)
    try:
        moved = local - east if shift[1] == "+" else local + east
    except OverflowError:
        return None
    return moved.replace(tzinfo=dt.UTC)


_PARSERS: dict[Kind, Callable[[str], Any]] = {
    Kind.BIGINT: _integer,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.UUID: _uuid,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMPTZ: _instant,
    Kind.JSON: read_json,
}
_BAD_TEXT = {
    Kind.BIGINT: "bad_integer",
    Kind.DECIMAL: "bad_number",
    Kind.DOUBLE: "bad_number",
    Kind.BOOLEAN: "bad_boolean",
    Kind.UUID: "bad_uuid",
    Kind.DATE: "bad_date",
    Kind.TIME: "bad_time",
    Kind.TIMESTAMP: "bad_timestamp",
    Kind.TIMESTAMPTZ: "bad_timestamp",
    Kind.JSON: "bad_json",
}
