"""Which run goes on and which begins: a run is bound to its plan, its systems, their schemas and this version."""

import hashlib
import json
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from transhume.batches import Event, TargetTable
from transhume.errors import JournalDamaged, Refused
from transhume.facts import Catalog
from transhume.journal import Journal, read_journal
from transhume.plan.lock import plan_content, plan_diff
from transhume.plan.model import Plan
from transhume.stages.context import RunFolder
from transhume.stages.files import private_file, private_folder
from transhume.systems.system import Target

_PLAN = "plan.json"
_TIME_OF_A_RUN = re.compile(r"(\d{8}t\d{6})_([0-9a-f]{5})")
WHOLE = "all rows"
"""The part of a run that brings everything."""
ENDED = frozenset({"run_finished", "run_failed", "run_abandoned", "run_rolled_back", "run_finalized"})
"""Events after which a run is not resumed."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a run belongs to. Two runs with equal bindings do the same thing."""

    plan_hash: str
    tool_version: str
    source: str
    target: str
    source_schema: str
    target_schema: str
    subset: str = WHOLE
    lookups: str = ""
    """The other systems that lookups are read from; their data is no part of it."""
    replay: str = ""
    """The earlier run and the repaired rejects that the run goes on from."""
    phase: str = ""
    """The wave that the run brings, "" where it brings the whole plan."""

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        """Return, one sentence each, what is not as it was when the earlier run began."""
        words = {
            "plan_hash": "the plan was changed",
            "tool_version": "transhume has another version",
            "source": "the source is another one",
            "target": "the target is another one",
            "source_schema": "the source's tables were changed",
            "target_schema": "the target's tables were changed",
            "subset": "the run is of another part of the source",
            "lookups": "a lookup is read from another system",
            "replay": "the run replays other repaired rejects",
            "phase": "the run is of another phase",
        }
        mine = self.to_dict()
        return [
            f"{meaning} (then {earlier.get(name)}, now {mine[name]})"
            for name, meaning in words.items()
            # A journal of an earlier version knows no parts, no other lookups, no replays and no phases.
            if earlier.get(name, {"subset": WHOLE, "lookups": "", "replay": "", "phase": ""}.get(name)) != mine[name]
        ]

    def to_dict(self) -> dict[str, str]:
        """Return the binding as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def schema_fingerprint(catalog: Catalog, tables: list[str]) -> str:
    """Return a hash of names, types and keys of these tables; data and statistics do not count."""
    content = []
    for name in sorted(tables):
        table = catalog.tables.get(name)
        columns = [[c.name, str(c.type), c.native, c.nullable] for c in table.columns] if table else None
        content.append([name, columns, list(table.primary_key) if table else None])
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def target_fingerprint(tables: Mapping[str, TargetTable]) -> str:
    """Return a hash of what the run will hold in the target; it is the same before and after publishing."""
    content = [
        [name, each.table.name, list(each.key), [[c.name, str(c.type), c.nullable] for c in each.table.columns]]
        for name, each in sorted(tables.items())
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def open_run(runs: Path, binding: Binding, content: Mapping[str, Any], *, fresh: bool) -> tuple[Path, Journal, bool]:
    """Return folder and journal of the unfinished run that goes on, or of a new one, and whether it is resumed.

    `content` is the plan's (`plan.lock.plan_content`): a new run keeps it, to say later what was changed.
    `fresh` gives an unfinished run up: its staged rows stay invisible and its folder stays.
    Raises: Refused if the unfinished run is bound to something else; JournalDamaged.
    """
    unfinished = _unfinished(runs, damaged_counts=not fresh)
    if unfinished is not None and not fresh:
        journal = Journal(unfinished / "journal.jsonl")
        started = journal.entries[0].event
        if differences := binding.differences(started.fields["binding"]):
            journal.close()
            listed = "; ".join([*differences, *_plan_differences(unfinished, content)])
            message = (
                f"run '{unfinished.name}' is unfinished and cannot go on: {listed}. Nothing was published. "
                "Put back what was changed, or give that run up and begin a new one with --fresh."
            )
            raise Refused(message)
        return unfinished, journal, True
    if unfinished is not None:
        journal = Journal(unfinished / "journal.jsonl")
        journal.append(Event("run_abandoned", {"by": holder()}))
        journal.close()
    now = _after_the_newest(runs, datetime.now(UTC))
    # Names sort by time, also of two runs that begin within one second; the last digits keep two machines apart.
    name = f"{now:%Y%m%dt%H%M%S}_{now.microsecond:05x}{secrets.token_hex(1)}"
    folder = runs / name
    private_folder(folder)
    private_file(folder / _PLAN).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder, Journal(folder / "journal.jsonl"), False


def _after_the_newest(runs: Path, now: datetime) -> datetime:
    """Return the time, or a microsecond after the newest run where the clock was set back: names keep their order."""
    for folder in reversed(run_folders(runs)):
        if found := _TIME_OF_A_RUN.match(folder.name):
            begun = datetime.strptime(found[1], "%Y%m%dt%H%M%S").replace(tzinfo=UTC, microsecond=int(found[2], 16))
            return max(now, begun + timedelta(microseconds=1))
    return now


def has_extract(runs: Path) -> bool:
    """Say whether an unfinished run has its extract: going on with it reads no system but the target."""
    unfinished = _unfinished(runs, damaged_counts=False)
    if unfinished is None:
        return False
    return any(entry.event.kind == "extract_finished" for entry in read_journal(unfinished / "journal.jsonl"))


def has_unfinished(runs: Path) -> bool:
    """Say whether `open_run` would go on with a run. Raises: JournalDamaged."""
    return _unfinished(runs, damaged_counts=True) is not None


def require_journals(runs: Path, target: Target) -> None:
    """Raise JournalDamaged if the newest run that the target knows has a folder here and no line of a journal any more.

    A process that was killed in its first line or before leaves a folder, too; the target knows nothing of that.
    """
    for folder in reversed(run_folders(runs)):
        path = folder / "journal.jsonl"
        if read_journal(path):
            return
        require_known_journal(path, target)


def require_known_journal(path: Path, target: Target) -> None:
    """Raise JournalDamaged for a journal without one whole line although the target knows its run."""
    run = path.parent.name
    if not any(known["run"] == run for known in target.runs()):
        return
    message = (
        f"journal '{path}' is gone, and the target's ledger knows run '{run}'; nothing was written. "
        "Restore the file, or start a new run with --fresh."
    )
    raise JournalDamaged(message)


def run_folders(runs: Path) -> list[Path]:
    """Return the folders of all runs, oldest first."""
    return sorted(folder for folder in runs.iterdir() if folder.is_dir()) if runs.is_dir() else []


def phase_of(folder: RunFolder) -> str:
    """Return the phase that a run brings, "" for a run of a whole plan. Raises: JournalDamaged."""
    started = (each.event for each in read_journal(folder.journal) if each.event.kind == "run_started")
    first = next(started, None)
    return "" if first is None else str(first.fields["binding"].get("phase", ""))


def holder() -> str:
    """Return who this is, for whoever finds the target locked."""
    user = os.environ.get("USER") or str(os.getuid())
    return f"{user}@{socket.gethostname()} process {os.getpid()}"


def changes_since(folder: Path, plan: Plan) -> list[str]:
    """Return what differs between the plan that a run kept in its folder and the plan now, one sentence each."""
    return _plan_differences(folder, plan_content(plan))


def _plan_differences(folder: Path, content: Mapping[str, Any]) -> list[str]:
    try:
        earlier = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return plan_diff(earlier, content)


def _unfinished(runs: Path, *, damaged_counts: bool) -> Path | None:
    for folder in reversed(run_folders(runs)):
        path = folder / "journal.jsonl"
        try:
            entries = read_journal(path)
        except Refused:
            if damaged_counts:
                raise
            continue
        if not entries:
            continue
        return None if any(entry.event.kind in ENDED for entry in entries) else folder
    return None
