"""Taking a run back from the front door: its tables as they were, the target's lock, the papers afterwards."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transhume.batches import Event
from transhume.errors import JournalDamaged, Refused, RollbackStopped, RolledBack, TranshumeError, UsageError
from transhume.journal import Journal
from transhume.plan.model import Plan
from transhume.project.backing_up import restore_snapshot
from transhume.project.gates import runs_of_phases
from transhume.project.replaying import replays_of
from transhume.project.results import result_of
from transhume.project.running import teller
from transhume.project.scratch_place import remove_leftovers
from transhume.project.standing_backup import backups_root, open_backups
from transhume.project.workplace import Listener, Workplace
from transhume.report.incident import Incident, incident_notice, post_mortem
from transhume.stages.backup import read_manifest
from transhume.stages.binding import changes_since, holder, phase_of, require_known_journal, run_folders
from transhume.stages.context import RunFolder
from transhume.stages.files import write_text
from transhume.stages.rollback import KEPT_FILE, rollback
from transhume.stages.scripts import ScriptFile
from transhume.stages.target_tables import read_tables
from transhume.systems.backup import ABSENT, taken_back_report
from transhume.systems.system import RunIdentity, Target
from transhume.systems.undo import TargetUndo, UndoChoice, UndoReport, parse_fingerprint, report_of
from transhume.version import __version__


@dataclass(frozen=True, slots=True)
class RollbackPreview:
    """What a rollback would do now. `target_name` is what a person types to confirm."""

    run: str
    target: str
    target_name: str
    choice: UndoChoice
    report: UndoReport
    plan_differences: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether a rollback by this choice would be refused."""
        return bool(self.report.later_runs or (self.report.referring and self.choice.referenced == "refuse"))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        told = {"target": self.target, "plan_differences": list(self.plan_differences), "refused": self.refused}
        return {**self.report.to_dict(), **told}


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did: rows by table, what is proved, what stayed (`kept_file` lists it), the papers."""

    run: str
    target: str
    report: UndoReport
    duration_s: float
    kept_file: Path | None
    incident: Path
    post_mortem: Path

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            **self.report.to_dict(),
            "target": self.target,
            "duration_s": self.duration_s,
            "kept_file": None if self.kept_file is None else str(self.kept_file),
            "incident": str(self.incident),
            "post_mortem": str(self.post_mortem),
        }


@dataclass(frozen=True, slots=True)
class FinalizeResult:
    """What finalizing dropped, in words."""

    run: str
    target: str
    dropped: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"run": self.run, "target": self.target, "dropped": list(self.dropped)}


@dataclass(frozen=True, slots=True)
class _Open:
    """A run that is open to be taken back."""

    plan: Plan
    folder: RunFolder
    journal: Journal
    target: Target
    undo: TargetUndo
    replaced: bool
    """Whether the run truncated and reloaded its tables."""
    backup: str


def preview_rollback(place: Workplace, run: str | None, choice: UndoChoice) -> RollbackPreview:
    """Say what a rollback would do now; see `Project.preview_rollback`."""
    with _open(place, run) as opened:
        report = opened.undo.preview(choice)
        waves = _later_waves(place, opened)
        if opened.replaced and opened.undo.state == "published":
            report = replace(report, notes=(*report.notes, _comes_back(opened)))
        report = replace(report, notes=(*_brought_nothing(place, opened, report), *report.notes))
        return RollbackPreview(
            run=opened.folder.root.name,
            target=opened.target.identity,
            target_name=opened.target.name,
            choice=choice,
            report=replace(report, later_runs=(*report.later_runs, *waves)),
            plan_differences=tuple(changes_since(opened.folder.root, opened.plan)),
        )


def rollback_script(place: Workplace, run: str | None) -> ScriptFile:
    """Return the rollback of a published run as a script; see `Project.rollback_scripts`."""
    with _open(place, run) as opened:
        name = opened.folder.root.name
        if opened.undo.state != "published":
            message = f"run '{name}' is {opened.undo.state.replace('_', ' ')}, not published: nothing is to be undone"
            raise UsageError(message)
        if opened.replaced:
            message = f"{_comes_back(opened)}: transhume rollback {name}"
            raise UsageError(message)
        script = opened.undo.script()
        return ScriptFile(f"rollback_{name}.{script.ending}", script.text, "target", script.language)


def take_back(
    place: Workplace, run: str | None, choice: UndoChoice, listener: Listener | None, cause: str
) -> RollbackResult:
    """Take a run back and write the papers; see `Project.rollback`."""
    with _open(place, run) as opened:
        if waves := _later_waves(place, opened):
            message = (
                f"run '{opened.folder.root.name}' is not taken back, nothing was changed: {'; '.join(waves)} stands on "
                "it. Runs go back one after the other, the newest first."
            )
            raise Refused(message)
        expected = _only_ours(place, opened, choice) if opened.replaced else None
        name = opened.folder.root.name
    if expected is not None:
        return _put_back(place, name, expected, cause, listener)
    with _open(place, run) as opened:
        tell = teller(opened.journal, listener)
        for told in rollback(opened.undo, opened.folder, choice, cause):
            tell(told)
        _anchor(opened)
        report, duration_s = _told(told)
        report = replace(report, notes=(*_brought_nothing(place, opened, report), *report.notes))
        return _papers(place, opened, report, cause, duration_s)


def _comes_back(opened: _Open) -> str:
    return (
        f"the run replaced its tables (load: replace): what stood there before comes back from backup '{opened.backup}'"
    )


def _only_ours(place: Workplace, opened: _Open, choice: UndoChoice) -> dict[str, str] | None:
    """Return the fingerprints of tables that hold the rows of a replacing run and no other, None if it is not visible.

    Raises: Refused where others wrote since: their rows would be lost with the snapshot's return.
    """
    if opened.undo.state != "published":
        return None
    _, target = open_backups(place, opened.plan)
    assert target is not None
    try:
        now = dict(target.fingerprints())
    finally:
        target.close()
    report = opened.undo.preview(choice)
    if report.later_runs:
        message = f"nothing was changed: {'; '.join(report.later_runs)}"
        raise Refused(message)
    told = [str(each) for each in report.referring]
    for table in report.tables:
        found = None if now[table.table] == ABSENT else parse_fingerprint(now[table.table])
        others = (0 if found is None else found.rows) - table.removed - table.kept
        changed = {"added": others, "edited": table.edited, "removed": table.vanished}
        told += [f"others {word} {rows} rows of '{table.table}'" for word, rows in changed.items() if rows]
    kept = read_manifest(backups_root(place) / opened.backup).fingerprints("target")
    mine = {table.table for table in report.tables}
    # The snapshot comes back whole: tables that other runs have written since it was made are in it as well.
    told += [f"'{name}' was changed" for name, found in now.items() if name not in mine and kept.get(name) != found]
    if told:
        message = (
            f"nothing was changed: {'; '.join(told)} since run '{opened.folder.root.name}' replaced the tables, and "
            f"these rows would be lost when backup '{opened.backup}' comes back. To lose them: transhume rollback "
            f"{opened.folder.root.name} --restore-snapshot"
        )
        raise Refused(message)
    return now


def _put_back(
    place: Workplace, run: str, expected: dict[str, str], cause: str, listener: Listener | None
) -> RollbackResult:
    """Bring back what stood in the tables of a run that replaced them."""
    done = restore_snapshot(place, run, cause, listener, expected)
    return RollbackResult(
        run=run,
        target=done.target,
        report=taken_back_report(run, done.tables, f"backup {done.backup}"),
        duration_s=done.duration_s,
        kept_file=None,
        incident=place.out / f"incident-{run}.md",
        post_mortem=place.out / f"post-mortem-{run}.md",
    )


def taken_back(place: Workplace, run: str, cause: str, listener: Listener | None) -> RolledBack:
    """Take a run back by itself after a failed check and return the error that says so.

    Raises: RollbackStopped if it could not be done: the run is visible then, and a person must act.
    """
    try:
        result = take_back(place, run, UndoChoice(), listener, cause)
    except TranshumeError as problem:
        message = (
            f"{cause}\nThe run is published and was not taken back by itself: {problem}\nA person must act: transhume "
            f"rollback {run}"
        )
        raise RollbackStopped(message) from problem
    removed = sum(table.removed for table in result.report.tables)
    kept = f"; {result.report.kept} rows stay, listed in {result.kept_file}" if result.kept_file else ""
    return RolledBack(
        f"{cause}\nRun '{run}' was rolled back by itself: {removed} rows removed{kept}. For people: {result.incident}"
    )


def finalize(place: Workplace, run: str | None, listener: Listener | None) -> FinalizeResult:
    """Drop everything that undoing a run needs; see `Project.finalize`."""
    with _open(place, run) as opened:
        dropped = list(opened.undo.finalize())
        for place_of_rows in opened.folder.copies:
            if place_of_rows.is_dir():
                shutil.rmtree(place_of_rows)
                dropped.append(f"folder '{place_of_rows}' with the run's extracts")
        dropped += [f"scratch place '{name}' of a rehearsal" for name in remove_leftovers(place, opened.plan)]
        result = FinalizeResult(opened.folder.root.name, opened.target.identity, tuple(dropped))
        teller(opened.journal, listener)(Event("run_finalized", {"dropped": len(dropped)}))
        _anchor(opened)
        return result


@contextmanager
def _open(place: Workplace, run: str | None) -> Iterator[_Open]:
    """Open a run, the target and its lock. The source is not needed, and the plan only for where the target is.

    Raises: Refused if the plan names another target than the run's, or what the run left was changed.
    """
    plan = place.plan()
    folder = place.run_folder(run)
    with place.lock(), ExitStack() as stack:
        journal = Journal(folder.journal)
        stack.callback(journal.close)
        target = place.target(plan)
        stack.callback(target.close)
        if not journal.entries:
            require_known_journal(folder.journal, target)
        started = journal.last("run_started")
        if started is None or "tables_sha256" not in started.fields:
            message = f"run '{folder.root.name}' never began to write, so there is nothing to take back"
            raise UsageError(message)
        tables = read_tables(folder, started.fields["tables_sha256"])
        binding = started.fields["binding"]
        if target.identity != binding["target"]:
            message = (
                f"run '{folder.root.name}' wrote to {binding['target']}, and the plan now names {target.identity}; "
                "nothing was changed. Put the former target back."
            )
            raise Refused(message)
        identity = RunIdentity(folder.root.name, binding["plan_hash"], __version__, holder())
        journal.require(target.anchor(identity.run))
        undo = target.open_undo(identity, tables.tables, tables.references)
        stack.callback(undo.close)
        replaced = any(table.replaces is not None for table in tables.tables)
        yield _Open(plan, folder, journal, target, undo, replaced, str(started.fields.get("backup", "")))


def _later_waves(place: Workplace, opened: _Open) -> list[str]:
    """Return the runs that stand on this one and that the target does not tell of.

    Rows of later waves may refer to those of this run, and lakes do not say so; a later run of the same wave and a
    replay of this run's rejects found most of its rows there, and would be all that is left of it.
    """
    own, phase = opened.folder.root.name, phase_of(opened.folder)
    found = {run: f"run '{run}', which replays rejects of it," for run in replays_of(place, own)}
    phases = list(opened.plan.phases)
    for name, result in runs_of_phases(place).items() if phase in phases else ():
        if name in phases[phases.index(phase) :] and result.run > own:
            found.setdefault(result.run, f"{result.run} (phase '{name}')")
    return [found[run] for run in sorted(found)]


def _brought_nothing(place: Workplace, opened: _Open, report: UndoReport) -> Iterator[str]:
    """Yield, of a run that found every row there already, which run's rows these are: whoever undoes means that one."""
    if report.state != "published" or any(table.published or table.updated for table in report.tables):
        return
    own = opened.folder.root.name
    yield f"run '{own}' brought no row and changed none, so nothing goes"
    for folder in reversed(run_folders(place.runs)):
        if folder.name >= own:
            continue
        try:
            result = result_of(RunFolder(folder))
        except JournalDamaged:
            continue
        if result.state == "finished" and any(table.loaded or table.updated for table in result.tables):
            yield f"the newest rows that are there came with run '{folder.name}': transhume rollback {folder.name}"
            return


