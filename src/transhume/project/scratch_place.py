"""A project that works into a scratch place: same plan, same source, another target, folders of its own, removed after.

Its own journal, in `.transhume/rehearsals/<number>/`, says which scratch places are ours; journals stay for `estimate`.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transhume.batches import Event
from transhume.errors import JournalDamaged, SystemRefused
from transhume.journal import Entry, Journal, read_journal
from transhume.plan.lock import plan_hash
from transhume.plan.model import Plan, RejectLimit
from transhume.project.workplace import Workplace
from transhume.stages.binding import run_folders
from transhume.systems import open_target
from transhume.systems.scratch import NUMBER_LENGTH_MAX, HasScratch, Scratch
from transhume.systems.system import Target

REHEARSALS = "rehearsals"
_NO_LIMIT = RejectLimit(share=1.0)


class ScratchPlace(Workplace):
    """A workplace whose target is a scratch place, and whose state and papers stand in a folder of their own.

    Limits of rejects are lifted: a part that holds every kind of wrong row says nothing about their share.
    """

    def __init__(self, place: Workplace, number: str, scratch: Scratch) -> None:
        super().__init__(place.folder, place.environment, place.environment_name, place.capacity)
        self.number, self.scratch_place = number, scratch
        self.root = rehearsals(place) / number
        self.journal = Journal(self.root / "journal.jsonl")

    @property
    def state(self) -> Path:
        """Where this rehearsal keeps its runs."""
        return self.root

    @property
    def runs(self) -> Path:
        """Where the runs of this rehearsal keep their journals."""
        return self.root / "runs"

    @property
    def out(self) -> Path:
        """Where the papers of this rehearsal go."""
        return self.root / "out"

    @property
    def needs_approval(self) -> bool:
        """A rehearsal comes before the approval."""
        return False

    @property
    def needs_backup(self) -> bool:
        """Nothing of a scratch place must come back."""
        return False

    def plan(self) -> Plan:
        """Return the plan without limits of rejects and without waves; nothing is replaced in a scratch place."""
        plan = super().plan()
        tables = {name: each.model_copy(update={"max_rejects": None}) for name, each in plan.tables.items()}
        defaults = plan.defaults.model_copy(update={"max_rejects": _NO_LIMIT})
        # The scratch tables are empty then (`drilling.go`), so that both ways of loading are the same.
        # A rehearsal comes before the first wave, and each wave's gate may ask for it: it takes them all in one run.
        whole = {"load": "append", "freeze": "off", "phases": {}}
        return plan.model_copy(update={"tables": tables, "defaults": defaults, **whole})

    def target(self, plan: Plan) -> Target:
        """Open the scratch place."""
        del plan
        return open_target(self.scratch_place.url, self.folder)

    def tell(self, event: Event) -> None:
        """Write an event into the rehearsal's own journal."""
        self.journal.append(event)

    def end(self) -> None:
        """Remove the scratch place and everything that holds rows; the journals stay."""
        self.scratch_place.remove()
        _keep_journals(self.root)
        self.tell(Event("scratch_removed", {"scratch": self.scratch_place.name}))
        self.journal.close()


def rehearsals(place: Workplace) -> Path:
    """Return the folder in which each rehearsal has its own."""
    return place.state / REHEARSALS


@contextmanager
def scratch_place(place: Workplace, plan: Plan) -> Iterator[ScratchPlace]:
    """Give a new scratch place beside the plan's target; it is removed at the end, whatever happens in between.

    Raises: SystemRefused where the target's system has none; SystemUnavailable.
    """
    target = place.target(plan)
    try:
        number = secrets.token_hex(NUMBER_LENGTH_MAX // 2)
        scratch = _able(target).scratch(number)
    finally:
        target.close()
    # The folder is there before the place is: what is left after a kill is known to be ours.
    opened = ScratchPlace(place, number, scratch)
    opened.tell(Event("scratch_started", {"scratch": scratch.name, "plan_hash": plan_hash(plan)}))
    try:
        yield opened
    finally:
        opened.end()


def remove_leftovers(place: Workplace, plan: Plan) -> list[str]:
    """Remove the scratch places of this project's killed rehearsals; return their names. Others' places stay.

    The project's lock must be held: so no rehearsal of this project is under way.
    """
    root, removed = rehearsals(place), []
    target = place.target(plan)
    try:
        if not root.is_dir() or not isinstance(target, HasScratch):
            return []
        for number in target.scratches():
            if (root / number).is_dir():
                left = ScratchPlace(place, number, target.scratch(number))
                left.end()
                removed.append(left.scratch_place.name)
    finally:
        target.close()
    return removed


def rehearsal_journals(place: Workplace, plan: Plan) -> list[Path]:
    """Return the journals of the runs that rehearsed this plan as it is now, oldest first."""
    found = [run / "journal.jsonl" for root, _ in _rehearsed(place, plan) for run in run_folders(root / "runs")]
    return sorted(found, key=lambda path: path.parent.name)


def drill_passed(place: Workplace, plan: Plan) -> bool | None:
    """Say whether the newest drill of this plan as it is now passed; None where there was none."""
    kinds = {"drill_passed": True, "drill_failed": False}
    verdicts = [entry for _, entries in _rehearsed(place, plan) for entry in entries if entry.event.kind in kinds]
    newest = max(verdicts, key=lambda entry: entry.at, default=None)
    return None if newest is None else kinds[newest.event.kind]


def _rehearsed(place: Workplace, plan: Plan) -> Iterator[tuple[Path, list[Entry]]]:
    """Yield folder and journal of each rehearsal of this plan; a damaged journal proves nothing."""
    root, wanted = rehearsals(place), plan_hash(plan)
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            entries = read_journal(folder / "journal.jsonl")
        except JournalDamaged:
            continue
        if entries and entries[0].event.fields.get("plan_hash") == wanted:
            yield folder, entries


def _able(target: Target) -> HasScratch:
    if not isinstance(target, HasScratch):
        message = f"{target.identity} has no scratch place beside it, so it cannot be rehearsed; nothing was written"
        raise SystemRefused(message)
    return target


def _keep_journals(root: Path) -> None:
    """Remove extracts, rejects and lists of keys: rows do not outlive the rehearsal."""
    for run in (root / "runs").glob("*"):
        for each in run.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif each.suffix not in {".jsonl", ".json"}:
                each.unlink()
