"""Rejects and manifest: rejected rows whole, for machines and for people; old paths beside new URIs."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from transhume.batches import Segment
from transhume.plan.model import Plan, TableMapping
from transhume.rules.rule import ColumnRef
from transhume.schema import FATE, LINE, LINE_CLASS, ODD, REASONS, ROW, Column, Table, physical_names
from transhume.stages.cells import cell_of, readable
from transhume.stages.context import BatchContext, RunContext, WorkContext
from transhume.stages.files import private_file, write_private_parquet

CONFLICT_REASON = "conflict"
_KEPT = ("rejected", "conflict")
"""Buckets whose rows are kept whole for a person to look at."""
MARK = "transhume_row"
"""First column of the tables for people: run, mapping and row, by which a repaired row is known again."""


def rejects_path(context: BatchContext, mapping: TableMapping, index: int) -> Path:
    """Return where the rejects of one batch stand, relative to the rejects folder."""
    return rejects_place(context.plan, mapping.name, index)


def rejects_place(plan: Plan, mapping: str, index: int) -> Path:
    """Return the same for a run of this plan."""
    return Path(_ordinal(plan, mapping)) / f"{index:06d}.parquet"


def mark_of(run: str, plan: Plan, mapping: str, row: int) -> str:
    """Return the mark of a rejected row."""
    return f"{run}.{_ordinal(plan, mapping)}.{row}"


def header_of(source: Table) -> list[str]:
    """Return the header of a table of rejects: ours first, then the source's columns under their own names."""
    ours = [MARK, "reasons", *(["line"] if source.located else [])]
    return [*ours, *(column.name for column in carried(source))]


def carried(source: Table) -> list[Column]:
    """Return the columns that an extract of the table has."""
    return [column for column in source.columns if column.type is not None]


def cells_of(source: Table) -> Callable[[Mapping[str, Any]], list[str]]:
    """Return what gives the source's columns of a rejected row as cells; an odd value is shown with its class."""
    names = physical_names(column.name for column in source.columns)
    columns = [(column, names[column.name]) for column in carried(source)]

    def cells(row: Mapping[str, Any]) -> list[str]:
        entries = [each for each in row[ODD] or () if each["class"] != LINE_CLASS or each["value"]]
        if not entries:
            return [cell_of(row.get(name), column) for column, name in columns]
        odd = {each["name"]: _odd_text(each) for each in entries}
        return [
            readable(odd[column.name]) if column.name in odd else cell_of(row.get(name), column)
            for column, name in columns
        ]

    return cells


def write_rejects(
    context: BatchContext, mapping: TableMapping, segment: Segment, result: pa.Table, buckets: pa.Array
) -> str:
    """Keep every rejected row of a batch whole: all source columns as extracted, odd values, all its reasons.

    Returns the file's hash.
    """
    positions = pc.indices_nonzero(pc.is_in(buckets, value_set=pa.array(_KEPT)))
    file = context.folder.work / segment.path
    source = _columns(file) if len(positions) else pq.read_schema(file).empty_table()
    rows = source.take(pc.subtract(result[ROW].take(positions), segment.first_row))
    is_conflict = pc.equal(buckets.take(positions), "conflict")
    reasons = pc.if_else(is_conflict, CONFLICT_REASON, result[REASONS].combine_chunks().take(positions))
    table = rows.append_column(REASONS, reasons)
    return write_private_parquet(context.folder.rejects / rejects_path(context, mapping, segment.index), table)


def _columns(file: Path, names: list[str] | None = None) -> pa.Table:
    """Read a segment in this thread alone: side by side its columns take twice the processor, which others need."""
    with pq.ParquetFile(file, memory_map=True) as opened:
        return opened.read(names, use_threads=False)


