"""Extract: every source table at one instant into hashed Parquet segments, and the lookups of other systems.

Nothing after it reads the source or those systems.
"""

import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from transhume.batches import Event, FrozenLookup, Segment, extract_schema
from transhume.errors import Refused, SystemRefused
from transhume.journal import Entry
from transhume.schema import LINE, LINE_CLASS, ODD, Table
from transhume.stages.context import WorkContext
from transhume.stages.extract_in_tasks import extract_in_tasks, ranges_for_tasks
from transhume.stages.files import sha256_of
from transhume.stages.lookups import freeze_lookups, is_lookup_sound, journalled_lookup
from transhume.stages.segments import segment_event, segment_of, write_segment
from transhume.stages.source_queries import ask_source, unsound_answers

_WRITES_AHEAD_MAX = 2
"""Segments that may wait for the disk while the next ones are read; bounds the memory."""


def extract(context: WorkContext) -> Iterator[Event]:
    """Make the extract, or take the finished one of an earlier process after checking every hash.

    Effects: files under work/extract; `context.segments` and `context.lookups` are set. An unfinished extract is
    thrown away as a whole, because its rows belong to an instant that cannot be opened again.
    Yields: extract_started, lookup_frozen (one a lookup of another system), query_answered (one a query of the plan to
    its source), segment_written (one a segment), extract_finished - or extract_reused.
    Raises: SystemUnavailable; PlanError if the system of a lookup is not what the plan says.
    """
    if (event := reused(context)) is not None:
        yield event
        return
    yield from _extract_anew(context)


def reused(context: WorkContext) -> Event | None:
    """Take the finished extract of an earlier process, if every file of it is as it was; say so."""
    instant, segments, lookups = journalled_extract(context.journal.entries, context.source_tables())
    if instant is None or not all(
        _is_sound(context.folder.work / segment.path, segment) for table in segments.values() for segment in table
    ):
        return None
    if not all(is_lookup_sound(context, lookup) for lookup in lookups.values()) or unsound_answers(context):
        return None
    context.segments, context.lookups = segments, lookups
    return Event("extract_reused", {"instant": instant, "segments": _count(segments)})


def recall_segments(context: WorkContext) -> None:
    """Set `context.segments` and `context.lookups` as the journal says of a finished extract; no file is looked at."""
    instant, segments, lookups = journalled_extract(context.journal.entries, context.source_tables())
    if instant is not None:
        context.segments, context.lookups = segments, lookups


def tables_fed(context: WorkContext) -> Event:
    """Return how many rows of the extract only feed joins and gathers, by table."""
    rows = {name: sum(segment.row_count for segment in context.segments[name]) for name in context.fed_tables()}
    return Event("tables_fed", {"rows": rows})


def _extract_anew(context: WorkContext) -> Iterator[Event]:
    if context.journal.last("mapping_started") is not None:
        message = (
            f"files of the extract of run '{context.folder.root.name}' are gone or damaged, and rows of it are staged "
            "already: an extract made anew would be of another instant. Nothing was published; restore the files below "
            f"'{context.folder.work}', or begin a new run with --fresh"
        )
        raise Refused(message)
    folder = context.folder.work / "extract"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    started = time.monotonic()
    with context.source.snapshot() as snapshot, ThreadPoolExecutor(1, "segment-writer") as disk:
        yield Event(
            "extract_started",
            {
                "instant": snapshot.instant,
                "tables": context.source_tables(),
                "one_instant": context.source_catalog.are_of_one_instant(context.source_tables()),
                "mark": getattr(snapshot, "mark", ""),
            },
        )
        # First, because what is wrong there is known before a large source is read.
        yield from freeze_lookups(context)
        yield from ask_source(context, snapshot)
        for ordinal, name in enumerate(context.source_tables()):
            table = context.source_catalog.tables[name]
            (folder / f"t{ordinal:03d}").mkdir(mode=0o700)
            context.segments[name] = []
            ranges, counts = ranges_for_tasks(context, snapshot, table)
            for segment in extract_in_tasks(context, table, Path("extract") / f"t{ordinal:03d}", ranges, counts):
                context.segments[name].append(segment)
                yield segment_event(segment)
            if context.segments[name]:
                continue
            pending: list[Future[Segment]] = []
            batches = snapshot.read(table, context.limits.segment_rows_max, context.limits.segment_bytes_max)
            first_row = 0
            only_feeds = name in context.fed_tables()
            for index, batch in enumerate(_at_least_one(batches, table)):
                if only_feeds:
                    _require_lines(batch, table)
                path = Path("extract") / f"t{ordinal:03d}" / f"{index:06d}.parquet"
                pending.append(disk.submit(write_segment, context.folder.work, path, table, index, first_row, batch))
                first_row += batch.num_rows
                if len(pending) > _WRITES_AHEAD_MAX:
                    yield _taken(context, pending.pop(0))
            while pending:
                yield _taken(context, pending.pop(0))
        instant = snapshot.instant
    rows = {name: sum(segment.row_count for segment in segments) for name, segments in context.segments.items()}
    yield Event(
        "extract_finished",
        {"instant": instant, "rows": rows, "duration_s": round(time.monotonic() - started, 3)},
    )


def _at_least_one(batches: Iterator[pa.RecordBatch], table: Table) -> Iterator[pa.RecordBatch]:
    """Give an empty table one empty segment, so that every table has a file with its columns."""
    first = next(batches, None)
    if first is None:
        yield pa.RecordBatch.from_pylist([], extract_schema(table))
        return
    yield first
    yield from batches


def _require_lines(batch: pa.RecordBatch, table: Table) -> None:
    """Raise SystemRefused for a bad line of a table that is nobody's source of rows: no reject could tell of it."""
    odd = batch.column(ODD)
    if not table.located or odd.null_count == len(odd):
        return
    for number, entries in zip(batch.column(LINE).to_pylist(), odd.to_pylist(), strict=True):
        if any(each["class"] == LINE_CLASS for each in entries or ()):
            message = (
                f"line {number} of '{table.name}' is no row, and the table only feeds joins, where nothing would "
                "tell of it; nothing is published. Correct the line, or map the table, so that such lines are rejects"
            )
            raise SystemRefused(message)


def _taken(context: WorkContext, pending: Future[Segment]) -> Event:
    segment = pending.result()
    context.segments[segment.table].append(segment)
    return segment_event(segment)


def journalled_extract(
    entries: Iterable[Entry], tables: Iterable[str]
) -> tuple[str | None, dict[str, list[Segment]], dict[str, FrozenLookup]]:
    """Return instant, segments by source table and lookups of the newest extract that a journal tells of.

    The instant is None where no extract was finished.
    """
    segments: dict[str, list[Segment]] = {name: [] for name in tables}
    lookups: dict[str, FrozenLookup] = {}
    finished: str | None = None
    for entry in entries:
        fields = entry.event.fields
        if entry.event.kind == "extract_started":
            # A later extract replaces all files of an earlier one.
            finished = None
            lookups.clear()
            for table in segments.values():
                table.clear()
        elif entry.event.kind == "segment_written":
            segments[str(fields["table"])].append(segment_of(fields))
        elif entry.event.kind == "lookup_frozen":
            lookups[str(fields["lookup"])] = journalled_lookup(fields)
        elif entry.event.kind == "extract_finished":
            finished = str(fields["instant"])
    return finished, segments, lookups


def _is_sound(path: Path, segment: Segment) -> bool:
    return path.is_file() and path.stat().st_size == segment.size_bytes and sha256_of(path) == segment.sha256


def _count(segments: dict[str, list[Segment]]) -> int:
    return sum(len(table) for table in segments.values())
