"""Transform: each segment through the rules in the engine's process, one ahead of whoever takes the rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import Segment
from transhume.compiler import compile_transform
from transhume.dialects import DIALECTS
from transhume.errors import CheckFailed
from transhume.plan.model import TableMapping
from transhume.schema import BOOKKEEPING
from transhume.stages.context import WorkContext
from transhume.stages.files import write_private_parquet

BUCKET = "_bucket"
"""Column of the fates files: which of `checks.counts.BUCKETS` the row is in."""
_AHEAD = 2
"""Batches that are on disk at any time: the one being taken and the one being made."""


@dataclass(frozen=True, slots=True)
class Transformed:
    """One segment after its rules: an IPC file of the engine, with how long it took."""

    mapping: str
    segment: Segment
    path: Path
    duration_s: float

    @contextmanager
    def open(self) -> Iterator[pa.Table]:
        """Give the rows, mapped from the file; the file is removed when the last user is done.

        Raises: CheckFailed if a row is missing or one too many.
        """
        with pa.memory_map(str(self.path)) as mapped:
            result = pa.ipc.open_file(mapped).read_all()
            if result.num_rows != self.segment.row_count:
                message = (
                    f"batch {self.mapping}/{self.segment.index}: the engine gave {result.num_rows} rows for "
                    f"{self.segment.row_count} rows of the extract; nothing of this batch was staged. "
                    "This is a bug of transhume: keep the run's folder and report it."
                )
                raise CheckFailed(message)
            yield result
        self.path.unlink(missing_ok=True)


def transform(context: WorkContext, mapping: TableMapping, segments: Sequence[Segment]) -> Iterator[Transformed]:
    """Yield these segments of the mapping's source table after their rules, in order.

    Raises: EngineCrashed; the batch under way counts as not done.
    """
    with ThreadPoolExecutor(1, "transform") as engine:
        ahead = iter(segments)
        sql = _SegmentSql(context, mapping)
        waiting: list[Future[Transformed]] = []

        def submit() -> None:
            segment = next(ahead, None)
            if segment is not None:
                waiting.append(engine.submit(_transform, context, mapping, segment, sql.over(segment.path)))

        for _ in range(_AHEAD):
            submit()
        while waiting:
            yield waiting.pop(0).result()
            submit()


class _SegmentSql:
    """The SQL that transforms a segment of one mapping: compiled once, since segments differ in their path only."""

    def __init__(self, context: WorkContext, mapping: TableMapping) -> None:
        dialect = DIALECTS[context.engine.dialect]
        # A path that nothing else in the SQL can be equal to.
        self._placeholder = f"segment-{uuid4().hex}.parquet"
        target = context.tables[mapping.name]
        tree = compile_transform(context.plan, mapping, context.facts(), target, self._placeholder)
        self._sql = dialect.render(tree)

    def over(self, path: str) -> str:
        """Return the SQL over one segment file; segment paths are made by the extract and hold no quote."""
        assert "'" not in path
        return self._sql.replace(self._placeholder, path)


def fates_path(context: WorkContext, mapping: TableMapping, index: int) -> Path:
    """Return where the fates of one batch stand, relative to the work folder."""
    ordinal = list(context.plan.tables).index(mapping.name)
    return Path("fates") / f"m{ordinal:03d}" / f"{index:06d}.parquet"


def write_fates(
    context: WorkContext, mapping: TableMapping, segment: Segment, result: pa.Table, buckets: pa.Array
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


def _transform(context: WorkContext, mapping: TableMapping, segment: Segment, sql: str) -> Transformed:
    started = monotonic()
    output = Path("out") / f"{segment.index:06d}.arrow"
    (context.folder.work / "out").mkdir(exist_ok=True, mode=0o700)
    context.engine.to_arrow(sql, output)
    return Transformed(mapping.name, segment, context.folder.work / output, monotonic() - started)
