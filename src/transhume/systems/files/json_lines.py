"""One file of JSON Lines: its columns, its rows as Arrow with the line number of each. Every value is text.

A text gives its characters; numbers, true and false their letters as they stand (1.10 stays 1.10); an object or array
its JSON text as it stands; null and a missing key are NULL.
Source: https://jsonlines.org and RFC 8259.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NoReturn

import pyarrow as pa

from transhume.batches import OddValue
from transhume.errors import SystemRefused
from transhume.systems.files.address import Address
from transhume.systems.files.decoding import utf8_pieces
from transhume.systems.files.delimited import add_bad_line
from transhume.systems.files.folder import TableFile
from transhume.systems.files.parts import Part
from transhume.systems.files.records import RECORD_BYTES_MAX

_PART_ROWS = 8192
_PART_BYTES = 4 * 2**20
_BLANKS = re.compile(r"[ \t\r\n]*")
_COLUMNS_MAX = 10_000


class _NoObject(ValueError):
    """A line that is no JSON object."""


def _refuse(_: str) -> NoReturn:
    raise _NoObject


# Digits stay digits: no float is made, and Python's bound on long integers is not met.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse)
# The same for a whole line; an object is a tuple of its pairs, so that keys that stand twice are seen.
_WHOLE = json.JSONDecoder(object_pairs_hook=tuple, parse_float=str, parse_int=str, parse_constant=_refuse)
_TEXT_OR_NULL = {str, type(None)}
_SCALAR = {*_TEXT_OR_NULL, bool}


def read_columns(file: TableFile, opened: BinaryIO, address: Address) -> tuple[tuple[str, ...], int]:
    """Return the keys of all objects in the order in which they come up first, and the number of rows.

    Raises: SystemRefused for an empty key, one that is no name, or more keys than a table has columns.
    """
    found: dict[str, None] = {}
    names: set[str] = set()
    rows = 0
    for _, line in _lines(file, opened, address):
        rows += 1
        row = _row(line, names)
        if row is not None and not found.keys() >= row.keys():
            found.update(dict.fromkeys(row))
            if len(found) > _COLUMNS_MAX:
                message = f"'{file.path.name}': more than {_COLUMNS_MAX:,} different keys; that is no table"
                raise SystemRefused(message)
    return tuple(found), rows


def read_parts(file: TableFile, opened: BinaryIO, address: Address, columns: Sequence[str]) -> Iterator[Part]:
    """Yield the rows of an opened file in the order of its lines; a bad line is a row without values, odd as a whole.

    Raises: SystemRefused for a key that the columns do not have.
    """
    rows: list[dict[str, str | None]] = []
    lines: list[int] = []
    bad: dict[int, bytes] = {}
    size = 0
    known = frozenset(columns)
    names = set(columns)
    for number, line in _lines(file, opened, address):
        row = _row(line, names)
        if row is None:
            bad[len(rows)] = line
        elif not row.keys() <= known:
            key = next(key for key in row if key not in known)
            message = f"'{file.path.name}', line {number}: the key '{key}' was not there a moment ago; run it again"
            raise SystemRefused(message)
        rows.append(row or {})
        lines.append(number)
        size += len(line)
        if len(rows) >= _PART_ROWS or size >= _PART_BYTES:
            yield _part(rows, lines, bad, tuple(columns))
            rows, lines, bad, size = [], [], {}, 0
    if rows:
        yield _part(rows, lines, bad, tuple(columns))


def _part(rows: list[dict[str, str | None]], lines: list[int], bad: dict[int, bytes], columns: tuple[str, ...]) -> Part:
    odd: dict[str, dict[int, OddValue]] = {name: {} for name in columns}
    arrays = []
    for name in columns:
        values = [row.get(name) for row in rows]
        try:
            arrays.append(pa.array(values, pa.string()))
        except UnicodeEncodeError:  # half of a surrogate pair, which no text can hold
            for place, value in enumerate(values):
                if value is not None and not _is_text(value):
                    odd[name][place] = ("invalid", value.encode("utf-8", "surrogatepass"))
                    values[place] = None
            arrays.append(pa.array(values, pa.string()))
    for place, raw in bad.items():
        add_bad_line(odd, columns, place, raw)
    return Part(arrays, pa.array(lines, pa.int64()), odd)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(file: TableFile, opened: BinaryIO, address: Address) -> Iterator[tuple[int, bytes]]:
    """Yield every line that holds anything, with its number."""
    held: list[bytes] = []
    number = size = 0
    for text in utf8_pieces(opened, address.encoding, file.path.name):
        *whole, rest = text.split(b"\n")
        for line in whole:
            number += 1
            full = b"".join([*held, line]) if held else line
            held, size = [], 0
            if full.strip():
                yield number, full.removesuffix(b"\r")
        held.append(rest)
        size += len(rest)
        if size > 2 * RECORD_BYTES_MAX:
            message = f"'{file.path.name}', line {number + 1}: longer than {size:,} bytes; no row is so long"
            raise SystemRefused(message)
    last = b"".join(held)
    if last.strip():
        yield number + 1, last.removesuffix(b"\r")


def _row(line: bytes, names: set[str]) -> dict[str, str | None] | None:
    """Return the values of one line by key, None where the line is no JSON object whose keys are different.

    `names` are keys that are known to be names; more are added.
    """
    try:
        text = line.decode()
        row = _scalars(text)
        if row is None:
            return _members(text)
        if not names.issuperset(row):
            if not all(map(_is_name, row)):
                return None
            names.update(row)
    except (ValueError, RecursionError, IndexError):
        return None
    return row


def _scalars(text: str) -> dict[str, str | None] | None:
    """Return the values of a sound object that holds no other and no array, read in one go; None for any other line.

    The characters of a text and the letters of a number are both the value, so they need not be told apart.
    """
    try:
        pairs = _WHOLE.decode(text)
    except (ValueError, RecursionError):
        return None
    if type(pairs) is not tuple:
        return None
    row = dict(pairs)
    kinds = set(map(type, row.values()))
    if len(row) != len(pairs) or not kinds <= _SCALAR:
        return None
    if bool in kinds:
        return {key: _letters(value) for key, value in pairs}
    return row


def _letters(value: str | bool | None) -> str | None:
    return str(value).lower() if isinstance(value, bool) else value


def _members(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    place = _after(text, 0, "{")
    if text[place] == "}":
        return _ended(text, place + 1, found)
    while True:
        if text[place] != '"':
            raise _NoObject
        key, place = _DECODER.raw_decode(text, place)
        place = _after(text, _blank_end(text, place), ":")
        value, end = _DECODER.raw_decode(text, place)
        if key in found or not _is_name(key):
            raise _NoObject
        # Strings are told from numbers by their first sign: both are `str` here.
        found[key] = None if value is None else value if text[place] == '"' else text[place:end]
        place = _blank_end(text, end)
        if text[place] == "}":
            return _ended(text, place + 1, found)
        place = _after(text, place, ",")


def _is_name(key: str) -> bool:
    return bool(key.strip()) and _is_text(key) and not any(ord(sign) < ord(" ") for sign in key)


def _after(text: str, place: int, sign: str) -> int:
    place = _blank_end(text, place)
    if text[place] != sign:
        raise _NoObject
    return _blank_end(text, place + 1)


def _ended(text: str, place: int, found: dict[str, str | None]) -> dict[str, str | None]:
    if _blank_end(text, place) != len(text):
        raise _NoObject
    return found


def _blank_end(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place
