"""The process in which DuckDB runs, locked into the work folder; of transhume it imports the messages only.

Started by `engines/duckdb.py` as `python -m transhume.engines.duckdb_child FD MEMORY THREADS` in the work folder.
The process ends when its parent does: the socket closes, or the parent's process id changes.
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
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
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
    """Runs one statement at a time; `cancel` is called by the thread that listens."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._running = 0
        self._cancelled = 0

    def run(self, header: dict[str, Any], select: str) -> tuple[dict[str, Any], bytes]:
        """Do what the header asks for and return the answer; errors are answers."""
        self._running = int(header["id"])
        try:
            relation = self._select(select)
            match header["do"]:
                case "arrow":
                    return {"rows": self._to_arrow(relation, Path(header["path"]))}, b""
                case "parquet":
                    return {"rows": self._to_parquet(relation, Path(header["path"]))}, b""
                case _:
                    return {"rows": 0}, self._to_bytes(relation)
        except Exception as error:  # noqa: BLE001 - every failure is told to the parent
            kind = "InterruptException" if self._cancelled == self._running else type(error).__name__
            return {"error": kind, "message": without_values(error)}, b""
        finally:
            self._running = 0

    def cancel(self, number: int) -> None:
        """Interrupt statement `number` until it has ended; a statement that is not running is left alone."""
        self._cancelled = number
        pause = threading.Event()
        while self._running == number:
            # an interrupt that comes before the statement begins is forgotten by DuckDB
            self._connection.interrupt()
            pause.wait(INTERRUPT_AGAIN_S)

    def _select(self, select: str) -> duckdb.DuckDBPyRelation:
        statements = self._connection.extract_statements(select)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            message = "the engine takes one SELECT at a time"
            raise StatementRefused(message)
        relation = self._connection.sql(select)
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
        schema, batches = self._batches(relation)
        rows = 0
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

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
    if isinstance(error, (StatementRefused, *_NAMES_STATEMENT_OR_FILE)):
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
    work = Path.cwd()
    _become_expendable()
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
