"""Later runs: keys that earlier runs of a mapping brought and the source has no more, and keys of rows left alone.

Lists of keys are for people: private files of the run's folder. Nothing of the target is changed or deleted here.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.batches import Event, Segment, TargetTable
from transhume.checks.references import orphans
from transhume.dialects import DIALECTS
from transhume.plan.model import TableMapping
from transhume.schema import physical_names
from transhume.stages.cells import readable
from transhume.stages.context import BatchContext, RunContext
from transhume.stages.files import private_file, private_folder, write_private_parquet
from transhume.stages.rejects import file_word
from transhume.stages.transform import BUCKET, fates_path

_UUID_BYTES = 16


def keep_earlier_keys(context: RunContext, table: TargetTable) -> int:
    """Keep the target keys of all rows that earlier runs of this mapping brought; return their number.

    Effects: one file under work/keys, where there is a row; `context.earlier` says how many.
    """
    fields = _key_fields(table)
    final = context.folder.work / _earlier_path(context, table)
    private_folder(final.parent)
    count = 0
    with pq.ParquetWriter(private_file(final.with_suffix(".partial")), fields, compression="lz4") as writer:
        for batch in context.target.read_earlier(table, list(table.key)):
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=fields))
            count += batch.num_rows
    final.with_suffix(".partial").rename(final)
    context.earlier[table.mapping] = count
    return count


def keys_path(context: BatchContext, table: TargetTable, index: int) -> Path:
    """Return where the target keys of all rows of one batch stand, relative to the work folder."""
    return Path("keys") / _ordinal(context, table.mapping) / f"{index:06d}.parquet"


def write_keys(context: BatchContext, table: TargetTable, segment: Segment, result: pa.Table) -> str:
    """Keep the target keys of every row of a batch, whatever its fate, and return the file's hash.

    Returns "" and keeps nothing where no earlier run brought a row: then none can have vanished.
    """
    if not context.earlier.get(table.mapping):
        return ""
    names = physical_names(column.name for column in table.table.columns)
    rows = result.select([names[name] for name in table.key]).rename_columns(_key_fields(table).names)
    return write_private_parquet(context.folder.work / keys_path(context, table, segment.index), rows)


def list_vanished(context: RunContext, mapping: TableMapping) -> Iterator[Event]:
    """List the keys of earlier runs that no row of the source has now; their rows stay in the target.

    Effects: a CSV of the run's folder, if there is such a key. Yields: vanished_listed, where there were earlier runs.
    """
    table = context.tables[mapping.name]
    if not context.earlier.get(mapping.name):
        return
    names = _key_fields(table).names
    now = [str(keys_path(context, table, segment.index)) for segment in context.segments[mapping.from_]]
    select = orphans([str(_earlier_path(context, table))], names, now, names).distinct()
    output = Path("keys") / f"{_ordinal(context, mapping.name)}-vanished.parquet"
    rows = context.engine.to_parquet(DIALECTS[context.engine.dialect].render(select), output)
    found = pq.ParquetFile(context.folder.work / output)
    _write_list(context, "vanished", mapping, table.key, (batch.to_pylist() for batch in found.iter_batches(1000)))
    yield Event("vanished_listed", {"mapping": mapping.name, "rows": rows})


def list_skipped(context: RunContext, mapping: TableMapping) -> int:
    """List the source keys of the rows that `on_conflict: skip` left alone, and return their number.

    Effects: a CSV of the run's folder, if there is such a row.
    """

    def batches() -> Iterator[list[dict[str, object]]]:
        for segment in context.segments[mapping.from_]:
            fates = pq.read_table(context.folder.work / fates_path(context, mapping, segment.index))
            kept = [name for name in fates.column_names if name.startswith("_k")]
            yield fates.filter(pc.equal(fates[BUCKET], "skipped")).select(kept).to_pylist()

    return _write_list(context, "skipped", mapping, mapping.key, batches())


def _write_list(
    context: RunContext,
    what: str,
    mapping: TableMapping,
    header: Sequence[str],
    batches: Iterable[list[dict[str, object]]],
) -> int:
    folder = context.folder.keys
    folder.mkdir(exist_ok=True, mode=0o700)
    final = folder / f"{what}-{_ordinal(context, mapping.name)}-{file_word(mapping.name)}.csv"
    partial = final.with_suffix(".partial")
    count = 0
    opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for batch in batches:
            writer.writerows([readable(_as_text(value)) for value in row.values()] for row in batch)
            count += len(batch)
    if count:
        partial.rename(final)
    else:
        partial.unlink()
    return count


def _key_fields(table: TargetTable) -> pa.Schema:
    names = physical_names(table.key)
    return pa.schema([table.arrow_schema.field(name).with_name(names[name]).with_nullable(True) for name in table.key])


def _earlier_path(context: RunContext, table: TargetTable) -> Path:
    return Path("keys") / f"{_ordinal(context, table.mapping)}-earlier.parquet"


def _ordinal(context: BatchContext, mapping: str) -> str:
    return f"m{list(context.plan.tables).index(mapping):03d}"


def _as_text(value: object) -> object:
    return str(UUID(bytes=value)) if isinstance(value, bytes) and len(value) == _UUID_BYTES else value
