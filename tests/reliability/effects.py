"""Every effect that a run has outside its own memory, counted; a process may be made to die at any one of them.

An effect is a statement to a database, a commit, a block of COPY, a durable file, a rename, a removal, a line of the
journal. The list is taken from a run, so that none is forgotten: a new statement is a new place to die.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy.engine.default import DefaultDialect

from transhume.journal import Journal
from transhume.systems.iceberg.files import LakeFiles
from transhume.systems.postgres.connection import WatchedConnection

AFTER = ("COMMIT", "catalog commit")
"""Effects at which a death just after them is tried, too: the world has it, and nobody has heard of it.

Of all others this is the death before the next effect: nothing outside the process happens between the two.
"""


class Effects:
    """Counts the effects of this process once `arm` was called, and ends it at one of them."""

    def __init__(self, at: int = 0, *, after: bool = False) -> None:
        """`at`: at which effect, from 1, to die by SIGKILL, 0 for never; `after`: when it has been done."""
        self._at, self._after = at, after
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.seen: list[str] = []

    def arm(self) -> None:
        """Watch this process from now on."""
        statement: Callable[..., str] = lambda _self, query, *_a, **_k: _first_word(query)  # noqa: E731
        on_catalog: Callable[..., str] = lambda _self, _cursor, text, *_a, **_k: _writing(text)  # noqa: E731
        hooks: list[tuple[Any, str, Callable[..., str]]] = [
            (WatchedConnection, "execute", statement),
            (psycopg.Copy, "write", _always("COPY")),
            (DefaultDialect, "do_execute", on_catalog),
            (DefaultDialect, "do_commit", _always("catalog commit")),
            (LakeFiles, "write_durably", _always("file")),
            (LakeFiles, "sync", _always("sync")),
            (Journal, "append", lambda _self, event: f"journal {event.kind}"),
            (os, "rename", _always("rename")),
            (os, "replace", _always("rename")),
            (os, "unlink", _always("unlink")),
        ]
        for owner, name, told in hooks:
            setattr(owner, name, self._watched(getattr(owner, name), told))

    def _watched(self, real: Callable[..., Any], told: Callable[..., str]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            name = told(*arguments, **options)
            # The engine's process is forked from this one; it is none of those that are made to die.
            if not name or os.getpid() != self._pid:
                return real(*arguments, **options)
            with self._lock:
                self.seen.append(name)
                is_the_one = len(self.seen) == self._at
            if is_the_one and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **options)
            if is_the_one:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return watched


def _always(name: str) -> Callable[..., str]:
    return lambda *_arguments, **_options: name


def _first_word(query: Any) -> str:
    text = query if isinstance(query, str) else query.as_string(None)
    return text.split(None, 1)[0].rstrip(";").upper()


def _writing(text: str) -> str:
    """Name a statement to the lake's catalog that writes; reading it changes nothing."""
    word = _first_word(text)
    return "" if word in {"SELECT", "PRAGMA"} else f"catalog {word}"


def moments(seen: list[str]) -> list[tuple[int, bool]]:
    """Return every moment to die at: before each effect, and after those that leave something behind."""
    before = [(number, False) for number in range(1, len(seen) + 1)]
    after = [(number, True) for number, name in enumerate(seen, 1) if name.startswith(AFTER)]
    return sorted(before + after)


def stage_of(seen: list[str], at: int) -> str:
    """Return the stage of a run that an effect of it belongs to: load (with all before it) or publish."""
    return "load" if at <= seen.index("journal publish_started") else "publish"
