"""One large table read by two processes: this one and a worker read ranges of rowids, and the parts come in order.

Python's own lock lets one thread convert values at a time, so a second core needs a second process. All connections of
both see one instant, because a worker is used in two cases only (`Access.again`):

- rollback journal: this process holds SQLite's SHARED lock from before the worker opens the file until after its last
  range is read. A commit needs the EXCLUSIVE lock, which nobody gets while a SHARED one stands, so the pages that the
  worker finds are the ones this process has. https://www.sqlite.org/lockingv3.html
- nothing beside a WAL database (`immutable=1`): no lock keeps a writer out for either connection, and `Access.confirm`
  voids the read if the file's time or size changed since before the first of them.

In WAL mode each connection has its own end mark in the log, so there is no worker. Nor is there one for tables without
rowid, on one core, or where the worker cannot start; if it dies, its unfinished ranges are read here, from the same
snapshot. A range has an exact number of rows, and that number is checked, so none is lost or doubled.
"""

import contextlib
import json
import os
import select
import sqlite3
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from typing import IO

import pyarrow as pa

from transhume.capacity import processors
from transhume.errors import SystemUnavailable
from transhume.systems.sqlite import fetch
from transhume.systems.sqlite.access import Access
from transhume.systems.sqlite.fetch import Part, Reading

ROWS_MIN = 100_000
"""With fewer rows the worker's start (0.3 s) costs more than it brings."""
RANGE_ROWS = 8192
_ROWID_MIN, _ROWID_MAX = -(2**63), 2**63 - 1
_SLOTS = 6
_ASKED_MAX = 3
"""Ranges that the worker has before it: enough to do while this process is elsewhere, few to wait for at the end."""
_AHEAD_BYTES_MAX = 16 * 2**20
"""Rows read here out of turn, while the worker is busy with a range before them."""
_WAIT_S = 60.0
"""How long the worker may take for one range; then it is given up."""


def is_worthwhile(access: Access, row_count: int | None, jobs: int | None) -> bool:
    """Say whether a worker may help with a table of so many rows: it sees the same instant, and has a processor.

    `jobs`: how many processors may be used; None: those that there are.
    """
    return (
        row_count is not None
        and row_count >= ROWS_MIN
        and access.again is not None
        and os.name == "posix"
        and (_cores() if jobs is None else jobs) > 1
        and bool(sys.executable)
        and not getattr(sys, "frozen", False)
    )


def parts(access: Access, reading: Reading, starts: str) -> Generator[Part, None, None]:
    """Yield the parts of a table in the order of its rowid; where ranges begin depends on the table alone.

    `reading.statement` takes the first and the last rowid of a range; `starts` takes a rowid and a number of rows, and
    gives the rowid so many rows later.
    Effects: a worker process until the iterator is closed; unlinked temporary files of at most 64 MiB each.
    Raises: sqlite3.Error; SystemUnavailable if a range has not the number of rows that it must have.
    """
    with contextlib.closing(_Worker(access, reading)) as worker:
        yield from _InOrder(access.connection, reading, _ranges(access.connection, starts), worker).parts()


@dataclass(slots=True)
class _Range:
    low: int
    high: int
    row_count: int | None
    """How many rows it has; None: the last one, which may have fewer than others."""
    slot: int | None = None
    """Where the worker puts it; None: it is read here."""
    own: Iterator[Part] | None = None
    ahead: deque[Part] = field(default_factory=deque)
    finished: bool = False
    """Its rows are all here, or all in its slot."""


def _ranges(connection: sqlite3.Connection, starts: str) -> Iterator[_Range]:
    # By steps in the table itself: no gap and no clustering of rowids makes a range long or empty.
    found = connection.execute(starts, (_ROWID_MIN, 0)).fetchone()
    while found is not None:
        low = found[0]
        found = connection.execute(starts, (low, RANGE_ROWS)).fetchone()
        yield _Range(low, _ROWID_MAX, None) if found is None else _Range(low, found[0] - 1, RANGE_ROWS)


class _InOrder:
    """Shares ranges between this process and the worker, and gives their parts in order."""

    def __init__(
        self, connection: sqlite3.Connection, reading: Reading, ranges: Iterator[_Range], worker: "_Worker"
    ) -> None:
        self._connection = connection
        self._reading = reading
        self._ranges = ranges
        self._worker = worker
        self._pending: deque[_Range] = deque()
        self._ahead_bytes = 0

    def parts(self) -> Iterator[Part]:
        """Yield all parts; see `parts` of the module."""
        while True:
            self._share()
            head = self._pending[0] if self._pending else self._take()
            if head is None:
                return
            if head.slot is None:
                yield from self._rest(head)
                self._pending.popleft()
            elif head.finished:
                yield from _counted(head, self._worker.load(head.slot))
                self._worker.free(head.slot)
                self._pending.popleft()
            elif not self._read_ahead():
                self._worker.wait(self._pending)

    def _share(self) -> None:
        self._worker.collect(self._pending)
        while self._worker.has_room(self._pending):
            found = next(self._ranges, None)
            if found is None:
                return
            self._worker.ask(found)
            self._pending.append(found)

    def _take(self) -> _Range | None:
        found = next(self._ranges, None)
        if found is not None:
            self._pending.append(found)
        return found

    def _rest(self, own: _Range) -> Iterator[Part]:
        """Yield what was read ahead of a range of this process, then the rest of it."""
        for part in _counted(own, self._all(own)):
            yield part
            self._share()

    def _all(self, own: _Range) -> Iterator[Part]:
        while own.ahead:
            part = own.ahead.popleft()
            self._ahead_bytes -= fetch.size(part)
            yield part
        yield from self._begun(own)

    def _read_ahead(self) -> bool:
        """Read one part behind the range that the worker is busy with; say whether there was room and work for it."""
        if self._ahead_bytes > _AHEAD_BYTES_MAX:
            return False
        own = next((each for each in self._pending if each.slot is None and not each.finished), None) or self._take()
        if own is None:
            return False
        part = next(self._begun(own), None)
        if part is None:
            own.finished = True
        else:
            own.ahead.append(part)
            self._ahead_bytes += fetch.size(part)
        return True

    def _begun(self, own: _Range) -> Iterator[Part]:
        if own.own is None:
            own.own = fetch.parts(self._connection, self._reading, (own.low, own.high))
        return own.own


