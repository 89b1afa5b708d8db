"""What the values of two columns say for each other. They add to a score and never veto: the rows may differ."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from transhume.facts import ColumnProfile

_FEW = 300
_WORDS = re.compile(r"[^\W_]+")
_PATTERN_MIN = 3
_PATTERN_COUNTS = 0.35


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is compared of a column's values: some of them with case and punctuation folded, and their patterns.

    `numbers`: all values are numbers. 1, 2 and 3 stand in every table and say nothing.
    """

    values: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    numbers: bool = False


NOTHING = Evidence()


def evidence(profile: ColumnProfile | None, allowed: Iterable[str] = ()) -> Evidence:
    """Return what a column's profile and the values that its constraints allow give for comparing."""
    known: list[str] = list(allowed)
    patterns: frozenset[str] = frozenset()
    if profile is not None:
        known += profile.values if profile.values is not None else (value for value, _ in profile.top)
        patterns = frozenset(pattern for pattern, _ in profile.patterns if _tells(pattern))
    folded = frozenset(" ".join(_WORDS.findall(value.casefold())) for value in known[:_FEW]) - {""}
    return Evidence(folded, patterns, all(value.replace(" ", "").isdigit() for value in folded))


def likeness(source: Evidence, target: Evidence) -> tuple[float, str]:
    """Return how much the values speak for a pair, 0 to 1, and why in words."""
    both = source.values & target.values
    if both and not source.numbers and not target.numbers:
        share = max(len(both) / len(source.values), len(both) / len(target.values))
        sure = min(1.0, 0.4 + 0.2 * len(both))
        return share * sure, f"{len(both)} of {len(source.values)} values stand on both sides"
    shapes = source.patterns & target.patterns
    if shapes:
        share = max(len(shapes) / len(source.patterns), len(shapes) / len(target.patterns))
        return _PATTERN_COUNTS * share, f"values of the same pattern ({min(shapes)})"
    return 0.0, ""


def _tells(pattern: str) -> bool:
    """Say whether a pattern says more than `some letters` or `some digits`."""
    return len(pattern) >= _PATTERN_MIN and re.search(r"[^a9 ]", pattern) is not None
