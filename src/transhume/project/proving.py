"""Validation from the front door: the source before a run, the target after it, and what both found as results."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transhume.checks import CheckResult
from transhume.errors import Finding, UsageError
from transhume.project.results import result_of
from transhume.project.validations import keep_validation
from transhume.project.workplace import Listener, Workplace
from transhume.report.worksheet import write_html, write_workbook
from transhume.stages.before import SourceValidation
from transhume.stages.proof.prove import Proof
from transhume.stages.published import Depth, PublishedValidation
from transhume.stages.scripts import with_scripts


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What validating a published run found: every check, and by table mapping what the oracle recomputed."""

    run: str
    checks: tuple[CheckResult, ...]
    proofs: Mapping[str, Proof]
    worksheets: tuple[Path, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    """Numbers of the linked fields of each mapping, for its report."""

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks of severity error that found wrong rows."""
        return tuple(check for check in self.checks if check.severity == "error" and not check.passed)

    @property
    def rules(self) -> Mapping[str, int]:
        """The plan's rules by verb, each with the values that the oracle recomputed by it and compared."""
        found: Counter[str] = Counter()
        for proof in self.proofs.values():
            found.update(proof.rules)
        return dict(sorted(found.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "run": self.run,
            "published": [check.to_dict() for check in self.checks],
            "oracle": {name: proof.to_dict() for name, proof in self.proofs.items()},
            "failed": len(self.failed),
            "worksheets": [str(path) for path in self.worksheets],
            "profile": dict(self.profile),
        }


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What validating the source found; `reasons` counts by table mapping each reason for which a run rejects rows."""

    findings: tuple[Finding, ...]
    reasons: Mapping[str, Mapping[str, int]]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def validate_before(place: Workplace, listener: Listener | None) -> SourceReport:
    """Look at every row of the source; see `Project.validate_source`."""
    with place.systems() as systems:
        systems.require_sound()
        with place.scratch(systems) as context:
            validation = SourceValidation(context)
            for event in validation.events():
                if listener is not None:
                    listener(event)
            tallies = validation.prediction.tallies
            reasons = {name: dict(table.reasons) for name, table in tallies.items()}
            said = [finding for finding in systems.findings if finding.severity != "error"]
            return SourceReport((*validation.findings, *said), reasons)


def validate_after(
    place: Workplace, run: str | None, depth: Depth, listener: Listener | None, worksheets: Path | None = None
) -> ValidationResult:
    """Check what readers of the target see of a published run; see `Project.validate`."""
    with published_validation(place, run, depth) as validation:
        for event in validation.events():
            if listener is not None:
                listener(event)
        name = validation.context.folder.root.name
        written: tuple[Path, ...] = ()
        if worksheets is not None:
            written = (worksheets / f"worksheet-{name}.html", worksheets / f"worksheet-{name}.xlsx")
            write_html(written[0], name, validation.sheet)
            write_workbook(written[1], name, validation.sheet)
        context = validation.context
        checks = with_scripts(context.plan, validation.catalog, context.tables, validation.results)
        result = ValidationResult(name, tuple(checks), dict(validation.proofs), written, validation.profile)
        keep_validation(validation.context.folder, result.to_dict())
        return result


@contextmanager
def published_validation(place: Workplace, run: str | None, depth: Depth) -> Iterator[PublishedValidation]:
    """Give the validation of a published run with its systems open. Raises: UsageError if nothing is published."""
    result = result_of(place.run_folder(run))
    if not result.published:
        message = f"run '{result.run}' is {result.state}, nothing of it is published; 'transhume run' goes on with it"
        raise UsageError(message)
    with place.published_run(result.run) as (context, catalog):
        yield PublishedValidation(context, catalog, depth)