def _counted(expected: _Range, found: Iterator[Part]) -> Iterator[Part]:
    row_count = 0
    for part in found:
        row_count += len(part[0])
        yield part
    if expected.row_count not in (None, row_count):
        message = (
            f"the rows with rowid {expected.low} to {expected.high} are {row_count}, not {expected.row_count}; "
            "what was read is not of one instant and is not used; run the same command again"
        )
        raise SystemUnavailable(message)


class _Worker:
    """The other process, its slots, and which of them are taken. Once it is lost, it only has what it finished."""

    def __init__(self, access: Access, reading: Reading) -> None:
        self._slots: list[IO[bytes]] = []
        self._free: list[int] = []
        self._answers = b""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # Unlinked at once, so nothing is left of them whatever happens to either process.
            self._slots = [tempfile.TemporaryFile(prefix="transhume-") for _ in range(_SLOTS)]  # noqa: SIM115 - closed by close
            self._free = list(range(_SLOTS))
            self._process = _started([file.fileno() for file in self._slots])
            order = {
                "path": os.fspath(access.path),
                "parameters": access.again,
                "file": access.file,
                "reading": asdict(reading),
                "slots": [file.fileno() for file in self._slots],
                "parent": os.getpid(),
            }
            self._send(json.dumps(order))
        except OSError:
            self._lose()

    def has_room(self, pending: deque[_Range]) -> bool:
        """Say whether another range may be asked for."""
        asked = sum(each.slot is not None and not each.finished for each in pending)
        return self._process is not None and bool(self._free) and asked < _ASKED_MAX

    def ask(self, wanted: _Range) -> None:
        """Give the worker a range; if it is lost by now, the range stays this process's own."""
        slot = self._free.pop()
        try:
            self._send(f"{slot} {wanted.low} {wanted.high} {wanted.row_count or 0}")
        except OSError:
            self._lose()
        else:
            wanted.slot = slot

    def wait(self, pending: deque[_Range]) -> None:
        """Wait until the worker has finished a range, or is lost."""
        if not self._collected(pending, _WAIT_S):
            self._lose()
            _take_back(pending)

    def collect(self, pending: deque[_Range]) -> None:
        """Note what the worker has finished, without waiting; take back what it never will."""
        self._collected(pending, 0)

    def load(self, slot: int) -> Iterator[Part]:
        """Yield the parts that the worker put into a slot. Raises: SystemUnavailable if it cannot be read."""
        file = self._slots[slot]
        try:
            file.seek(0)
            with pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    yield batch.columns
        except (OSError, pa.ArrowException) as problem:
            message = f"a temporary file cannot be read ({problem}); check the disk of '{tempfile.gettempdir()}'"
            raise SystemUnavailable(message) from None

    def free(self, slot: int) -> None:
        """Let a slot be used again."""
        self._free.append(slot)

    def close(self) -> None:
        """End the worker and give the slots back."""
        self._lose()
        while self._slots:
            self._slots.pop().close()

    def _send(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _collected(self, pending: deque[_Range], timeout_s: float) -> bool:
        """Say whether anything came; an end of the answers is something, too."""
        if self._process is None:
            _take_back(pending)
            return True
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        # poll, not select: a number of a file over 1023 must do as well.
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        if not ready.poll(timeout_s * 1000):
            return False
        found = os.read(pipe, 65_536)
        *lines, self._answers = (self._answers + found).split(b"\n")
        for line in lines:
            slot, row_count = map(int, line.split())
            done = next(each for each in pending if each.slot == slot and not each.finished)
            done.finished, done.row_count = True, done.row_count or row_count
        if not found:
            self._lose()
            _take_back(pending)
        return True

    def _lose(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what a dead process did not read any more
                if pipe is not None:
                    pipe.close()
        process.wait()


def _take_back(pending: deque[_Range]) -> None:
    """Make what the worker has not finished this process's own. Its slots are not used again."""
    for each in pending:
        if not each.finished:
            each.slot = None


def _started(slots: list[int]) -> subprocess.Popen[bytes]:
    # -P: no module may come from the folder in which the command happens to run.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "transhume.systems.sqlite.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=slots,
    )


def _cores() -> int:
    return processors()
