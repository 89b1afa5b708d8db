"""Validation from the front door: the source before a run, the target after it, and what both found as results."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transhume.checks import CheckResult
from transhume.errors import UsageError
from transhume.project.results import result_of
from transhume.project.workplace import Listener, Workplace
from transhume.stages.proof.prove import Proof
from transhume.stages.published import Depth, PublishedValidation


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What validating a published run found: every check, and by table mapping what the oracle recomputed."""

    run: str
    checks: tuple[CheckResult, ...]
    proofs: Mapping[str, Proof]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks of severity error that found wrong rows."""
        return tuple(check for check in self.checks if check.severity == "error" and not check.passed)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "run": self.run,
            "published": [check.to_dict() for check in self.checks],
            "oracle": {name: proof.to_dict() for name, proof in self.proofs.items()},
            "failed": len(self.failed),
        }


def validate_after(place: Workplace, run: str | None, depth: Depth, listener: Listener | None) -> ValidationResult:
    """Check what readers of the target see of a published run; see `Project.validate`."""
    with published_validation(place, run, depth) as validation:
        for event in validation.events():
            if listener is not None:
                listener(event)
        name = validation.context.folder.root.name
        return ValidationResult(name, tuple(validation.results), dict(validation.proofs))


@contextmanager
def published_validation(place: Workplace, run: str | None, depth: Depth) -> Iterator[PublishedValidation]:
    """Give the validation of a published run with its systems open. Raises: UsageError if nothing is published."""
    result = result_of(place.run_folder(run))
    if not result.published:
        message = f"run '{result.run}' is {result.state}, nothing of it is published; 'transhume run' goes on with it"
        raise UsageError(message)
    with place.published_run(result.run) as (context, catalog):
        yield PublishedValidation(context, catalog, depth)
