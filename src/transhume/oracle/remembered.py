"""Answers that hang on equal values alone, given once: bounded, and given up where hardly any value comes again."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_REMEMBERED_MAX = 50_000
_JUDGED_AFTER = 20_000
"""So many questions are asked before it is judged whether remembering pays."""
_NEW_MAX = 0.8
"""Share of questions that may be new; where more are, looking for the answer costs more than it saves."""


class Remembered(Generic[T]):
    """Answers by what they hang on. An answer is never None.

    Two keys that are equal must have the same answer: the caller sees to it that no floats or decimals are in them.
    """

    __slots__ = ("_asked", "_known", "_new")

    def __init__(self, *, is_worth_it: bool = True) -> None:
        """Begin with no answers, or (not `is_worth_it`) never remember any."""
        self._known: dict[Any, T] | None = {} if is_worth_it else None
        self._asked = self._new = 0

    def __len__(self) -> int:
        """Return how many answers are in memory."""
        return 0 if self._known is None else len(self._known)

    @property
    def is_given_up(self) -> bool:
        """Whether every answer is made anew."""
        return self._known is None

    def one(self, key: Any, make: Callable[[], T]) -> T:
        """Return the answer for a key, made if it is not known."""
        known = self._known
        if known is None:
            return make()
        found = known.get(key)
        if found is None:
            found = known[key] = make()
            self._judge(1, 1)
        else:
            self._judge(1, 0)
        return found

    def all(self, keys: Sequence[Any], make: Callable[[int], T]) -> list[T]:
        """Return the answers for many keys; `make` gives the one of a place."""
        known = self._known
        if known is None:
            return [make(place) for place in range(len(keys))]
        found: list[Any] = list(map(known.get, keys))
        missing = [place for place, answer in enumerate(found) if answer is None]
        size = len(known)
        for place in missing:
            key = keys[place]
            answer = known.get(key)
            if answer is None:
                answer = known[key] = make(place)
            found[place] = answer
        self._judge(len(keys), len(known) - size)
        return found

    def _judge(self, asked: int, new: int) -> None:
        self._asked += asked
        self._new += new
        known = self._known
        assert known is not None
        if self._asked >= _JUDGED_AFTER:
            if self._new > _NEW_MAX * self._asked:
                self._known = None
            self._asked = self._new = 0
        if len(known) > _REMEMBERED_MAX and self._known is not None:
            self._known = {}
