"""Backups from the front door: made before a run, and used to bring the target's tables back."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from transhume.batches import Event
from transhume.errors import Refused, UsageError
from transhume.journal import Journal, read_journal
from transhume.plan.model import Plan
from transhume.project.running import teller
from transhume.project.standing_backup import backups_root, open_backups
from transhume.project.workplace import Listener, Workplace
from transhume.report.incident import Incident, incident_notice, post_mortem
from transhume.stages.backup import (
    Manifest,
    backup,
    backup_folders,
    clear_unfinished,
    damages,
    new_name,
    read_manifest,
)
from transhume.stages.binding import changes_since, holder, run_folders
from transhume.stages.files import write_text
from transhume.systems.backup import RestoredTable, taken_back_report
from transhume.systems.system import RunIdentity
from transhume.version import __version__

_JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup holds and where it is."""

    folder: Path
    manifest: Manifest

    @property
    def is_verified(self) -> bool:
        """Whether a run may rely on it: copies of both sides were restored and compared, and none failed."""
        return self.manifest.is_verified

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"folder": str(self.folder), **self.manifest.to_dict()}


@dataclass(frozen=True, slots=True)
class SnapshotPreview:
    """What restoring a snapshot would do now. `target_name` is what a person types to confirm."""

    backup: str
    made_at: str
    target: str
    target_name: str
    snapshot: Mapping[str, str]
    now: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What restoring a snapshot did: each table's fingerprints, the runs that are gone with it, the papers."""

    backup: str
    target: str
    tables: tuple[RestoredTable, ...]
    runs: tuple[str, ...]
    duration_s: float
    papers: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "backup": self.backup,
            "target": self.target,
            "tables": [table.to_dict() for table in self.tables],
            "runs": list(self.runs),
            "duration_s": self.duration_s,
            "papers": [str(path) for path in self.papers],
        }


def make_backup(place: Workplace, listener: Listener | None) -> BackupResult:
    """Copy both sides and prove the copies; see `Project.backup`."""
    plan = place.plan()
    with place.lock(), place.systems(plan) as systems:
        systems.require_sound()
        root = backups_root(place)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        clear_unfinished(root)
        name = new_name()
        while (root / name).exists():
            name = f"{new_name()}_{secrets.token_hex(2)}"
        binding = systems.binding()
        source, target = open_backups(place, plan)
        manifest = Manifest(
            name=name,
            made_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            source=binding.source,
            target=binding.target,
            source_schema=binding.source_schema,
            source_sign=source.sign() if source is not None else "",
            parts=(),
        )
        (root / name).mkdir(mode=0o700)
        journal = Journal(root / name / _JOURNAL)
        try:
            tell = teller(journal, listener)
            for event in backup(root / name, manifest, source, target):
                tell(event)
        finally:
            journal.close()
            for opened in (source, target):
                if opened is not None:
                    opened.close()
        return BackupResult(root / name, read_manifest(root / name))


def preview_restore(place: Workplace, run: str | None) -> SnapshotPreview:
    """Say what restoring the snapshot from before a run would do; see `Project.preview_restore`."""
    plan = place.plan()
    manifest = _chosen(place, plan, run)
    part = manifest.part("target")
    assert part is not None
    _, target = open_backups(place, plan)
    assert target is not None
    try:
        now = target.fingerprints()
    finally:
        target.close()
    name = _target_name(place, plan)
    return SnapshotPreview(manifest.name, manifest.made_at, manifest.target, name, dict(part.fingerprints), dict(now))


def restore_snapshot(
    place: Workplace,
    run: str | None,
    cause: str,
    listener: Listener | None,
    expected: Mapping[str, str] | None = None,
) -> RestoreResult:
    """Bring the target's tables back from the snapshot from before a run; see `Project.restore_snapshot`.

    `expected`: fingerprints that the tables must have now. Raises: Refused where they have others.
    """
    plan = place.plan()
    with place.lock():
        manifest = _chosen(place, plan, run)
        folder = backups_root(place) / manifest.name
        part = manifest.part("target")
        assert part is not None
        _, target = open_backups(place, plan)
        assert target is not None
        if set(part.fingerprints) != set(target.fingerprints()):
            message = (
                f"backup '{manifest.name}' is of other tables than the plan writes now; nothing was changed. Put the "
                "plan of then back."
            )
            raise Refused(message)
        started = monotonic()
        identity = RunIdentity(f"restore_{manifest.name}_{secrets.token_hex(3)}", "", __version__, holder())
        try:
            done = target.restore(folder, part, identity, expected)
        finally:
            target.close()
        duration_s = round(monotonic() - started, 3)
        if listener is not None:
            fields = {"backup": manifest.name, "tables": [table.to_dict() for table in done], "duration_s": duration_s}
            listener(Event("snapshot_restored", fields))
        gone = _tell_runs(place, plan)
        papers = [path for name in gone for path in _papers(place, plan, name, done, cause, duration_s, manifest)]
        return RestoreResult(manifest.name, manifest.target, tuple(done), tuple(gone), duration_s, tuple(papers))


