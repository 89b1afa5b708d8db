"""One CSV or TSV file: its dialect, its columns, its rows as Arrow with their line numbers. Every value is text."""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import pyarrow as pa
from pyarrow import csv as pa_csv

from transhume.batches import OddValue
from transhume.errors import SystemRefused
from transhume.schema import LINE_CLASS
from transhume.systems.files.address import Address
from transhume.systems.files.decoding import utf8_pieces
from transhume.systems.files.folder import TableFile
from transhume.systems.files.parts import Part
from transhume.systems.files.records import Dialect, Grammar, Piece, line_ends, pieces

_DELIMITERS = (b",", b";", b"\t", b"|")
_LOOKED_AT_BYTES = 256 * 1024
_LOOKED_AT_RECORDS = 200


@dataclass(frozen=True, slots=True)
class Header:
    """What the begin of a file says: its dialect, its columns, the line on which its rows begin."""

    dialect: Dialect
    columns: tuple[str, ...]
    first_line: int


def read_header(file: TableFile, opened: BinaryIO, address: Address) -> Header:
    """Return dialect and columns of an opened file; an empty file has no columns.

    Raises: SystemRefused with every reason why names of columns cannot stand, or where two dialects fit equally.
    """
    return _begun(file, opened, address)[0]


def read_parts(file: TableFile, opened: BinaryIO, address: Address, columns: tuple[str, ...]) -> Iterator[Part]:
    """Yield the rows of an opened file in the order of its lines; a bad line is a row without values, odd as a whole.

    Raises: SystemRefused where its columns are not these any more; the rows yielded so far are valid but not all.
    """
    header, rest = _begun(file, opened, address)
    if header.columns != columns:
        message = (
            f"'{file.path.name}' has other columns than a moment ago; nothing was read; run the same command again"
        )
        raise SystemRefused(message)
    if not header.columns:
        return
    grammar = Grammar(header.dialect, len(header.columns))
    for piece in pieces(rest, grammar, header.first_line):
        if piece.text:
            yield _part(piece, header)


def _begun(file: TableFile, opened: BinaryIO, address: Address) -> tuple[Header, Iterator[bytes]]:
    """Return the header and the text behind it."""
    texts = utf8_pieces(opened, address.encoding, file.path.name)
    text = next(texts, b"")
    while text and not text.endswith((b"\n", b"\r")) and len(text) < _LOOKED_AT_BYTES:
        more = next(texts, None)
        if more is None:
            text += b"\n"
            break
        text += more
    skipped = len(text) - len(text.lstrip(b"\r\n"))
    first_line = 1 + line_ends(text[:skipped])
    if skipped == len(text):
        return Header(Dialect(b",", b""), (), first_line), iter(())
    dialect = _dialect(file, text[skipped:], address)
    grammar = Grammar(dialect, 1)
    fields = grammar.first_record(text[skipped:])
    if fields is None:
        message = f"'{file.path.name}', line {first_line}: the header cannot be told: {_broken(dialect)}"
        raise SystemRefused(message)
    if not address.header:
        names = tuple(f"c{number}" for number in range(1, len(fields) + 1))
        return Header(dialect, names, first_line), chain([text[skipped:]], texts)
    end = grammar.bad_end(text, skipped, is_last=True)
    assert end is not None
    columns = _names(file, fields, first_line)
    return Header(dialect, columns, first_line + line_ends(text[skipped:end])), chain([text[end:]], texts)


def _dialect(file: TableFile, text: bytes, address: Address) -> Dialect:
    quote, null = address.quote.encode(), address.null.encode()
    if address.delimiter is not None or file.form == "tsv":
        return Dialect((address.delimiter or "\t").encode(), quote, null)
    found = {sign: _share(Dialect(sign, quote), text[:_LOOKED_AT_BYTES]) for sign in _DELIMITERS}
    best = max(found.values())
    likely = [sign for sign in _DELIMITERS if found[sign] == best]
    if best > 0 and len(likely) > 1:
        names = " and ".join(repr(sign.decode()) for sign in likely)
        message = f"'{file.path.name}': {names} both divide its lines evenly; write ?delimiter= in the URL"
        raise SystemRefused(message)
    return Dialect(likely[0] if best > 0 else b",", quote, null)


