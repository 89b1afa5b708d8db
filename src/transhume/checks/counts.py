"""Counts: every source row is in exactly one bucket, and rejects stay within the plan's limit."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from transhume.batches import Event
from transhume.checks import CheckResult
from transhume.plan.model import RejectLimit

BUCKETS = ("loaded", "unchanged", "updated", "skipped", "conflict", "rejected", "filtered", "deduplicated", "outside")


@dataclass(slots=True)
class TableTally:
    """Where the rows of one table mapping went; `reasons` counts each reason of each rejected row."""

    mapping: str
    read: int = 0
    loaded: int = 0
    unchanged: int = 0
    updated: int = 0
    skipped: int = 0
    conflict: int = 0
    rejected: int = 0
    filtered: int = 0
    deduplicated: int = 0
    outside: int = 0
    vanished: int = 0
    """Keys that earlier runs brought and the source has no more; no bucket, because no row was read."""
    notes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    batches: int = 0
    busy_s: float = 0.0

    @property
    def accounted(self) -> int:
        """Rows that are in a bucket."""
        return sum(getattr(self, bucket) for bucket in BUCKETS)

    @property
    def staged(self) -> int:
        """Rows that the run brings into the target: new ones and those that replace others."""
        return self.loaded + self.updated

    def to_dict(self) -> dict[str, Any]:
        """Return the tally as JSON values."""
        return {
            "mapping": self.mapping,
            "read": self.read,
            **{bucket: getattr(self, bucket) for bucket in BUCKETS},
            "vanished": self.vanished,
            "reasons": dict(sorted(self.reasons.items())),
            "notes": dict(sorted(self.notes.items())),
            "compared": self.compared,
            "batches": self.batches,
            "busy_s": round(self.busy_s, 3),
        }


def tally(events: Iterable[Event], mappings: Iterable[str]) -> dict[str, TableTally]:
    """Add up the batches that events tell of, by table mapping; a batch told of twice counts once, as told last."""
    staged: dict[tuple[str, int], Event] = {}
    compared: dict[tuple[str, int], Event] = {}
    vanished: dict[str, int] = {}
    for event in events:
        if event.kind == "batch_staged":
            staged[event.fields["mapping"], event.fields["batch"]] = event
        elif event.kind == "batch_compared":
            compared[event.fields["mapping"], event.fields["batch"]] = event
        elif event.kind == "vanished_listed":
            vanished[event.fields["mapping"]] = event.fields["rows"]
    tallies = {mapping: TableTally(mapping) for mapping in mappings}
    for (mapping, _), event in staged.items():
        table = tallies[mapping]
        table.read += event.fields["read"]
        for bucket in BUCKETS:
            # A journal of an earlier version has fewer buckets.
            setattr(table, bucket, getattr(table, bucket) + event.fields.get(bucket, 0))
        table.reasons.update(event.fields["reasons"])
        table.notes.update(event.fields.get("notes", {}))
        table.batches += 1
        table.busy_s += event.fields["transform_s"] + event.fields["stage_s"]
    for (mapping, _), event in compared.items():
        tallies[mapping].compared += event.fields["rows"]
        tallies[mapping].busy_s += event.fields["compare_s"]
    for name, rows in vanished.items():
        tallies[name].vanished = rows
    return tallies


def accounting(table: TableTally, extracted: int, unaccounted: int) -> CheckResult:
    """Return whether read = the sum of all buckets, by count and (`unaccounted`, rows found by key) one by one."""
    off = max(abs(table.read - table.accounted), abs(extracted - table.read), unaccounted)
    detail = f"extracted {extracted} = read {table.read} = " + " + ".join(
        f"{bucket} {getattr(table, bucket)}" for bucket in BUCKETS
    )
    if off:
        detail = f"does not add up ({unaccounted} rows in no bucket or in two): {detail}"
    return CheckResult("accounting", table.mapping, off, "every source row, by position and by count", detail=detail)


def staged_count(table: TableTally, staged: int) -> CheckResult:
    """Return whether the ledger in the target holds exactly the rows that count as loaded or updated."""
    detail = f"the target's ledger holds {staged} rows, {table.loaded} count as loaded, {table.updated} as updated"
    return CheckResult("staged_count", table.mapping, abs(staged - table.staged), "the ledger's lines", detail=detail)


def all_rows(table: TableTally) -> CheckResult:
    """Return whether every loaded or updated row was read back and compared value by value."""
    detail = f"{table.compared} of {table.staged} loaded or updated rows read back and compared, every value"
    return CheckResult("all_rows", table.mapping, abs(table.staged - table.compared), "every staged row", detail=detail)


def conflicts(table: TableTally) -> CheckResult:
    """Return whether a key of this run stands in the target with other content."""
    detail = f"{table.conflict} rows stand in the target under the same key with other content"
    return CheckResult("conflicts", table.mapping, table.conflict, "keys that the target has already", detail=detail)


def reject_limit(table: TableTally, limit: RejectLimit) -> CheckResult:
    """Return by how many rows the rejects are over the plan's `max_rejects`."""
    over = list(_exceeded(table, table.rejected, limit, "rejects"))
    detail = "; ".join(sentence for _, sentence in over) or f"{table.rejected} rejects of {table.read} rows are allowed"
    return CheckResult(
        "reject_limit", table.mapping, max((rows for rows, _ in over), default=0), "max_rejects", detail=detail
    )


def _exceeded(table: TableTally, found: int, limit: RejectLimit, name: str) -> Iterator[tuple[int, str]]:
    """Yield each limit that is exceeded: by how many rows, and a sentence."""
    if limit.count is not None and found > limit.count:
        yield found - limit.count, f"{found} {name}, allowed {limit.count}"
    # Of a part of the source, the part is the whole.
    read = table.read - table.outside
    if limit.share is not None and found > (allowed := int(limit.share * read)):
        yield found - allowed, f"{found} {name}, allowed {limit.share:.2%} of {read} rows = {allowed}"
    limited = limit.by_reason or {}
    for kind, inner in limited.items():
        count = sum(rows for reason, rows in table.reasons.items() if kind in _names(reason))
        yield from _exceeded(table, count, inner, f"'{kind}'")
    if limit.by_reason is not None and limit.count is None and limit.share is None:
        for reason, rows in sorted(table.reasons.items()):
            if not _names(reason) & set(limited):
                yield rows, f"{rows} '{reason}', which has no limit of its own"


def _names(reason: str) -> set[str]:
    """Return the names by which a plan may speak of a reason: the whole, or its kind."""
    return {reason, reason.partition(":")[0]}


def stopped(table: TableTally) -> CheckResult:
    """Return the rows on which a row check of the plan says `then: stop`."""
    found = {note: count for note, count in table.notes.items() if note.startswith("stop:")}
    detail = ", ".join(f"{note.removeprefix('stop:')}: {count} rows" for note, count in sorted(found.items()))
    return CheckResult("row_checks", table.mapping, sum(found.values()), "checks with `then: stop`", detail=detail)
