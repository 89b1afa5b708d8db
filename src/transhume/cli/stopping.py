"""A polite stop: the first Ctrl-C or SIGTERM ends a run at its next batch, the second at once. Nothing else is here."""

import contextlib
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from transhume.batches import Event
from transhume.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PoliteStop:
    """Stands before a listener of events; use it as a context, in the main thread."""

    def __init__(self, listener: Callable[[Event], None], say: Callable[[str], None]) -> None:
        """`say` tells a person that the stop was understood."""
        self._listener, self._say = listener, say
        self._former: dict[int, Any] = {}
        self._asked = ""

    def __enter__(self) -> Self:
        """Take the signals over; one that is ignored (nohup) stays ignored."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        del kind, problem, trace
        for number, former in self._former.items():
            signal.signal(number, former)

    def __call__(self, event: Event) -> None:
        """Pass an event on; raises Interrupted after it where a stop was asked for and the run is still under way."""
        self._listener(event)
        if self._asked and not event.kind.startswith("run_"):
            message = (
                f"stopped by {self._asked} at a batch's end; what was staged stays, nothing is half visible. "
                "The same command goes on."
            )
            raise Interrupted(message)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._asked:
            raise KeyboardInterrupt
        self._asked = signal.Signals(number).name
        # The terminal may be what has gone away.
        with contextlib.suppress(OSError):
            self._say(f"{self._asked}: stopping at the next batch; once more stops at once")
