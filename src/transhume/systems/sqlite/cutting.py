"""From parts of any length to batches. Where one ends depends on the rows alone, not on who read them how."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import row_numbers
from transhume.systems.sqlite.fetch import Part

_VALUE_BYTES = 8
"""What a value counts for, beside the bytes of a text or blob."""


def batches(parts: Iterable[Part], schema: pa.Schema, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows as batches, numbered from 0: as many as the bounds allow, and one at least.

    Shape: a part has the columns of `schema` without the first, which is the number.
    """
    first_row, held = 0, list[Part]()
    rows_left, bytes_left = rows_max, bytes_max
    for whole in parts:
        part = whole
        while part[0]:
            fitting = _fitting(part, rows_left, bytes_left)
            if not held:
                fitting = max(fitting, 1)
            if fitting:
                taken = [array.slice(0, fitting) for array in part]
                held.append(taken)
                rows_left, bytes_left = rows_left - fitting, bytes_left - _size(taken)
                part = [array.slice(fitting) for array in part]
            if part[0]:
                yield _batch(schema, held, first_row, rows_max - rows_left)
                first_row += rows_max - rows_left
                held, rows_left, bytes_left = [], rows_max, bytes_max
    if held:
        yield _batch(schema, held, first_row, rows_max - rows_left)


def _fitting(part: Part, rows_left: int, bytes_left: int) -> int:
    """Return how many of the first rows have room."""
    fitting, too_many = 0, min(len(part[0]), rows_left) + 1
    guess = too_many - 1
    while too_many - fitting > 1:
        if _size([array.slice(0, guess) for array in part]) <= bytes_left:
            fitting = guess
        else:
            too_many = guess
        guess = (fitting + too_many) // 2
    return fitting


def _size(part: Part) -> int:
    """Return the bytes that the rows count for: the sum over the rows, however they are divided into parts."""
    return sum(_VALUE_BYTES * len(array) + _content(array) for array in part)


def _content(array: pa.Array) -> int:
    if array.null_count == len(array):
        return 0
    if pa.types.is_list(array.type):
        entries = array.flatten()
        return sum(_content(entries.field(index)) for index in range(entries.type.num_fields))
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        return int(pc.sum(pc.binary_length(array)).as_py() or 0)
    return 0


def _batch(schema: pa.Schema, held: list[Part], first_row: int, row_count: int) -> pa.RecordBatch:
    joined = [pa.concat_arrays([part[index] for part in held]) for index in range(len(held[0]))]
    return pa.RecordBatch.from_arrays([row_numbers(first_row, row_count), *joined], schema=schema)
