"""Making things in a thread of their own, some of them ahead of whoever takes them."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Made = TypeVar("_Made")


def ahead(made: Generator[_Made], depth: int, thread: str) -> Iterator[_Made]:
    """Yield what a generator makes, in its order, while `depth` more are being made in a thread of this name.

    Effects: the generator runs and is closed in that thread alone, which is gone when this ends. What was made and not
    taken is dropped.
    Raises: what the generator raises, where the thing that it could not make would have come.
    """
    with ThreadPoolExecutor(1, thread) as worker:
        waiting = [worker.submit(next, made, None) for _ in range(depth)]
        try:
            while (one := waiting.pop(0).result()) is not None:
                waiting.append(worker.submit(next, made, None))
                yield one
        finally:
            # The generator belongs to the thread; what it was doing there ends first, and nothing more begins.
            for each in waiting:
                each.cancel()
            worker.submit(made.close)
