"""One source column for one target column: the pairs that fit best together. What a score means is not known here."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

One = TypeVar("One", bound=Hashable)
Other = TypeVar("Other", bound=Hashable)


def assign(scored: Sequence[tuple[float, One, Other]]) -> dict[Other, tuple[One, float]]:
    """Return for each right side its left side and score, each side used once.

    First the best pairs in order of their scores (ties in the order given), then pairs are exchanged, and moved to
    what is free, as long as the sum of scores grows: a near miss gives way to what fits two columns better.
    """
    scores: dict[tuple[One, Other], float] = {}
    for value, one, other in sorted(scored, key=lambda each: -each[0]):
        scores.setdefault((one, other), value)
    owner: dict[Other, One] = {}
    used: set[One] = set()
    for one, other in scores:
        if one not in used and other not in owner:
            owner[other] = one
            used.add(one)
    rights = list(dict.fromkeys(other for _, other in scores))
    while _exchange(owner, scores, rights):
        pass
    return {other: (one, scores[one, other]) for other, one in owner.items()}


def _exchange(owner: dict[Other, One], scores: Mapping[tuple[One, Other], float], rights: Sequence[Other]) -> bool:
    """Exchange the left sides of two right sides, or move one to a free right side, where the sum grows."""
    changed = False
    for first in list(owner):
        for second in rights:
            one, two = owner.get(first), owner.get(second)
            if first == second or one is None or (one, second) not in scores:
                continue
            before = scores[one, first] + (scores[two, second] if two is not None else 0.0)
            after = scores[one, second] + (scores.get((two, first), -1.0) if two is not None else 0.0)
            if after > before + 1e-9:
                owner[second] = one
                if two is None:
                    del owner[first]
                else:
                    owner[first] = two
                changed = True
    return changed
