"""Time, CPU and peak memory of a command with all the processes that it starts, shared pages counted once."""

import contextlib
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended: its output, wall time, CPU time and peak memory.

    `peak_bytes` is the largest sum, over all processes of the tree at one moment, of the proportional set size
    (a page that n processes share counts 1/n in each), sampled ten times a second; 0 where /proc does not tell it.
    `cpu_s` are user and system seconds of the whole tree.
    """

    output: str
    errors: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


class CommandFailed(Exception):
    """A measured command ended with another exit code than 0; the text holds the end of what it said."""


def run_measured(
    command: list[str], environment: dict[str, str] | None = None, *, folder: Path | None = None, limit_s: float = 1800
) -> Finished:
    """Run a command to its end and measure it. Effects: those of the command.

    Raises: CommandFailed if it ends with an error, or is not done within `limit_s` seconds.
    """
    usage_before = _children_cpu_s()
    started = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        peak = _Peak(process.pid)
        peak.start()
        try:
            output, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            message = f"'{Path(command[0]).name}' was not done after {limit_s:.0f} s"
            raise CommandFailed(message) from None
        finally:
            wall_s = time.monotonic() - started
            peak.stop()
            if process.poll() is None:
                _end(process.pid)
    if process.returncode:
        said = "\n".join((errors + output).strip().splitlines()[-15:])
        message = f"'{Path(command[0]).name}' ended with exit code {process.returncode}:\n{said}"
        raise CommandFailed(message)
    return Finished(output, errors, wall_s, _children_cpu_s() - usage_before, peak.bytes)


def _end(pid: int) -> None:
    """End what is left of a tree of processes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class _Peak(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(_INTERVAL_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                tree = [self._root, *self._root.children(recursive=True)]
                self.bytes = max(self.bytes, sum(_proportional_bytes(process.pid) for process in tree))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _proportional_bytes(pid: int) -> int:
    """Return the PSS of one process. Source: https://docs.kernel.org/filesystems/proc.html (smaps_rollup)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _children_cpu_s() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)
