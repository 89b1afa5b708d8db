"""JSON texts in plain Python: whether a text is one, and whether its value alone would say as much. No SQL here."""

import json
import re
from typing import Any

_DIGITS_MAX = 999
_EXPONENT_MAX = 999
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(text: str) -> str | None:
    """Return the text if it is one JSON value by RFC 8259, None if not; lone surrogates are no characters."""
    try:
        value = _load(text)
    except (ValueError, RecursionError):
        return None
    return None if any(_LONE_SURROGATE.search(each) for each in _texts(value)) else text


def changes_as_value(text: str) -> bool:
    """Say whether a system that keeps a JSON value and not its text would lose or refuse a part of this text."""
    try:
        value = _load(text)
    except (ValueError, RecursionError):
        return False
    if any("\0" in each for each in _texts(value)):
        return True
    return any(_is_long(number) for number in _numbers(value)) or any(
        len({name for name, _ in pairs}) < len(pairs) for pairs in _objects(value)
    )


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, repeated names included."""


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _load(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=refuse)


def _parts(value: Any) -> list[Any]:
    """Return the value and everything inside it."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        found.append(part)
        if isinstance(part, _Pairs):
            waiting += [each for _, each in part]
        elif isinstance(part, list):
            waiting += part
    return found


def _texts(value: Any) -> list[str]:
    parts = _parts(value)
    names = [name for part in parts if isinstance(part, _Pairs) for name, _ in part]
    return names + [part for part in parts if isinstance(part, str) and not isinstance(part, _Number)]


def _numbers(value: Any) -> list[str]:
    return [part for part in _parts(value) if isinstance(part, _Number)]


def _objects(value: Any) -> list[_Pairs]:
    return [part for part in _parts(value) if isinstance(part, _Pairs)]


def _is_long(number: str) -> bool:
    mantissa, _, exponent = number.lower().partition("e")
    digits = max(len(part) for part in mantissa.lstrip("-").split("."))
    power = len(exponent.lstrip("+-").lstrip("0"))
    return digits > _DIGITS_MAX or power > len(str(_EXPONENT_MAX))
