"""`phases:` of a plan: waves of table mappings, each a run of its own behind a gate."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from transhume.plan.fields import names, reject_limit
from transhume.words import did_you_mean, kind_of

Gate = Literal["approved", "backup", "rehearsed", "validated"]
GATES: tuple[str, ...] = get_args(Gate)
MEANS: Mapping[str, str] = {
    "approved": "plan and schemas are as approved, by everybody whom the plan names",
    "backup": "a verified backup stands behind the run",
    "rehearsed": "this plan was rehearsed and its rollback drilled",
    "validated": "every earlier wave was validated after its run, without a failed check",
}
"""Condition of a gate to what holds where it is open."""


def _gate(node: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = names(node)
    for each in found:
        if each not in GATES:
            near = did_you_mean(each, GATES)
            hint = f"did you mean '{near}'?" if near else f"write some of {', '.join(GATES)}"
            message = f"'{each}' is no condition of a gate; {hint}"
            raise ValueError(message)
    return found


def _share(node: Any) -> float | None:
    if node is None or isinstance(node, float):
        return node
    limit = reject_limit(node) if isinstance(node, str) else {}
    if "share" not in limit:
        message = f"{kind_of(node)} is no share of rejects; write a percentage, such as 1%"
        raise ValueError(message)
    return float(limit["share"])


class Phase(BaseModel):
    """One wave: its table mappings, and what must hold before it beside the waves before it being published."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tables: Annotated[tuple[str, ...], BeforeValidator(names), Field(min_length=1)]
    gate: Annotated[tuple[str, ...], BeforeValidator(_gate)] = ()
    rejects: Annotated[float | None, BeforeValidator(_share)] = None
    """Share of the rows of each earlier wave that may have been rejected, at most."""

    def conditions(self) -> Iterator[str]:
        """Yield in words what must hold beside the waves before this one being published."""
        yield from (f"{each}: {MEANS[each]}" for each in self.gate)
        if self.rejects is not None:
            yield f"rejects: no earlier wave rejected more than {100 * self.rejects:g} % of its rows"
