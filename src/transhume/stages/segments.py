"""Segments: files of an extract, written and told of."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import Event, Segment, extract_schema
from transhume.errors import SystemUnavailable
from transhume.schema import ODD, Table
from transhume.stages.files import write_private_parquet


def write_segment(work: Path, path: Path, table: Table, index: int, first_row: int, batch: pa.RecordBatch) -> Segment:
    """Write a batch of an extract as one durable file and return its segment. Raises: SystemUnavailable."""
    final = work / path
    try:
        digest = write_private_parquet(final, pa.Table.from_batches([batch], extract_schema(table)), durable=True)
    except OSError as error:
        message = (
            f"segment {index} of table '{table.name}' not written to '{final}' ({error.strerror}); "
            "the source and the target are untouched. Make room, then run the same command again."
        )
        raise SystemUnavailable(message) from error
    return Segment(
        table=table.name,
        index=index,
        path=str(path),
        first_row=first_row,
        row_count=batch.num_rows,
        size_bytes=final.stat().st_size,
        sha256=digest,
        odd_columns=odd_columns(batch),
    )


def odd_columns(batch: pa.RecordBatch) -> tuple[str, ...]:
    """Return the names of the columns in which a batch of an extract has odd values."""
    odd = batch.column(ODD)
    if odd.null_count == len(odd):
        return ()
    names = pc.unique(pc.struct_field(pc.list_flatten(odd), "name"))
    return tuple(sorted(names.to_pylist()))


def segment_event(segment: Segment) -> Event:
    """Return what the journal is told of a segment; `segment_of` reads it."""
    return Event("segment_written", {**asdict(segment), "odd_columns": list(segment.odd_columns)})


def segment_of(fields: Mapping[str, Any]) -> Segment:
    """Return a segment from what the journal was told of it."""
    values = dict(fields)
    return Segment(**{**values, "odd_columns": tuple(values["odd_columns"])})
