"""What a job is: one way to move or compare the same rows, with what it does and does not do of the whole task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from legacy import Legacy
from mariadb_server import MariadbServer
from postgres_server import Server

WHOLE = "whole"
"""Name of the size with all five tables large; the others are numbers of models."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a job works on: the data of one size, the servers, a folder that is empty when the job begins."""

    size: str
    legacy: Legacy
    postgres: Server
    folder: Path
    mariadb: MariadbServer | None = None
    prepared: Mapping[str, str] = field(default_factory=dict)
    """What the comparison made for its jobs before the first round, by name (see `comparisons.py`)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of a job. `rows` arrived (or were compared); `parts` are seconds of named parts of it."""

    wall_s: float
    cpu_s: float
    server_cpu_s: float
    peak_bytes: int
    rows: int
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one comparison. `name` is unique within it; `sizes` are those that it is run with.

    `does` and `not_done` say in a few words what of the task is in its time, and what is not.
    `version` asks the installed program, and installs it where it is missing. Raises: Unavailable.
    `run` does the job once, holds what arrived against what must, and returns its figures.
    """

    name: str
    comparison: str
    title: str
    does: str
    not_done: str
    version: Callable[[], str]
    run: Callable[[Ground], Figures]
    sizes: tuple[str, ...]
    rounds: Mapping[str, int] = field(default_factory=dict)
    """Rounds by size where it takes part in fewer than the comparison has."""


class WrongRows(Exception):
    """A job ended well and its rows are not those that must arrive: no result."""


def require_rows(job: str, found: int, wanted: int) -> None:
    """Raise WrongRows unless so many rows arrived."""
    if found != wanted:
        message = f"'{job}': {found:,} rows arrived, {wanted:,} were to"
        raise WrongRows(message)
