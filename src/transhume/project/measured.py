"""How long steps have taken here, from the newest journals and manifests; nothing is opened or run."""

from datetime import datetime
from pathlib import Path

from transhume.errors import TranshumeError
from transhume.journal import read_journal
from transhume.project.scratch_place import rehearsals
from transhume.project.standing_backup import backups_root
from transhume.project.workplace import Workplace
from transhume.stages.backup import backup_folders, read_manifest
from transhume.stages.binding import run_folders


def measured_steps(place: Workplace) -> dict[str, float]:
    """Return seconds by step, of the newest time it was done: backup, restore, drill, run, undo."""
    found: dict[str, float] = {}
    for folder in backup_folders(backups_root(place)):
        try:
            parts = read_manifest(folder).parts
        except TranshumeError:
            continue
        found["backup"] = sum(part.duration_s + part.restore_s for part in parts)
        found["restore"] = sum(part.restore_s for part in parts if part.side == "target")
    for path in sorted(rehearsals(place).glob("*/journal.jsonl"), key=lambda each: each.stat().st_mtime):
        if took := _fields(path, "drill_passed", "restore_s"):
            found["drill"] = took
            found["undo"] = took
    for folder in run_folders(place.runs):
        if took := _run(folder / "journal.jsonl"):
            found["run"] = took
        if took := _fields(folder / "journal.jsonl", "run_rolled_back", "duration_s"):
            found["undo"] = took
    return found


def _fields(path: Path, kind: str, name: str) -> float:
    try:
        entries = read_journal(path)
    except TranshumeError:
        return 0.0
    return next((float(e.event.fields.get(name, 0)) for e in reversed(entries) if e.event.kind == kind), 0.0)


def _run(path: Path) -> float:
    """Return how long a finished run took, from its beginning to its end; 0 where it was interrupted."""
    try:
        entries = read_journal(path)
    except TranshumeError:
        return 0.0
    kinds = [entry.event.kind for entry in entries]
    if "run_finished" not in kinds or "run_resumed" in kinds:
        return 0.0
    first, last = entries[0].at, entries[kinds.index("run_finished")].at
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
