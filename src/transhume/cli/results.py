"""The tables at the end of a run: where every row went, why rows were rejected, what to do next."""

from collections import Counter
from typing import TYPE_CHECKING

from transhume.cli.output import Output

if TYPE_CHECKING:
    from transhume.project import RunResult

_ALWAYS_SHOWN = ("loaded", "unchanged", "rejected", "filtered")
"""Buckets that are shown also where no row is in them."""


def print_run(output: Output, result: "RunResult") -> None:
    """Print what a run did: the accounting per table, rejects by reason, files, next step."""
    from transhume.checks.counts import BUCKETS

    shown = [
        count
        for count in (*BUCKETS, "vanished")
        if count in _ALWAYS_SHOWN or any(getattr(table, count) for table in result.tables)
    ]
    rows = [
        [t.mapping, t.read, *(getattr(t, bucket) for bucket in shown), t.compared, round(t.busy_s, 1)]
        for t in result.tables
    ]
    header = ["table", "read", *shown, "compared", "seconds"]
    wave = f" of the phase '{result.phase}'" if result.phase else ""
    output.table(f"run {result.run}{wave}: {result.state}", header, rows)
    if result.fed:
        title = "rows that only feed joins and gathers"
        output.table(title, ["source table", "fed"], [[name, rows] for name, rows in result.fed.items()])
    reasons = [[t.mapping, reason, count] for t in result.tables for reason, count in sorted(t.reasons.items())]
    if reasons:
        output.table("rejects by reason (a row may have several)", ["table", "reason", "rows"], reasons)
    notes = Counter[str]()
    for table in result.tables:
        notes.update({f"{table.mapping} {note}": count for note, count in table.notes.items()})
    if notes:
        output.table("decided by the plan", ["what", "rows"], sorted(notes.items()))
    if not result.one_instant:
        output.result(
            "the source has no snapshot: its tables were read one after the other, unchanged while they were read"
        )
    _print_source_changes(output, result)
    failed = [check for check in result.checks if not check["passed"]]
    output.result(f"{len(result.checks) - len(failed)} checks passed, {len(failed)} failed")
    if any(table.rejected for table in result.tables):
        output.result(f"rejected rows, whole, with their reasons: {result.rejects}; 'transhume rejects' to repair them")
    if any(table.skipped or table.vanished for table in result.tables):
        output.result(f"keys of rows that were skipped, or are gone from the source: {result.keys}")
    if result.artifacts.exists():
        output.result(f"old path to new URI of every artefact: {result.artifacts}")
    _print_copies(output, result)
    if result.slowest_stage:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.stages_s.items())
        output.result(f"slowest stage: {result.slowest_stage} ({parts})")
    output.result(_next_step(result))


def _print_copies(output: Output, result: "RunResult") -> None:
    for folder, size in result.copies.items():
        output.result(f"copies of the source's rows ({size / 2**20:.1f} MB) until 'transhume finalize': {folder}")


def _print_source_changes(output: Output, result: "RunResult") -> None:
    for found in result.source_changes:
        for table, words in found["changed"].items():
            told = f"the source changed since the extract ({found['when']}): '{table}': {words}"
            output.result(f"{told}; a later run brings it", "yellow")
    if result.source_changes and (unknown := result.source_changes[-1]["unknown"]):
        output.result(f"whether the source changed meanwhile is not known: {unknown}")


def _next_step(result: "RunResult") -> str:
    if result.state == "finished":
        return "next: 'transhume validate' checks again what the target shows"
    if result.state in {"stopped", "unfinished"}:
        return "next: 'transhume run' goes on where this run stopped"
    return "next: mend the cause and run again; the target shows nothing of this run unless it says published"
