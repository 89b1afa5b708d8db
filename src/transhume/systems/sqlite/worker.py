"""The second process that reads ranges of rowids: `python -m transhume.systems.sqlite.worker`, started by `ranges`.

Its first line of input says what is read; every other one names a slot (an open file), a range and how many rows that
must have, 0 where nobody knows. It fills the slot with an Arrow stream, then answers with the slot and the number of
rows. It ends with its input, with the process that started it, or at the first problem: then the other process reads
the rest, and meets the problem itself.
"""

import contextlib
import gc
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi as driver
import pyarrow as pa

from transhume.errors import SystemProblem
from transhume.systems.sqlite.access import open_again
from transhume.systems.sqlite.arrow_ranges import ArrowRanges, suits
from transhume.systems.sqlite.fetch import Part, Reading, parts, prepare, size

_SLOT_BYTES_MAX = 64 * 2**20
"""A range that needs more holds long values: reading them is bound by the disk, and a second process is no help."""


class _Ended(Exception):
    """Nobody needs this process any more, or it cannot help."""


def main() -> int:
    """Read ranges until the input ends; return 0, or 1 where this process cannot go on."""
    # Ctrl-C reaches the whole group; the process that started this one decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(50_000, 20, 50)  # rows are no cycles: as in the command line
    order = json.loads(sys.stdin.buffer.readline())
    try:
        access = open_again(Path(order["path"]), order["parameters"], tuple(order["file"]))
        try:
            prepare(access.connection)
            reading = Reading(**order["reading"])
            with contextlib.ExitStack() as stack:
                whole = _arrow_ranges(order, reading)
                if whole is not None:
                    stack.callback(whole.close)
                for line in sys.stdin.buffer:
                    slot, *wanted = map(int, line.split())
                    row_count = _fill(order, slot, _parts(access.connection, reading, whole, *wanted))
                    os.write(sys.stdout.fileno(), f"{slot} {row_count}\n".encode())
        finally:
            access.close()
    except (SystemProblem, sqlite3.Error, driver.Error, pa.ArrowException, OSError, _Ended):
        return 1
    return 0


def _arrow_ranges(order: dict[str, Any], reading: Reading) -> ArrowRanges | None:
    """Return who reads ranges whole, None where that is not for these columns, or cannot begin."""
    if not suits(reading):
        return None
    try:
        return ArrowRanges(Path(order["path"]), order["parameters"], tuple(order["file"]), reading)
    except (driver.Error, OSError):
        return None


def _parts(
    connection: sqlite3.Connection, reading: Reading, whole: ArrowRanges | None, low: int, high: int, row_count: int
) -> Iterator[Part]:
    """Yield the rows of a range: all at once where the driver can be trusted with them, else as they are fetched."""
    found = None if whole is None else whole.read(low, high, row_count)
    if found is None:
        yield from parts(connection, reading, (low, high))
    else:
        yield found


def _fill(order: dict[str, Any], slot: int, found: Iterator[Part]) -> int:
    row_count = held = 0
    with os.fdopen(order["slots"][slot], "wb", buffering=2**20, closefd=False) as file:
        file.seek(0)
        file.truncate()
        stream = None
        for part in found:
            # Between two parts, because one range may take long.
            if os.getppid() != order["parent"]:
                raise _Ended
            held += size(part)
            if held > _SLOT_BYTES_MAX:
                raise _Ended
            batch = pa.RecordBatch.from_arrays(part, [str(index) for index in range(len(part))])
            stream = stream or pa.ipc.new_stream(file, batch.schema)
            stream.write_batch(batch)
            row_count += batch.num_rows
        if stream is not None:
            stream.close()
    return row_count


if __name__ == "__main__":
    sys.exit(main())