def write_rejects_for_people(context: RunContext, mapping: TableMapping) -> int:
    """Write one CSV with all rejects of a mapping, if it has any, and return their number.

    Mark and reasons first, then the line where the source is a text file, then the source's columns under their own
    names; a bad line stands whole in the first of them. `cells` says what a cell means: repaired rows come back by
    `run --replay-rejects`.
    """
    source = context.source_catalog.tables[mapping.from_]
    run = context.folder.root.name
    final = context.folder.rejects / f"{_folder(context, mapping)}-{file_word(mapping.name)}.csv"
    partial = final.with_suffix(".partial")
    count, cells = 0, cells_of(source)
    with os.fdopen(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="", encoding="utf-8"
    ) as file:
        writer = csv.writer(file)
        writer.writerow(header_of(source))
        for row in _rejected(context, mapping):
            located = [row[LINE]] if source.located else []
            ours = [mark_of(run, context.plan, mapping.name, row[ROW]), row[REASONS].replace("\n", ", "), *located]
            writer.writerow([*ours, *cells(row)])
            count += 1
    if count:
        partial.rename(final)
    else:
        partial.unlink()
    return count


def write_manifest(context: BatchContext, mapping: TableMapping, segment: Segment, result: pa.Table) -> None:
    """Write old path and new URI of every loaded row of a batch, for whoever copies the artefacts."""
    names = physical_names(column.name for column in context.tables[mapping.name].table.columns)
    for column, source_name in _paths(context, mapping):
        is_wanted = pc.and_(pc.equal(result[FATE], "loaded"), pc.is_valid(result[names[column]]))
        loaded = result.select([ROW, names[column]]).filter(is_wanted)
        source = _columns(context.folder.work / segment.path, [source_name])
        old = source.take(pc.subtract(loaded[ROW], segment.first_row)).column(0)
        pairs = pa.table({"old_path": old, "new_uri": loaded[names[column]]})
        part = _manifest(context, mapping, column).with_suffix(f".{segment.index:06d}.part")
        part.parent.mkdir(exist_ok=True, mode=0o700)
        pyarrow.csv.write_csv(pairs, private_file(part), pyarrow.csv.WriteOptions(include_header=segment.index == 0))


def join_manifest(context: RunContext, mapping: TableMapping) -> int:
    """Make one CSV of the parts that the batches of a mapping wrote, and return the number of parts.

    Parts of an earlier process are there already; if it had come to removing them, beginning with the first, the whole
    is there, too.
    """
    count = 0
    for column, _ in _paths(context, mapping):
        final = _manifest(context, mapping, column)
        parts = sorted(final.parent.glob(f"{final.stem}.*.part"))
        count += len(parts)
        if parts and not (final.exists() and not parts[0].name.endswith(".000000.part")):
            partial = private_file(final.with_suffix(".partial"))
            with partial.open("wb") as file:
                for part in parts:
                    file.write(part.read_bytes())
            partial.rename(final)
        for part in parts:
            part.unlink()
    return count


def _paths(context: BatchContext, mapping: TableMapping) -> Iterator[tuple[str, str]]:
    """Yield target column and physical source column of every `path` rule over a column of the mapping's own table."""
    source_table = context.source_catalog.tables[mapping.from_]
    source_names = physical_names(column.name for column in source_table.columns)
    for column, rule in mapping.columns.items():
        argument = next(iter(rule.arguments()), None)
        if rule.verb == "path" and isinstance(argument, ColumnRef) and argument.name in source_names:
            yield column, source_names[argument.name]


def _manifest(context: BatchContext, mapping: TableMapping, column: str) -> Path:
    return context.folder.root / "artifacts" / f"{file_word(mapping.name)}-{file_word(column)}.csv"


def _rejected(context: RunContext, mapping: TableMapping) -> Iterator[Mapping[str, Any]]:
    for segment in context.segments[mapping.from_]:
        with pq.ParquetFile(context.folder.rejects / rejects_path(context, mapping, segment.index)) as file:
            for batch in file.iter_batches(1000):
                yield from batch.to_pylist()


def _folder(context: WorkContext, mapping: TableMapping) -> Path:
    return Path(_ordinal(context.plan, mapping.name))


def _ordinal(plan: Plan, mapping: str) -> str:
    return f"m{list(plan.tables).index(mapping):03d}"


def file_word(name: str) -> str:
    """Return a name as part of a file name: letters, digits, `_` and `-` stay."""
    return "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in name)[:80]


def _odd_text(odd: Mapping[str, Any]) -> str:
    value: bytes = odd["value"]
    return f"{value.decode(errors='backslashreplace')} ({odd['class']})"
