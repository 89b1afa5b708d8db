"""Transform: segments through the rules in the engine's process, one ahead of whoever takes the rows."""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from transhume import operations as op
from transhume.batches import Segment, TargetTable, arrow_type, row_numbers
from transhume.compiler import compile_transform
from transhume.dialects import DIALECTS
from transhume.errors import CheckFailed
from transhume.plan.model import TableMapping
from transhume.schema import BOOKKEEPING, ROW, UUID, Kind
from transhume.stages.ahead import ahead
from transhume.stages.context import BatchContext, WorkContext
from transhume.stages.files import write_private_parquet

BUCKET = "_bucket"
"""Column of the fates files: which of `checks.counts.BUCKETS` the row is in."""
OUTSIDE = "outside"
"""Bucket and fate of rows that are outside of the run's part of the source."""
_AHEAD = 2
"""Batches that the engine's threads make side by side while one is being taken; so many more are on disk."""
_SHARED_BYTES = 64 * 2**20
_SEGMENTS_MAX = 8
"""Where more is joined, each statement looks through all of it: at least so many segments share one as it has times so
many bytes. Each further one costs memory for the joined rows that it needs: eight 190 MB, at four million rows."""
_JOINED_BYTES_MAX = 8 * 2**20
"""Size of the joined files up to which their rows may be in memory for a whole table."""


@dataclass(frozen=True, slots=True)
class Transformed:
    """One segment after its rules: an IPC file of the engine, with how long it took."""

    mapping: str
    segment: Segment
    path: Path
    duration_s: float
    uuids: frozenset[str] = frozenset()

    @contextmanager
    def open(self) -> Iterator[pa.Table]:
        """Give the rows, mapped from the file; the file is removed when the last user is done.

        Raises: CheckFailed if they are not the rows of the segment, each once, in their order.
        """
        with pa.memory_map(str(self.path)) as mapped:
            result = pa.ipc.open_file(mapped).read_all()
            yield rows_of_segment(result, self.mapping, self.segment, self.uuids)
        self.path.unlink(missing_ok=True)


def transform(context: WorkContext, mapping: TableMapping, segments: Sequence[Segment]) -> Iterator[Transformed]:
    """Yield these segments of the mapping's source table after their rules, each once, as they are finished.

    Raises: EngineCrashed; the batch under way counts as not done.
    """
    return ahead(_made(context, mapping, segments), _AHEAD, "transform")


def _made(context: WorkContext, mapping: TableMapping, segments: Sequence[Segment]) -> Generator[Transformed]:
    (context.folder.work / "out").mkdir(exist_ok=True, mode=0o700)
    uuids = uuid_columns(context.tables[mapping.name])
    for sql, covered in _statements(context, mapping, segments):
        outputs = [Path("out") / f"{segment.index:06d}.arrow" for segment in covered]
        ranges = [
            (output, segment.first_row, segment.row_count) for output, segment in zip(outputs, covered, strict=True)
        ]
        started = monotonic()
        with contextlib.closing(context.engine.to_arrow_files(sql, ROW, ranges)) as written:
            for place in written:
                path = context.folder.work / outputs[place]
                yield Transformed(mapping.name, covered[place], path, monotonic() - started, uuids)
                started = monotonic()


