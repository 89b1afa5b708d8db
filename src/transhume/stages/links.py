"""Links: the key and reference columns of the rows that a run stages, kept beside it for the checks of whole tables.

The rows are those that were handed to the target. That the target holds exactly these, bit by bit, is what reading
each batch back has proved; so the checks need not read them a second time.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import StagedBatch, TargetTable, row_numbers
from transhume.checks.references import references
from transhume.schema import physical_names
from transhume.stages.context import BatchContext, RunContext
from transhume.stages.files import write_private_parquet


def linked_columns(context: BatchContext, table: TargetTable) -> dict[str, str]:
    """Return the columns of a target table that are its key, refer to a row, or are referred to; with safe names."""
    wanted = [*table.key]
    fillers = {name for name, each in context.tables.items() if each.table.name == table.table.name}
    for reference in references(context.plan, context.tables):
        # Files of all mappings into one table have the same columns, as far as each of them fills these.
        wanted += reference.columns if reference.child in fillers else ()
        wanted += reference.keys if reference.parent in fillers else ()
    return physical_names(name for name in dict.fromkeys(wanted) if table.table.column(name) is not None)


def links_path(context: BatchContext, table: TargetTable, index: int) -> Path:
    """Return where the links of one batch stand, relative to the work folder."""
    return Path("links") / f"m{list(context.tables).index(table.mapping):03d}" / f"{index:06d}.parquet"


def write_links(context: BatchContext, table: TargetTable, rows: pa.Table, line: StagedBatch) -> str:
    """Keep the links of the rows that were staged of one batch and return the file's hash."""
    names = linked_columns(context, table)
    kept = rows.select(list(names)).rename_columns(list(names.values()))
    left_out = line.left_out
    if left_out:
        places = row_numbers(0, rows.num_rows)
        kept = kept.filter(pc.invert(pc.is_in(places, value_set=pa.array(left_out, places.type))))
    return write_private_parquet(context.folder.work / links_path(context, table, line.batch.index), kept)


def unchanged_path(context: BatchContext, table: TargetTable, index: int) -> Path:
    """Return where the keys of one batch's unchanged rows stand, relative to the work folder."""
    return Path("unchanged") / f"m{list(context.tables).index(table.mapping):03d}" / f"{index:06d}.parquet"


def write_unchanged(context: BatchContext, table: TargetTable, rows: pa.Table, line: StagedBatch) -> str:
    """Keep the target keys of the rows that the target had already and return the file's hash; "" for no such row."""
    if not line.unchanged:
        return ""
    names = physical_names(table.key)
    kept = rows.select(list(names)).rename_columns(list(names.values())).take(pa.array(line.unchanged))
    return write_private_parquet(context.folder.work / unchanged_path(context, table, line.batch.index), kept)


def unchanged_links(context: RunContext, table: TargetTable) -> tuple[list[str], dict[str, str]]:
    """Return the files with the keys of all rows that the target had already, and the names of the columns in them."""
    segments = context.segments[context.plan.tables[table.mapping].from_]
    paths = [unchanged_path(context, table, segment.index) for segment in segments]
    return [str(path) for path in paths if (context.folder.work / path).exists()], physical_names(table.key)


def staged_links(context: RunContext, table: TargetTable) -> tuple[list[str], dict[str, str]]:
    """Return the files with the links of all staged rows of a table, and the names of the columns in them."""
    segments = context.segments[context.plan.tables[table.mapping].from_]
    paths = [str(links_path(context, table, segment.index)) for segment in segments]
    return paths, linked_columns(context, table)
