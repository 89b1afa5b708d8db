"""What phases really took against what was expected of them. All days are working days of the team."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compared:
    """One phase: planned without and expected with findings, its chances (percentile to days), what it took.

    `actual` is None for a phase that is not over.
    """

    phase: str
    planned: float
    expected: float
    chances: Mapping[int, float]
    actual: float | None

    @property
    def ratio(self) -> float | None:
        """Days taken per expected day; None for a phase that is not over, or of which nothing was expected."""
        return self.actual / self.expected if self.actual is not None and self.expected else None

    @property
    def within(self) -> int | None:
        """The smallest chance whose days were enough; None where more were taken, or the phase is not over."""
        if self.actual is None:
            return None
        return next((percent for percent, days in sorted(self.chances.items()) if self.actual <= days), None)

    def verdict(self) -> str:
        """Return in words how what was taken lies to what was expected."""
        if self.actual is None:
            return "not over"
        if self.within is None:
            return f"more than the days of a chance of {max(self.chances)} %"
        return f"within the days of a chance of {self.within} %"


def compare(
    planned: Mapping[str, float],
    expected: Mapping[str, float],
    chances: Mapping[str, Mapping[int, float]],
    actuals: Mapping[str, float],
    gain: float,
) -> list[Compared]:
    """Return the phases in order. `gain`: days of one person per day of the team; actuals are of the team already."""
    return [
        Compared(
            name,
            planned[name] / gain,
            days / gain,
            {percent: each / gain for percent, each in chances[name].items()},
            actuals.get(name),
        )
        for name, days in expected.items()
    ]


def pace(compared: Sequence[Compared]) -> float | None:
    """Return the days taken per expected day over all phases that are over; None before the first is."""
    over = [(each.actual, each.expected) for each in compared if each.actual is not None]
    expected = sum(days for _, days in over)
    return sum(taken for taken, _ in over) / expected if expected else None


def remaining(compared: Sequence[Compared]) -> float:
    """Return the days of the phases that are not over, at the pace of those that are.

    What made the first phases late makes the next ones late too: the overrun of a project is shared by its phases.
    """
    return (pace(compared) or 1.0) * sum(each.expected for each in compared if each.actual is None)
