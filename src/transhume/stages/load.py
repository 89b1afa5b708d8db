"""Load: transform each segment, split good rows from rejects, stage the good ones, read them back and compare."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import BatchId, Event, Segment, StagedBatch, TargetTable, row_numbers
from transhume.checks.counts import BUCKETS
from transhume.errors import CheckFailed
from transhume.plan.model import TableMapping
from transhume.schema import FATE, REASONS, WARNINGS, physical_names
from transhume.stages.ahead import ahead
from transhume.stages.context import RunContext, happened
from transhume.stages.files import sha256_of
from transhume.stages.later import keep_earlier_keys, keys_path, list_vanished, write_keys
from transhume.stages.links import links_path, unchanged_path, write_links, write_unchanged
from transhume.stages.rejects import (
    rejects_path,
    write_manifest,
    write_rejects,
)
from transhume.stages.subset import within
from transhume.stages.transform import Transformed, count_lines, fates_path, transform, write_fates


def load_mapping(context: RunContext, mapping: TableMapping) -> Iterator[Event]:
    """Stage all rows of one table mapping, batch by batch; batches that an earlier process finished are kept.

    Effects: staged rows and ledger lines in the target; files under work/fates and rejects.
    Yields: mapping_started, batch_staged and batch_compared (one each a segment), vanished_listed, table_staged.
    Raises: CheckFailed if a staged row reads back differently; EngineCrashed; SystemUnavailable.
    """
    target = context.tables[mapping.name]
    segments = context.segments[mapping.from_]
    ledger = context.target.staged(target)
    yield Event("mapping_started", {"mapping": mapping.name, "rows": sum(segment.row_count for segment in segments)})
    keep_earlier_keys(context, target)
    open_segments = [segment for segment in segments if not _is_done(context, mapping, segment, ledger)]
    with ThreadPoolExecutor(1, "compare") as reader, ThreadPoolExecutor(1, "files") as disk, ExitStack() as stack:
        before: _UnderWay | None = None
        for batch in ahead(_batches(context, mapping, open_segments), 1, "rows"):
            stack.enter_context(batch.opened)
            index = batch.transformed.segment.index
            started = monotonic()
            line = context.target.stage(target, BatchId(mapping.name, index), batch.rows)
            staged_s = monotonic() - started
            # A batch is read back and its files are written while the next one is staged; two are in memory at a time.
            if before is not None:
                yield from before.finish()
            before = _UnderWay(
                disk.submit(_keep, context, mapping, batch, line, staged_s),
                reader.submit(_compare, context, target, BatchId(mapping.name, index), batch.rows, line),
                batch.opened,
            )
            del batch
        if before is not None:
            yield from before.finish()
    context.target.seal(target, len(segments))
    yield from list_vanished(context, mapping)
    yield Event("table_staged", {"mapping": mapping.name, "batches": len(segments)})


def _is_done(context: RunContext, mapping: TableMapping, segment: Segment, ledger: dict[int, StagedBatch]) -> bool:
    """Say whether an earlier process staged and compared this batch, and its files are what it wrote."""
    compared = happened(context.journal, "batch_compared", mapping=mapping.name, batch=segment.index)
    staged = happened(context.journal, "batch_staged", mapping=mapping.name, batch=segment.index)
    if segment.index not in ledger or compared is None or staged is None:
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
class _Batch:
    """A segment after its rules, with the rows that the target takes; `opened` holds the file that they stand in."""

    transformed: Transformed
    result: pa.Table
    rows: pa.Table
    opened: ExitStack


def _batches(context: RunContext, mapping: TableMapping, segments: Sequence[Segment]) -> Generator[_Batch]:
    target = context.tables[mapping.name]
    for transformed in transform(context, mapping, segments):
        opened = ExitStack()
        result = within(context, mapping, opened.enter_context(transformed.open()))
        yield _Batch(transformed, result, _loaded_rows(result, target), opened)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A staged batch whose files are being written and which is being read back."""

    kept: Future[Event]
    compared: Future[Event]
    opened: ExitStack

    def finish(self) -> Iterator[Event]:
        yield self.kept.result()
        yield self.compared.result()
        self.opened.close()


def _keep(
    context: RunContext,
    mapping: TableMapping,
    batch: "_Batch",
    line: StagedBatch,
    staged_s: float,
) -> Event:
    """Write the files of one staged batch - fates, rejects, links, manifest - and return what to tell of it."""
    transformed, result, rows = batch.transformed, batch.result, batch.rows
    segment, target = transformed.segment, context.tables[mapping.name]
    buckets = _buckets(result, line)
    fields: dict[str, Any] = {
        "mapping": mapping.name,
        "batch": segment.index,
        "read": segment.row_count,
        **_tally(buckets),
        "reasons": count_lines(result[REASONS].filter(pc.equal(buckets, "rejected"))),
        "notes": count_lines(result[WARNINGS]) if WARNINGS in result.column_names else {},
        "sha256": line.sha256,
        "fates_sha256": write_fates(context, mapping, segment, result, buckets),
        "rejects_sha256": write_rejects(context, mapping, segment, result, buckets),
        "links_sha256": write_links(context, target, rows, line),
        "keys_sha256": write_keys(context, target, segment, result),
        "unchanged_sha256": write_unchanged(context, target, rows, line),
        "transform_s": round(transformed.duration_s, 3),
        "stage_s": round(staged_s, 3),
    }
    write_manifest(context, mapping, segment, result)
    return Event("batch_staged", fields)


def _compare(context: RunContext, target: TargetTable, batch: BatchId, rows: pa.Table, line: StagedBatch) -> Event:
    """Read one staged batch back and compare every value with what was sent. Raises: CheckFailed."""
    started = monotonic()
    mismatches = context.target.compare(target, batch, rows)
    if mismatches:
        shown = "; ".join(f"row {m.row} column '{m.column}'" for m in mismatches[:5])
        message = (
            f"batch {batch} reads back differently from table '{target.table.name}' "
            f"({len(mismatches)} values, {shown}); "
            "nothing was published. The target changes values on the way in: look for triggers, rules or domains."
        )
        raise CheckFailed(message)
    fields = {
        "mapping": batch.mapping,
        "batch": batch.index,
        "rows": line.row_count,
        "values": line.row_count * rows.num_columns,
        "compare_s": round(monotonic() - started, 3),
    }
    return Event("batch_compared", fields)


def _loaded_rows(result: pa.Table, target: TargetTable) -> pa.Table:
    names = physical_names(column.name for column in target.table.columns)
    loaded = pc.equal(result[FATE], "loaded")
    rows = result.select(list(names.values()))
    if not pc.all(loaded).as_py():
        rows = rows.filter(loaded)
    return rows.rename_columns(list(names)).cast(target.arrow_schema)


def _buckets(result: pa.Table, line: StagedBatch) -> pa.Array:
    """Return the bucket of every row: the engine's fate, and for loaded rows what the target said of them."""
    buckets = result[FATE].combine_chunks()
    loaded = pc.indices_nonzero(pc.equal(buckets, "loaded"))
    told = {
        "unchanged": line.unchanged,
        "conflict": line.conflicts,
        "updated": line.updated,
        "skipped": line.skipped,
    }
    for name, positions in told.items():
        if positions:
            rows = row_numbers(0, len(buckets))
            here = pc.is_in(rows, value_set=loaded.take(pa.array(positions)).cast(rows.type))
            buckets = pc.if_else(here, name, buckets)
    return buckets


def _tally(buckets: pa.Array) -> dict[str, int]:
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(buckets).to_pylist()}
    return {name: counts.get(name, 0) for name in BUCKETS}
