"""Approving a plan from the front door, and holding a run in a protected environment against what was approved."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from transhume.errors import Finding, Refused
from transhume.plan.approval import DEFAULT, Approved, Signature, read_approvals, write_approvals
from transhume.plan.lock import plan_content
from transhume.plan.model import Plan
from transhume.project.workplace import Systems, Workplace
from transhume.version import __version__


def approve(place: Workplace, row_counts: Mapping[str, int], by: str, role: str) -> Approved:
    """Sign the plan as it is, on the databases as they are; see `Project.approve`."""
    name = place.environment_name or DEFAULT
    known = read_approvals(place.folder)
    with place.systems() as systems:
        systems.require_sound()
        now = _now(systems, row_counts)
    before = known.get(name)
    kept = before.signatures if before is not None and not before.differences(now) else ()
    signature = Signature(by, role, datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
    signed = replace(now, signatures=(*(each for each in kept if each.by != by), signature))
    write_approvals(place.folder, {**known, name: signed})
    return signed


def differences(
    place: Workplace, row_counts: Mapping[str, int], plan: Plan | None = None
) -> tuple[Approved | None, list[str], list[str]]:
    """Return what is approved, what differs from it now (None: in the project's plan), and how row counts moved."""
    approved = read_approvals(place.folder).get(place.environment_name or DEFAULT)
    if approved is None:
        return None, [], []
    with place.systems(plan) as systems:
        now = _now(systems, row_counts)
    return approved, approved.differences(now), approved.growth(now)


def approval_differences(place: Workplace, systems: Systems) -> tuple[Approved | None, list[str]]:
    """Return what is approved, and what differs from it on these open systems."""
    approved = read_approvals(place.folder).get(place.environment_name or DEFAULT)
    return approved, [] if approved is None else approved.differences(_now(systems, {}))


def require_approval(place: Workplace, systems: Systems) -> None:
    """Raise Refused with every difference if the environment is protected and plan or schemas are not as approved."""
    name = place.environment_name
    environment = systems.plan.environments.get(name) if name else None
    if environment is None or not environment.protected:
        return
    approved = read_approvals(place.folder).get(name or DEFAULT)
    if approved is None:
        message = (
            f"the environment '{name}' is protected and this plan is not approved for it; "
            f"no row was read, nothing was written. "
            f"Look at it with 'transhume -e {name} plan', then 'transhume -e {name} approve --by NAME'."
        )
        raise Refused(message)
    found = approved.differences(_now(systems, {}))
    if found:
        by = ", ".join(signature.by for signature in approved.signatures)
        message = (
            f"the environment '{name}' is protected, and what {by} approved is not what would run; "
            f"no row was read, nothing was written ({'; '.join(found)}). Put it back, or have it approved again."
        )
        raise Refused(message, [Finding("not_approved", "error", each) for each in found])


def _now(systems: Systems, row_counts: Mapping[str, int]) -> Approved:
    binding = systems.binding()
    return Approved(
        plan_hash=binding.plan_hash,
        tool_version=__version__,
        source=binding.source,
        target=binding.target,
        source_schema=binding.source_schema,
        target_schema=binding.target_schema,
        row_counts=dict(row_counts),
        plan=plan_content(systems.plan),
        lookups=binding.lookups,
    )
