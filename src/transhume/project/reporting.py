"""The report of a run from the front door: its journal read, the page and the files for programs written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transhume.errors import PlanError, Refused
from transhume.journal import read_journal
from transhume.plan.lock import plan_hash
from transhume.plan.model import Plan
from transhume.project.results import result_of
from transhume.project.validations import validation_of
from transhume.project.workplace import Workplace
from transhume.report.outcome import Outcome, junit, outcome_paper, results
from transhume.report.writers import page
from transhume.stages.context import RunFolder
from transhume.stages.files import write_whole
from transhume.version import __version__


@dataclass(frozen=True, slots=True)
class RunReport:
    """The report of a run: its verdict, and the files that were written."""

    run: str
    verdict: str
    failed: int
    page: Path
    results: Path
    junit: Path

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        files = {"page": str(self.page), "results": str(self.results), "junit": str(self.junit)}
        return {"run": self.run, "verdict": self.verdict, "failed": self.failed, **files}


def write_report(place: Workplace, run: str | None, folder: Path) -> RunReport:
    """Write the report of a run; see `Project.report`."""
    outcome = outcome_of(place, run)
    sheet = f"worksheet-{outcome.run}.html"
    outcome = replace(outcome, worksheet=sheet if (folder / sheet).is_file() else "")
    where = folder / f"report-{outcome.run}.html"
    write_whole(where, page(outcome_paper(outcome)))
    machine, cases = folder / "results.json", folder / "junit.xml"
    write_whole(machine, (json.dumps(results(outcome), ensure_ascii=False, indent=2) + "\n").encode())
    write_whole(cases, junit(outcome))
    return RunReport(outcome.run, outcome.verdict, len(outcome.failed()), where, machine, cases)


def outcome_of(place: Workplace, run: str | None) -> Outcome:
    """Return what is known of a run, from its folder and the plan beside it. No system is opened.

    Raises: UsageError if there is no such run; JournalDamaged.
    """
    folder = place.run_folder(run)
    entries = read_journal(folder.journal)
    found = result_of(folder)
    started = (entry.event.fields["binding"] for entry in entries if entry.event.kind == "run_started")
    bound: Mapping[str, Any] = next(started, {})
    plan = _plan(place, folder)
    is_same = plan is not None and plan_hash(plan) == bound.get("plan_hash")
    return Outcome(
        run=found.run,
        state=found.state,
        resumed=found.resumed,
        entries=entries,
        tallies=found.tables,
        fed=found.fed,
        stages_s=found.stages_s,
        duration_s=found.duration_s,
        published=found.published,
        checks_during=found.checks,
        validation=validation_of(folder),
        plan=plan if is_same else None,
        plan_name=plan.name if plan is not None else "unknown: the plan cannot be read",
        version=__version__,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _plan(place: Workplace, folder: RunFolder) -> Plan | None:
    try:
        return place.plan_of(folder)
    except (PlanError, Refused):
        return None
