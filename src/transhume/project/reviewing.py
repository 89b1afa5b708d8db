"""Plans whose decisions are still open: what can be said about them before anybody decides. No row is transformed."""

from transhume.errors import Finding, PlanError, SystemProblem, UsageError
from transhume.plan.check import check_plan
from transhume.plan.open import OPEN_CODE, not_of_open, open_paths
from transhume.project.workplace import Systems, Workplace


def looked_at(systems: Systems) -> list[Finding]:
    """Return what stands against the plan by itself and by the catalogs, but what only says that a decision is open."""
    document = systems.plan.origin.document
    found = [*systems.findings, *systems.lookups.findings()]
    if document is None or not open_paths(document):
        return found
    found += [finding for finding in check_plan(systems.plan) if finding.severity == "error"]
    return list(not_of_open(document, dict.fromkeys(found)))


def schema_findings(place: Workplace) -> list[Finding]:
    """Return what the catalogs say against a plan with open decisions, for a list that holds these already.

    Systems that cannot be used are a finding here: the open decisions are to be seen all the same.
    """
    try:
        plan, _ = place.plan_to_review()
        with place.systems(plan) as systems:
            return looked_at(systems)
    except PlanError as problem:
        return [finding for finding in problem.findings if finding.code != OPEN_CODE]
    except (SystemProblem, UsageError) as problem:
        message = f"the databases were not looked at: {problem}"
        return [Finding("not_looked_at", "warning", message, "decide what is open, and check again")]