def _anchor(opened: _Open) -> None:
    """Have the ledger remember that the journal tells of this: a copy from before it would say that the run stands."""
    if opened.undo.state != "absent":
        opened.undo.remember(opened.journal.anchor)


def _told(event: Event) -> tuple[UndoReport, float]:
    return report_of(event.fields["report"]), float(event.fields["duration_s"])


def _papers(place: Workplace, opened: _Open, report: UndoReport, cause: str, duration_s: float) -> RollbackResult:
    run = opened.folder.root.name
    kept = opened.folder.root / KEPT_FILE
    incident = Incident(
        plan_name=opened.plan.name,
        run=run,
        target=opened.target.identity,
        cause=cause,
        report=report,
        entries=opened.journal.entries,
        duration_s=duration_s,
        plan_differences=changes_since(opened.folder.root, opened.plan),
        kept_file=KEPT_FILE if report.kept else "",
    )
    out = place.out
    result = RollbackResult(
        run=run,
        target=opened.target.identity,
        report=report,
        duration_s=duration_s,
        kept_file=kept if report.kept else None,
        incident=out / f"incident-{run}.md",
        post_mortem=out / f"post-mortem-{run}.md",
    )
    write_text(result.incident, incident_notice(incident))
    write_text(result.post_mortem, post_mortem(incident))
    return result
