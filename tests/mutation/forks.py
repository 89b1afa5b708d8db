"""Children that are forked, bounded in time and memory, and waited for. No test stands here."""

import contextlib
import importlib
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEMORY_BYTES = 4 * 2**30
_WAIT_S = 0.005
KILLED, SURVIVED = 1, 0
NOTE = "note.txt"


@dataclass(frozen=True)
class Job:
    """What one child does: `run` gets a folder of its own and returns the exit code."""

    name: Any
    run: Callable[[Path], int]
    cpu_s: float
    wall_s: float


def outcomes(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Any, str, float, str]]:
    """Yield name, outcome (`killed`, `survived`, `timeout`) and seconds of CPU of each job, `workers` at a time.

    Last comes what the job wrote into the file NOTE of its folder, "" if nothing.
    """
    waiting = iter(jobs)
    running: dict[int, tuple[Job, float, Path]] = {}
    more = True
    while more or running:
        while more and len(running) < workers:
            job = next(waiting, None)
            more = job is not None
            if job is not None:
                folder = Path(tempfile.mkdtemp(prefix="mutant-"))
                running[_forked(job, folder)] = (job, time.monotonic(), folder)
        time.sleep(_WAIT_S)
        for child, (job, started, folder) in list(running.items()):
            ended, status, usage = os.wait4(child, os.WNOHANG)
            late = time.monotonic() - started > job.wall_s
            if not ended and not late:
                continue
            if not ended:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            del running[child]
            note = (folder / NOTE).read_text("utf-8") if (folder / NOTE).exists() else ""
            shutil.rmtree(folder, ignore_errors=True)
            out_of_time = not ended or (
                os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL}
            )
            survived = bool(ended) and os.WIFEXITED(status) and os.WEXITSTATUS(status) == SURVIVED
            outcome = "timeout" if out_of_time else "survived" if survived else "killed"
            yield job.name, outcome, usage.ru_utime + usage.ru_stime, note


def answer(work: Callable[[], Any]) -> Any:
    """Return what a function gives that runs in a child of its own, which sees the modules of now and changes none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = KILLED
        try:
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(work(), stream)
            code = SURVIVED
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    _, status = os.waitpid(child, 0)
    if status:
        message = "the child ended without an answer"
        raise RuntimeError(message)
    return pickle.loads(content)


def _forked(job: Job, folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = KILLED
    try:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        bound = int(job.cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (bound, bound + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = job.run(folder)
    finally:
        os._exit(code)


class ForkedProcess:
    """Stands in the place of `subprocess.Popen` where an engine starts its process: forks it, imports nothing."""

    def __init__(self, arguments: Sequence[str], *, cwd: Path, pass_fds: Sequence[int], **_others: Any) -> None:
        """Run the module's `main` in a child that has these files and no other."""
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        try:
            _close_all_but(pass_fds)
            os.chdir(cwd)
            sys.argv = list(arguments[3:])
            importlib.import_module(arguments[3]).main()
        finally:
            os._exit(KILLED)

    def wait(self, timeout: float | None = None) -> int:
        """Return the status. Raises: subprocess.TimeoutExpired."""
        until = time.monotonic() + (timeout or 0)
        while self.returncode is None:
            ended, status = os.waitpid(self.pid, 0 if timeout is None else os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                raise subprocess.TimeoutExpired("engine", timeout or 0)
            else:
                time.sleep(_WAIT_S)
        return self.returncode

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)


def _close_all_but(kept: Sequence[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else range(3, 256):  # noqa: PTH112, PTH208
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
