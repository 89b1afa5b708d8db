"""From rows of a table to columns of Arrow: the server writes most columns as one line of CSV, Arrow parses it.

One text a row is what the protocol is fast at, and Arrow's parser makes no Python object a value. A line is never
longer than the server lets a text be: columns that may be too long for it, and bytes, stand beside it as they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from transhume.batches import OddValue, arrow_type, odd_array
from transhume.errors import SystemRefused
from transhume.schema import BYTES, DOUBLE, TEXT, Carrier, Column, Table
from transhume.systems.mysql.connection import Values
from transhume.systems.mysql.describe import quoted
from transhume.systems.mysql.types import NativeType, exceeds_bigint

_SOUND_CHARSETS = frozenset({"utf8mb4", "utf8mb3", "utf8", "latin1"})
"""Character sets whose every byte the server converts, so that nothing becomes a question mark."""
_NO_SUCH_CHARACTER = 1977
"""The server's warning for what became a question mark."""
_LINE_BYTES_MAX = 16 * 2**20
_NUMBER_BYTES, _BYTES_A_CHARACTER, _HEX = 80, 4, 2
_BIGINT_MAX = 2**63 - 1
_REFUSED_MARK = "30"
_PARSE = pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, double_quote=True, escape_char=False)

Part = list[pa.Array]
"""Some rows: one array per column, then the `_odd` array."""


@dataclass(frozen=True, slots=True)
class Way:
    """How one column is read: `value` is its expression, `kind` the type that is made of it.

    `quoted` is a text, which stands in quotes in a line and is looked at before it is taken for UTF-8. `odd` is an
    expression of hex digits where the value is odd, else of NULL; `odd_class` what it is odd as.
    `line_bytes` is the longest that it makes a line; None: it stands beside the line.
    """

    name: str
    kind: pa.DataType
    value: str
    line_bytes: int | None
    quoted: bool = False
    odd: str = ""
    odd_class: str = ""


def way(column: Column, native: NativeType) -> Way:
    """Return how the values of a column become text exactly."""
    assert column.type is not None
    name = f"t.{quoted(column.name)}"
    if column.type == BYTES:
        return Way(column.name, pa.binary(), name, None)
    if native.charset or native.name == "json":
        return _text_way(column.name, name, native)
    # A number that is filled up with zeros, and the bits of a bit field, become plain digits by adding nothing.
    number = f"{name} + 0" if native.name in {"bit", "year"} or "zerofill" in native.full else name
    kind, value = arrow_type(column.type), number
    if native.name == "timestamp":
        kind, value = pa.string(), f"CONCAT({name}, '+00')"
    elif column.carrier is Carrier.TEXT or column.type == TEXT:
        kind, value = pa.string(), f"CAST({number} AS CHAR)"
    elif column.type == DOUBLE:
        # As a double: the digits of a float read back as another number, those of double(10,2) are cut.
        value = f"{name} + 0e0"
    elif exceeds_bigint(native):
        kind = pa.uint64()
    return Way(column.name, kind, value, _NUMBER_BYTES)


def _text_way(name: str, value: str, native: NativeType) -> Way:
    text = f"CONVERT({value} USING utf8mb4)" if native.charset != "utf8mb4" else value
    octets = native.octets if native.octets is not None else 2**32
    line_bytes = _BYTES_A_CHARACTER * octets + 2
    odd = odd_class = ""
    if native.name == "enum":
        odd, odd_class = f"IF({value} + 0 = 0, '{_REFUSED_MARK}', NULL)", "refused"
    elif native.charset and native.charset not in _SOUND_CHARSETS:
        # What has no place in Unicode becomes a question mark; only the way back shows it.
        back = f"CAST(CONVERT({text} USING {native.charset}) AS BINARY) = CAST({value} AS BINARY)"
        odd, odd_class = f"IF({value} IS NULL OR {back}, NULL, HEX({value}))", "invalid"
        line_bytes += _HEX * octets
    is_short = line_bytes <= _LINE_BYTES_MAX and native.name != "json"
    own = line_bytes if is_short else None
    return Way(name, pa.string(), f"{text} COLLATE utf8mb4_bin", own, quoted=True, odd=odd, odd_class=odd_class)


