"""Sail's server as a child process: Spark's protocol on a port of the loopback, spoken to by `engines/spark.py`."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from transhume.errors import EngineCrashed, UsageError

SAIL = "sail"
_CLOSE_WAIT_S = 5.0
_LOOPBACK = "127.0.0.1"
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TMPDIR")
"""What the child may know of the environment, beside Sail's own settings; it must not see credentials."""


class SailServer:
    """One Sail for one run; its end is a failed batch and nothing more."""

    def __init__(self, work: Path, *, knows_s3: bool = False) -> None:
        self._work = work
        self._own = ("SAIL_", "AWS_") if knows_s3 else ("SAIL_",)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start the server and return its URL for Spark Connect.

        Raises: UsageError where it is not installed, EngineCrashed if it does not start.
        """
        if find_spec("pysail") is None:
            message = f"the engine '{SAIL}' needs pysail: pip install 'transhume[sail]'"
            raise UsageError(message)
        self.close()
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "transhume.engines.sail_child"],
            cwd=self._work,
            env={
                name: value for name, value in os.environ.items() if name in _ENVIRONMENT or name.startswith(self._own)
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C goes to every process of the terminal's session, and Sail would end by it; it ends with its input.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            message = f"the engine '{SAIL}' did not start; its process ended with {self._process.wait()}"
            raise EngineCrashed(message)
        return f"sc://{_LOOPBACK}:{port}"

    def is_gone(self) -> bool:
        """Say whether the server was started and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def close(self) -> None:
        """End the server's process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_CLOSE_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
