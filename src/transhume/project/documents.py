"""Documents from the front door: the plan document of what is known now, the report of a run; written here."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from transhume.checks.counts import TableTally
from transhume.errors import Finding, UsageError
from transhume.facts import Profile
from transhume.plan.lock import plan_hash
from transhume.plan.model import Plan
from transhume.project.approving import differences
from transhume.project.estimating import estimate
from transhume.project.gates import runs_of_phases
from transhume.project.measured import measured_steps
from transhume.project.profiling import profile_system
from transhume.project.reviewing import looked_at
from transhume.project.workplace import Listener, Systems, Workplace
from transhume.report.paper import Paper
from transhume.report.planning import Known, Timing, plan_paper, runbook_paper
from transhume.report.writers import WRITERS
from transhume.rules.copy import Copy
from transhume.stages.binding import run_folders
from transhume.stages.check import Prediction
from transhume.stages.files import write_whole
from transhume.version import __version__
from transhume.words import hint

NAME = "migration-plan"
RUNBOOK = "runbook"


def write_plan_documents(
    place: Workplace, formats: Iterable[str], folder: Path, listener: Listener | None, seed: int
) -> list[Path]:
    """Write the plan document in each of these formats; see `Project.write_documents`."""
    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in WRITERS:
            message = f"there is no document of the format '{name}'; {hint(name, WRITERS, 'formats')}"
            raise UsageError(message)
    found = known(place, listener, seed)
    written = write_paper(plan_paper(found), wanted, folder, NAME)
    return [*written, *write_paper(runbook_paper(found), wanted, folder, RUNBOOK)]


def write_paper(paper: Paper, formats: Iterable[str], folder: Path, name: str) -> list[Path]:
    """Write a paper as `folder/name.format`, each whole or not at all, readable by its owner."""
    contents = {form: WRITERS[form](paper) for form in formats}
    written = []
    for form, content in contents.items():
        path = folder / f"{name}.{form}"
        write_whole(path, content)
        written.append(path)
    return written


def known(place: Workplace, listener: Listener | None, seed: int) -> Known:
    """Return what a plan document is made of. All source tables are read, unless the plan cannot work on them.

    Of a plan with open decisions the source is profiled, and no fate of a row is predicted: rules are missing.
    Raises: PlanError for a plan that cannot be read; SystemUnavailable.
    """
    tallies: dict[str, TableTally] = {}
    rows: dict[str, int] = {}
    profile: Profile | None = None
    reviewed, undecided = place.plan_to_review()
    with place.systems(reviewed) as systems:
        findings = [*undecided, *looked_at(systems)]
        if undecided:
            profile, rows = _profile(place, systems, listener)
        elif not any(finding.severity == "error" for finding in findings):
            refusals = systems.target.refusals(systems.in_order())
            findings += [Finding("refused", "error", sentence) for sentence in refusals]
            with place.scratch(systems) as context:
                prediction = Prediction(context)
                for event in prediction.events():
                    if listener is not None:
                        listener(event)
                tallies = prediction.tallies
                findings += prediction.findings()
                profile = profile_system(
                    systems.source,
                    systems.source_catalog,
                    place.state,
                    tables=context.source_tables(),
                    listener=listener,
                )
                rows = {table: sum(each.row_count for each in found) for table, found in context.segments.items()}
        plan, source, target, tables = systems.plan, systems.source_catalog, systems.target_catalog, systems.tables
        target_name = systems.target.name
    personal = None if profile is None else list(_copied_as_they_are(plan, profile))
    rejected = sum(tally.rejected for tally in tallies.values()) if tallies else None
    found = estimate(place, findings, rows, seed, personal, rejected=rejected)
    approved, changes, _ = differences(place, rows, reviewed)
    return Known(
        plan=plan,
        source=source,
        target=target,
        tables=tables,
        tallies=tallies,
        rows=rows,
        findings=findings,
        timing=Timing(
            effort=found.effort,
            chances=found.chances,
            spans=found.spans,
            finish=found.finish,
            machine=found.machine,
            risks=found.risks,
            decided=found.decided,
            waves=found.waves,
        ),
        target_name=target_name,
        plan_hash=plan_hash(plan),
        version=__version__,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        environment=place.environment_name or "",
        approved=approved,
        changes=changes,
        runs=[folder.name for folder in run_folders(place.runs)],
        profile=profile,
        waves={name: result.run for name, result in runs_of_phases(place).items()},
        measured=measured_steps(place),
        undecided=undecided,
    )


def _profile(place: Workplace, systems: Systems, listener: Listener | None) -> tuple[Profile | None, dict[str, int]]:
    """Profile the source tables that a plan reads, as far as they are there; return it with their row counts."""
    used = {name for mapping in systems.plan.tables.values() for name in (mapping.from_, *mapping.feeding())}
    tables = [name for name in systems.source_catalog.tables if name in used]
    if not tables:
        return None, {}
    profile = profile_system(systems.source, systems.source_catalog, place.state, tables=tables, listener=listener)
    return profile, {name: each.row_count for name, each in profile.tables.items() if not each.unread}


def _copied_as_they_are(plan: Plan, profile: Profile) -> Iterator[str]:
    """Yield the source columns that look personal or secret and are copied without any rule."""
    for mapping in plan.tables.values():
        table = profile.tables.get(mapping.from_)
        copied = {column for rule in mapping.columns.values() if isinstance(rule, Copy) for column in rule.columns()}
        for column in table.columns.values() if table is not None else ():
            if column.likely and column.name in copied:
                yield f"{mapping.from_}.{column.name}"
