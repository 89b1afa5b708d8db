"""What runs inside of Spark's tasks: rows go from the task straight into files of their own.

Spark sends these functions to its workers by value, so the workers need pyarrow and no transhume. A task that is tried
twice, or side by side, writes under another name each time; the driver takes only the names that a finished task gave
back, so no row is lost or there twice.
"""

from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from transhume.object_store import opened

WRITTEN = "part bigint, place int, rows bigint, path string"
"""Columns of what a task gives back: its place in the order of the rows, the file's place among the outputs, and the
file's path below the root."""
DONE = "place int, answer binary, folder string"
"""Columns of what a task gives back of a work; the folder by its name, "" where nothing was written."""
DONE_SCHEMA = pa.schema([("place", pa.int32()), ("answer", pa.binary()), ("folder", pa.string())])
VERSION = "version string"
PLACE = "_k_place"
"""Column of rows for a work: the range that they are in. No column of a plan gets a name that begins so."""
_WHOLE = 0


def writes(
    root: str, folder: str, by: str, starts: Sequence[int]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the task that writes its rows as Arrow IPC files into a folder below `root`, one for each range it has.

    A row belongs to the last of `starts` (ascending) that is not above its value of the column `by`; without `starts`
    all rows stand in one file.
    """

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        # Sail tells its tasks neither, and tries none twice
        part, attempt = (context.partitionId(), str(context.taskAttemptId())) if context else (0, uuid4().hex)
        files: dict[int, _File] = {}
        system, path = opened(root)
        if isinstance(system, fs.LocalFileSystem):
            system.create_dir(f"{path}/{folder}")
        for batch in batches:
            plain = _plain(batch)
            for place, rows in _split(plain, by, starts):
                if place not in files:
                    name = f"{folder}/{part:06d}-{place:06d}-{attempt}.arrow"
                    files[place] = _File(system, path, name, plain.schema)
                files[place].write(rows)
        if not files and not starts:
            return
        found = [(part, place, file.close(), file.name) for place, file in files.items()]
        yield pa.RecordBatch.from_pydict(
            {
                "part": pa.array([each[0] for each in found], pa.int64()),
                "place": pa.array([each[1] for each in found], pa.int32()),
                "rows": pa.array([each[2] for each in found], pa.int64()),
                "path": pa.array([each[3] for each in found], pa.string()),
            }
        )

    return task


def works_on_range(work: bytes, root: str, folder: str, by: str) -> Callable[[pa.Table], pa.Table]:
    """Return the task that does a work on all rows of one range."""

    def task(rows: pa.Table) -> pa.Table:
        from transhume.engines.task_work import done

        place = rows.column(PLACE)[0].as_py()
        plain = rows.drop_columns([PLACE]).cast(plain_schema(rows.drop_columns([PLACE]).schema))
        return done(work, place, root, folder, plain, by)

    return task


def works_on_place(
    work: bytes, root: str, folder: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the task that does a work for each number that it is given."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from transhume.engines.task_work import done

        for batch in batches:
            for place in batch.column(0).to_pylist():
                yield from done(work, place, root, folder).to_batches()

    return task


def versions(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Tell which version of the program a task has, "" where it has none."""
    try:
        from transhume.version import __version__ as found
    except ImportError:
        found = ""
    for batch in batches:
        yield pa.RecordBatch.from_arrays([pa.array([found] * batch.num_rows, pa.string())], names=["version"])


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
    def __init__(self, system: fs.FileSystem, root: str, name: str, schema: pa.Schema) -> None:
        self.name, self._rows = name, 0
        self._sink = system.open_output_stream(f"{root}/{name}")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self._rows += batch.num_rows

    def close(self) -> int:
        self._writer.close()
        self._sink.close()
        return self._rows