def _share(dialect: Dialect, text: bytes) -> float:
    """Return which share of the first records has as many fields as the first one, 0 where that is one field."""
    fields = Grammar(dialect, 1).first_record(text)
    if fields is None or len(fields) == 1:
        return 0
    grammar = Grammar(dialect, len(fields))
    place = good = bad = 0
    while place < len(text) and good + bad < _LOOKED_AT_RECORDS:
        end = grammar.one_end(text, place)
        good += end is not None
        if end is None:
            end = grammar.bad_end(text, place, is_last=False)
            if end is None:  # cut off by what is looked at
                break
            bad += 1
        place = end
    return good / max(1, good + bad)


def _names(file: TableFile, fields: list[bytes], line: int) -> tuple[str, ...]:
    problems = []
    names = []
    for place, field in enumerate(fields, start=1):
        name = field.decode(errors="backslashreplace")
        names.append(name)
        if not name.strip():
            problems.append(f"column {place} has no name")
        elif "\\x" in name and name.encode() != field:
            problems.append(f"the name of column {place} does not decode ({name}); write ?encoding= in the URL")
        elif any(ord(sign) < ord(" ") for sign in name):
            problems.append(f"the name of column {place} holds a line end or another control sign")
    counts = Counter(names)
    problems += [
        f"the name '{name}' stands {count} times" for name, count in counts.items() if count > 1 and name.strip()
    ]
    if problems:
        found = "; ".join(problems)
        cure = "mend the first line, or write ?header=no in the URL if it is none"
        message = f"'{file.path.name}', line {line}: {found}; {cure}"
        raise SystemRefused(message)
    return tuple(names)


def _broken(dialect: Dialect) -> str:
    return f"its quotes do not pair off, or it holds U+0000 (delimiter {dialect.delimiter.decode()!r})"


def _part(piece: Piece, header: Header) -> Part:
    table = _parsed(piece.text, header)
    arrays = [table.column(place).combine_chunks() for place in range(len(header.columns))]
    odd: dict[str, dict[int, OddValue]] = {name: {} for name in header.columns}
    if piece.bad:
        keep = pa.array([place not in piece.bad for place in range(table.num_rows)])
        nothing = pa.scalar(None, pa.binary())
        arrays = [pa.compute.if_else(keep, array, nothing) for array in arrays]
    texts = []
    for name, array in zip(header.columns, arrays, strict=True):
        text, invalid = as_text(array)
        texts.append(text)
        odd[name].update(invalid)
    for place, raw in piece.bad.items():
        add_bad_line(odd, header.columns, place, raw)
    if table.num_rows != len(piece.lines):
        message = f"{len(piece.lines)} records, {table.num_rows} were read; nothing of them is used; report this bug"
        raise SystemRefused(message)
    return Part(texts, pa.array(piece.lines, pa.int64()), odd)


def as_text(array: pa.Array) -> tuple[pa.Array, dict[int, OddValue]]:
    """Return bytes as text, and by place those that are no UTF-8, NULL in the array."""
    try:
        return array.cast(pa.string()), {}
    except pa.ArrowInvalid:
        values = array.to_pylist()
        odd: dict[int, OddValue] = {}
        for place, value in enumerate(values):
            if value is not None and not _is_utf8(value):
                odd[place] = ("invalid", value)
                values[place] = None
        return pa.array(values, pa.binary()).cast(pa.string()), odd


def add_bad_line(odd: dict[str, dict[int, OddValue]], columns: tuple[str, ...], place: int, raw: bytes) -> None:
    """Say of each column of a row that its line is bad; the first one keeps the line whole."""
    for number, name in enumerate(columns):
        odd[name][place] = (LINE_CLASS, raw if number == 0 else b"")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@functools.cache
def _options(dialect: Dialect, width: int) -> tuple[pa_csv.ParseOptions, pa_csv.ConvertOptions]:
    parse = pa_csv.ParseOptions(
        delimiter=dialect.delimiter.decode(),
        quote_char=dialect.quote.decode() if dialect.quote else False,
        double_quote=True,
        escape_char=False,
        newlines_in_values=True,
        ignore_empty_lines=width > 1,
    )
    convert = pa_csv.ConvertOptions(
        check_utf8=False,
        column_types={str(place): pa.binary() for place in range(width)},
        null_values=[dialect.null.decode()],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return parse, convert


def _parsed(text: bytes, header: Header) -> pa.Table:
    names = [str(place) for place in range(len(header.columns))]
    parse, convert = _options(header.dialect, len(names))
    read = pa_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names)
    return pa_csv.read_csv(pa.py_buffer(text), read, parse, convert)
