"""The closing report from the front door: the estimate, the runs and the rehearsals of a project put beside actuals."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from transhume.errors import UsageError
from transhume.estimate.rates import fit
from transhume.project.documents import write_paper
from transhume.project.estimating import Estimate
from transhume.project.results import RunResult, result_of
from transhume.project.scratch_place import rehearsal_journals
from transhume.project.validations import validation_of
from transhume.project.workplace import Workplace
from transhume.report.closing import Closing, RunLine, closing_paper
from transhume.report.writers import WRITERS
from transhume.stages.binding import run_folders
from transhume.stages.context import RunFolder
from transhume.stages.timings import measured
from transhume.version import __version__
from transhume.words import hint

NAME = "closing-report"


def write_closing(place: Workplace, estimate: Estimate, formats: Sequence[str], folder: Path) -> list[Path]:
    """Write the closing report in each of these formats; see `Project.write_closing_report`."""
    for name in formats:
        if name not in WRITERS:
            message = f"there is no document of the format '{name}'; {hint(name, WRITERS, 'formats')}"
            raise UsageError(message)
    plan = place.plan()
    folders = [RunFolder(each) for each in run_folders(place.runs)]
    results = [result_of(each) for each in folders]
    predicted, taken = _machine(place, folders, results)
    closing = Closing(
        plan_name=plan.name,
        compared=estimate.compared,
        items=estimate.effort.items,
        runs=[_line(each, result) for each, result in zip(folders, results, strict=True)],
        predicted=predicted,
        taken=taken,
        risks=estimate.risks,
        lessons=plan.schedule.lessons,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
    )
    return write_paper(closing_paper(closing), list(dict.fromkeys(formats)), folder, NAME)


def _line(folder: RunFolder, result: RunResult) -> RunLine:
    found = validation_of(folder)
    checks = found["checks"] if found else ()
    failed = [each["name"] for each in checks if each["severity"] == "error" and not each["passed"]]
    return RunLine(
        run=result.run,
        phase=result.phase,
        state=result.state,
        tallies=result.tables,
        duration_s=result.duration_s,
        validated=str(found["at"]) if found else "",
        failed=tuple(dict.fromkeys(failed)),
    )


def _machine(
    place: Workplace, folders: Sequence[RunFolder], results: Sequence[RunResult]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return by stage the seconds that the rehearsals predict for the newest finished run, and those that it took."""
    rates = {rate.stage: rate for rate in fit(measured(rehearsal_journals(place, place.plan())))}
    for folder, result in reversed(list(zip(folders, results, strict=True))):
        if result.state in {"finished", "finalized"}:
            points = measured([folder.journal])
            predicted = {
                each.stage: rates[each.stage].seconds(each.row_count) for each in points if each.stage in rates
            }
            return predicted, {each.stage: each.duration_s for each in points}
    return {}, {}
