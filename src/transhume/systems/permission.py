"""Leave to make visible what is ready: one thread prepares and asks, another one decides."""

import threading


class Permission:
    """Given or refused once what it depends on is known; it may be refused even after it was given (Ctrl-C).

    Before it is decided, mappings are said to be whole one by one, so that each can be prepared.
    """

    def __init__(self) -> None:
        """Begin undecided, with no mapping whole."""
        self._changed = threading.Condition()
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

    def add_whole(self, mapping: str) -> None:
        """Say that all rows of this mapping are staged and sealed."""
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

    def wait(self, timeout_s: float | None = None, *, whole: str | None = None) -> bool:
        """Return True once it is given, or once the mapping `whole` is whole; False when the time is over before.

        Raises: the problem that it was refused for.
        """
        with self._changed:
            decided = self._changed.wait_for(
                lambda: self._is_given or self._problem is not None or whole in self._whole, timeout_s
            )
        if self._problem is not None:
            raise self._problem
        return decided
