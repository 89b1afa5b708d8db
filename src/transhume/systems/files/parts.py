"""Rows on their way to the extract: parts of any size become batches within bounds. No file, no format here."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from transhume.batches import OddValue, odd_array, row_numbers


@dataclass(slots=True)
class Part:
    """Some rows: one array per column, the line number of each row (None: there are no lines), odd values by place."""

    columns: list[pa.Array]
    lines: pa.Array | None
    odd: dict[str, dict[int, OddValue]] = field(default_factory=dict)
    row_count: int | None = None
    """Of rows without lines, for there may be no column."""

    def fields(self) -> list[pa.Array]:
        """Return the arrays as the extract has them behind `_row`."""
        if self.lines is None:
            return [*self.columns, odd_array(self.row_count or 0, self.odd)]
        return [self.lines, *self.columns, odd_array(len(self.lines), self.odd)]


def batches(schema: pa.Schema, parts: Iterator[Part], rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
    """Yield all rows in batches of the extract's schema; no batch is over a bound, unless a single row is."""
    waiting: list[pa.RecordBatch] = []
    rows = size = first_row = 0
    own = pa.schema(list(schema)[1:])
    for part in parts:
        for piece in _cut(pa.RecordBatch.from_arrays(part.fields(), schema=own), rows_max, bytes_max):
            piece_bytes = piece.nbytes
            if waiting and (rows + piece.num_rows > rows_max or size + piece_bytes > bytes_max):
                yield _numbered(schema, waiting, first_row, rows)
                first_row += rows
                waiting, rows, size = [], 0, 0
            waiting.append(piece)
            rows += piece.num_rows
            size += piece_bytes
    if rows:
        yield _numbered(schema, waiting, first_row, rows)


def _cut(batch: pa.RecordBatch, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
    step = max(1, min(rows_max, batch.num_rows * bytes_max // max(1, batch.nbytes)))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _numbered(schema: pa.Schema, waiting: list[pa.RecordBatch], first_row: int, rows: int) -> pa.RecordBatch:
    numbers = row_numbers(first_row, rows)
    columns = [pa.concat_arrays([batch.column(place) for batch in waiting]) for place in range(len(schema) - 1)]
    return pa.RecordBatch.from_arrays([numbers, *columns], schema=schema)
