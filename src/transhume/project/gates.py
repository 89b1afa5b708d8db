"""Waves of a plan from the front door: which one a run brings, what stands of the others, whether its gate is open."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transhume.errors import Finding, Refused, UsageError
from transhume.plan.model import Plan
from transhume.project.approving import approval_differences
from transhume.project.results import RunResult, result_of
from transhume.project.scratch_place import drill_passed
from transhume.project.standing_backup import standing_backup
from transhume.project.validations import validation_of
from transhume.project.workplace import Systems, Workplace
from transhume.stages.binding import phase_of, run_folders
from transhume.stages.context import RunFolder
from transhume.words import counted, hint

_STANDING = frozenset({"finished", "finalized"})
_CURES = {
    "earlier waves": "run them first, in the plan's order",
    "approved": "have the plan approved: 'transhume approve --by NAME'",
    "backup": "make one: 'transhume backup'",
    "rehearsed": "rehearse it: 'transhume rehearse'",
    "validated": "validate them: 'transhume validate RUN'",
    "rejects": "mend the rows or the rules, and run the earlier wave again",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a gate: whether it holds, and what says so."""

    name: str
    holds: bool
    evidence: str


def plan_of_phase(place: Workplace, plan: Plan, phase: str | None) -> Plan:
    """Return the part of the plan that a run brings. Raises: UsageError where phase and plan do not go together."""
    if phase is None and not plan.phases:
        return plan
    if phase is None:
        runs = runs_of_phases(place)
        following = next((name for name in plan.phases if name not in runs), list(plan.phases)[-1])
        message = f"the plan has phases, and a run brings one of them: transhume run --phase {following}"
        raise UsageError(message)
    if phase not in plan.phases:
        known = hint(phase, plan.phases, "its phases are") if plan.phases else "it has none"
        message = f"the plan has no phase '{phase}'; {known}"
        raise UsageError(message)
    return plan.in_phase(phase)


def runs_of_phases(place: Workplace) -> dict[str, RunResult]:
    """Return the newest run of each phase that stands: finished, and not rolled back."""
    found = {}
    for folder in map(RunFolder, run_folders(place.runs)):
        phase = phase_of(folder)
        result = result_of(folder) if phase else None
        if result is not None and result.state in _STANDING:
            found[phase] = result
    return found


def require_gate(place: Workplace, systems: Systems) -> list[Condition]:
    """Return the conditions of the phase's gate, which hold; nothing for a plan without phases.

    Raises: Refused with every condition that does not hold; nothing was read or written.
    """
    name = systems.plan.phase
    if not name:
        return []
    found = list(conditions(place, systems, name))
    shut = [each for each in found if not each.holds]
    if shut:
        listed = [Finding("gate", "error", f"{each.name}: {each.evidence}", _CURES[each.name]) for each in shut]
        message = (
            f"the gate of the phase '{name}' is shut: {len(shut)} of {counted(len(found), 'condition')} do not hold; "
            "no row was read, nothing was written"
        )
        raise Refused(message, listed)
    return found


def conditions(place: Workplace, systems: Systems, name: str) -> Iterator[Condition]:
    """Yield what must hold before a phase: the waves above it published, then what its gate says."""
    plan = systems.plan.whole
    phase = plan.phases[name]
    runs = runs_of_phases(place)
    earlier = list(plan.phases)[: list(plan.phases).index(name)]
    missing = [each for each in earlier if each not in runs]
    done = ", ".join(f"'{each}' by run {runs[each].run}" for each in earlier if each in runs)
    yield Condition(
        "earlier waves",
        not missing,
        f"not published, or rolled back: {', '.join(missing)}" if missing else done or "it is the first",
    )
    here = {each: runs[each] for each in earlier if each in runs}
    for gate in phase.gate:
        yield Condition(gate, *_gate(gate, place, systems, list(here.values())))
    if phase.rejects is not None:
        yield Condition("rejects", *_rejects(phase.rejects, plan, here))


def _gate(gate: str, place: Workplace, systems: Systems, earlier: list[RunResult]) -> tuple[bool, str]:
    match gate:
        case "approved":
            approved, changes = approval_differences(place, systems)
            if approved is None:
                return False, "nobody has approved this plan"
            signed = [each.by for each in approved.signatures]
            missing = sorted({who for names in systems.plan.people.values() for who in names if who not in signed})
            shut = [*changes, *([f"not signed by {', '.join(missing)}"] if missing else [])]
            return not shut, "; ".join(shut) or f"by {', '.join(signed)}"
        case "backup":
            backup = standing_backup(place, systems)
            why = "; ".join(backup.why_not)
            return not why, why or f"backup '{backup.manifest.name if backup.manifest else ''}'"
        case "rehearsed":
            passed = drill_passed(place, systems.plan.whole)
            said = {None: "this plan was not rehearsed as it is now", False: "the newest drill of this plan failed"}
            return passed is True, said.get(passed, "rehearsed, the drill passed")
    return _validated(place, earlier)


def _validated(place: Workplace, earlier: list[RunResult]) -> tuple[bool, str]:
    bad, good = [], []
    for result in earlier:
        found = validation_of(place.run_folder(result.run))
        failed = [each["name"] for each in found["checks"] if _has_failed(each)] if found else []
        if found is None:
            bad.append(f"run {result.run} was not validated")
        elif failed:
            bad.append(f"run {result.run} failed {', '.join(dict.fromkeys(failed))}")
        else:
            good.append(f"run {result.run} at {found['at']}")
    return not bad, "; ".join(bad or good)


def _has_failed(check: Mapping[str, Any]) -> bool:
    return check["severity"] == "error" and not check["passed"]


def _rejects(most: float, plan: Plan, earlier: Mapping[str, RunResult]) -> tuple[bool, str]:
    """Hold the rejects of each earlier wave's own tables against the share that is allowed."""
    said, holds = [], True
    for name, result in earlier.items():
        own = [tally for tally in result.tables if tally.mapping in plan.phases[name].tables]
        read, rejected = sum(tally.read for tally in own), sum(tally.rejected for tally in own)
        holds = holds and rejected <= most * read
        said.append(f"'{name}' rejected {rejected:,} of {counted(read, 'row')}")
    return holds, f"{'; '.join(said)}; {100 * most:g} % are allowed"
