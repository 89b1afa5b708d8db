"""Working days of a plan, phase by phase, each with where it comes from. What chance does to them is not told here.

The model: every table mapping falls into one of five classes by what has to be understood, written and tested for it.
Work of a kind that was done before is cheaper, so mappings are taken from the largest to the smallest and the n-th
costs n^log2(0.8) of its class (Wright 1936, 80 % learning curve). The sum is spread over the phases in the ratio of
the request that this program answers (planning 3, development 5, testing 4, execution 1); the review is 15 % on top.
Open decisions and findings in the data are items of their own beside it.

Calibrated on one published plan, that request: five tables of medium complexity in 15 working days. The class
bounds below are ours; change them only with another measured migration in hand.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from transhume.plan.model import Plan, TableMapping
from transhume.rules.copy import Copy

PHASES = {"planning": 3, "development": 5, "testing": 4, "execution": 1}
"""Phases of the work and their shares, as in the request: 3, 5, 4 and 1 of 13 days."""
REVIEW = "review"
REVIEW_SHARE = 0.15
"""Days of the review per day of all other phases: 2 of 13 in the request."""
LEARNING = 0.8
"""Cost of the second piece of work of a kind, as a share of the first; of the fourth as a share of the second .."""
DECISION_HOURS = 2.0
"""Hours to find who decides, ask, and write the answer into the plan."""
WAVE_HOURS = 4.0
"""Hours of one more wave: its gate, its run, its validation. Half a day is our judgement, nobody's measurement."""
FINDING_HOURS = 1.0
"""Hours to look at one kind of wrong rows in one table and decide what becomes of them."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class of table mappings: up to how many points, and its working days."""

    name: str
    points_max: float
    days: float


CLASSES = (
    Class("very simple", 4, 1),
    Class("simple", 11, 2),
    Class("medium", 20, 5),
    Class("complex", 35, 8),
    Class("very complex", math.inf, 15),
)


@dataclass(frozen=True, slots=True)
class Complexity:
    """What one table mapping asks for; `points` is what its class is read from.

    `rules` counts the kinds of rule beyond copying, `lookups` lookups and name lists, `references` the other table
    mappings that it points to, `sources` its source tables, `joins` the joins.
    """

    mapping: str
    rules: int
    lookups: int
    references: int
    sources: int
    joins: int

    @property
    def points(self) -> int:
        """One a kind of rule, lookup, reference and join; two for each source table beyond the first."""
        return self.rules + self.lookups + self.references + self.joins + 2 * (self.sources - 1)

    @property
    def class_(self) -> Class:
        """The smallest class that the points fit."""
        return next(each for each in CLASSES if self.points <= each.points_max)


@dataclass(frozen=True, slots=True)
class Item:
    """Work beside the mappings: an open decision or a kind of wrong rows, with its phase and hours."""

    phase: str
    what: str
    hours: float


@dataclass(frozen=True, slots=True)
class MappingEffort:
    """The working days of one mapping after learning: class days times `factor`."""

    complexity: Complexity
    factor: float

    @property
    def days(self) -> float:
        """Working days."""
        return self.complexity.class_.days * self.factor


@dataclass(frozen=True, slots=True)
class Effort:
    """The working days of a plan: `phases` without the items, in order; `items_days` by phase beside them."""

    mappings: tuple[MappingEffort, ...]
    items: tuple[Item, ...]
    phases: dict[str, float]
    items_days: dict[str, float]

    @property
    def planned(self) -> dict[str, int]:
        """Whole working days of each phase without the items, at least one where there is any work."""
        return {name: _whole(days) for name, days in self.phases.items()}

    @property
    def expected(self) -> dict[str, float]:
        """Working days of each phase with its items, not rounded: what the chances are drawn on."""
        return {name: days + self.items_days.get(name, 0.0) for name, days in self.phases.items()}


def complexity(mapping: TableMapping) -> Complexity:
    """Return what a table mapping asks for."""
    rules = list(mapping.rules())
    needs = {(need.kind, need.subject) for rule in rules for need in rule.needs()}
    return Complexity(
        mapping=mapping.name,
        rules=len({type(rule) for rule in rules if not isinstance(rule, Copy)}),
        lookups=sum(kind in {"lookup", "names"} for kind, _ in needs),
        references=sum(kind == "parents" for kind, _ in needs),
        sources=len({mapping.from_, *(join.from_ for join in mapping.join.values())}),
        joins=len(mapping.join),
    )


def effort(plan: Plan, items: Sequence[Item] = (), hours_per_day: float = 8) -> Effort:
    """Return the working days of one person for a plan; `items` are what is open and what was found in the data."""
    return effort_of([complexity(mapping) for mapping in plan.tables.values()], items, hours_per_day)


def effort_of(mappings: Iterable[Complexity], items: Sequence[Item] = (), hours_per_day: float = 8) -> Effort:
    """Return the working days for mappings of these complexities. More or harder mappings never cost less."""
    largest_first = sorted(mappings, key=lambda each: (-each.class_.days, -each.points))
    learned = [MappingEffort(each, factor) for each, factor in zip(largest_first, _learning(), strict=False)]
    days = sum(each.days for each in learned)
    whole = sum(PHASES.values())
    phases = {name: days * share / whole for name, share in PHASES.items()}
    phases[REVIEW] = days * REVIEW_SHARE
    items_days = dict.fromkeys(phases, 0.0)
    for item in items:
        items_days[item.phase] += item.hours / hours_per_day
    return Effort(tuple(learned), tuple(items), phases, items_days)


def _learning() -> Iterator[float]:
    """Yield what the first, second, third .. piece of work costs, as a share of the first."""
    number = 1
    while True:
        yield number ** math.log2(LEARNING)
        number += 1


def _whole(days: float) -> int:
    return max(1, math.floor(days + 0.5)) if days > 0 else 0
