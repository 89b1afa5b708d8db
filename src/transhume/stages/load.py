"""Load: transform each segment, split good rows from rejects, stage the good ones, read them back and compare.

The process of the run does it batch after batch; an engine whose tasks can write the target does it in its tasks.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic

from transhume.batches import Event, Segment, StagedBatch
from transhume.plan.model import TableMapping
from transhume.stages.ahead import ahead
from transhume.stages.batch import Batch, batch_of, compared, keep
from transhume.stages.context import RunContext, happened
from transhume.stages.files import sha256_of
from transhume.stages.later import keep_earlier_keys, keys_path, list_vanished
from transhume.stages.links import links_path, unchanged_path
from transhume.stages.load_in_tasks import load_in_tasks
from transhume.stages.rejects import rejects_path
from transhume.stages.subset import within
from transhume.stages.transform import fates_path, transform

_AT_ONCE = 2
"""Batches that are staged and read back side by side: while one waits for the disk of the target the other goes on.

One more is made ready meanwhile, so that three are in memory."""


def load_mapping(context: RunContext, mapping: TableMapping) -> Iterator[Event]:
    """Stage all rows of one table mapping, batch by batch; batches that an earlier process finished are kept.

    Effects: staged rows and ledger lines in the target; files of fates, links and keys under work, and of rejects.
    Yields: mapping_started, batch_staged and batch_compared (one each a segment that is open), vanished_listed,
    table_staged.
    Raises: CheckFailed if a staged row reads back differently; EngineCrashed; SystemUnavailable.
    """
    target = context.tables[mapping.name]
    segments = context.segments[mapping.from_]
    ledger = context.target.staged(target)
    yield Event("mapping_started", {"mapping": mapping.name, "rows": sum(segment.row_count for segment in segments)})
    keep_earlier_keys(context, target)
    open_segments = [segment for segment in segments if not _is_done(context, mapping, segment, ledger)]
    left = yield from load_in_tasks(context, mapping, open_segments)
    yield from _load_here(context, mapping, left)
    context.target.seal(target, len(segments))
    yield from list_vanished(context, mapping)
    yield Event("table_staged", {"mapping": mapping.name, "batches": len(segments)})


def _load_here(context: RunContext, mapping: TableMapping, segments: Sequence[Segment]) -> Iterator[Event]:
    with (
        ThreadPoolExecutor(_AT_ONCE, "stage") as stager,
        ThreadPoolExecutor(1, "files") as disk,
        ExitStack() as stack,
    ):
        under_way: deque[_UnderWay] = deque()
        try:
            for opened in ahead(_batches(context, mapping, segments), 1, "rows"):
                stack.enter_context(opened.file)
                under_way.append(_UnderWay(stager.submit(_bring, context, opened.batch, disk), opened.file))
                del opened
                # Before the next one is taken: so one is made ready meanwhile, and no more.
                if len(under_way) == _AT_ONCE:
                    yield from under_way.popleft().finish()
            while under_way:
                yield from under_way.popleft().finish()
        except KeyboardInterrupt:
            # The threads do not hear of it, and may wait for others' locks.
            context.target.give_up()
            raise


def _is_done(context: RunContext, mapping: TableMapping, segment: Segment, ledger: dict[int, StagedBatch]) -> bool:
    """Say whether an earlier process staged and compared this batch, and its files are what it wrote."""
    if segment.index not in ledger:
        return False
    compared = happened(context.journal, "batch_compared", mapping=mapping.name, batch=segment.index)
    staged = happened(context.journal, "batch_staged", mapping=mapping.name, batch=segment.index)
    if compared is None or staged is None:
        return False
    files = {
        "fates_sha256": context.folder.work / fates_path(context, mapping, segment.index),
        "rejects_sha256": context.folder.rejects / rejects_path(context, mapping, segment.index),
        "links_sha256": context.folder.work / links_path(context, context.tables[mapping.name], segment.index),
        "keys_sha256": context.folder.work / keys_path(context, context.tables[mapping.name], segment.index),
        "unchanged_sha256": context.folder.work / unchanged_path(context, context.tables[mapping.name], segment.index),
    }
    return all(sha256_of(path) == staged.fields.get(name, "") for name, path in files.items())


@dataclass(frozen=True, slots=True)
class _Opened:
    """A batch, and what holds the file that its rows stand in."""

    batch: Batch
    file: ExitStack


def _batches(context: RunContext, mapping: TableMapping, segments: Sequence[Segment]) -> Generator[_Opened]:
    target = context.tables[mapping.name]
    for transformed in transform(context, mapping, segments):
        file = ExitStack()
        result = within(context, mapping, file.enter_context(transformed.open()))
        yield _Opened(batch_of(target, mapping, transformed.segment, result, transformed.duration_s), file)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch that is being staged, kept in files and read back, and what holds its rows' file meanwhile."""

    brought: Future[tuple[Future[Event], Event]]
    file: ExitStack

    def finish(self) -> Iterator[Event]:
        kept, compared = self.brought.result()
        yield kept.result()
        yield compared
        self.file.close()


def _bring(context: RunContext, batch: Batch, disk: ThreadPoolExecutor) -> tuple[Future[Event], Event]:
    """Stage a batch, have its files written, and compare what reads back, value by value. Raises: CheckFailed."""
    target = context.tables[batch.mapping.name]
    started = monotonic()
    line = context.target.stage(target, batch.id, batch.rows)
    kept = disk.submit(keep, context, batch, line, monotonic() - started)
    started = monotonic()
    mismatches = context.target.compare(target, batch.id, batch.rows)
    return kept, compared(batch, target, line, mismatches, monotonic() - started)
