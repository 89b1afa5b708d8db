"""Programs of database systems that run for us: they end when we do, and say in one line what went wrong."""

import ctypes
import re
import signal
import subprocess
import sys
from collections.abc import Callable

from transhume.errors import SystemUnavailable

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_TELLING = re.compile(r"error|denied|fatal|could not|cannot", re.IGNORECASE)


def await_end(process: "subprocess.Popen[bytes]", name: str) -> None:
    """Wait for a program whose standard error is a pipe; where this process is stopped, the program is, too.

    Raises: SystemUnavailable with what it says first.
    """
    try:
        said = process.communicate()[1]
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        message = f"{name} failed ({process.returncode}): {_first_error(said)}"
        raise SystemUnavailable(message)


def ends_with_us(sent: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does before its program: ask the kernel (of Linux) for this signal when we die."""
    libc = _LIBC
    if libc is None:
        return None
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, sent) and None


def _first_error(said: bytes) -> str:
    """Return the first line that tells an error; what follows may quote rows."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines or ["it said nothing"])[0][:300]
