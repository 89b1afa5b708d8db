"""The programs of MySQL and MariaDB: found, run without a password in sight, ended with us."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from transhume.errors import DriverMissing, SystemUnavailable
from transhume.systems.mysql.address import Address

NAMES = {
    "dump": ("mariadb-dump", "mysqldump"),
    "client": ("mariadb", "mysql"),
    "server": ("mariadbd", "mysqld"),
    "install": ("mariadb-install-db", "mysql_install_db"),
    "backup": ("mariadb-backup", "mariabackup"),
}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def find(what: str) -> Path | None:
    """Return a program by its role in NAMES, None where it is not installed."""
    # Debian keeps servers where only root's PATH looks.
    folders = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    return next((Path(found) for name in NAMES[what] if (found := shutil.which(name, path=folders))), None)


def require(*roles: str) -> None:
    """Raise DriverMissing with every program that is not here."""
    missing = [NAMES[role][0] for role in roles if find(role) is None]
    if missing:
        message = (
            f"a backup that is restored and compared needs {', '.join(missing)}; install MariaDB's programs "
            "(Debian: mariadb-client, mariadb-server-core)"
        )
        raise DriverMissing(message)


def reached(address: Address) -> list[str]:
    """Return the options by which the programs reach a server; a password goes by the environment."""
    files = address.files
    options = [f"--defaults-file={files['defaults_file']}" if "defaults_file" in files else "--no-defaults"]
    options += [f"--user={address.user}"] if address.user else []
    if address.socket is not None:
        options.append(f"--socket={address.socket}")
    else:
        options += ["--protocol=tcp", f"--host={address.host}", f"--port={address.port}"]
    if address.encryption != "disabled":
        options += ["--ssl", *(["--ssl-verify-server-cert"] if address.encryption == "verify" else [])]
        named = {"ssl_ca": "--ssl-ca", "ssl_cert": "--ssl-cert", "ssl_key": "--ssl-key"}
        options += [f"{option}={files[name]}" for name, option in named.items() if name in files]
    return options


def start(
    role: str, options: Sequence[str], *, password: str = "", given: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a program whose files only the owner reads, and which ends when this process does."""
    program = find(role)
    if program is None:
        require(role)
    kept = {name: value for name, value in os.environ.items() if name in {"HOME", "MYSQL_PWD", "TMPDIR"}}
    environment = {**kept, **({"MYSQL_PWD": password} if password else {})}
    return subprocess.Popen(  # noqa: S603 - programs of MariaDB, arguments without a shell
        [str(program), *options],
        env={**environment, "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"},
        stdin=given or subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        umask=0o077,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, no lock is taken
    )


def run(role: str, options: Sequence[str], *, password: str = "", given: IO[bytes] | None = None) -> None:
    """Run a program to its end. Raises: SystemUnavailable with what it says first."""
    process = start(role, options, password=password, given=given)
    try:
        said = process.communicate()[1]
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        message = f"{NAMES[role][0]} failed ({process.returncode}): {_first_error(said)}"
        raise SystemUnavailable(message)


def _first_error(said: bytes) -> str:
    """Return the first line that tells an error; what follows may quote rows."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|denied|fatal|could not|cannot", line, re.IGNORECASE)]
    return (telling or lines or ["it said nothing"])[0][:300]


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child does before its program: ask the kernel (of Linux) for SIGTERM when we die."""
    libc = _LIBC
    if libc is None:
        return None
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) and None
