"""The rollback's drill from the front door: the whole road into a scratch place, others' rows, the undo, the proof."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transhume.batches import Event
from transhume.errors import Refused, TranshumeError
from transhume.plan.lock import plan_hash
from transhume.project.results import RunResult
from transhume.project.running import run
from transhume.project.scratch_place import ScratchPlace, remove_leftovers, scratch_place
from transhume.project.undoing import preview_rollback, take_back
from transhume.project.workplace import Listener, Workplace
from transhume.stages.context import Limits, RunFolder
from transhume.stages.drill import Drill, DrilledTable
from transhume.stages.rollback import KEPT_FILE
from transhume.stages.subset import Subset
from transhume.stages.target_tables import undo_references
from transhume.systems.undo import UndoChoice, UndoReference

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
            hear(listener, Event("leftover_removed", {"scratch": name}))
        with scratch_place(place, plan) as opened:
            return back(place, go(opened, subset, seed, listener, limits), listener)


@dataclass(frozen=True, slots=True)
class Road:
    """A scratch place after the plan has run into it and published, ready for others and for the undo."""

    opened: ScratchPlace
    practice: Drill
    references: tuple[UndoReference, ...]
    run: RunResult
    subset: str
    notes: tuple[str, ...]


def go(opened: ScratchPlace, subset: Subset | None, seed: int, listener: Listener | None, limits: Limits) -> Road:
    """Make the scratch place and go the whole road of a run into it. Raises: what the run raises."""
    with opened.systems() as systems:
        tables = systems.in_order()
        known = undo_references(systems.plan, systems.tables)
    names = [table.table.name for table in tables]
    rows = subset.rows if subset is not None and subset.rows is not None else ROWS
    replaces = super(ScratchPlace, opened).plan().load == "replace"
    notes = list(opened.scratch_place.make(names, known, 0 if replaces else rows, seed))
    if replaces:
        notes.append(
            "load: replace goes into empty tables here; its undo, the return of the snapshot, is tried when it is made"
        )
    hear(listener, Event("scratch_made", {"scratch": opened.scratch_place.name}))
    practice = Drill(opened.scratch_place, tables, seed)
    practice.remember()
    result = run(opened, listener, limits, fresh=False, subset=subset)
    return Road(opened, practice, tuple(known), result, "all rows" if subset is None else str(subset), tuple(notes))


def back(place: Workplace, road: Road, listener: Listener | None) -> DrillResult:
    """Plant rows of others, take the run back, and judge what is left; the verdict is journaled.

    What goes wrong in the undo is a problem of the result, not an error.
    """
    opened, practice = road.opened, road.practice
    folder = opened.run_folder(road.run.run)
    with opened.systems() as systems:
        practice.plant(systems.target_catalog, road.references)
    hear(listener, Event("others_planted"))
    problems, restore_s = _taken_back(opened, road.run.run, listener, practice)
    found, wrong = practice.judge(_kept(folder)) if not problems else ([], [])
    problems += wrong
    fields = {
        "plan_hash": plan_hash(place.plan()),
        "tables": [table.to_dict() for table in found],
        "restore_s": restore_s,
        "problems": len(problems),
    }
    verdict = Event("drill_failed" if problems else "drill_passed", fields)
    opened.tell(verdict)
    hear(listener, verdict)
    return DrillResult(
        scratch=opened.scratch_place.name,
        subset=road.subset,
        run=road.run,
        tables=tuple(found),
        problems=tuple(problems),
        notes=(*road.notes, *practice.notes),
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


def hear(listener: Listener | None, event: Event) -> None:
    """Hand an event to whoever listens."""
    if listener is not None:
        listener(event)
