"""The programs of MySQL and MariaDB: found, run without a password in sight, ended with us."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from transhume.errors import DriverMissing
from transhume.systems.mysql.address import Address
from transhume.systems.programs import await_end, ends_with_us

NAMES = {
    "dump": ("mariadb-dump", "mysqldump"),
    "client": ("mariadb", "mysql"),
    "server": ("mariadbd", "mysqld"),
    "install": ("mariadb-install-db", "mysql_install_db"),
    "backup": ("mariadb-backup", "mariabackup"),
}


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
        preexec_fn=ends_with_us(signal.SIGTERM),  # noqa: PLW1509 - one system call, no lock is taken
    )


def run(role: str, options: Sequence[str], *, password: str = "", given: IO[bytes] | None = None) -> None:
    """Run a program to its end. Raises: SystemUnavailable with what it says first."""
    await_end(start(role, options, password=password, given=given), NAMES[role][0])
