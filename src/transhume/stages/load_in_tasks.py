"""Load in tasks: an engine's tasks write a batch each into the target, read it back and compare it.

The process of the run hands the batches out, takes what the tasks left, and enters it. A task that is tried again, or
runs twice side by side, neither loses rows nor doubles them: the target knows each batch once, and of files only those
that a finished task named are taken.
"""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import Any

import pyarrow as pa

from transhume.batches import BatchId, Event, Segment, StagedBatch
from transhume.compiler import compile_transform
from transhume.dialects import DIALECTS
from transhume.engines.engine import TaskDone, TaskFiles, WorksInTasks
from transhume.plan.model import TableMapping
from transhume.schema import ROW
from transhume.stages.batch import batch_of, compared, keep
from transhume.stages.context import BatchContext, RunContext, RunFolder
from transhume.stages.files import private_folder
from transhume.stages.reach import engine_at_target
from transhume.stages.transform import rows_of_segment, uuid_columns
from transhume.systems.system import BatchWriter, StagesInTasks


def load_in_tasks(
    context: RunContext, mapping: TableMapping, segments: Sequence[Segment]
) -> Generator[Event, None, Sequence[Segment]]:
    """Load these segments in tasks, where engine and target can; return those that are left to the run's process.

    Yields: batch_staged and batch_compared, one each a segment.
    Raises: CheckFailed if a staged row reads back differently; EngineCrashed; SystemUnavailable.
    """
    target = context.tables[mapping.name]
    filled = [segment for segment in segments if segment.row_count]
    if context.subset is not None or not filled or not isinstance(context.target, StagesInTasks):
        return segments
    engine = engine_at_target(context)
    if engine is None:
        return segments
    left = [segment for segment in segments if not segment.row_count]
    for first in range(0, len(filled), context.engine.segments_together):
        chunk = filled[first : first + context.engine.segments_together]
        writer = context.target.writer(target, [segment.index for segment in chunk])
        if writer is None:
            left += chunk
        else:
            yield from _load(context, engine, context.target, mapping, chunk, writer)
    return left


def _load(
    context: RunContext,
    engine: WorksInTasks,
    system: StagesInTasks,
    mapping: TableMapping,
    segments: Sequence[Segment],
    writer: BatchWriter,
) -> Iterator[Event]:
    target = context.tables[mapping.name]
    paths = [segment.path for segment in segments]
    tree = compile_transform(context.plan, mapping, context.facts(), target, paths)
    select = DIALECTS[context.engine.dialect].render(tree)
    work = _BatchWork(
        BatchContext(
            plan=context.plan.without_origin(),
            source_catalog=context.source_catalog,
            tables=context.tables,
            folder=context.folder,
            earlier=context.earlier,
        ),
        mapping.name,
        tuple(segments),
        writer,
    )
    ranges = [(segment.first_row, segment.row_count) for segment in segments]
    started, took_s = monotonic(), 0.0
    for done in engine.each_range(select, ROW, ranges, work):
        # All come at once. The statement's time in equal parts: its rules, and what its tasks waited for one another.
        took_s = took_s or (monotonic() - started) / len(segments)
        told = json.loads(done.answer)
        _take(done, context.folder)
        system.enter(target, _line(told["line"]), told["written"])
        told["staged"]["transform_s"] = round(took_s, 3)
        yield Event("batch_staged", told["staged"])
        yield Event("batch_compared", told["compared"])


def _take(done: TaskDone, folder: RunFolder) -> None:
    """Give the files that a task left their places in the run's folder."""
    left = RunFolder(done.folder)
    for path in [file for file in left.root.rglob("*") if file.is_file()]:
        place = folder.root / path.relative_to(left.root)
        private_folder(place.parent)
        path.chmod(0o600)
        path.replace(place)


@dataclass(frozen=True, slots=True)
class _BatchWork:
    """What a task does with the rows of one segment; sent to it by pickle, so nothing in it is open.

    Of secrets it holds what its writer needs to reach the target, and no other.

    What it writes stands in its own folder at first, not in the run's.
    """

    context: BatchContext
    mapping: str
    segments: tuple[Segment, ...]
    writer: BatchWriter

    def __call__(self, place: int, rows: pa.Table, files: TaskFiles) -> bytes:
        context = replace(self.context, folder=RunFolder(files.folder))
        context.folder.make()
        mapping, target = context.plan.tables[self.mapping], context.tables[self.mapping]
        segment = self.segments[place]
        result = rows_of_segment(rows, self.mapping, segment, uuid_columns(target))
        # An absolute path stays what it is, below whatever folder.
        segment = replace(segment, path=str(files.read(segment.path)))
        batch = batch_of(target, mapping, segment, result, 0.0)
        with closing(self.writer.open()) as writing:
            started = monotonic()
            line, written = writing.stage(batch.id, batch.rows)
            staged_s, started = monotonic() - started, monotonic()
            mismatches = writing.compare(batch.id, batch.rows, line, written)
            told = {
                "line": asdict(line),
                "written": written,
                "compared": compared(batch, target, line, mismatches, monotonic() - started).fields,
                "staged": keep(context, batch, line, staged_s).fields,
            }
        return json.dumps(told).encode()


def _line(told: Mapping[str, Any]) -> StagedBatch:
    """Return a ledger's line from JSON, which knows lists only."""
    positions = ("unchanged", "conflicts", "updated", "skipped")
    return StagedBatch(
        BatchId(**told["batch"]), told["row_count"], told["sha256"], **{name: tuple(told[name]) for name in positions}
    )
