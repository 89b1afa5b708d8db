"""The process in which DuckDB runs, locked into the work folder; of transhume it imports the messages only.

Started by `engines/duckdb.py` as `python -m transhume.engines.duckdb_child FD MEMORY THREADS`; the first message says
where it works. The process ends when its parent does: the socket closes, or the parent's process id changes.
"""

import io
import os
import queue
import re
import resource
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.engines.messages import Message, receive, send

ROWS_PER_BATCH = 16_384
"""Rows of one Arrow batch: 64 k rows took 80 MB more and were no faster."""
ROWS_PER_ROW_GROUP = 122_880
BYTES_PER_ROW_GROUP = 16 * 1024 * 1024
"""Bounds what writing Parquet holds: a row group of wide rows ran out of 400 MB without it."""
QUERY_BYTES_MAX = 256 * 1024 * 1024
PARENT_CHECK_S = 1.0
INTERRUPT_AGAIN_S = 0.05
_SPILL = ".spill-"

_NAMES_STATEMENT_OR_FILE = (
    duckdb.BinderException,
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.CatalogException,
    duckdb.IOException,
    duckdb.PermissionException,
)


class StreamLost(Exception):
    """A piece was asked for of a stream that is not there: the process is a new one, or the stream has failed."""


class StatementRefused(Exception):
    """The text is not one SELECT, or its result cannot leave the engine."""


