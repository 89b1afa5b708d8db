"""Calls in a process of their own that may die, without the price of a new interpreter: forked from a warm one.

A new Python that imports everything costs 1.1 s of CPU, its engine 0.5 s more; a fork costs some milliseconds. The warm
process (`multiprocessing`'s fork server) has imported the modules and done nothing else: no thread, no connection, no
engine. The engine's process is forked from the call's in the same way, with the same closed descriptors and folder.
`test_kill` runs some points in a new interpreter as well, as users do.
"""

import contextlib
import gc
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from transhume.engines import duckdb as engine
from transhume.engines import duckdb_child

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.stages.warm"])
PATIENCE_S = 180.0


class Started:
    """A call under way in a process of its own; `pid` is the one to kill."""

    def __init__(self, call: Callable[..., None], arguments: tuple[Any, ...], environment: Mapping[str, str]) -> None:
        """Start it. What `call` prints is kept; what it raises ends the process with code 1, told on its stderr."""
        self._folder = Path(mkdtemp(prefix="forked-"))
        everything = {**os.environ, **environment}
        self.args: tuple[Any, ...] = (call.__name__, *arguments)
        self._process = _CONTEXT.Process(target=_live, args=(call, arguments, everything, self._folder))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def ended(self, patience_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Wait for its end and return what it printed; killed and a failure if it does not end."""
        self._process.join(patience_s)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            message = f"{self.args} did not end within {patience_s} s: {self._read('err')}"
            raise TimeoutError(message)
        out, err = self._read("out"), self._read("err")
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()
        return subprocess.CompletedProcess(self.args, self._process.exitcode, out, err)

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        self._process.kill()
        self.ended()

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text() if path.exists() else ""


def run(call: Callable[..., None], *arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call a function of a module in a process of its own, with more variables, and wait for its end."""
    return Started(call, arguments, environment).ended()


def _live(call: Callable[..., None], arguments: tuple[Any, ...], environment: dict[str, str], folder: Path) -> None:
    for number, name in ((1, "out"), (2, "err")):
        with (folder / name).open("w") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    gc.freeze()  # a collection that walks through all that is imported takes a quarter of a small run's time
    _fork_engines()
    code = 0
    try:
        call(*arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - told on stderr, as an interpreter does
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def warm_engines() -> SimpleNamespace:
    """Return what an engine is to take for `subprocess`, for its process to be forked from the warm one."""
    return _processes(_WarmEngine)


def _fork_engines() -> None:
    engine.subprocess = _processes(_ForkedEngine)  # type: ignore[attr-defined]


def _processes(popen: type) -> SimpleNamespace:
    return SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)


class _WarmEngine:
    """Looks like the Popen of an engine; its process is a fork of the warm one that goes on with the engine's `main`.

    The caller may have threads, so that it cannot be forked itself.
    """

    def __init__(
        self, command: list[str], *, cwd: Path, env: dict[str, str], stderr: Any, pass_fds: list[int], **_: Any
    ) -> None:
        (channel,) = pass_fds
        arguments = (command, cwd, env, _Descriptor(stderr.fileno()), _Descriptor(channel))
        self._process = _CONTEXT.Process(target=_become_warm_engine, args=arguments, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """What Popen says."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait as Popen does."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("engine", timeout or 0)
        return self._process.exitcode

    def poll(self) -> int | None:
        """Look as Popen does."""
        return self._process.exitcode

    def kill(self) -> None:
        """Kill as Popen does."""
        self._process.kill()


class _Descriptor:
    """An open file on its way into a process that is being made."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _number, (reduction.DupFd(self._number),)


def _number(duplicate: Any) -> int:
    return int(duplicate.detach())


def _become_warm_engine(command: list[str], cwd: Path, env: dict[str, str], stderr: int, channel: int) -> None:
    gc.freeze()
    _become_engine([*command[:-3], str(channel), *command[-2:]], cwd, env, stderr, [channel])


class _ForkedEngine:
    """Looks like the Popen of an engine; its process is a fork that goes on with the engine's `main`."""

    def __init__(
        self, command: list[str], *, cwd: Path, env: dict[str, str], stderr: Any, pass_fds: list[int], **_: Any
    ) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become_engine(command, cwd, env, stderr.fileno(), pass_fds)

    def wait(self, timeout: float | None = None) -> int:
        """Wait as Popen does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            found, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("engine", timeout or 0)
            else:
                time.sleep(0.002)
        return self.returncode

    def poll(self) -> int | None:
        """Look as Popen does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def kill(self) -> None:
        """Kill as Popen does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 9)


def _become_engine(command: list[str], cwd: Path, env: dict[str, str], stderr: int, kept: list[int]) -> None:
    try:
        os.dup2(stderr, 2)
        # Descriptors of the call's process, its sockets above all, would keep connections and locks alive.
        for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if number > 2 and number not in kept:
                with contextlib.suppress(OSError):
                    os.close(number)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [duckdb_child.__file__, *command[-3:]]
        duckdb_child.main()
    finally:
        os._exit(0)
