"""What is wrong with the waves of a plan, as far as the plan alone tells."""

from collections.abc import Iterator

from transhume.errors import Finding
from transhume.plan.model import Plan
from transhume.plan.places import at, at_mapping
from transhume.words import hint


def phase_findings(plan: Plan) -> Iterator[Finding]:
    """Yield tables that a wave names wrongly or twice, that are in none, and references to a later wave."""
    if not plan.phases:
        return
    phase_of: dict[str, str] = {}
    for name, phase in plan.phases.items():
        for place, table in enumerate(phase.tables):
            path = ("phases", name, "tables", place)
            if table not in plan.tables:
                message = f"the phase '{name}' names '{table}', and there is no such table mapping"
                yield at(plan, path, "unknown_table", message, hint(table, plan.tables, "the mappings are"))
            elif table in phase_of:
                message = f"'{table}' is in two phases: '{phase_of[table]}' and '{name}'"
                yield at(plan, path, "two_phases", message, "leave it in one of them")
            else:
                phase_of[table] = name
    yield from _first(plan, next(iter(plan.phases)))
    yield from _references(plan, phase_of)
    left = [name for name in plan.tables if name not in phase_of]
    if left:
        which = f"{len(left)} of {len(plan.tables)} table mappings are in no phase: {', '.join(left)}"
        cure = "write each into a phase, if it shall come along; 'run --phase' brings none of them"
        yield at(plan, ("phases",), "no_phase", which, cure, "warning")


def _first(plan: Plan, name: str) -> Iterator[Finding]:
    phase = plan.phases[name]
    asked = [*(["gate: validated"] if "validated" in phase.gate else []), *(["rejects"] if phase.rejects else [])]
    for each in asked:
        message = f"'{each}' looks at earlier phases, and '{name}' is the first"
        yield at(plan, ("phases", name, each.split(":")[0]), "first_phase", message, "remove it here")


def _references(plan: Plan, phase_of: dict[str, str]) -> Iterator[Finding]:
    order = {name: place for place, name in enumerate(plan.phases)}
    for name, phase in phase_of.items():
        mapping = plan.tables[name]
        for parent in mapping.parents():
            if parent not in plan.tables or order[phase_of.get(parent, phase)] < order[phase]:
                continue
            if parent not in phase_of:
                message = f"'{name}' of the phase '{phase}' references '{parent}', which is in no phase"
            elif order[phase_of[parent]] > order[phase]:
                message = (
                    f"'{name}' of the phase '{phase}' references '{parent}' of the later phase '{phase_of[parent]}'"
                )
            else:
                continue
            cure = f"write '{parent}' into '{phase}' or a phase before it"
            yield at_mapping(plan, mapping, None, "later_phase", message, cure)
