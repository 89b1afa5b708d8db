"""Extract in tasks: parts of a large table, read side by side at one instant, each part a task of the engine.

Tasks count their rows first, so that the rows of all parts can be numbered as one reader would have done it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

from transhume.batches import Segment
from transhume.engines.engine import TaskFiles, WorksInTasks
from transhume.errors import SystemProblem, SystemUnavailable
from transhume.schema import Table
from transhume.stages.context import Limits, WorkContext
from transhume.stages.files import make_durable
from transhume.stages.segments import segment_of, write_segment
from transhume.systems.system import ReadsInRanges, Snapshot, TableRange

_RANGES = 64
"""Ranges of one statement, after which their segments are told."""


def ranges_for_tasks(
    context: WorkContext, snapshot: Snapshot, table: Table
) -> tuple[Sequence[TableRange], Sequence[int]]:
    """Return the parts in which tasks can read a table, and how many rows each has.

    None where the process of the run reads it: it is small, or tasks do not get to the source.
    """
    engine = context.engine
    if not isinstance(engine, WorksInTasks) or not isinstance(snapshot, ReadsInRanges) or not engine.reaches_tasks():
        return (), ()
    ranges = snapshot.ranges(table)
    counts = [0] * len(ranges)
    try:
        for done in engine.each(len(ranges), _Counting(tuple(ranges))):
            counts[done.place] = int(done.answer)
    except SystemProblem:
        # Whatever else is wrong there meets the process of the run, too.
        return (), ()
    return ranges, counts


def extract_in_tasks(
    context: WorkContext, table: Table, folder: Path, ranges: Sequence[TableRange], counts: Sequence[int]
) -> Iterator[Segment]:
    """Read these parts of a table into segments of a folder, and yield them in their order; none for no row.

    Raises: SystemUnavailable, also where a part has not the rows that it was counted to have.
    """
    engine = context.engine
    if not ranges:
        return
    assert isinstance(engine, WorksInTasks)
    first_rows = list(accumulate(counts, initial=0))
    index = 0
    for first in range(0, len(ranges), _RANGES):
        chunk = slice(first, first + _RANGES)
        parts = tuple(zip(ranges[chunk], first_rows[chunk], counts[chunk], strict=False))
        taken: dict[int, list[Segment]] = {}
        for done in engine.each(len(parts), _Reading(table, parts, context.limits)):
            taken[done.place] = [segment_of(fields) for fields in json.loads(done.answer)]
            for segment in taken[done.place]:
                place = _aside(context.folder.work / folder, done.place, segment)
                (done.folder / segment.path).rename(place)
                # The task's disk had it; what came by an object store is on this one only now.
                make_durable(place)
        for part in range(len(parts)):
            for segment in taken[part]:
                path = folder / f"{index:06d}.parquet"
                _aside(context.folder.work / folder, part, segment).rename(context.folder.work / path)
                yield replace(segment, index=index, path=str(path))
                index += 1


def _aside(folder: Path, part: int, segment: Segment) -> Path:
    """Return where a segment waits until those before it are there."""
    return folder / f"{part:06d}-{segment.index:06d}.part"


@dataclass(frozen=True, slots=True)
class _Counting:
    """Counts the rows of a part."""

    ranges: tuple[TableRange, ...]

    def __call__(self, place: int, files: TaskFiles) -> bytes:  # noqa: ARG002 - nothing is written
        return str(self.ranges[place].count()).encode()


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads a part - with its first row's number, and its rows' - into segments of the task's folder."""

    table: Table
    parts: tuple[tuple[TableRange, int, int], ...]
    limits: Limits

    def __call__(self, place: int, files: TaskFiles) -> bytes:
        part, first_row, row_count = self.parts[place]
        end, written = first_row, []
        batches = part.read(first_row, self.limits.segment_rows_max, self.limits.segment_bytes_max)
        for index, batch in enumerate(batches):
            segment = write_segment(files.folder, Path(f"{index:06d}.parquet"), self.table, index, end, batch)
            written.append(asdict(segment))
            end += batch.num_rows
        if end - first_row != row_count:
            message = (
                f"a part of table '{self.table.name}' gave {end - first_row} rows and was counted to have {row_count}; "
                "nothing of the table is used. Run the same command again."
            )
            raise SystemUnavailable(message)
        return json.dumps(written).encode()
