"""Publish: all staged rows of all tables become visible at one instant; then what is visible is compared again."""

from collections import Counter
from collections.abc import Iterator
from time import monotonic

from transhume.batches import Event, TargetTable
from transhume.errors import CheckFailed
from transhume.stages.context import RunContext


def publish(context: RunContext, order: list[TargetTable]) -> Iterator[Event]:
    """Make the run visible, parents before children, in one transaction of the target.

    Yields: publish_started, published. An earlier process may have published already: the ledger says so.
    Raises: CheckFailed if the target moved in between; nothing was changed then.
    """
    if context.target.state != "published":
        yield Event("publish_started", {"tables": [table.mapping for table in order]})
    started = monotonic()
    tables = context.target.publish(order)
    # Several mappings may fill one table: their rows add up.
    counts: dict[str, Counter[str]] = {}
    for table in tables:
        words = ("inserted", "unchanged", "updated", "skipped")
        counts.setdefault(table.table, Counter()).update({word: getattr(table, word) for word in words})
    fields = {
        "tables": {name: dict(count) for name, count in counts.items()},
        "duration_s": round(monotonic() - started, 3),
    }
    yield Event("published", fields)


def verify(context: RunContext, order: list[TargetTable]) -> Iterator[Event]:
    """Compare what readers of the target now see of this run with what was staged, every value.

    Triggers, defaults and rules of the target cannot hide here. Yields: table_verified, one a table.
    Raises: CheckFailed, naming table, row and column; the run is published and can be rolled back.
    """
    for table in order:
        started = monotonic()
        mismatches = context.target.verify(table)
        if mismatches:
            shown = "; ".join(f"row {m.row} column '{m.column}'" for m in mismatches[:5])
            message = (
                f"table '{table.table.name}' does not show what was staged ({shown}); the run is published. "
                "Something in the target changed rows while they were published: roll the run back and look there."
            )
            raise CheckFailed(message)
        yield Event("table_verified", {"mapping": table.mapping, "duration_s": round(monotonic() - started, 3)})
