"""What chance does to planned days: draws of the whole project, their percentiles, the curve of the chance of finish.

One overrun factor hits all phases of a draw, because the reasons for being late (an unknown source, a person away)
last longer than a phase; independent phases would average the risk away. It is lognormal with the parameters of
published overruns of projects planned by experts: median 1.13 times the plan, four of five within 1.50 times.
Beside it every phase has a small noise of its own.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OVERRUN_MU, OVERRUN_SIGMA = 0.120, 0.336
"""Parameters of log(actual / planned)."""
PHASE_SIGMA = 0.10
"""Standard deviation of the logarithm of one phase's own noise; its mean is 1."""
DRAWS = 20_000
PERCENTILES = (50, 80, 90)


@dataclass(frozen=True, slots=True)
class Chances:
    """Working days with their chances: `total` and each of `phases` map a percentile to days; `expected` is the plan.

    `curve` is the chance of being done (0 to 1) by whole working day, from the first day with any chance.
    """

    total: dict[int, float]
    phases: dict[str, dict[int, float]]
    curve: tuple[tuple[int, float], ...]
    expected: float
    draws: int
    seed: int

    def chance_within(self, days: float) -> float:
        """Return the chance (0 to 1) of being done within so many whole working days."""
        return max((chance for day, chance in self.curve if day <= days), default=0.0)


def simulate(phases: Mapping[str, float], *, seed: int = 1, draws: int = DRAWS) -> Chances:
    """Draw the project `draws` times. Deterministic by `seed`. Memory: one float a draw and phase."""
    generator = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    drawn: dict[str, list[float]] = {name: [] for name in phases}
    totals: list[float] = []
    for _ in range(draws):
        overrun = generator.lognormvariate(OVERRUN_MU, OVERRUN_SIGMA)
        total = 0.0
        for name, days in phases.items():
            noise = generator.lognormvariate(-(PHASE_SIGMA**2) / 2, PHASE_SIGMA)
            taken = days * overrun * noise
            drawn[name].append(taken)
            total += taken
        totals.append(total)
    totals.sort()
    return Chances(
        total=_percentiles(totals),
        phases={name: _percentiles(sorted(values)) for name, values in drawn.items()},
        curve=_curve(totals),
        expected=sum(phases.values()),
        draws=draws,
        seed=seed,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the ordered values do not exceed, straight between neighbours."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _percentiles(ordered: Sequence[float]) -> dict[int, float]:
    return {percent: percentile(ordered, percent) for percent in PERCENTILES}


def _curve(ordered: Sequence[float]) -> tuple[tuple[int, float], ...]:
    points: list[tuple[int, float]] = []
    done = 0
    for day in range(math.ceil(ordered[0]), math.ceil(ordered[-1]) + 1):
        while done < len(ordered) and ordered[done] <= day:
            done += 1
        points.append((day, done / len(ordered)))
    return tuple(points)
