"""How long the stages of finished runs took, read from their journals, as points that rates are fitted to."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from transhume.errors import JournalDamaged
from transhume.estimate.rates import Point
from transhume.journal import Entry, read_journal

STAGES = ("extract", "load", "validate", "publish", "verify")
"""Stages whose wall time the journal tells; `load` is keys, transform, stage and compare, which overlap."""
_BORDERS = {
    "extract": ("extract_started", "extract_finished"),
    "load": ("extract_finished", "table_staged"),
    "validate": ("table_staged", "publish_started"),
    "publish": ("publish_started", "published"),
    "verify": ("published", "run_finished"),
}


def measured(journals: Iterable[Path]) -> list[Point]:
    """Return the points of every run that went through undisturbed, oldest first; others tell nothing of rates.

    Rows: of `extract` those of all source tables, of every other stage those that all mappings read. Of a run of a part
    only the part counts: it extracts and transforms everything too, and two parts of different sizes tell that fixed
    time from the time of a row. The time of choosing the part is left out.
    A damaged journal is left out: it proves nothing.
    """
    found: list[Point] = []
    for journal in journals:
        try:
            entries = read_journal(journal)
        except JournalDamaged:
            continue
        found += _points(journal.parent.name, entries)
    return found


def _points(run: str, entries: Sequence[Entry]) -> Iterator[Point]:
    at = {entry.event.kind: datetime.fromisoformat(entry.at) for entry in entries}
    kinds = {kind for border in _BORDERS.values() for kind in border}
    if not kinds <= at.keys() or "run_resumed" in at:
        return
    rows = {"extract": 0, "load": 0}
    for entry in entries:
        if entry.event.kind == "extract_finished":
            rows["extract"] = sum(entry.event.fields["rows"].values())
        elif entry.event.kind == "batch_staged":
            rows["load"] += entry.event.fields["read"] - entry.event.fields.get("outside", 0)
    for stage, (first, last) in _BORDERS.items():
        if stage == "load" and "subset_chosen" in at:
            first = "subset_chosen"  # noqa: PLW2901
        duration_s = (at[last] - at[first]).total_seconds()
        yield Point(stage, rows.get(stage, rows["load"]), duration_s, run)
