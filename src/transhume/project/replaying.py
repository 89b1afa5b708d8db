"""Which run repaired rejects belong to, whether it can be gone on from, and rejects as workbooks for people."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transhume.errors import JournalDamaged, Refused, UsageError
from transhume.journal import read_journal
from transhume.project.workplace import Systems, Workplace
from transhume.report.repair_sheets import write_repair_sheet
from transhume.stages.binding import WHOLE, phase_of, run_folders
from transhume.stages.context import RunFolder
from transhume.stages.replay import Replay, read_replay, run_of

_GONE = {"run_rolled_back": "was rolled back", "run_finalized": "is finalized, and its extract is deleted"}


def phase_of_rejects(place: Workplace, paths: Sequence[Path], phase: str | None) -> str | None:
    """Return the wave whose rejects these files hold, None for those of a whole plan.

    Raises: UsageError where `phase` is another one.
    """
    run, _ = run_of(paths)
    own = phase_of(place.run_folder(run)) or None
    if phase not in {None, own}:
        message = f"run '{run}', whose rejects these are, brought {f'the phase {own!r}' if own else 'the whole plan'}; "
        message += f"leave '--phase {phase}' out"
        raise UsageError(message)
    return own


def replay_of(place: Workplace, systems: Systems, paths: Sequence[Path]) -> Replay:
    """Return what these files repair. Nothing is written.

    Raises: UsageError with everything that is wrong in the files; Refused where the run cannot be gone on from.
    """
    run, files = run_of(paths)
    base = place.run_folder(run)
    entries = read_journal(base.journal)
    events = {entry.event.kind: entry.event for entry in entries}
    cure = "nothing was changed. Correct the rows in the source and run again."
    for kind, said in _GONE.items():
        if kind in events:
            message = f"run '{run}' {said}, so its rejects cannot be replayed; {cure}"
            raise Refused(message)
    if "run_started" not in events:
        message = f"run '{run}' never began, so it has no rejects"
        raise UsageError(message)
    earlier = events["run_started"].fields["binding"]
    if earlier.get("subset", WHOLE) != WHOLE:
        message = f"run '{run}' brought a part of the source; replay the rejects of a run of everything"
        raise Refused(message)
    mine = replace(systems.binding(), replay=earlier.get("replay", ""))
    if differences := mine.differences(earlier):
        message = f"the rejects of run '{run}' go through the same rules or none: {'; '.join(differences)}; {cure}"
        raise Refused(message)
    return read_replay(base, entries, files, systems.plan, systems.source_catalog)


def replays_of(place: Workplace, run: str) -> list[str]:
    """Return the runs that replay rejects of this one and stand: published, and not rolled back."""
    found = []
    for folder in map(RunFolder, run_folders(place.runs)):
        if folder.root.name <= run:
            continue
        try:
            events = {entry.event.kind: entry.event for entry in read_journal(folder.journal)}
        except JournalDamaged:
            continue
        started = events.get("extract_started")
        stands = "published" in events and "run_rolled_back" not in events
        if stands and started is not None and started.fields.get("replay_of") == run:
            found.append(folder.root.name)
    return found


def write_reject_sheets(place: Workplace, run: str | None, folder: Path, form: str) -> list[Path]:
    """Write the rejects of a run for people to repair; see `Project.write_rejects`."""
    base = place.run_folder(run)
    found = sorted(base.rejects.glob("m[0-9][0-9][0-9]-*.csv"))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in found:
        final = folder / f"rejects-{base.root.name}-{path.stem[5:]}.{form}"
        with path.open(newline="", encoding="utf-8") as file:
            write_repair_sheet(final, csv.reader(file), form)
        written.append(final)
    return written
