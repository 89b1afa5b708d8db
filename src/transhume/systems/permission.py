"""Leave to make visible what is ready: one thread prepares and asks, another one decides."""

import threading
from collections import defaultdict


class Permission:
    """Given or refused once what it depends on is known; it may be refused even after it was given (Ctrl-C).

    Before it is decided, batches and whole mappings are said to be ready one by one, so that each can be prepared.
    """

    def __init__(self) -> None:
        """Begin undecided, with nothing ready."""
        self._changed = threading.Condition()
        self._compared: dict[str, list[int]] = defaultdict(list)
        self._whole: set[str] = set()
        self._is_given = False
        self._problem: BaseException | None = None

    @classmethod
    def given(cls) -> "Permission":
        """Return one that depends on nothing."""
        made = cls()
        made.give()
        return made

    @property
    def is_refused(self) -> bool:
        """Whether whoever prepares may stop."""
        return self._problem is not None

    def add_compared(self, mapping: str, batch: int) -> None:
        """Say that this batch is staged and was read back as it was sent."""
        with self._changed:
            self._compared[mapping].append(batch)
            self._changed.notify_all()

    def add_whole(self, mapping: str) -> None:
        """Say that all rows of this mapping are staged, compared and sealed."""
        with self._changed:
            self._whole.add(mapping)
            self._changed.notify_all()

    def give(self) -> None:
        """Say that what is ready may be seen; every mapping is whole then."""
        with self._changed:
            self._is_given = True
            self._changed.notify_all()

    def refuse(self, problem: BaseException) -> None:
        """Say why nothing may be seen; who waits raises it."""
        with self._changed:
            self._problem = problem
            self._changed.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True once it is given, False when the time is over before.

        Raises: the problem that it was refused for.
        """
        with self._changed:
            decided = self._changed.wait_for(lambda: self._is_given or self.is_refused, timeout_s)
            self._raise_problem()
        return decided

    def wait_for_rows(self, mapping: str, known: int, timeout_s: float) -> tuple[list[int], bool]:
        """Wait until more than `known` batches of a mapping are ready, or all are; return the new ones, and whether.

        Batches come in the order in which they became ready; none come when the time is over before.
        Raises: the problem that it was refused for.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._compared[mapping]) > known or self._is_whole(mapping) or self.is_refused, timeout_s
            )
            self._raise_problem()
            return self._compared[mapping][known:], self._is_whole(mapping)

    def _is_whole(self, mapping: str) -> bool:
        return self._is_given or mapping in self._whole

    def _raise_problem(self) -> None:
        if self._problem is not None:
            raise self._problem
