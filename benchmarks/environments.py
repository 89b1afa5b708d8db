"""Where peers live: each in a virtual environment of its own, from a hashed list; never in the project's."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_LISTS = Path(__file__).parent / "requirements"
FOLDER = Path(__file__).parent.parent / "build" / "bench"
"""What the benchmark keeps between runs: environments, data, results. Nothing there is committed."""


class Unavailable(Exception):
    """A peer cannot be had on this machine; the text says why, and the report repeats it."""


def environment(name: str) -> Path:
    """Return the folder of programs of a peer's environment, made from `requirements/<name>.txt` if it is not there.

    Raises: Unavailable if its packages cannot be installed.
    """
    listed = _LISTS / f"{name}.txt"
    folder = FOLDER / "environments" / name
    mark, digest = folder / ".ready", hashlib.sha256(listed.read_bytes()).hexdigest()
    if not (mark.exists() and mark.read_text() == digest):
        print(f"installing {name} into an environment of its own", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet",
             "--disable-pip-version-check", "--require-hashes", "-r", str(listed)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip failed"]
            message = f"cannot be installed: {lines[-1]}"
            raise Unavailable(message)
        mark.write_text(digest)
    return folder / "bin"


def package_version(name: str, package: str) -> str:
    """Return the version of a package in a peer's environment. Raises: Unavailable."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run(
        [str(environment(name) / "python"), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def require_program(program: str, debian_package: str, path: str | None = None) -> str:
    """Return where a program of the machine is, installing its Debian package where that is allowed.

    Raises: Unavailable if it is not there afterwards.
    """
    found = shutil.which(program, path=path)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["update"], ["install", "-y", "--no-install-recommends", debian_package]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, check=False,
            )  # fmt: skip
        found = shutil.which(program, path=path)
    if found is None:
        message = f"'{program}' is not on this machine; it is in Debian's package {debian_package}"
        raise Unavailable(message)
    return found
