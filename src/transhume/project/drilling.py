"""The rollback's drill from the front door: the whole road into a scratch place, others' rows, the undo, the proof."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transhume.batches import Event
from transhume.errors import Refused, TranshumeError
from transhume.plan.lock import plan_hash
from transhume.project.results import RunResult, result_of
from transhume.project.running import run
from transhume.project.scratch_place import ScratchPlace, remove_leftovers, scratch_place
from transhume.project.undoing import preview_rollback, take_back
from transhume.project.workplace import Listener, Workplace
from transhume.stages.context import Limits, RunFolder
from transhume.stages.drill import Drill, DrilledTable
from transhume.stages.rollback import KEPT_FILE
from transhume.stages.subset import Subset
from transhume.stages.target_tables import undo_references
from transhume.systems.undo import UndoChoice

ROWS = 1_000
"""Rows of each table mapping that a drill takes where nothing else is said."""


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What a drill found. `restore_s` is what the rollback took; `problems` are empty where it passed.

    `notes` say what is not as in the target, or was not planted.
    """

    scratch: str
    subset: str
    run: RunResult
    tables: tuple[DrilledTable, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    restore_s: float
    journal: Path

    @property
    def passed(self) -> bool:
        """Whether the undo did exactly what it must."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "passed": self.passed,
            "scratch": self.scratch,
            "subset": self.subset,
            "tables": [table.to_dict() for table in self.tables],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "run_s": self.run.duration_s,
            "restore_s": self.restore_s,
            "journal": str(self.journal),
        }


def drill(place: Workplace, subset: Subset | None, seed: int, listener: Listener | None, limits: Limits) -> DrillResult:
    """Drill the rollback of the plan; see `Project.drill`."""
    plan = place.plan()
    with place.lock():
        for name in remove_leftovers(place, plan):
            _hear(listener, Event("leftover_removed", {"scratch": name}))
        with scratch_place(place, plan) as opened:
            return drilled(place, opened, subset, seed, listener, limits)


def drilled(
    place: Workplace,
    opened: ScratchPlace,
    subset: Subset | None,
    seed: int,
    listener: Listener | None,
    limits: Limits,
) -> DrillResult:
    """Go the whole road into an empty scratch place and back, and judge; the verdict is journaled there.

    Raises: what the run raises; what goes wrong in the undo is a problem of the result.
    """
    with opened.systems() as systems:
        tables = systems.in_order()
        known = undo_references(systems.plan, systems.tables)
    names = [table.table.name for table in tables]
    scratch = opened.scratch_place
    rows = subset.rows if subset is not None and subset.rows is not None else ROWS
    notes = scratch.make(names, known, rows, seed)
    _hear(listener, Event("scratch_made", {"scratch": scratch.name}))
    practice = Drill(scratch, tables, seed)
    practice.remember()
    result = run(opened, listener, limits, fresh=False, subset=subset)
    folder = opened.run_folder(result.run)
    with opened.systems() as systems:
        practice.plant(systems.target_catalog, known)
    _hear(listener, Event("others_planted"))
    problems, restore_s = _taken_back(opened, result.run, listener, practice)
    found, wrong = practice.judge(_kept(folder)) if not problems else ([], [])
    problems += wrong
    fields = {
        "plan_hash": plan_hash(place.plan()),
        "tables": [table.to_dict() for table in found],
        "restore_s": restore_s,
        "problems": problems,
    }
    verdict = Event("drill_failed" if problems else "drill_passed", fields)
    opened.tell(verdict)
    _hear(listener, verdict)
    return DrillResult(
        scratch=scratch.name,
        subset="all rows" if subset is None else str(subset),
        run=result_of(folder),
        tables=tuple(found),
        problems=tuple(problems),
        notes=(*notes, *practice.notes),
        restore_s=restore_s,
        journal=opened.journal.path,
    )


def _taken_back(opened: ScratchPlace, run: str, listener: Listener | None, practice: Drill) -> tuple[list[str], float]:
    """Take the run back by the real road; return what went wrong, and how long it took.

    Where rows of others refer to rows of the run, it must refuse first.
    """
    choice = UndoChoice()
    try:
        if practice.refers:
            if not preview_rollback(opened, run, choice).refused:
                return ["rows of others refer to rows of the run, and the preview of the rollback does not say so"], 0.0
            try:
                take_back(opened, run, choice, None, "drill")
            except Refused:
                choice = UndoChoice(referenced="keep")
            else:
                return ["rows of others refer to rows of the run, and the rollback did not refuse"], 0.0
        return [], take_back(opened, run, choice, listener, "drill").duration_s
    except TranshumeError as problem:
        return [f"the rollback stopped: {problem}"], 0.0


def _kept(folder: RunFolder) -> Iterator[tuple[str, str]]:
    path = folder.root / KEPT_FILE
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield row["table"], row["key"].removeprefix("'")


def _hear(listener: Listener | None, event: Event) -> None:
    if listener is not None:
        listener(event)
