"""Rollback: take a run back, tell what went and what stayed, keep the list of what stayed. The target does the work."""

import csv
import os
from collections.abc import Iterator
from dataclasses import asdict
from time import monotonic

from transhume.batches import Event
from transhume.stages.context import RunFolder
from transhume.systems.undo import TargetUndo, UndoChoice

KEPT_FILE = "kept.csv"
"""In the run's folder: table, key and reason of each row that stayed; readable by its owner only."""


def rollback(undo: TargetUndo, folder: RunFolder, choice: UndoChoice, cause: str) -> Iterator[Event]:
    """Take the run back in one transaction of the target; what an earlier process did is found and told again.

    Yields: run_rollback_started, run_rolled_back (its fields hold the report). No data value is in them.
    Raises: Refused, RollbackStopped: nothing was changed; SystemUnavailable: ask again, the ledger knows.
    """
    yield Event("run_rollback_started", {"cause": cause, "choice": asdict(choice), "state": undo.state})
    started = monotonic()
    report = undo.undo(choice)
    rows = _write_kept(undo, folder) if report.kept else 0
    fields = {"report": report.to_dict(), "listed": rows, "duration_s": round(monotonic() - started, 3)}
    yield Event("run_rolled_back", fields)


def _write_kept(undo: TargetUndo, folder: RunFolder) -> int:
    """Write the keys of all rows that stayed; whole or not at all. Returns their number."""
    path = folder.root / KEPT_FILE
    partial = path.with_suffix(".partial")
    rows = 0
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["table", "key", "why"])
        for row in undo.kept():
            writer.writerow([row.table, ", ".join(map(_inert, row.key)), row.why])
            rows += 1
    partial.rename(path)
    return rows


def _inert(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
