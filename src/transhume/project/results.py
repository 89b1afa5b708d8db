"""What a project's calls return, as objects and as JSON values. Nothing is opened or computed here beyond sums."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from transhume.batches import Event
from transhume.checks.counts import TableTally, tally
from transhume.errors import Finding
from transhume.journal import Entry, read_journal
from transhume.stages.context import RunFolder

_ENDINGS = {
    "run_finished": "finished",
    "run_failed": "failed",
    "run_abandoned": "given up",
    "run_stopped": "stopped",
    "run_rollback_started": "being rolled back",
    "run_rolled_back": "rolled back",
    "run_finalized": "finalized",
}
_BEGINNINGS = {"run_started", "run_resumed"}
_STAGE_ENDS = {
    "extract_finished": "extract",
    "extract_reused": "extract",
    "table_staged": "load",
    "publish_started": "validate",
    "published": "publish",
    "run_finished": "verify",
}
"""Events that end a stage; several of one kind end parts of it."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did: where each row went, what was checked, where rejects, manifest and lists of keys are."""

    run: str
    state: str
    resumed: bool
    tables: tuple[TableTally, ...]
    checks: tuple[dict[str, Any], ...]
    published: dict[str, Any]
    rejects: Path
    artifacts: Path
    keys: Path
    duration_s: float
    fed: Mapping[str, int] = field(default_factory=dict)
    """Rows by source table that only feed joins and gathers; no mapping is made from these tables."""
    one_instant: bool = True
    """Whether all source tables were read as of one moment; files cannot be."""
    stages_s: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds by stage, of the stages that are over, as the newest process of the run took them."""
    phase: str = ""
    """The wave of the plan that the run brought, "" where it brought the whole plan."""

    source_changes: tuple[Mapping[str, Any], ...] = ()
    """What was found of the source since the extract: `when`, `changed` (words by table), `unknown` (why)."""

    copies: Mapping[str, int] = field(default_factory=dict)
    """Folders with copies of the source's rows, readable by their owner alone, and their bytes, until `finalize`."""

    @property
    def slowest_stage(self) -> str | None:
        """The stage that took longest, None before the first is over."""
        return max(self.stages_s, key=lambda name: self.stages_s[name], default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "run": self.run,
            "state": self.state,
            "resumed": self.resumed,
            "tables": [table.to_dict() for table in self.tables],
            "checks": list(self.checks),
            "published": self.published,
            "rejects": str(self.rejects),
            "artifacts": str(self.artifacts),
            "keys": str(self.keys),
            "duration_s": self.duration_s,
            "fed": dict(self.fed),
            "one_instant": self.one_instant,
            "stages_s": dict(self.stages_s),
            "slowest_stage": self.slowest_stage,
            "source_changes": [dict(each) for each in self.source_changes],
            "phase": self.phase,
            "copies": dict(self.copies),
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that is wrong with a plan, or worth knowing; rows of each table read, where data was looked at."""

    findings: tuple[Finding, ...]
    row_counts: Mapping[str, int] = field(default_factory=dict)
    rejected: int | None = None
    """Rows that a run would reject, each once however many reasons it has; None where data was not looked at."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make a run impossible."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def result_of(folder: RunFolder) -> RunResult:
    """Return what a run has done so far, from its journal. Raises: JournalDamaged."""
    entries = read_journal(folder.journal)
    events = [entry.event for entry in entries]
    mappings = dict.fromkeys(
        [event.fields["mapping"] for event in events if event.kind == "batch_staged"],
    )
    checks = [event.fields for event in events if event.kind in {"check_passed", "check_failed"}]
    fed: Mapping[str, int] = next(
        (event.fields["rows"] for event in reversed(events) if event.kind == "tables_fed"), {}
    )
    published = next((event.fields for event in reversed(events) if event.kind == "published"), {})
    return RunResult(
        run=folder.root.name,
        state=_state(events),
        resumed=any(event.kind == "run_resumed" for event in events),
        tables=tuple(tally(events, mappings).values()),
        checks=tuple(dict(check) for check in checks),
        published=dict(published),
        rejects=folder.rejects,
        artifacts=folder.root / "artifacts",
        keys=folder.keys,
        duration_s=_duration_s(entries),
        fed=dict(fed),
        one_instant=not any(event.fields.get("one_instant") is False for event in events),
        stages_s=_stages_s(entries),
        source_changes=tuple(event.fields for event in events if event.kind == "source_watched"),
        phase=next((str(e.fields["binding"].get("phase", "")) for e in events if e.kind == "run_started"), ""),
        copies={str(place): _bytes_in(place) for place in folder.copies if place.is_dir()},
    )


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # A run that goes on moves and removes files of its own.
        with suppress(OSError):
            total += path.lstat().st_size if path.is_file() else 0
    return total


def _state(events: list[Event]) -> str:
    last = next((event.kind for event in reversed(events) if event.kind.startswith("run_")), "")
    return _ENDINGS.get(last, "unfinished")


def _stages_s(entries: list[Entry]) -> dict[str, float]:
    """Return how long each stage took: from the end of the one before, or from where this process began."""
    begun = next((n for n in reversed(range(len(entries))) if entries[n].event.kind in _BEGINNINGS), 0)
    found: dict[str, float] = {}
    before = begun
    for number, entry in enumerate(entries[begun:], begun):
        stage = _STAGE_ENDS.get(entry.event.kind)
        if stage is not None:
            found[stage] = round(found.get(stage, 0.0) + _duration_s(entries[before : number + 1]), 3)
            before = number
    return found


def _duration_s(entries: list[Entry]) -> float:
    if not entries:
        return 0.0
    first, last = (datetime.fromisoformat(entry.at) for entry in (entries[0], entries[-1]))
    # A clock that was set back in between gives no time, not a negative one.
    return max(round((last - first).total_seconds(), 3), 0.0)
