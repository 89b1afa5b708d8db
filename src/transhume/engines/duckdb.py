"""DuckDB in a locked-down child process: SELECTs over the files of one work folder, results as Arrow or Parquet."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from transhume.engines.messages import receive, send
from transhume.errors import EngineCrashed, EngineFailed, Interrupted

CLOSE_WAIT_S = 5.0
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TMPDIR")
"""What the child may know of the environment; it must not see credentials."""
_SEGMENT_BYTES = 128 * 2**20
"""Of the memory limit, for each segment that a statement is given."""
_OUT_OF_MEMORY = frozenset({"OutOfMemoryException", "MemoryError", "ArrowMemoryError"})
_BROKEN = frozenset({"FatalException", "InternalException", "StreamLost"})


class DuckDBEngine:
    """Runs SELECTs in a child process that can touch nothing outside `work`.

    One statement at a time; calls from several threads wait for one another, `cancel` does not.
    In a join the right side is held in memory, so the larger side stands on the left.
    Results are written under a temporary name and renamed when complete, readable by the owner only.
    """

    dialect = "duckdb"

    def __init__(
        self, work: Path, memory_limit_bytes: int, threads: int, variables: Mapping[str, bytes] | None = None
    ) -> None:
        """Prepare the engine; its process starts with `start` or the first statement.

        `variables` are known to every statement as `getvariable(name)`; they go to the process through its socket,
        so that no statement, file or process list holds them.
        Units: `memory_limit_bytes` bounds DuckDB's own buffers; beyond it, it spills into `work`.
        """
        self._work = work.resolve()
        self._memory_limit_bytes = memory_limit_bytes
        self._threads = threads
        # A thread works on a segment, and holds the joined rows that it needs.
        self.segments_together = max(1, min(threads, memory_limit_bytes // _SEGMENT_BYTES))
        self._variables = dict(variables or {})
        self._one_call = threading.Lock()
        self._one_send = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._complaints: IO[bytes] | None = None
        self._number = 0
        self._running = 0

    def start(self) -> None:
        """Start the process without waiting for it, so that it is there when the first statement comes."""
        with self._one_call:
            if self._channel is None:
                self._start()

    def to_arrow(self, select: str, output: Path) -> int:
        """Run a SELECT and write its rows as an Arrow IPC file, batch by batch; return the row count.

        UUIDs leave as fixed_size_binary(16), other types as `batches.arrow_type` says.
        The file is complete or not there; after a power failure it has to be made again.
        Raises: EngineCrashed if the process died or ran out of memory, Interrupted if it was cancelled,
        EngineFailed if DuckDB refuses the statement or a value; `output` is not touched then.
        """
        return self._to_file({"do": "arrow"}, select, output)

    def to_arrow_files(self, select: str, by: str, outputs: Sequence[tuple[Path, int, int]]) -> Generator[int]:
        """Run one SELECT and write its rows into several Arrow IPC files, split by ranges of an integer column.

        `outputs` are path, first value of column `by`, and row count: a file takes the rows whose value is among the
        `row_count` ones from the first. Yields the position of a file when it is complete, in any order. The engine
        computes little ahead of what is asked for; other statements may run between, another call ends this one.
        Raises: as `to_arrow`; EngineFailed if rows are missing, or belong into no file. Files yielded before are whole.
        """
        targets = [self._inside(path) for path, _, _ in outputs]
        parts = [target.with_name(f".{target.name}.part") for target in targets]
        for part in parts:
            part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.unlink(missing_ok=True)
        ranges = [[str(part), first, count] for part, (_, first, count) in zip(parts, outputs, strict=True)]
        try:
            self._ask({"do": "split", "by": by, "ranges": ranges}, select)
            while (done := int(self._ask({"do": "piece"}, "")[0]["done"])) >= 0:
                parts[done].rename(targets[done])
                yield done
        finally:
            for part in parts:
                part.unlink(missing_ok=True)

    def to_parquet(self, select: str, output: Path) -> int:
        """Run a SELECT and write its rows as one Parquet file, in order, synced to disk; return the row count.

        Raises: as `to_arrow`.
        """
        return self._to_file({"do": "parquet"}, select, output)

    def query(self, select: str) -> pa.Table:
        """Run a SELECT whose result is small and return it. Raises: as `to_arrow`."""
        _, body = self._ask({"do": "query"}, select)
        with pa.ipc.open_stream(io.BytesIO(body)) as reader:
            return reader.read_all()

    def cancel(self) -> None:
        """Stop the statement under way, which then raises Interrupted; the engine stays usable."""
        channel, number = self._channel, self._running
        if channel is None or not number:
            return
        with self._one_send:
            try:
                send(channel, {"do": "cancel", "id": number})
            except OSError:
                return

    def close(self) -> None:
        """End the engine's process; another call would start a new one."""
        channel, process, complaints = self._channel, self._process, self._complaints
        self._channel = self._process = self._complaints = None
        if complaints is not None:
            complaints.close()
        if channel is not None:
            channel.close()
        if process is not None:
            _end(process)

    def _to_file(self, order: dict[str, Any], select: str, output: Path) -> int:
        target = self._inside(output)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = target.with_name(f".{target.name}.part")
        part.unlink(missing_ok=True)
        try:
            header, _ = self._ask({**order, "path": str(part)}, select)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        if order["do"] == "parquet":
            _sync_folder(target.parent)
        return int(header["rows"])

    def _inside(self, output: Path) -> Path:
        target = self._work / output
        if not target.parent.resolve().is_relative_to(self._work):
            message = f"the engine writes inside '{self._work}' only, not to '{output}'"
            raise ValueError(message)
        return target

    def _ask(self, header: dict[str, Any], select: str) -> tuple[dict[str, Any], bytes]:
        with self._one_call:
            channel = self._ready()
            self._number += 1
            self._running = self._number
            try:
                with self._one_send:
                    send(channel, {**header, "id": self._number}, select.encode())
                answer = receive(channel)
            except OSError:
                answer = None
            except BaseException:
                # an answer that nobody awaits would be taken for the next one's
                self.close()
                raise
            finally:
                self._running = 0
            if answer is None:
                raise EngineCrashed(self._obituary())
            self._raise_error(answer[0])
            return answer

    def _raise_error(self, header: dict[str, Any]) -> None:
        kind, told = header.get("error"), str(header.get("message", ""))
        if kind is None:
            return
        if kind == "InterruptException":
            message = "the engine's statement was cancelled; its result was not written. Run the same command again"
            raise Interrupted(message)
        if kind in _OUT_OF_MEMORY:
            self.close()
            message = (
                f"the engine ran out of its {self._memory_limit_bytes} bytes of memory; its batch is not done. "
                f"Give it more memory or make the batches smaller, then run the same command again. {told}"
            )
            raise EngineCrashed(message)
        if kind in _BROKEN or "No space left" in told:
            self.close()
            message = f"the engine gave up: {told}; its batch is not done. Run the same command again"
            raise EngineCrashed(message)
        message = f"the engine refused a statement ({kind}): {told}"
        raise EngineFailed(message)

    def _ready(self) -> socket.socket:
        """Return the channel of a process that answers."""
        channel = self._channel or self._start()
        complaints, self._complaints = self._complaints, None
        if complaints is None:
            return channel
        with complaints:
            if receive(channel) is None:
                end = self._obituary()
                complaints.seek(0)
                lines = complaints.read().decode(errors="replace").strip().splitlines()
                message = f"{end}; it did not start: {lines[-1] if lines else 'no reason given'}"
                raise EngineCrashed(message)
        self._tell_variables(channel)
        return channel

    def _start(self) -> socket.socket:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(self._memory_limit_bytes), str(self._threads)]
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed once the process has answered
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, numbers as arguments
                # -P keeps the work folder, which is the current one, off the module path
                [sys.executable, "-P", "-m", "transhume.engines.duckdb_child", *arguments],
                cwd=self._work,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=[theirs.fileno()],
            )
        self._channel, self._complaints = ours, complaints
        return ours

    def _tell_variables(self, channel: socket.socket) -> None:
        for name, value in self._variables.items():
            send(channel, {"do": "variable", "id": 0, "name": name}, value.hex().encode())
            answer = receive(channel)
            if answer is None or "error" in answer[0]:
                self.close()
                message = f"the engine did not take its variable '{name}'; its batch is not done"
                raise EngineCrashed(message)

    def _obituary(self) -> str:
        """Bury the child that died and say how it ended."""
        process = self._process
        if self._channel is not None:
            self._channel.close()
        self._channel = self._process = None
        status = None if process is None else _end(process)
        manner = "was killed by signal " + str(-status) if status is not None and status < 0 else f"ended with {status}"
        return f"the engine's process {manner}; its batch is not done. Run the same command again"


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process whose socket is closed, and kill it if it does not go."""
    try:
        return process.wait(CLOSE_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