def _chosen(place: Workplace, plan: Plan, run: str | None) -> Manifest:
    """Return the verified backup that a run names, or the newest one from before it.

    Raises: UsageError where there is none; Refused where the plan names another target, or its files are damaged.
    """
    folders = run_folders(place.runs)
    named, before = "", None
    if run is not None or folders:
        entries = read_journal(place.run_folder(run).journal)
        named = str(entries[0].event.fields.get("backup", "")) if entries else ""
        before = entries[0].at if entries else None
    root = backups_root(place)
    manifests = [read_manifest(folder) for folder in backup_folders(root)]
    fitting = [each for each in manifests if each.part("target") is not None]
    if named:
        fitting = [each for each in fitting if each.name == named]
    elif before is not None:
        fitting = [each for each in fitting if datetime.fromisoformat(each.made_at) < datetime.fromisoformat(before)]
    if not fitting:
        message = f"there is no verified snapshot of the target from before the run in '{root}'; nothing was changed"
        raise UsageError(message)
    chosen = fitting[-1]
    _, target = open_backups(place, plan)
    if target is None or target.identity != chosen.target:
        message = f"backup '{chosen.name}' is of {chosen.target}, the plan names another target; nothing was changed"
        raise Refused(message)
    if wrong := damages(root / chosen.name, chosen, "target"):
        message = f"{'; '.join(wrong)}; nothing was changed"
        raise Refused(message)
    return chosen


def _target_name(place: Workplace, plan: Plan) -> str:
    target = place.target(plan)
    try:
        return target.name
    finally:
        target.close()


def _tell_runs(place: Workplace, plan: Plan) -> list[str]:
    """Have the journals of runs know that the target's ledger counts them as rolled back; return those told now."""
    target = place.target(plan)
    try:
        states = {str(run["run"]): run["state"] for run in target.runs()}
    finally:
        target.close()
    told = []
    for folder in run_folders(place.runs):
        if states.get(folder.name) != "rolled_back":
            continue
        journal = Journal(folder / _JOURNAL)
        if journal.last("run_rolled_back") is None:
            journal.append(Event("run_rolled_back", {"by": "snapshot"}))
            _anchor(place, plan, folder.name, journal)
            told.append(folder.name)
        journal.close()
    return told


def _anchor(place: Workplace, plan: Plan, run: str, journal: Journal) -> None:
    """Have the ledger remember that the journal tells of this; see `undoing`."""
    started = journal.last("run_started")
    if started is None:
        return
    identity = RunIdentity(run, started.fields["binding"]["plan_hash"], __version__, holder())
    with closing(place.target(plan)) as target, closing(target.open_undo(identity, (), ())) as undo:
        if undo.state != "absent":
            undo.remember(journal.anchor)


def _papers(
    place: Workplace,
    plan: Plan,
    run: str,
    done: Sequence[RestoredTable],
    cause: str,
    duration_s: float,
    manifest: Manifest,
) -> list[Path]:
    folder = place.run_folder(run)
    incident = Incident(
        plan_name=plan.name,
        run=run,
        target=manifest.target,
        cause=cause,
        report=taken_back_report(run, done, f"backup {manifest.name}"),
        entries=read_journal(folder.journal),
        duration_s=duration_s,
        plan_differences=changes_since(folder.root, plan),
        kept_file="",
    )
    paths = [place.out / f"incident-{run}.md", place.out / f"post-mortem-{run}.md"]
    for path, text in zip(paths, (incident_notice(incident), post_mortem(incident)), strict=True):
        write_text(path, text)
    return paths
