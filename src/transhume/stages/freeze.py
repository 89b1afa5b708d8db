"""Whether the source stood still: its tables since the extract, before publishing and at the end of a run.

A system's cheapest reliable sign is asked first; tables of which it only says that they may have changed are read
again and compared with the extract.
"""

from collections.abc import Iterator, Sequence
from time import monotonic

import pyarrow as pa
import pyarrow.parquet as pq

from transhume.batches import Event, Segment
from transhume.errors import CheckFailed, Finding, TranshumeError
from transhume.schema import Table
from transhume.stages.context import RunContext
from transhume.systems.changes import Watched
from transhume.systems.system import Snapshot

BEFORE_PUBLISH, AT_END = "before publishing", "at the end"


def watch(context: RunContext, when: str) -> Iterator[Event]:
    """Say which source tables have other rows now than in the extract. Nothing is said of a replay, which reads none.

    Yields: source_watched (`changed`: words by table, `unknown`: why nothing is known).
    Raises: CheckFailed before publishing, where the plan says `freeze: enforce` and a table changed.
    """
    started = context.journal.last("extract_started")
    if context.plan.freeze == "off" or started is None or "replay_of" in started.fields:
        return
    began = monotonic()
    mark = str(started.fields.get("mark", ""))
    fields: dict[str, object] = {"when": when, "changed": {}, "unknown": ""}
    if not mark or not isinstance(context.source, Watched):
        fields["unknown"] = "this system has no sign by which a change is known"
    else:
        try:
            fields["changed"] = _changed(context, context.source, mark)
        except TranshumeError as problem:
            # Whatever keeps the source from being asked, what was extracted is whole.
            fields["unknown"] = f"the source could not be asked ({type(problem).__name__})"
    fields["duration_s"] = round(monotonic() - began, 3)
    yield Event("source_watched", fields)
    changed = fields["changed"]
    assert isinstance(changed, dict)
    if changed and when == BEFORE_PUBLISH and context.plan.freeze == "enforce":
        findings = [Finding("freeze", "error", f"'{name}': {words}", table=name) for name, words in changed.items()]
        message = "the source changed although it is frozen; nothing was published. Begin a new run with --fresh."
        raise CheckFailed(message, findings)


def _changed(context: RunContext, source: Watched, mark: str) -> dict[str, str]:
    tables = [context.source_catalog.tables[name] for name in context.source_tables()]
    counts = {name: sum(segment.row_count for segment in segments) for name, segments in context.segments.items()}
    found = dict(source.changed(mark, tables, counts))
    doubtful = [name for name, words in found.items() if not words]
    if doubtful:
        with context.source.snapshot() as snapshot:
            for name in doubtful:
                table = context.source_catalog.tables[name]
                if words := _compared(context, snapshot, table, context.segments[name]):
                    found[name] = words
                else:
                    del found[name]
    return found


def _compared(context: RunContext, snapshot: Snapshot, table: Table, segments: Sequence[Segment]) -> str:
    """Read a table again, beside its extract; return what differs in words, "" where nothing does."""

    def kept() -> Iterator[pa.RecordBatch]:
        for segment in segments:
            with pq.ParquetFile(context.folder.work / segment.path) as file:
                yield from file.iter_batches()

    now = (batch for batch in snapshot.read(table, context.limits.segment_rows_max, context.limits.segment_bytes_max))
    ours, theirs = _Stream(kept()), _Stream(now)
    while True:
        rows = min(ours.ahead(), theirs.ahead())
        if not rows:
            break
        if not ours.take(rows).equals(theirs.take(rows)):
            return "its rows are others than in the extract"
    if ours.ahead() or theirs.ahead():
        return "it has more or fewer rows than in the extract"
    return ""


class _Stream:
    """Batches of any size, to be taken in pieces of any size."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._held: pa.RecordBatch | None = None

    def ahead(self) -> int:
        """Return how many rows can be taken now; 0 at the end."""
        while self._held is None or not self._held.num_rows:
            self._held = next(self._batches, None)
            if self._held is None:
                return 0
        return int(self._held.num_rows)

    def take(self, rows: int) -> pa.RecordBatch:
        """Take as many rows."""
        assert self._held is not None
        taken, self._held = self._held.slice(0, rows), self._held.slice(rows)
        return taken
