"""What runs inside of Spark's tasks: rows go from the task straight into files of their own.

Spark sends these functions to its workers by value, so the workers need pyarrow and no transhume. A task that is tried
twice, or side by side, writes under another name each time; the driver takes only the names that a finished task gave
back, so no row is lost or there twice.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

WRITTEN = "part bigint, place int, rows bigint, path string"
"""Columns of what a task gives back: its place in the order of the rows, the file's place among the outputs."""
_WHOLE = 0


def writes(
    folder: str, by: str, starts: Sequence[int]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the task that writes its rows as Arrow IPC files into `folder`, one for each range that it has rows of.

    A row belongs to the last of `starts` (ascending) that is not above its value of the column `by`; without `starts`
    all rows stand in one file.
    """

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        # Sail tells its tasks neither, and tries none twice
        part, attempt = (context.partitionId(), str(context.taskAttemptId())) if context else (0, uuid4().hex)
        opened: dict[int, _File] = {}
        for batch in batches:
            plain = _plain(batch)
            for place, rows in _split(plain, by, starts):
                if place not in opened:
                    opened[place] = _File(Path(folder) / f"{part:06d}-{place:06d}-{attempt}.arrow", plain.schema)
                opened[place].write(rows)
        if not opened and not starts:
            return
        found = [(part, place, file.close(), str(file.path)) for place, file in opened.items()]
        yield pa.RecordBatch.from_pydict(
            {
                "part": pa.array([each[0] for each in found], pa.int64()),
                "place": pa.array([each[1] for each in found], pa.int32()),
                "rows": pa.array([each[2] for each in found], pa.int64()),
                "path": pa.array([each[3] for each in found], pa.string()),
            }
        )

    return task


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of `batches.arrow_type` for one that Spark gives: times in microseconds, elements may be NULL."""
    if pa.types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    return pa.time64("us") if pa.types.is_time(kind) else kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with plain types, every column NULLable."""
    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    schema = plain_schema(batch.schema)
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _split(batch: pa.RecordBatch, by: str, starts: Sequence[int]) -> Iterator[tuple[int, pa.RecordBatch]]:
    if not starts:
        yield _WHOLE, batch
        return
    values = batch.column(by)
    limits = pa.array(starts, values.type)
    places = pc.subtract(pc.search_sorted(limits, values, side="right"), 1)
    for place in pc.unique(places).to_pylist():
        yield int(place), batch.filter(pc.equal(places, place))


class _File:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self._rows = path, 0
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self._rows += batch.num_rows

    def close(self) -> int:
        self._writer.close()
        self._sink.close()
        return self._rows