def connect(work: Path, memory_limit_bytes: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Return a connection that reads and writes inside `work` only, for good.

    The order matters: the folder can only be allowed while external access is on, and the lock comes last.
    Source: https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
    """
    connection = duckdb.connect(":memory:")
    settings: list[tuple[str, str | int | bool | list[str]]] = [
        ("allowed_directories", [str(work)]),
        ("temp_directory", str(work / f"{_SPILL}{os.getpid()}")),
        ("memory_limit", f"{memory_limit_bytes}B"),
        ("threads", threads),
        ("TimeZone", "UTC"),
        # UUIDs leave as 16 bytes in place of 36 characters
        ("arrow_lossless_conversion", True),
        # holds whole Parquet files in memory otherwise: 600 MB in place of 240
        ("enable_external_file_cache", False),
        # a join's right side is held in memory, as written: never the stream, whose size DuckDB guesses badly
        ("disabled_optimizers", "build_side_probe_side,join_order"),
        ("preserve_insertion_order", True),
        ("python_enable_replacements", False),
        ("allow_persistent_secrets", False),
        ("autoinstall_known_extensions", False),
        ("autoload_known_extensions", False),
        ("allow_community_extensions", False),
        ("enable_external_access", False),
        ("lock_configuration", True),
    ]
    for name, value in settings:
        connection.execute(f"SET {name} = {_setting(value)}")
    return connection


def _setting(value: str | int | bool | list[str]) -> str:
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_setting(item) for item in value) + "]"
    return "'" + value.replace("'", "''") + "'"


class Worker:
    """Runs one statement at a time; `cancel` is called by the thread that listens.

    A stream is a SELECT whose rows are taken piece by piece, by several requests; other statements may run between
    them, because it has a connection of its own to the same instance.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._streaming = connection.cursor()
        self._stream: _Stream | None = None
        self._running = 0
        self._cancelled = 0

    def run(self, header: dict[str, Any], select: str) -> tuple[dict[str, Any], bytes]:  # noqa: PLR0911 - a dispatch
        """Do what the header asks for and return the answer; errors are answers."""
        self._running = int(header["id"])
        try:
            match header["do"]:
                case "variable":
                    return self._set_variable(str(header["name"]), bytes.fromhex(select)), b""
                case "arrow":
                    return {"rows": self._to_arrow(self._select(select), Path(header["path"]))}, b""
                case "parquet":
                    return {"rows": self._to_parquet(self._select(select), Path(header["path"]))}, b""
                case "split":
                    ranges = [_Range(*each) for each in header["ranges"]]
                    relation = self._select(select, self._streaming)
                    self._stream = _Stream(*self._batches(relation), header["by"], ranges)
                    return {}, b""
                case "piece":
                    return self._piece(), b""
                case _:
                    return {"rows": 0}, self._to_bytes(self._select(select))
        except Exception as error:  # noqa: BLE001 - every failure is told to the parent
            kind = "InterruptException" if self._cancelled == self._running else type(error).__name__
            return {"error": kind, "message": without_values(error)}, b""
        finally:
            self._running = 0

    def _set_variable(self, name: str, value: bytes) -> dict[str, Any]:
        quoted = name.replace('"', '""')
        for connection in (self._connection, self._streaming):
            connection.execute(f"SET VARIABLE \"{quoted}\" = unhex('{value.hex()}')")
        return {"rows": 0}

    def cancel(self, number: int) -> None:
        """Interrupt statement `number` until it has ended; a statement that is not running is left alone."""
        self._cancelled = number
        pause = threading.Event()
        while self._running == number:
            # an interrupt that comes before the statement begins is forgotten by DuckDB
            self._connection.interrupt()
            self._streaming.interrupt()
            pause.wait(INTERRUPT_AGAIN_S)

    def _select(self, select: str, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        connection = connection or self._connection
        statements = connection.extract_statements(select)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            message = "the engine takes one SELECT at a time"
            raise StatementRefused(message)
        # the parsed statement: parsing a long one again takes 30 ms
        relation = connection.sql(statements[0])
        if relation is None:
            message = "the statement gives no rows"
            raise StatementRefused(message)
        return relation

    def _batches(self, relation: duckdb.DuckDBPyRelation) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        # the relation streams; a cursor's result would be held as a whole
        reader = relation.to_arrow_reader(ROWS_PER_BATCH)
        schema = pa.schema([pa.field(field.name, _storage(field.name, field.type)) for field in reader.schema])

        def plain() -> Iterator[pa.RecordBatch]:
            for batch in reader:
                if self._cancelled == self._running:
                    message = "cancelled"
                    raise StatementRefused(message)
                columns = [
                    column if column.type == field.type else column.cast(field.type)
                    for column, field in zip(batch.columns, schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        return schema, plain()

    def _to_arrow(self, relation: duckdb.DuckDBPyRelation, path: Path) -> int:
        return _written(path, *self._batches(relation))

    def _piece(self) -> dict[str, Any]:
        """Compute until a file of the stream is complete; once all are, see that no row is left."""
        stream = self._stream
        if stream is None:
            message = "there is no stream"
            raise StreamLost(message)
        try:
            done = stream.completed()
        except BaseException:
            stream.close()
            self._stream = None
            raise
        if done is None:
            self._stream = None
            return {"done": -1, "rows": 0}
        return {"done": done, "rows": stream.ranges[done].row_count}

    def _to_parquet(self, relation: duckdb.DuckDBPyRelation, path: Path) -> int:
        relation.write_parquet(
            str(path),
            compression="lz4",
            row_group_size=ROWS_PER_ROW_GROUP,
            row_group_size_bytes=BYTES_PER_ROW_GROUP,
        )
        with path.open("rb+") as written:
            os.fsync(written.fileno())
        return int(pq.read_metadata(str(path)).num_rows)

    def _to_bytes(self, relation: duckdb.DuckDBPyRelation) -> bytes:
        schema, batches = self._batches(relation)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                if sink.tell() > QUERY_BYTES_MAX:
                    message = f"the result of a query is over {QUERY_BYTES_MAX} bytes; write it to a file"
                    raise StatementRefused(message)
        return sink.getvalue()


@dataclass(slots=True)
class _Range:
    """A file, and the values of the column by which rows are split that belong into it: `first` and those after it."""

    path: str
    first: int
    row_count: int
    sink: pa.NativeFile | None = None
    writer: pa.RecordBatchFileWriter | None = None
    written: int = 0

    def write(self, schema: pa.Schema, batch: pa.RecordBatch) -> None:
        if self.writer is None:
            self.sink = pa.OSFile(self.path, "wb")
            self.writer = pa.ipc.new_file(self.sink, schema)
        if batch.num_rows:
            self.writer.write_batch(batch)
        self.written += batch.num_rows

    def close(self) -> None:
        for each in (self.writer, self.sink):
            if each is not None:
                each.close()
        self.writer = self.sink = None


@dataclass(slots=True)
class _Stream:
    """The rows of a SELECT under way, split into files by ranges of a column.

    DuckDB's threads work at different files and hand their batches out as they have them, so several files grow at
    the same time; rows that one thread made keep their order.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    by: str
    ranges: list[_Range]
    finished: list[int] = field(default_factory=list)
    """Complete files that nobody asked for yet, as positions in `ranges`."""
    handed_out: int = 0

    def completed(self) -> int | None:
        """Return the position of a file that is complete, None once all were. Raises: StatementRefused."""
        while not self.finished and self.handed_out < len(self.ranges):
            batch = next(self.batches, None)
            if batch is None:
                self._finish_empty()
                break
            self._distribute(batch)
        if self.finished:
            self.handed_out += 1
            return self.finished.pop(0)
        if next(self.batches, None) is not None:
            message = "the statement gives more rows than belong into its files"
            raise StatementRefused(message)
        return None

    def close(self) -> None:
        """Close files that are not complete."""
        for each in self.ranges:
            each.close()

    def _distribute(self, batch: pa.RecordBatch) -> None:
        values = batch.column(self.by)
        bounds = pc.min_max(values).as_py()
        left = batch.num_rows
        for place, each in enumerate(self.ranges):
            last = each.first + each.row_count - 1
            if not left or each.first > bounds["max"] or last < bounds["min"]:
                continue
            inside = batch
            if each.first > bounds["min"] or last < bounds["max"]:
                inside = batch.filter(pc.and_(pc.greater_equal(values, each.first), pc.less_equal(values, last)))
            each.write(self.schema, inside)
            left -= inside.num_rows
            if each.written > each.row_count:
                break
            if each.written == each.row_count and inside.num_rows:
                each.close()
                self.finished.append(place)
        if left:
            message = "the statement gives rows that belong into none of its files, or rows that stand twice"
            raise StatementRefused(message)

    def _finish_empty(self) -> None:
        for place, each in enumerate(self.ranges):
            if not each.row_count:
                each.write(self.schema, _no_rows(self.schema))
                each.close()
                self.finished.append(place)
        if len(self.finished) + self.handed_out < len(self.ranges):
            message = "the statement gives fewer rows than belong into its files"
            raise StatementRefused(message)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def _written(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    rows = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _storage(name: str, kind: pa.DataType) -> pa.DataType:
    """Return the plain Arrow type under DuckDB's extension types."""
    if isinstance(kind, pa.UuidType):
        return pa.binary(16)
    if isinstance(kind, pa.Bool8Type):
        return pa.bool_()
    if isinstance(kind, pa.BaseExtensionType):
        if getattr(kind, "extension_name", "") == "arrow.json":
            return pa.string()
        if isinstance(kind, pa.Bool8Type):
            return pa.bool_()
        message = f"column '{name}' has a type that has no Arrow type of its own ({kind}); cast it"
        raise StatementRefused(message)
    if pa.types.is_list(kind):
        return pa.list_(_storage(name, kind.value_type))
    return kind


def without_values(error: Exception) -> str:
    """Return an error's message without anything that may be a value of the data.

    Errors about the statement, files and memory quote none. All others do, with any characters in them:
    what lies between the first and the last quote or parenthesis goes, and every number.
    """
    text = str(error).strip()
    if isinstance(error, duckdb.OutOfMemoryException):
        return text.partition("\n")[0]  # what follows are settings that are locked
    if isinstance(error, (StatementRefused, StreamLost, *_NAMES_STATEMENT_OR_FILE)):
        return text
    for begin, end in (("['\"]", "['\"]"), (r"\(", r"\)")):
        text = re.sub(f"{begin}.*({end}|$)", "...", text, flags=re.DOTALL)
    text = re.sub(r"(?<![A-Za-z0-9_])[-+]?[0-9][0-9.eE+-]*", "...", text)
    return text.splitlines()[0] if text else ""


def _listen(channel: socket.socket, worker: Worker, requests: "queue.SimpleQueue[Message]") -> None:
    while (message := receive(channel)) is not None:
        header, body = message
        if header["do"] == "cancel":
            worker.cancel(int(header["id"]))
        else:
            requests.put((header, body))
    os._exit(0)


def _watch_parent(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(PARENT_CHECK_S)
    os._exit(0)


def _in_background(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _become_expendable() -> None:
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C stops
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the data
    try:
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    except OSError:
        return


def _remove_old_spills(work: Path) -> None:
    for folder in work.glob(f"{_SPILL}*"):
        owner = folder.name.removeprefix(_SPILL)
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Serve statements until the parent is gone."""
    parent = os.getppid()
    channel = socket.socket(fileno=int(sys.argv[1]))
    _become_expendable()
    place = receive(channel)
    if place is None:
        return
    work = Path(place[0]["in"])
    os.chdir(work)
    _remove_old_spills(work)
    worker = Worker(connect(work, int(sys.argv[2]), int(sys.argv[3])))
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
    _in_background(_listen, channel, worker, requests)
    _in_background(_watch_parent, parent)
    send(channel, {"ready": os.getpid()})
    while True:
        header, body = requests.get()
        answer, result = worker.run(header, body.decode())
        send(channel, {"id": header["id"], **answer}, result)


if __name__ == "__main__":
    main()
