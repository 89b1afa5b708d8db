"""Working days to dates: weekends, holidays, a team. How many days there are is not told here."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta

TEAM_GAIN = 0.8
"""What each further person adds: a second one makes 1.8 of one, because work has to be agreed and handed over."""
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Span:
    """A phase in the calendar: its first and last working day, and how many working days they hold."""

    phase: str
    first: date
    last: date
    working_days: int


def holidays_of(country: str, years: AbstractSet[int], subdivision: str | None = None) -> dict[date, str]:
    """Return the public holidays of a country (ISO 3166 code) in these years, by date.

    Raises: ValueError for an unknown country or subdivision.
    """
    import holidays  # noqa: PLC0415 - a tenth of a second that only estimates need

    try:
        return dict(holidays.country_holidays(country, subdiv=subdivision, years=sorted(years)))
    except NotImplementedError as problem:
        where = f"'{country}'" + (f", '{subdivision}'" if subdivision else "")
        message = f"no holidays are known for {where}; write a country's ISO 3166 code, such as US or DE"
        raise ValueError(message) from problem


def is_working_day(day: date, free: Mapping[date, str]) -> bool:
    """Say whether people work: Monday to Friday, no holiday."""
    return day.weekday() < _SATURDAY and day not in free


def working_day(start: date, number: int, free: Mapping[date, str]) -> date:
    """Return the `number`-th working day from `start` on; the first is number 1."""
    day = start
    while not is_working_day(day, free):
        day += timedelta(days=1)
    for _ in range(number - 1):
        day += timedelta(days=1)
        while not is_working_day(day, free):
            day += timedelta(days=1)
    return day


def elapsed_days(effort_days: float, team: int, pieces: int) -> float:
    """Return the working days that a team takes for the work of one person.

    No more people than `pieces` (table mappings) can work side by side; each further one adds TEAM_GAIN.
    """
    people = max(1, min(team, pieces))
    return effort_days / (1 + TEAM_GAIN * (people - 1))


def spans(start: date, phases: Mapping[str, float], free: Mapping[date, str]) -> list[Span]:
    """Return the phases one after the other, each beginning on the working day after the last one's end."""
    found = []
    number = 1
    for name, days in phases.items():
        length = math.ceil(round(days, 6))
        if not length:
            continue
        found.append(
            Span(name, working_day(start, number, free), working_day(start, number + length - 1, free), length)
        )
        number += length
    return found
