"""Publish: all staged rows of all tables become visible at one instant; then what is visible is compared again."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Self

from transhume.batches import Event, TargetTable
from transhume.engines.engine import TaskFiles
from transhume.errors import CheckFailed
from transhume.stages.context import RunContext
from transhume.stages.reach import engine_at_target
from transhume.systems.permission import Permission
from transhume.systems.system import Mismatch, PublishedTable, Verification, VerifiesInTasks

_AHEAD_ROWS_MAX = 2_000_000
"""How many of a run's rows may be to come yet when the target begins to prepare the publishing.

The open transaction keeps the server from cleaning up behind others, so it is begun seconds before, not hours.
"""


class Publishing:
    """The publishing of a run, prepared by the target while the last tables are staged and everything is checked.

    To be used in a `with` around both: whatever ends it before `finish` ends the preparation without a trace.
    """

    def __init__(self, context: RunContext, order: Sequence[TargetTable]) -> None:
        """Take the tables, parents first; nothing begins yet."""
        self._context, self._order = context, order
        self._permission = Permission()
        self._publisher = ThreadPoolExecutor(1, "publish")
        self._publishing: Future[Sequence[PublishedTable]] | None = None
        self._rows_left = {table.mapping: _rows_of(context, table) for table in order}

    def __enter__(self) -> Self:
        """Begin nothing yet."""
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        """End what is being prepared."""
        if problem is not None:
            self._permission.refuse(problem)
        self._publisher.shutdown()

    def tell(self, event: Event) -> None:
        """Hear what happened while rows are staged; the target begins to prepare once few of them are left."""
        mapping = str(event.fields.get("mapping"))
        if event.kind == "batch_compared":
            self._permission.add_compared(mapping, int(event.fields["batch"]))
            self._rows_left[mapping] -= int(event.fields["rows"])
        elif event.kind == "table_staged":
            self._permission.add_whole(mapping)
            self._rows_left[mapping] = 0
        else:
            return
        if sum(self._rows_left.values()) <= _AHEAD_ROWS_MAX:
            self._begin()

    def finish(self, checks: Iterator[Event]) -> Iterator[Event]:
        """Make the run visible, parents before children, in one transaction of the target, once `checks` are through.

        Yields: what the checks yield, publish_started, published. An earlier process may have published already: the
        ledger says so, and nothing is checked. The commit is asked for after publish_started is journalled.
        Raises: what the checks raise; CheckFailed if the target moved in between; nothing was changed then.
        """
        if self._context.target.state != "published":
            self._begin()
            yield from checks
            yield Event("publish_started", {"tables": [table.mapping for table in self._order]})
        started = monotonic()
        self._permission.give()
        yield _published(self._begin().result(), started)

    def _begin(self) -> "Future[Sequence[PublishedTable]]":
        if self._publishing is None:
            self._publishing = self._publisher.submit(self._context.target.publish, self._order, self._permission)
        return self._publishing


def _rows_of(context: RunContext, table: TargetTable) -> int:
    segments = context.segments.get(context.plan.tables[table.mapping].from_, ())
    return sum(segment.row_count for segment in segments)


def _published(tables: Sequence[PublishedTable], started: float) -> Event:
    # Several mappings may fill one table: their rows add up.
    counts: dict[str, Counter[str]] = {}
    for table in tables:
        words = ("inserted", "unchanged", "updated", "skipped")
        counts.setdefault(table.table, Counter()).update({word: getattr(table, word) for word in words})
    fields = {
        "tables": {name: dict(count) for name, count in counts.items()},
        "duration_s": round(monotonic() - started, 3),
    }
    return Event("published", fields)


def verify(context: RunContext, order: list[TargetTable]) -> Iterator[Event]:
    """Compare what readers of the target now see of this run with what was staged, every value.

    Triggers, defaults and rules of the target cannot hide here. Yields: table_verified, one a table.
    Raises: CheckFailed, naming table, row and column; the run is published and can be rolled back.
    """
    for table in order:
        started = monotonic()
        mismatches = verified(context, table)
        if mismatches:
            shown = "; ".join(f"row {m.row} column '{m.column}'" for m in mismatches[:5])
            message = (
                f"table '{table.table.name}' does not show what was staged ({shown}); the run is published. "
                "Something in the target changed rows while they were published: roll the run back and look there."
            )
            raise CheckFailed(message)
        yield Event("table_verified", {"mapping": table.mapping, "duration_s": round(monotonic() - started, 3)})


def verified(context: RunContext, table: TargetTable) -> Sequence[Mismatch]:
    """Verify a table: by the target, or by an engine's tasks where the rows must come out of it to be compared."""
    target = context.target
    engine = engine_at_target(context) if isinstance(target, VerifiesInTasks) else None
    if engine is None or not isinstance(target, VerifiesInTasks):
        return target.verify(table)
    mismatches, parts = target.divided(table)
    found = [
        Mismatch(**each)
        for done in engine.each(len(parts), _Verifying(tuple(parts)))
        for each in json.loads(done.answer)
    ]
    return [*mismatches, *found]


@dataclass(frozen=True, slots=True)
class _Verifying:
    """What a task does with a part of a table."""

    parts: tuple[Verification, ...]

    def __call__(self, place: int, files: TaskFiles) -> bytes:  # noqa: ARG002 - nothing is written
        return json.dumps([asdict(each) for each in self.parts[place].run()]).encode()
