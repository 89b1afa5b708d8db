"""Data files: written durably, hashed, read back. No catalog and no snapshot here."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem, FileType
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

from transhume.batches import TargetTable
from transhume.errors import SystemUnavailable
from transhume.systems.iceberg.types import BATCH_COLUMN, from_file, to_file

_CHUNK_BYTES = 4 * 2**20
_READ_ROWS = 65_536
_LOOKED_AT_ROWS = 4096
_AGAIN = 2
"""A column gets a dictionary where each of its first values stands there so often, on the average."""


class LakeFiles(PyArrowFileIO):  # type: ignore[misc]  # mypy does not follow pyiceberg
    """File access of a lake that remembers what it wrote, so that it can be made durable before a pointer names it."""

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self._unsynced: list[str] = []

    def new_output(self, location: str) -> PyArrowFile:
        """Return the file to write, and remember it for `sync`."""
        self._unsynced.append(location)
        return super().new_output(location)

    def place(self, location: str) -> tuple[FileSystem, str]:
        """Return the file system of a location and the path in it."""
        scheme, netloc, path = self.parse_location(location, self.properties)
        return self.fs_by_scheme(scheme, netloc), path

    def sync(self) -> None:
        """Make durable what was written through `new_output` since the last call; object stores are durable already.

        Raises: SystemUnavailable.
        """
        locations, self._unsynced = self._unsynced, []
        folders = set()
        for location in locations:
            if (path := local_path(location)) is not None and path.exists():
                _sync_path(path)
                folders.add(path.parent)
        for folder in folders:
            _sync_path(folder)

    def write_durably(self, location: str, table: pa.Table | pa.RecordBatchReader) -> tuple[str, int]:
        """Write one Parquet file that is there as a whole or not at all; return its sha256 and size in bytes."""
        try:
            path = local_path(location)
            if path is not None:
                return _write_local(path, table)
            with pa.BufferOutputStream() as memory:
                _write_parquet(table, memory)
                content = memory.getvalue()
            system, target = self.place(location)
            # An object appears when its upload is complete; a broken upload leaves nothing.
            with system.open_output_stream(target) as stream:
                stream.write(content)
            return hashlib.sha256(content).hexdigest(), content.size
        except OSError as error:
            message = (
                f"data file '{location}' not written ({_reason(error)}); what readers of the lake see is unchanged. "
                "Make room or give the rights, then run the same command again."
            )
            raise SystemUnavailable(message) from error

    def sha256(self, location: str) -> str | None:
        """Return the hash of a file as storage holds it now, or None if it is not there.

        Raises: SystemUnavailable if storage does not answer.
        """
        digest = hashlib.sha256()
        system, path = self.place(location)
        try:
            with system.open_input_stream(path) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(location, error) from error
        return digest.hexdigest()

    def exists(self, location: str) -> bool:
        """Tell whether a file is there; raises SystemUnavailable if storage does not answer."""
        system, path = self.place(location)
        try:
            return bool(system.get_file_info(path).type == FileType.File)
        except OSError as error:
            raise unreadable(location, error) from error

    def batches(self, location: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of one file as storage holds it now.

        Raises: SystemUnavailable if it cannot be read.
        """
        system, path = self.place(location)
        try:
            with system.open_input_file(path) as stream:
                yield from pq.ParquetFile(stream).iter_batches(_READ_ROWS, columns=list(columns))
        except OSError as error:
            raise unreadable(location, error) from error

    def schema(self, location: str) -> pa.Schema:
        """Return the schema that one file has in storage; raises SystemUnavailable."""
        system, path = self.place(location)
        try:
            with system.open_input_file(path) as stream:
                return pq.read_schema(stream)
        except (OSError, pa.ArrowInvalid) as error:
            raise unreadable(location, error) from error

    def table(self, location: str) -> pa.Table:
        """Return one file as a whole, as storage holds it now; raises SystemUnavailable."""
        system, path = self.place(location)
        try:
            with system.open_input_file(path) as stream:
                return pq.ParquetFile(stream).read()
        except (OSError, pa.ArrowInvalid) as error:
            raise unreadable(location, error) from error


def unreadable(location: str, error: Exception) -> SystemUnavailable:
    """Return the error for a file that cannot be read; the message shows no data."""
    return SystemUnavailable(
        f"data file '{location}' cannot be read ({_reason(error)}). Restore the file or the connection, then run again."
    )


def file_rows(schema: pa.Schema, rows: pa.Table, batch_name: str) -> pa.Table:
    """Return rows in the file's own schema, with the batch's name where the file carries it."""
    columns = []
    for field in schema:
        if field.name == BATCH_COLUMN and BATCH_COLUMN not in rows.column_names:
            columns.append(pa.chunked_array([pa.repeat(pa.scalar(batch_name, pa.string()), rows.num_rows)]))
            continue
        chunks = [to_file(chunk, field.type) for chunk in rows.column(field.name).chunks]
        columns.append(pa.chunked_array(chunks, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def canonical(batch: pa.RecordBatch, table: TargetTable, columns: Sequence[str]) -> pa.RecordBatch:
    """Return a batch of a file in our own types, with these columns in this order."""
    arrays, fields = [], []
    for name in columns:
        column = table.table.column(name)
        assert column is not None
        assert column.type is not None
        array = from_file(batch.column(name), column.type)
        arrays.append(array)
        fields.append(pa.field(name, array.type, column.nullable))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def local_path(location: str) -> Path | None:
    """Return the path of a local file's location, or None where it is in an object store."""
    if location.startswith("file:"):
        # Java writes file:/path, Python file:///path.
        return Path("/" + location.removeprefix("file:").lstrip("/"))
    return None if "://" in location else Path(location)


def _write_local(path: Path, table: pa.Table | pa.RecordBatchReader) -> tuple[str, int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            _write_parquet(table, file)
            file.flush()
            os.fsync(file.fileno())
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = partial.stat().st_size
        partial.rename(path)
        _sync_path(path.parent)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return digest, size_bytes


def _write_parquet(table: pa.Table | pa.RecordBatchReader, sink: object) -> None:
    repeating = _repeating(table) if isinstance(table, pa.Table) else _plain_names(table.schema)
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeating,
        store_schema=False,
        store_decimal_as_integer=True,
    ) as writer:
        if isinstance(table, pa.Table):
            writer.write_table(table, row_group_size=1_048_576)
            return
        for batch in table:
            writer.write_batch(batch)


def _plain_names(schema: pa.Schema) -> list[str]:
    """Return the columns that may hold a value twice, where no row is here to look at: no keys."""
    return [field.name for field in schema if not isinstance(field.type, pa.UuidType)]


def _repeating(table: pa.Table) -> list[str]:
    """Return the columns whose first values come again: elsewhere a dictionary costs time and makes files larger."""
    first = table.slice(0, _LOOKED_AT_ROWS)
    found = []
    for name in table.column_names:
        chunks = [each.storage if isinstance(each, pa.ExtensionArray) else each for each in first.column(name).chunks]
        if chunks and not pa.types.is_nested(chunks[0].type):
            values = pa.chunked_array(chunks)
            if pc.count_distinct(values).as_py() * _AGAIN <= len(values):
                found.append(name)
    return found


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
