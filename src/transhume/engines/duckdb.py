"""DuckDB in a locked-down child process: SELECTs over the files of one work folder, results as Arrow or Parquet."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
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


class DuckDBProcess:
    """The child process, which may be started before anybody knows in which folder it will work.

    Until it is told it has loaded its libraries, knows of no file, and waits.
    """

    def __init__(self, memory_limit_bytes: int, threads: int) -> None:
        """Start the process and do not wait for it.

        Raises: OSError where there can be no further process.
        """
        self.channel, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(memory_limit_bytes), str(threads)]
        self.has_answered = False
        self.last_words = ""
        """Of a process that ended without an answer: the last line that it complained in."""
        self._has_place = False
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed once the process has answered
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, numbers as arguments
                # -P keeps the current folder off the module path
                [sys.executable, "-P", "-m", "transhume.engines.duckdb_child", *arguments],
                cwd=os.sep,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        """Its number among the system's processes."""
        return self._process.pid

    def work_in(self, folder: Path) -> None:
        """Tell the process its folder, for good. That it is gone by now shows when it is to answer."""
        self._has_place = True
        with suppress(OSError):
            send(self.channel, {"do": "work", "in": str(folder)})

    def answers(self) -> bool:
        """Wait until the process is ready for statements; return False if it has ended instead."""
        if not self.has_answered and receive(self.channel) is not None:
            self.has_answered = True
            self._complaints.close()
        return self.has_answered

    def close(self) -> int:
        """End the process, if it has not ended, and return its status. It may be closed twice."""
        self.channel.close()
        if not self._has_place:
            # It holds nothing, and would hear of it only when its libraries are loaded.
            self._process.kill()
        try:
            status = self._process.wait(CLOSE_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if not self._complaints.closed:
            self._complaints.seek(0)
            lines = self._complaints.read().decode(errors="replace").strip().splitlines()
            self.last_words = lines[-1] if lines else "no reason given"
            self._complaints.close()
        return status


class DuckDBEngine:
    """Runs SELECTs in a child process that can touch nothing outside `work`.

    One statement at a time; calls from several threads wait for one another, `cancel` does not.
    In a join the right side is held in memory, so the larger side stands on the left.
    Results are written under a temporary name and renamed when complete, readable by the owner only.
    """

    dialect = "duckdb"

    def __init__(
        self,
        work: Path,
        memory_limit_bytes: int,
        threads: int,
        variables: Mapping[str, bytes] | None = None,
        waiting: DuckDBProcess | None = None,
    ) -> None:
        """Prepare the engine; its process starts with `start` or the first statement.

        `waiting` is a process with the same limits that was started before, and is this engine's from here on.

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
        self._waiting = waiting
        self._process: DuckDBProcess | None = None
        self._number = 0
        self._running = 0

    def start(self) -> None:
        """Start the process without waiting for it, so that it is there when the first statement comes."""
        with self._one_call:
            if self._process is None:
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
        process, number = self._process, self._running
        if process is None or not number:
            return
        with self._one_send, suppress(OSError):
            send(process.channel, {"do": "cancel", "id": number})

    def close(self) -> None:
        """End the engine's process; another call would start a new one."""
        process, waiting = self._process, self._waiting
        self._process = self._waiting = None
        for each in (process, waiting):
            if each is not None:
                each.close()

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
        process = self._process or self._start()
        if not process.has_answered:
            if not process.answers():
                message = f"{self._obituary()}; it did not start: {process.last_words}"
                raise EngineCrashed(message)
            self._tell_variables(process.channel)
        return process.channel

    def _start(self) -> DuckDBProcess:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        process, self._waiting = self._waiting, None
        process = process or DuckDBProcess(self._memory_limit_bytes, self._threads)
        process.work_in(self._work)
        self._process = process
        return process

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
        process, self._process = self._process, None
        status = None if process is None else process.close()
        manner = "was killed by signal " + str(-status) if status is not None and status < 0 else f"ended with {status}"
        return f"the engine's process {manner}; its batch is not done. Run the same command again"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