def _statements(
    context: WorkContext, mapping: TableMapping, segments: Sequence[Segment]
) -> Iterator[tuple[str, Sequence[Segment]]]:
    """Yield the SQL that transforms these segments, with the segments that each statement gives.

    One statement for all of them where what is joined is small: a statement costs 0.2 s of CPU before its first row,
    and its segments then run side by side. Else one for every few segments, which holds only the joined rows that these
    need, so that memory does not grow with the tables; it reads all that is joined to find them.
    """
    dialect = DIALECTS[context.engine.dialect]
    target, facts = context.tables[mapping.name], context.facts()
    paths = [segment.path for segment in segments]
    if not paths:
        return
    tree = compile_transform(context.plan, mapping, facts, target, paths)
    joined_bytes = _joined_bytes(context, tree, paths)
    if joined_bytes <= _JOINED_BYTES_MAX:
        yield dialect.render(tree), segments
        return
    # Compiled once for each number of segments, as they differ in their paths only; placeholders are paths that nothing
    # else in the SQL can be equal to.
    compiled: dict[int, str] = {}
    together = max(context.engine.segments_together, min(_SEGMENTS_MAX, joined_bytes // _SHARED_BYTES))
    names = [f"segment-{uuid4().hex}.parquet" for _ in range(together)]
    for first in range(0, len(segments), together):
        covered = segments[first : first + together]
        count = len(covered)
        if count not in compiled:
            compiled[count] = dialect.render(compile_transform(context.plan, mapping, facts, target, names[:count]))
        sql = compiled[count]
        for name, segment in zip(names, covered, strict=False):
            # Segment paths are made by the extract and hold no quote.
            assert "'" not in segment.path
            sql = sql.replace(name, segment.path)
        yield sql, covered


def _joined_bytes(context: WorkContext, tree: exp.Expression, own: Sequence[str]) -> int:
    """Return the size of the files that a statement reads beside these."""
    read = {path.name for files in tree.find_all(op.ParquetFiles) for path in files.expressions}
    return sum((context.folder.work / path).stat().st_size for path in read.difference(own))


def uuid_columns(target: TargetTable) -> frozenset[str]:
    """Return the columns of a target table that hold UUIDs: an engine without such a type gives them as bytes."""
    columns = target.table.columns
    return frozenset(column.name for column in columns if column.type is not None and column.type.kind is Kind.UUID)


def rows_of_segment(result: pa.Table, mapping: str, segment: Segment, uuids: frozenset[str]) -> pa.Table:
    """Return the rows in the order of the extract: what the target says of places in a batch is true in a resume too.

    `uuids` are the columns that hold UUIDs. Raises: CheckFailed unless they are the rows of the segment, each once.
    """
    for place, name in enumerate(result.column_names):
        if name in uuids and result.schema.field(place).type != arrow_type(UUID):
            result = result.set_column(place, name, result.column(place).cast(arrow_type(UUID)))
    expected = row_numbers(segment.first_row, segment.row_count)
    if result[ROW].combine_chunks() == expected:
        return result
    result = result.take(pc.sort_indices(result[ROW]))
    if result[ROW].combine_chunks() != expected:
        message = (
            f"batch {mapping}/{segment.index}: the engine gave other rows ({result.num_rows}) than the "
            f"{segment.row_count} rows of the extract; nothing of this batch was staged. "
            "This is a bug of transhume: keep the run's folder and report it."
        )
        raise CheckFailed(message)
    return result


def fates_path(context: BatchContext, mapping: TableMapping, index: int) -> Path:
    """Return where the fates of one batch stand, relative to the work folder."""
    ordinal = list(context.plan.tables).index(mapping.name)
    return Path("fates") / f"m{ordinal:03d}" / f"{index:06d}.parquet"


def whole_fates_path(path: Path) -> Path:
    """Return where the same fates stand for all rows, where the run brings a part of the source only."""
    return Path("subset") / path


def write_fates(
    context: BatchContext, mapping: TableMapping, segment: Segment, result: pa.Table, buckets: pa.Array
) -> str:
    """Keep what became of each row of a batch (keys, fate, reasons, bucket) and return the file's hash."""
    kept = [name for name in result.column_names if name in BOOKKEEPING or name.startswith("_k")]
    fates = result.select(kept).append_column(BUCKET, buckets)
    return write_private_parquet(context.folder.work / fates_path(context, mapping, segment.index), fates)


def count_lines(texts: pa.ChunkedArray) -> dict[str, int]:
    """Count the lines of texts that hold one reason or note a line."""
    counts: Counter[str] = Counter()
    for pair in pc.value_counts(texts.drop_null()).to_pylist():
        for line in pair["values"].split("\n"):
            counts[line] += pair["counts"]
    return dict(sorted(counts.items()))