class Reading:
    """The SELECT of some columns of a table, and what makes Arrow of its result."""

    def __init__(self, table: Table, ways: Sequence[Way], packet_bytes_max: int) -> None:
        """Put as many columns as a line may hold into it, in their order. `packet_bytes_max` is the server's."""
        room = min(packet_bytes_max, _LINE_BYTES_MAX) - 1024
        self._ways = ways
        self._in_line: list[Way] = []
        for each in ways:
            if each.line_bytes is not None and each.line_bytes + 1 <= room:
                room -= each.line_bytes + 1
                self._in_line.append(each)
        beside = [each for each in ways if each not in self._in_line]
        cells = [cell for each in self._in_line for cell in _cells(each)]
        self._line = bool(cells)
        self._beside = [(each, is_odd) for each in beside for is_odd in ((False, True) if each.odd else (False,))]
        expressions = [f"CONCAT({', '.join(_joined(cells))})"] if cells else []
        expressions += [each.odd if is_odd else each.value for each, is_odd in self._beside]
        # A table of a plan may carry nothing but columns without a type; its rows still count.
        self.fields = len(expressions) or 1
        self.statement = " ".join(["SELECT", ", ".join(expressions or ["1"]), "FROM", _ordered(table)])
        # What is warned of there is odd, and marked so.
        self.foreseen = frozenset({_NO_SUCH_CHARACTER} if any(each.odd_class == "invalid" for each in ways) else ())
        kinds = [kind for each in self._in_line for kind in _kinds(each)]
        self._names = [str(place) for place in range(len(kinds))]
        self._options = pa_csv.ConvertOptions(
            column_types=dict(zip(self._names, kinds, strict=True)),
            # NULL stands as nothing, every text in quotes, so that '' is a text.
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )

    def parts(self, found: Iterable[Sequence[Values]], rows_max: int, bytes_max: int) -> Iterator[Part]:
        """Yield what was found in parts of at most so many rows and about so many bytes."""
        held: list[list[bytes | None]] = [[] for _ in range(self.fields)]
        size = 0
        for columns in found:
            count, place = len(columns[0]), 0
            while place < count:
                taken = self._fitting(columns, place, rows_max - len(held[0]), bytes_max - size)
                for own, values in zip(held, columns, strict=True):
                    own.extend(values[place : place + taken])
                size += sum(_bytes(values[place : place + taken]) for values in columns)
                place += taken
                if len(held[0]) >= rows_max or size >= bytes_max:
                    yield self._part(held)
                    held, size = [[] for _ in range(self.fields)], 0
        if held[0]:
            yield self._part(held)

    def _fitting(self, columns: Sequence[Values], place: int, rows_max: int, bytes_max: int) -> int:
        """Return how many rows from `place` on may come into the part, at least one."""
        count = min(len(columns[0]) - place, rows_max)
        if sum(_bytes(values[place : place + count]) for values in columns) <= bytes_max:
            return count
        size = taken = 0
        for row in zip(*(values[place : place + count] for values in columns), strict=True):
            taken += 1
            size += _bytes(row)
            if size >= bytes_max:
                break
        return taken

    def _part(self, held: Sequence[list[bytes | None]]) -> Part:
        row_count = len(held[0])
        arrays: dict[str, pa.Array] = {}
        odd: dict[str, dict[int, OddValue]] = {}
        if self._line:
            arrays, odd = self._parsed(held[0], row_count)
        for (each, is_odd), values in zip(self._beside, held[1 if self._line else 0 :], strict=False):
            if not is_odd:
                arrays[each.name], odd[each.name] = _sound(pa.array(values, pa.binary()), each)
            else:
                marks = {place: value.decode() for place, value in enumerate(values) if value is not None}
                arrays[each.name] = _marked(arrays[each.name], odd[each.name], marks, each)
        return [*(arrays[each.name] for each in self._ways), odd_array(row_count, odd)]

    def _parsed(
        self, lines: Sequence[bytes | None], row_count: int
    ) -> tuple[dict[str, pa.Array], dict[str, dict[int, OddValue]]]:
        if None in lines:
            message = "the server gave no line for a row, and nothing of it is used; raise its max_allowed_packet"
            raise SystemRefused(message)
        text = b"\n".join(lines)  # type: ignore[arg-type]
        options = pa_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=self._names)
        found = pa_csv.read_csv(pa.py_buffer(text + b"\n"), options, _PARSE, self._options)
        if found.num_rows != row_count:
            message = (
                f"the server sent {row_count} rows, {found.num_rows} were read; nothing of them is used; report this"
            )
            raise SystemRefused(message)
        arrays: dict[str, pa.Array] = {}
        odd: dict[str, dict[int, OddValue]] = {}
        columns = iter(found.columns)
        for each in self._in_line:
            arrays[each.name], odd[each.name] = _sound(next(columns).combine_chunks(), each)
            if each.odd:
                marked = next(columns).combine_chunks()
                marks = {} if marked.null_count == row_count else dict(enumerate(marked.to_pylist()))
                arrays[each.name] = _marked(arrays[each.name], odd[each.name], marks, each)
        return arrays, odd


