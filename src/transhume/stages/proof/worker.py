"""Processes that recompute batches: started anew, spoken to by pickles over their pipes, ended with the pool.

Not multiprocessing: that runs the caller's main module again in each process, which a script or a notebook need not
bear. The pickles go between this program and its own children only.
"""

import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO

from transhume.errors import EngineCrashed
from transhume.oracle import Key
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.recompute import Batch, Recomputed, Recomputer

_CODE = "from transhume.stages.proof.worker import serve; serve()"


def recompute_there(
    evidence: Evidence, batches: Iterable[Batch], duplicates: frozenset[Key], processes: int
) -> Iterator[Recomputed]:
    """Yield what every batch gives, as each is done, computed by so many processes.

    Raises: EngineCrashed if a process ends before its batch is done; nothing was changed anywhere.
    """
    waiting: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
    done: queue.Queue[Recomputed | Exception | None] = queue.Queue(maxsize=processes)
    for batch in batches:
        waiting.put(batch)
    for _ in range(processes):
        waiting.put(None)
    children = [_Child(evidence, duplicates) for _ in range(processes)]
    threads = [threading.Thread(target=child.work, args=(waiting, done), daemon=True) for child in children]
    try:
        for thread in threads:
            thread.start()
        ended = 0
        while ended < processes:
            found = done.get()
            if found is None:
                ended += 1
            elif isinstance(found, Exception):
                raise found
            else:
                yield found
    finally:
        for child in children:
            child.end()


class _Child:
    """One process."""

    def __init__(self, evidence: Evidence, duplicates: frozenset[Key]) -> None:
        self._first = (evidence, duplicates)
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter, fixed code
            [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def work(
        self, waiting: "queue.SimpleQueue[Batch | None]", done: "queue.Queue[Recomputed | Exception | None]"
    ) -> None:
        try:
            self._send(self._first)
            while (batch := waiting.get()) is not None:
                self._send(batch)
                done.put(self._receive())
        except (OSError, EOFError, pickle.UnpicklingError):
            message = "a process that recomputes rows ended before its batch was done; validate again"
            done.put(EngineCrashed(message))
        except Exception as problem:  # noqa: BLE001 - told by the thread that waits
            done.put(problem)
        else:
            done.put(None)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _send(self, what: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self) -> Recomputed | Exception:
        assert self._process.stdout is not None
        answer: Recomputed | Exception = pickle.load(self._process.stdout)  # noqa: S301 - our own child's
        return answer


def serve() -> None:
    """Be such a process: take what all batches need, then batch after batch, until the pipe ends."""
    source: IO[bytes] = sys.stdin.buffer
    answers: IO[bytes] = sys.stdout.buffer
    # Whatever prints goes to stderr, never between the answers.
    sys.stdout = sys.stderr
    recomputer = Recomputer(*pickle.load(source))  # noqa: S301 - from our own parent
    while True:
        try:
            batch = pickle.load(source)  # noqa: S301
        except EOFError:
            return
        try:
            answer: Recomputed | Exception = recomputer.recompute(batch)
        except Exception as problem:  # noqa: BLE001 - the parent raises it
            answer = problem
        pickle.dump(answer, answers)
        answers.flush()
