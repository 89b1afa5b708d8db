"""The library's front door: a project folder, and what can be done with it. Commands are thin over this.

A call imports the room that it goes to, so that none waits for the others: all of them take a tenth of a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from transhume.capacity import Capacity
from transhume.errors import Finding, PlanError
from transhume.facts import Profile
from transhume.plan.load import check_files, find_project, in_file_order
from transhume.plan.model import Plan
from transhume.plan.open import OPEN_CODE
from transhume.project.results import CheckReport, RunResult, result_of
from transhume.project.workplace import Listener, Systems, Workplace
from transhume.stages.context import Limits

if TYPE_CHECKING:
    from transhume.plan.approval import Approved
    from transhume.project.backing_up import BackupResult, RestoreResult, SnapshotPreview
    from transhume.project.deciding import Decisions
    from transhume.project.drilling import DrillResult
    from transhume.project.estimating import Estimate
    from transhume.project.freezing import FreezeRecord, UnfreezeResult
    from transhume.project.outlook import Outlook
    from transhume.project.proving import SourceReport, ValidationResult
    from transhume.project.rehearsing import Rehearsal
    from transhume.project.reporting import RunReport
    from transhume.project.undoing import FinalizeResult, RollbackPreview, RollbackResult
    from transhume.stages.preview import PreviewedRow
    from transhume.stages.profile import ProfileBounds
    from transhume.stages.scripts import ScriptFile
    from transhume.stages.statements import Statement
    from transhume.stages.subset import Subset
    from transhume.systems.changes import Freezing


class Project:
    """A folder with a `transhume.yaml`. Opening it reads nothing; each call reads what it needs."""

    def __init__(
        self,
        folder: str | Path = ".",
        *,
        environment: Mapping[str, str] | None = None,
        name: str | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        """Take the folder, or the nearest one upwards that holds a plan.

        `environment` are the variables that the plan's references name (default: the process's), `name` is one of
        the plan's own environments, `capacity` how much of the machine may be used (default: see `capacity`).
        Raises: UsageError if there is no plan.
        """
        self.folder = find_project(folder)
        self._place = Workplace(self.folder, os.environ if environment is None else environment, name, capacity)

    @property
    def runs(self) -> Path:
        """Where the runs of this project keep journal, extract and rejects."""
        return self._place.runs

    def plan(self) -> Plan:
        """Read the plan.

        Raises: PlanError with every finding that needs no database.
        """
        return self._place.plan()

    def check(self, *, offline: bool = False, data: bool = True, listener: Listener | None = None) -> CheckReport:
        """Return everything that is wrong with the plan, in file order, and what a run would reject.

        `offline` looks at the files only; `data=False` looks at the databases' tables but reads no row, and so it is
        with a plan whose decisions are open.
        Effects: none outside a temporary folder of the project.
        Raises: UsageError, SystemUnavailable; never PlanError.
        """
        findings = list(check_files(self.folder, self._place.environment))
        errors = {finding.code for finding in findings if finding.severity == "error"}
        if not offline and errors == {OPEN_CODE}:
            from transhume.project.reviewing import schema_findings

            findings += schema_findings(self._place)
            return CheckReport(tuple(in_file_order(findings)))
        if offline or errors:
            return CheckReport(tuple(findings))
        with self._place.systems() as systems:
            findings += [*systems.findings, *systems.lookups.findings()]
            if any(finding.severity == "error" for finding in findings):
                return CheckReport(tuple(in_file_order(findings)))
            refusals = systems.target.refusals(systems.in_order())
            findings += [Finding("refused", "error", sentence) for sentence in refusals]
            rows: dict[str, int] = {}
            rejected: int | None = None
            if data:
                predicted, rows, rejected = self._predict(systems, listener)
                findings += predicted
        return CheckReport(tuple(in_file_order(findings)), rows, rejected)

    def _predict(self, systems: Systems, listener: Listener | None) -> tuple[list[Finding], dict[str, int], int]:
        from transhume.stages.check import Prediction

        with self._place.scratch(systems) as context:
            prediction = Prediction(context)
            for event in prediction.events():
                if listener is not None:
                    listener(event)
            rows = {table: sum(each.row_count for each in segments) for table, segments in context.segments.items()}
            rejected = sum(tally.rejected for tally in prediction.tallies.values())
            return prediction.findings(), rows, rejected

    def approve(self, by: str, *, role: str = "", listener: Listener | None = None) -> Approved:
        """Sign the plan, the schemas of both systems and the row counts, as they are now.

        Effects: writes `transhume.lock`. Signatures of others stay as long as nothing differs from what they signed.
        Raises: PlanError if `check` finds an error; SystemUnavailable; Refused for a damaged lock file.
        """
        from transhume.project import approving

        report = self.check(listener=listener)
        if report.errors:
            raise PlanError(report.errors)
        return approving.approve(self._place, report.row_counts, by, role)

    def outlook(self, *, listener: Listener | None = None) -> Outlook:
        """Return what a run would do: order, tables made, rows, expected rejects, checks, and what is not as approved.

        Effects: none outside a temporary folder of the project; all source tables are read.
        Raises: PlanError, SystemUnavailable.
        """
        from transhume.project import outlook

        return outlook.outlook(self._place, listener)

    def write_documents(
        self, formats: Sequence[str], folder: Path | None = None, *, seed: int = 1, listener: Listener | None = None
    ) -> list[Path]:
        """Write the plan document (`html`, `docx`, `xlsx`, `md`) and return the files; default folder: out/.

        The runbook stands beside it as a file of its own, in each format.
        It holds the whole plan with what is known of both databases: mapping, rules, checks, rollback, timeline,
        risks, findings, signatures. A plan with errors gives a document that says so, one with open decisions a draft.
        Effects: writes the files; all source tables are read.
        Raises: UsageError for another format; PlanError for a plan that cannot be read; SystemUnavailable;
        DriverMissing for `docx` without python-docx.
        """
        from transhume.project import documents

        out = self.folder / "out" if folder is None else folder
        return documents.write_plan_documents(self._place, formats, out, listener, seed)

    def read_decisions(self, workbook: Path) -> Decisions:
        """Return what people decided in a workbook that `write_documents` made, as a change of the plan.

        Effects: none. Raises: UsageError for another file; DriverMissing without python-calamine; Refused if the plan
        is not what the workbook was made of; PlanError with every row that cannot be taken, at once.
        """
        from transhume.project import deciding

        return deciding.read_workbook(self._place, workbook)

    def write_decisions(self, decisions: Decisions) -> bool:
        """Write decisions into the plan, comments and all other lines as they were; say whether anything was written.

        Effects: the plan is replaced as a whole. Raises: Refused if it was changed since they were read.
        """
        from transhume.project import deciding

        return deciding.write_decisions(self._place, decisions)

    def estimate(self, *, offline: bool = False, seed: int = 1, listener: Listener | None = None) -> Estimate:
        """Return working days by phase with their chances, the calendar, machine time and risks.

        `offline` looks at the plan alone; else both databases are looked at as `check` does, because open decisions
        and wrong rows are work. Machine time comes from the journals of this project's finished runs.
        Raises: PlanError, SystemUnavailable.
        """
        from transhume.project import estimating

        if offline:
            return estimating.estimate(self._place, None, {}, seed)
        report = self.check(listener=listener)
        return estimating.estimate(self._place, report.findings, report.row_counts, seed, rejected=report.rejected)

    def write_closing_report(
        self,
        formats: Sequence[str] = ("html", "md"),
        folder: Path | None = None,
        *,
        offline: bool = False,
        seed: int = 1,
        listener: Listener | None = None,
    ) -> list[Path]:
        """Write what was planned against what it took, with lessons, and return the files; default folder: out/.

        Made of `schedule: actuals:` and `lessons:`, the estimate, the runs and rehearsals of this project.
        Effects: writes the files; looks at both databases as `estimate` does, unless `offline`.
        Raises: UsageError for another format; PlanError, SystemUnavailable, JournalDamaged.
        """
        from transhume.project import closing

        found = self.estimate(offline=offline, seed=seed, listener=listener)
        return closing.write_closing(self._place, found, formats, self.folder / "out" if folder is None else folder)

    def profile(
        self,
        tables: Sequence[str] = (),
        *,
        side: str = "source",
        bounds: ProfileBounds | None = None,
        listener: Listener | None = None,
    ) -> Profile:
        """Return what the rows of a side (source, or target where it can be read) are like; tables by name or pattern.

        Effects: none outside a temporary folder of the project.
        Raises: PlanError, UsageError, SystemUnavailable.
        """
        from transhume.project.profiling import profile_system

        with self._place.readable(side) as source:
            state = self._place.state
            return profile_system(source, source.catalog(), state, tables=tables, bounds=bounds, listener=listener)

    def backup(self, *, listener: Listener | None = None) -> BackupResult:
        """Copy the source, logically and physically, and the target's affected tables; restore and compare each copy.

        Effects: a private folder below .transhume/backups; a lake's tables get a tag. The source is only read. Killed
        midway it leaves nothing that counts as a backup.
        Raises: PlanError, SystemUnavailable (no room, no rights), DriverMissing where programs are missing.
        """
        from transhume.project import backing_up

        return backing_up.make_backup(self._place, listener)

    def preview_restore(self, run: str | None = None) -> SnapshotPreview:
        """Say what `restore_snapshot` would do now: each table's fingerprint in the snapshot and now.

        Effects: none. Raises: UsageError, Refused, SystemUnavailable.
        """
        from transhume.project import backing_up

        return backing_up.preview_restore(self._place, run)

    def restore_snapshot(
        self, run: str | None = None, *, cause: str = "", listener: Listener | None = None
    ) -> RestoreResult:
        """Bring the target's tables back to the verified snapshot from before a run (default: the newest).

        What others wrote into these tables since is lost, which is why `rollback` comes first.
        Effects: one transaction of the target; runs published since count as rolled back. Writes the papers.
        Raises: UsageError, Refused, RollbackStopped: nothing was changed then; LockHeld; SystemUnavailable.
        """
        from transhume.project import backing_up

        return backing_up.restore_snapshot(self._place, run, cause, listener)

    def run(
        self,
        *,
        listener: Listener | None = None,
        fresh: bool = False,
        limits: Limits | None = None,
        subset: Subset | None = None,
        repaired: Sequence[Path] = (),
        phase: str | None = None,
    ) -> RunResult:
        """Migrate: extract, transform, stage, validate, publish; an unfinished run goes on where it stopped.

        `subset`: bring a part of the source only, closed under references; a later run brings the rest.
        `repaired`: CSV or XLSX files of rejects of an earlier run that people repaired; the run goes on from that run's
        extract with these rows as they are now, and reads no row of the source.
        `phase`: bring one wave of the plan, behind its gate; a plan with phases is run by phase only.
        Effects: the target shows all rows of the plan at once, or nothing new. The source is only read.
        Raises: PlanError, UsageError, SystemUnavailable, SystemRefused, CheckFailed, Refused (a gate is shut: every
        condition that does not hold is a finding), LockHeld, Interrupted; RolledBack
        where a check failed after publishing and the plan says `rollback: {on_failed_check: automatic}`.
        """
        from transhume.project import notifying, running

        with notifying.told_of_a_run(self._place, listener) as done:
            try:
                result = running.run(
                    self._place,
                    listener,
                    limits or self._place.limits,
                    fresh=fresh,
                    subset=subset,
                    repaired=repaired,
                    phase=phase,
                )
            except running.FailedAfterPublishing as problem:
                if not problem.is_automatic:
                    raise
                from transhume.project import undoing

                raise undoing.taken_back(self._place, problem.run, problem.cause, listener) from problem
            done.append(result)
        return result

    def write_rejects(self, run: str | None = None, folder: Path | None = None, form: str = "xlsx") -> list[Path]:
        """Write the rejects of a run (default: the newest) for people to repair, one file a mapping; default: out/.

        `form` is xlsx or csv; a repaired file comes back by `run(repaired=[file])`.
        Raises: UsageError for an unknown run or form, and for rejects that no workbook holds.
        """
        from transhume.project.replaying import write_reject_sheets

        return write_reject_sheets(self._place, run, folder or self._place.out, form)

    def preview_rollback(
        self,
        run: str | None = None,
        *,
        edited: Literal["keep", "remove"] = "keep",
        referenced: Literal["refuse", "keep", "remove"] = "refuse",
    ) -> RollbackPreview:
        """Say what `rollback` would do now: what goes, what stays, what cannot be restored.

        Effects: none that stay. Raises: UsageError, Refused, LockHeld, RollbackStopped, SystemUnavailable.
        """
        from transhume.project import undoing
        from transhume.systems.undo import UndoChoice

        return undoing.preview_rollback(self._place, run, UndoChoice(edited, referenced))

    def rollback(
        self,
        run: str | None = None,
        *,
        edited: Literal["keep", "remove"] = "keep",
        referenced: Literal["refuse", "keep", "remove"] = "refuse",
        cause: str = "",
        listener: Listener | None = None,
    ) -> RollbackResult:
        """Take a run (default: the newest) back: remove exactly its rows, restore what it changed, prove it.

        Rows that others edited since stay and are listed (`edited="remove"` takes them too). Where rows of others
        refer to rows of the run nothing is done, unless `referenced` says which of both go or stay.
        Effects: one transaction of the target; the source is not opened. Writes out/incident-<run>.md and
        out/post-mortem-<run>.md. The same call again after a kill ends in the same state.
        Raises: Refused (a later run builds on it, it is finalized), RollbackStopped (a count or fingerprint does not
        come out): nothing is changed then; LockHeld; SystemUnavailable.
        """
        from transhume.project import notifying, undoing
        from transhume.systems.undo import UndoChoice

        with notifying.told_of_a_rollback(self._place, listener) as done:
            result = undoing.take_back(self._place, run, UndoChoice(edited, referenced), listener, cause)
            done.append(result)
        return result

    def drill(
        self,
        *,
        rows: int | None = None,
        whole: bool = False,
        seed: int = 1,
        listener: Listener | None = None,
        limits: Limits | None = None,
    ) -> DrillResult:
        """Run the plan into a scratch place beside the target, let others write there, roll back, and prove the undo.

        `rows` of each table mapping with what they refer to, or all of them (`whole`); `seed` chooses.
        Effects: a scratch schema or namespace, removed at the end, and a journal; the target's tables are only read.
        Raises: as `run` does, of the scratch place; what is wrong with the undo is in the result.
        """
        from transhume.project import drilling
        from transhume.project.drilling import ROWS
        from transhume.stages.subset import Subset

        subset = None if whole else Subset(rows=rows or ROWS, seed=seed)
        return drilling.drill(self._place, subset, seed, listener, limits or self._place.limits)

    def rehearse(
        self,
        *,
        rows: int | None = None,
        percent: float | None = None,
        seed: int = 1,
        listener: Listener | None = None,
        limits: Limits | None = None,
    ) -> Rehearsal:
        """Rehearse the plan beside the target: a part that covers every way a row can go, all checks, the drill.

        The part: a row for every branch, code, name, reason, NULL and extreme, then `rows` of each table mapping or
        `percent` of it by `seed`, and all that these refer to. It runs at two sizes, for the rates of `estimate`.
        Effects: scratch schemas or namespaces, removed at the end, and journals; the target's tables are only read.
        Raises: as `run` does, of the scratch place; failed checks and the drill's verdict are in the result.
        """
        from transhume.project import rehearsing
        from transhume.stages.subset import Subset

        rows = rehearsing.ROWS if rows is None and percent is None else rows
        subset = Subset(rows=rows, percent=percent, seed=seed, covering=True)
        return rehearsing.rehearse(self._place, subset, listener, limits or self._place.limits)

    def finalize(self, run: str | None = None, *, listener: Listener | None = None) -> FinalizeResult:
        """Drop everything that undoing a run needs, its extracts included: the point of no return.

        Raises: Refused for a run that is not finished; LockHeld; SystemUnavailable.
        """
        from transhume.project import undoing

        return undoing.finalize(self._place, run, listener)

    def freeze_statements(self) -> Freezing:
        """Return the exact statements of `freeze: enforce`, and those that give the rights back; nothing is changed.

        Raises: PlanError, SystemUnavailable; Refused where this kind of source, or this role, cannot be frozen.
        """
        from transhume.project import freezing

        return freezing.statements(self._place)

    def standing_freeze(self) -> FreezeRecord | None:
        """Return what a run of this project has forbidden at the source and not given back, None where nothing is."""
        from transhume.project import freezing

        return freezing.standing_freeze(self._place)

    def unfreeze(self) -> UnfreezeResult:
        """Give back what `freeze: enforce` has forbidden, after a run that died; a run does it itself at its end.

        Raises: LockHeld while a run goes on; Refused if the plan names another source; SystemUnavailable.
        """
        from transhume.project import freezing

        return freezing.unfreeze(self._place)

    def result(self, run: str | None = None) -> RunResult:
        """Return what a run (default: the newest) has done so far, from its journal.

        Raises: UsageError if there is no such run; JournalDamaged.
        """
        return result_of(self._place.run_folder(run))

    def validate(
        self,
        run: str | None = None,
        *,
        sample: int = 10,
        seed: int = 0,
        whole: bool = False,
        worksheets: Path | None = None,
        show_values: bool = False,
        listener: Listener | None = None,
    ) -> ValidationResult:
        """Check what readers of the target see of a published run now, and recompute rows by the oracle.

        `sample` rows a table by chance (`seed`), beside at least one for every way that a row can go; `whole`
        recomputes every row, with as many processes as the capacity has jobs. `worksheets` is a folder for the sample
        side by side, as HTML and XLSX, where values of columns that look personal are masked unless `show_values`.
        Effects: these two files; none on the target's tables.
        Raises: UsageError if the run is not published; Refused if its files are damaged; SystemUnavailable.
        """
        from transhume.project.proving import validate_after
        from transhume.stages.published import Depth

        processes = self._place.capacity.jobs if whole else 1
        depth = Depth(sample, seed, whole, processes, worksheets is not None, show_values)
        return validate_after(self._place, run, depth, listener, worksheets)

    def validate_source(self, *, listener: Listener | None = None) -> SourceReport:
        """Look at every row of the source before a run: volumes, keys, formats, domains, references, ranges, secrets.

        Findings of severity error stop a run; a warning says how many rows would be rejected; a note is worth knowing.
        Effects: none outside a temporary folder of the project.
        Raises: PlanError, SystemUnavailable.
        """
        from transhume.project.proving import validate_before

        return validate_before(self._place, listener)

    def report(self, run: str | None = None, folder: Path | None = None) -> RunReport:
        """Write the report of a run (default: the newest): a page for people, results.json and junit.xml beside it.

        Made of the run's journal and the newest validation on record; no system is opened.
        Effects: writes three files (default folder: out/).
        Raises: UsageError if there is no such run; JournalDamaged.
        """
        from transhume.project.reporting import write_report

        return write_report(self._place, run, self.folder / "out" if folder is None else folder)

    def read_target(self, mapping: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield columns (default: the key) of the rows that readers of a mapping's target table see now.

        Raises: UsageError if nothing is published; SystemUnavailable.
        """
        result = self.result()
        with self._place.published_run(result.run) as (context, _):
            table = context.tables[mapping]
            yield from context.target.read_present(table, columns or table.key or table.arrow_schema.names)

    def lookup_default(self, mapping: str, column: str) -> str | None:
        """Return the text that a lookup's `else:` gives where the lookup has no entry, None where it gives none."""
        rule = self.plan().tables[mapping].columns[column]
        otherwise = getattr(rule, "otherwise", None)
        return str(otherwise.text) if otherwise is not None and otherwise.action == "literal" else None

    def preview(self, mapping: str, rows: int = 5) -> list[PreviewedRow]:
        """Return some rows of a mapping before and after its rules: good ones, then one for each kind of reject.

        Effects: none outside a temporary folder of the project; all source tables are read.
        Raises: PlanError, UsageError for an unknown mapping, SystemUnavailable.
        """
        from transhume.stages.preview import preview

        plan = self._place.plan_with(mapping)
        with self._place.systems(plan) as systems:
            systems.require_sound()
            with self._place.scratch(systems) as context:
                return preview(context, plan.tables[mapping], rows)

    def scripts(self, dialect: str | None = None) -> list[ScriptFile]:
        """Return the scripts of a validation, to be run by hand on each side, and the list of what they do not say.

        `dialect` is one for both sides, None each side's own. After a published run the target's scripts hold the
        counts of its journal. Effects: none; only the tables' declarations are read.
        Raises: PlanError, UsageError for an unknown dialect, SystemUnavailable.
        """
        from transhume.project.scripting import validation_scripts_of

        return validation_scripts_of(self._place, dialect)

    def rollback_scripts(self, run: str | None = None) -> list[ScriptFile]:
        """Return the rollback of a published run (default: the newest) as a script for a person and psql.

        It finds rows by the conditions of `rollback`, checks its counts against the ledger, and sets the ledger itself.
        Effects: none. Raises: UsageError for a run that is not published; SystemRefused for a target without SQL.
        """
        from transhume.project import undoing

        return [undoing.rollback_script(self._place, run)]

    def sql(self, mapping: str | None = None) -> list[Statement]:
        """Return the SELECTs of a run as its engine gets them, in order; `mapping` None: of all mappings.

        Raises: PlanError, UsageError for an unknown mapping, SystemUnavailable.
        """
        from transhume.stages.statements import statements

        plan = self.plan() if mapping is None else self._place.plan_with(mapping)
        with self._place.systems(plan) as systems:
            systems.require_sound(lookups=False)
            found = statements(plan, systems.source_catalog, systems.tables)
            return [each for each in found if mapping in {None, each.mapping}]
