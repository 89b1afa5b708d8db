"""One batch on its way into the target: its good rows, what became of each row, what reading it back gave.

Nothing here asks an open system: the same is done in the process of the run and in tasks of an engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import BatchId, Event, Segment, StagedBatch, TargetTable, row_numbers
from transhume.checks.counts import BUCKETS
from transhume.errors import CheckFailed
from transhume.plan.model import TableMapping
from transhume.schema import FATE, REASONS, WARNINGS, physical_names
from transhume.stages.context import BatchContext
from transhume.stages.later import write_keys
from transhume.stages.links import write_links, write_unchanged
from transhume.stages.rejects import write_manifest, write_rejects
from transhume.stages.transform import count_lines, write_fates
from transhume.systems.system import Mismatch


@dataclass(frozen=True, slots=True)
class Batch:
    """A segment after its rules (`result`), with the rows that the target takes, and how long the rules took."""

    mapping: TableMapping
    segment: Segment
    result: pa.Table
    rows: pa.Table
    transform_s: float

    @property
    def id(self) -> BatchId:
        """What the ledger calls it."""
        return BatchId(self.mapping.name, self.segment.index)


def batch_of(
    target: TargetTable, mapping: TableMapping, segment: Segment, result: pa.Table, transform_s: float
) -> Batch:
    """Return the batch that a transformed segment makes."""
    return Batch(mapping, segment, result, _loaded_rows(result, target), transform_s)


def keep(context: BatchContext, batch: Batch, line: StagedBatch, staged_s: float) -> Event:
    """Write the files of one staged batch - fates, rejects, links, manifest - and return what to tell of it."""
    mapping, segment, result, rows = batch.mapping, batch.segment, batch.result, batch.rows
    target = context.tables[mapping.name]
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
        "transform_s": round(batch.transform_s, 3),
        "stage_s": round(staged_s, 3),
    }
    write_manifest(context, mapping, segment, result)
    return Event("batch_staged", fields)


def compared(
    batch: Batch, target: TargetTable, line: StagedBatch, mismatches: Sequence[Mismatch], compare_s: float
) -> Event:
    """Return what to tell of a batch that was read back. Raises: CheckFailed if a value is not what was sent."""
    if mismatches:
        shown = "; ".join(f"row {m.row} column '{m.column}'" for m in mismatches[:5])
        message = (
            f"batch {batch.id} reads back differently from table '{target.table.name}' "
            f"({len(mismatches)} values, {shown}); "
            "nothing was published. The target changes values on the way in: look for triggers, rules or domains."
        )
        raise CheckFailed(message)
    fields = {
        "mapping": batch.mapping.name,
        "batch": batch.segment.index,
        "rows": line.row_count,
        "values": line.row_count * batch.rows.num_columns,
        "compare_s": round(compare_s, 3),
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
