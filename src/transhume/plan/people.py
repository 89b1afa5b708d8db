"""`people:` and `risks:` of a plan: who owns what and signs, and the risks that people see beside the computed ones."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from transhume.words import kind_of

_LEVEL_MAX = 5


def names_by_role(node: Any) -> dict[str, tuple[str, ...]]:
    """Return names by role; each value is a name or a list of names."""
    if not isinstance(node, Mapping):
        message = f"{kind_of(node)} names no people; write {{owner: NAME, data owner: [NAME, NAME]}}"
        raise ValueError(message)  # noqa: TRY004 - a plan's mistake is a ValueError, whatever it is
    found: dict[str, tuple[str, ...]] = {}
    for role, who in node.items():
        named = [who] if isinstance(who, str) else who
        if not isinstance(named, list | tuple) or not all(isinstance(each, str) and each.strip() for each in named):
            message = f"'{role}' names nobody: {kind_of(who)}; write '{role}: NAME' or '{role}: [NAME, NAME]'"
            raise ValueError(message)
        found[str(role)] = tuple(str(each).strip() for each in named)
    return found


def _level(node: Any) -> int:
    if isinstance(node, int) and not isinstance(node, bool):
        return node
    if isinstance(node, str) and node.isdecimal() and 1 <= int(node) <= _LEVEL_MAX:
        return int(node)
    message = f"{kind_of(node)} is no level; write a number from 1 (very low) to {_LEVEL_MAX} (very high)"
    raise ValueError(message)


class PlanRisk(BaseModel):
    """A risk that people see: likelihood and impact from 1 to 5, who owns it; it is closed by the evidence named."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    risk: str
    mitigation: str = ""
    owner: str = ""
    likelihood: Annotated[int, BeforeValidator(_level)] = 3
    impact: Annotated[int, BeforeValidator(_level)] = 3
    closed: str = ""
    """What shows that it cannot happen any more; "" while it is open."""


def risk_fields(node: Any) -> Any:
    """Return a risk's fields; a text alone is a risk of middle levels."""
    return {"risk": str(node)} if isinstance(node, str) else node
