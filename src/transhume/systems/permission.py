"""Leave to make visible what is ready: one thread prepares and asks, another one decides."""

import threading


class Permission:
    """Given or refused once what it depends on is known; it may be refused even after it was given (Ctrl-C)."""

    def __init__(self) -> None:
        """Begin undecided."""
        self._decided = threading.Event()
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

    def give(self) -> None:
        """Say that what is ready may be seen."""
        self._decided.set()

    def refuse(self, problem: BaseException) -> None:
        """Say why nothing may be seen; `wait` raises it."""
        self._problem = problem
        self._decided.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True once it is given, False when the time is over before. Raises: the problem it was refused for."""
        decided = self._decided.wait(timeout_s)
        if self._problem is not None:
            raise self._problem
        return decided
