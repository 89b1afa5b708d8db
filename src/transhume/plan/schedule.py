"""`schedule:` of a plan: when the work begins, who does it, how long the cutover may last, what phases really took."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from transhume.words import kind_of

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_TEAM_MAX = 1000
_HOURS_MAX = 24
_DAYS_MAX = 10_000


def _date(node: Any) -> date | None:
    if node is None or isinstance(node, date):
        return node
    if isinstance(node, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", node):
        try:
            return date.fromisoformat(node)
        except ValueError:
            pass
    message = f"{kind_of(node)} is no day; write it as in 2027-01-11"
    raise ValueError(message)


def _country(node: Any) -> str | None:
    if node is None or (isinstance(node, str) and re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", node)):
        return None if node is None else str(node)
    message = f"{kind_of(node)} is no country; write its ISO 3166 code, such as US, DE or US-NY"
    raise ValueError(message)


def _number(node: Any, most: float, what: str) -> float:
    if isinstance(node, str) and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,4})?", node) and 0 < float(node) <= most:
        return float(node)
    if isinstance(node, int | float) and not isinstance(node, bool) and 0 < node <= most:
        return float(node)
    message = f"{kind_of(node)} is no {what}; write a number above 0, at most {most:g}"
    raise ValueError(message)


def _team(node: Any) -> int:
    number = _number(node, _TEAM_MAX, "number of people")
    if number != int(number):
        message = f"{kind_of(node)} is no number of people; write a whole number"
        raise ValueError(message)
    return int(number)


def _duration_s(node: Any) -> float | None:
    if node is None or isinstance(node, float):
        return node
    if isinstance(node, str) and (found := re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,3})?) ?(s|min|h)", node)):
        return float(found[1]) * _SECONDS[found[2]]
    message = f"{kind_of(node)} is no duration; write it as in 4h, 30min or 90s"
    raise ValueError(message)


def _texts(node: Any) -> tuple[str, ...]:
    found = [node] if isinstance(node, str) else node
    if not isinstance(found, list | tuple) or not all(isinstance(each, str) and each.strip() for each in found):
        message = f"expected a list of texts, found {kind_of(node)}; write ['what was learned']"
        raise ValueError(message)
    return tuple(str(each) for each in found)


Days = Annotated[
    float | None,
    BeforeValidator(lambda node: None if node is None else _number(node, _DAYS_MAX, "number of working days")),
]


class PhaseDays(BaseModel):
    """Working days by phase; None where a phase is not spoken of."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    planning: Days = None
    development: Days = None
    testing: Days = None
    execution: Days = None
    review: Days = None

    def given(self) -> dict[str, float]:
        """Return the days of the phases that are spoken of, in order."""
        return {name: days for name, days in self if days is not None}


class Schedule(BaseModel):
    """When, with whom, in which window; `phases` are days that people decided, `actuals` days that phases took.

    Units: working days of one person in `phases`, working days of the team in `actuals`, seconds in `window`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: Annotated[date | None, BeforeValidator(_date)] = None
    country: Annotated[str | None, BeforeValidator(_country)] = None
    team: Annotated[int, BeforeValidator(_team)] = 1
    hours_per_day: Annotated[float, BeforeValidator(lambda node: _number(node, _HOURS_MAX, "number of hours"))] = 8.0
    window: Annotated[float | None, BeforeValidator(_duration_s)] = None
    phases: PhaseDays = PhaseDays()
    actuals: PhaseDays = PhaseDays()
    lessons: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    """What the team learned, for the closing report."""