def _kinds(each: Way) -> list[pa.DataType]:
    """Return the types of the cells that a column makes in a line."""
    kind = pa.binary() if each.quoted else each.kind
    return [kind, pa.string()] if each.odd else [kind]


def _cells(each: Way) -> list[str]:
    """Return the cells that a column makes in a line: its value, and its odd mark where it may have one."""
    value = f"""CONCAT('"', REPLACE({each.value}, '"', '""'), '"')""" if each.quoted else each.value
    return [f"IFNULL({cell}, '')" for cell in ([value, each.odd] if each.odd else [value])]


def _joined(cells: Sequence[str]) -> Iterator[str]:
    for place, cell in enumerate(cells):
        if place:
            yield "','"
        yield cell


def _ordered(table: Table) -> str:
    """Return the table in the order of its key, in which InnoDB keeps it; no other index may answer."""
    name = f"{quoted(table.name)} AS t"
    if not table.primary_key:
        return f"{name} USE INDEX ()"
    key = ", ".join(f"t.{quoted(column)}" for column in table.primary_key)
    return f"{name} FORCE INDEX (PRIMARY) ORDER BY {key}"


def _bytes(values: Iterable[bytes | None]) -> int:
    return sum(8 if value is None else 8 + len(value) for value in values)


def _sound(array: pa.Array, each: Way) -> tuple[pa.Array, dict[int, OddValue]]:
    """Return the values of the column's own type, NULL for odd ones, and these."""
    if array.type == pa.uint64():
        return _bigints(array)
    return _texts(array) if each.quoted else (array, {})


def _bigints(array: pa.Array) -> tuple[pa.Array, dict[int, OddValue]]:
    try:
        return array.cast(pa.int64()), {}
    except pa.ArrowInvalid:
        values = array.to_pylist()
    odd: dict[int, OddValue] = {
        place: ("integer", str(value).encode())
        for place, value in enumerate(values)
        if value is not None and value > _BIGINT_MAX
    }
    return pa.array([None if place in odd else value for place, value in enumerate(values)], pa.int64()), odd


def _texts(array: pa.Array) -> tuple[pa.Array, dict[int, OddValue]]:
    try:
        return array.cast(pa.string()), {}
    except pa.ArrowInvalid:  # the server takes halves of surrogate pairs for characters
        values = array.to_pylist()
    odd: dict[int, OddValue] = {}
    texts: list[str | None] = []
    for place, value in enumerate(values):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            odd[place] = ("invalid", value)
            texts.append(None)
    return pa.array(texts, pa.string()), odd


def _marked(array: pa.Array, odd: dict[int, OddValue], marks: Mapping[int, str | None], each: Way) -> pa.Array:
    """Enter what the server marked as odd, and return the array without it."""
    own = {place: bytes.fromhex(mark) for place, mark in marks.items() if mark is not None}
    if not own:
        return array
    odd |= {place: (each.odd_class, value) for place, value in own.items()}
    keep = pa.array([place not in own for place in range(len(array))])
    return pc.if_else(keep, array, pa.scalar(None, array.type))
