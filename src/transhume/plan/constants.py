"""Literals of a plan: whether a text is a value of a type. Nothing is parsed for a run here."""

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable
from decimal import Decimal

from transhume.rules.rule import Constant
from transhume.schema import Kind, LogicalType

_INT_MAX = {Kind.INT: 2**31 - 1, Kind.BIGINT: 2**63 - 1}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def constant_problem(constant: Constant, wanted: LogicalType) -> str | None:
    """Return why a literal of the plan is no value of this type, or None if it is one."""
    if constant.text is None:
        return None
    if wanted.kind is Kind.TEXT and wanted.length is not None and len(constant.text) > wanted.length:
        return f"'{constant.text}' has {len(constant.text)} characters, and the column takes {wanted.length}"
    test = _CONSTANTS.get(wanted.kind)
    if test is None:
        return f"no constant can be written for the type {wanted}"
    try:
        fits = test(constant.text, wanted)
    except (ValueError, ArithmeticError):
        fits = False
    return None if fits else f"'{constant.text}' is not a value of type {wanted}"


def _is_integer(text: str, wanted: LogicalType) -> bool:
    largest = _INT_MAX[wanted.kind]
    return re.fullmatch(r"[+-]?[0-9]{1,20}", text) is not None and -largest - 1 <= int(text) <= largest


def _is_decimal(text: str, wanted: LogicalType) -> bool:
    if not _NUMBER.fullmatch(text):
        return False
    scaled = Decimal(text).scaleb(wanted.scale or 0)
    return scaled == scaled.to_integral_value() and abs(scaled) < 10 ** (wanted.precision or 38)


def _is_double(text: str, _: LogicalType) -> bool:
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    return math.isfinite(value) and (value != 0 or Decimal(text) == 0)


def _is_timestamp(text: str, wanted: LogicalType) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d(:\d\d){0,2})?", text, re.ASCII):
        return False
    aware = dt.datetime.fromisoformat(text).tzinfo is not None
    return aware is (wanted.kind is Kind.TIMESTAMPTZ)


def _is_time(text: str, _: LogicalType) -> bool:
    return bool(re.fullmatch(r"\d\d:\d\d:\d\d(\.\d{1,6})?", text, re.ASCII)) and bool(
        dt.time.fromisoformat(text) or True
    )


def _is_date(text: str, _: LogicalType) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII)) and bool(dt.date.fromisoformat(text))


def _is_uuid(text: str, _: LogicalType) -> bool:
    return str(uuid.UUID(text)) == text.lower()


def _is_json(text: str, _: LogicalType) -> bool:
    json.loads(text, parse_constant=_refuse)
    return True


def _refuse(word: str) -> None:
    raise ValueError(word)


_CONSTANTS: dict[Kind, Callable[[str, LogicalType], bool]] = {
    Kind.TEXT: lambda text, _: "\0" not in text,
    Kind.INT: _is_integer,
    Kind.BIGINT: _is_integer,
    Kind.DECIMAL: _is_decimal,
    Kind.DOUBLE: _is_double,
    Kind.BOOLEAN: lambda text, _: text in {"true", "false", "t", "f", "1", "0"},
    Kind.UUID: _is_uuid,
    Kind.DATE: _is_date,
    Kind.TIME: _is_time,
    Kind.TIMESTAMP: _is_timestamp,
    Kind.TIMESTAMPTZ: _is_timestamp,
    Kind.JSON: _is_json,
}
