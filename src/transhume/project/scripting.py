"""Scripts from the front door: what a person may run by hand instead of this program."""

from collections.abc import Mapping

from transhume.checks.counts import TableTally
from transhume.dialects.scripts import SCRIPT_DIALECTS
from transhume.errors import UsageError
from transhume.project.results import result_of
from transhume.project.workplace import Workplace
from transhume.stages.binding import run_folders
from transhume.stages.scripts import ScriptFile, validation_scripts
from transhume.words import hint


def validation_scripts_of(place: Workplace, dialect: str | None) -> list[ScriptFile]:
    """Return the scripts of a validation; see `Project.scripts`."""
    if dialect is not None and dialect not in SCRIPT_DIALECTS:
        message = f"there is no dialect '{dialect}'; {hint(dialect, SCRIPT_DIALECTS, 'dialects are')}"
        raise UsageError(message)
    with place.systems() as systems:
        systems.require_sound()
        catalogs = (systems.source_catalog, systems.target_catalog)
        return validation_scripts(systems.plan, catalogs, systems.tables, _tallies(place), dialect)


def _tallies(place: Workplace) -> Mapping[str, TableTally]:
    """Return the counts of the newest run, if it is published."""
    if not run_folders(place.runs):
        return {}
    result = result_of(place.run_folder(None))
    return {tally.mapping: tally for tally in result.tables} if result.published else {}
