r"""The functions that a session of Spark or Sail is given: mostly for JSON, numbers as they were written.

Plain Python over `json`'s scanner, which the oracle's own reading does not use. An opened value is JSON text without
white space; in its strings only `"`, `\` and control characters are escaped. Source: RFC 8259, RFC 6901.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any, NoReturn

_PLACE = re.compile("0|[1-9][0-9]{0,8}")
_LONG_NUMBER = re.compile(r"[0-9]{1000}|[eE][+-]?0*[1-9][0-9]{3}")
_EXACT_DIGITS = 100
"""More than any sum or product of two decimals of 38 digits has."""
_SMALL_ESCAPE = re.compile(r"\\u00[01][0-9a-f]")


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class _Members(list[tuple[str, Any]]):
    """An object's members in their order; names may stand twice."""


class _NotJsonError(ValueError):
    """The text is not JSON to the letter."""


def _refuse(constant: str) -> NoReturn:
    raise _NotJsonError(constant)


def _read(text: str) -> Any:
    """A decoder for each call: Spark sends these functions to its workers by value, and no decoder goes that way."""
    return json.loads(
        text, object_pairs_hook=_Members, parse_float=_Number, parse_int=_Number, parse_constant=_refuse, strict=True
    )


def _write(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no character
        return _SMALL_ESCAPE.sub(lambda found: "\\u" + found[0][2:].upper(), json.dumps(value, ensure_ascii=False))
    if isinstance(value, _Members):
        return "{" + ",".join(f"{_write(name)}:{_write(member)}" for name, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return json.dumps(value)


def written(text: str | None) -> str | None:
    """Return the value without white space; NULL for what is not JSON to the letter."""
    if text is None:
        return None
    try:
        return _write(_read(text))
    except ValueError:
        return None


def keeps_value(text: str | None) -> bool | None:
    """Return whether a system that keeps a JSON value and not its text can hold it (`JsonKeepsValue`)."""
    if text is None:
        return None
    try:
        return _is_kept(_read(text))
    except ValueError:
        return False


def _is_kept(value: Any) -> bool:
    if isinstance(value, _Number):
        return _LONG_NUMBER.search(value) is None
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, _Members):
        names = [name for name, _ in value]
        return len(set(names)) == len(names) and all(_is_kept(name) and _is_kept(member) for name, member in value)
    return all(map(_is_kept, value)) if isinstance(value, list) else True


def member(text: str | None, pointer: str) -> str | None:
    """Return what a pointer leads to in an opened value; NULL for nothing."""
    if text is None:
        return None
    try:
        value = _read(text)
        for token in _tokens(pointer):
            value = _step(value, token)
    except LookupError:
        return None
    return _write(value)


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _step(value: Any, token: str) -> Any:
    """Raises: LookupError where the way leads to nothing."""
    if isinstance(value, _Members):
        for name, held in value:
            if name == token:
                return held
    elif isinstance(value, list) and _PLACE.fullmatch(token):
        return value[int(token)]
    raise LookupError(token)


def _count(members: _Members, name: str) -> int:
    return sum(other == name for other, _ in members)


def has_key_twice(text: str | None, pointer: str) -> bool | None:
    """Return whether an object on the way of a pointer holds the way's next key more than once."""
    if text is None:
        return None
    value = _read(text)
    for token in _tokens(pointer):
        if isinstance(value, _Members) and _count(value, token) > 1:
            return True
        try:
            value = _step(value, token)
        except LookupError:
            return False
    return False


def scalar_text(text: str | None) -> str | None:
    """Return the text of an opened scalar; NULL for null, objects and arrays."""
    if text is None or text == "null" or text[0] in "[{":
        return None
    return str(_read(text)) if text[0] == '"' else text


def quoted(text: str | None) -> str | None:
    """Return the text as a JSON string."""
    return None if text is None else _write(text)


def odd_class(odd: str | None, name: str) -> str | None:
    """Return the storage class of the value that a row has in place of a column's, None where it has none.

    `odd` is the list of such values as JSON, bytes in base64: of lists themselves Sail loses some on their way here.
    """
    return next((str(each["class"]) for each in json.loads(odd or "[]") if each["name"] == name), None)


def odd_text(odd: str | None, name: str) -> str | None:
    """Return the text of such a value, None where it is none."""
    for each in json.loads(odd or "[]"):
        if each["name"] == name and each["class"] in {"integer", "real", "text"}:
            return b64decode(each["value"]).decode()
    return None


def _arithmetic(name: str) -> Callable[[str | None, str | None], str | None]:
    def result(one: str | None, other: str | None) -> str | None:
        if one is None or other is None:
            return None
        return format(getattr(Context(prec=_EXACT_DIGITS), name)(Decimal(one), Decimal(other)), "f")

    return result


def variables(contents: Mapping[str, bytes]) -> Callable[[str], bytes]:
    """Return the function that gives what a variable of the session holds, where sessions have none of their own."""
    held = dict(contents)
    return lambda name: held[name]


FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "transhume_json_written": (written, "string"),
    "transhume_json_keeps_value": (keeps_value, "boolean"),
    "transhume_json_member": (member, "string"),
    "transhume_json_key_twice": (has_key_twice, "boolean"),
    "transhume_json_text": (scalar_text, "string"),
}
"""By the name that statements call: the function, and Spark's name for the type that it gives."""
SAIL_FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "transhume_json_quoted": (quoted, "string"),
    "transhume_odd_class": (odd_class, "string"),
    "transhume_odd_text": (odd_text, "string"),
    "transhume_decimal_sum": (_arithmetic("add"), "string"),
    "transhume_decimal_difference": (_arithmetic("subtract"), "string"),
    "transhume_decimal_product": (_arithmetic("multiply"), "string"),
}
"""The further ones that Sail is given."""
VARIABLE = "transhume_variable"
"""The name of the function that `variables` gives, on Sail."""
