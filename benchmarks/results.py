"""What was measured: one line of JSON for each run of a job, kept until a fresh benchmark begins."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from job import Figures


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one job. `round` is shared by the jobs of one turn; `failed` says why there are no figures.

    `busy` is the machine's load (waiting processes, mean of the last minute) when the job began.
    """

    comparison: str
    size: str
    job: str
    round: str
    at: str
    version: str
    servers: str
    busy: float
    figures: Figures | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median of some numbers, with the least and the most."""

    median: float
    least: float
    most: float
    count: int


@dataclass(slots=True)
class Results:
    """All measured runs, asked by comparison, size and job."""

    runs: list[Measured] = field(default_factory=list)

    def of(self, comparison: str, size: str, job: str) -> list[Measured]:
        """Return the runs of a job that have figures."""
        return [run for run in self._all(comparison, size, job) if run.figures]

    def why_not(self, comparison: str, size: str, job: str) -> str | None:
        """Return why a job has no figures, None where it was not tried."""
        return next((run.failed for run in self._all(comparison, size, job) if run.failed), None)

    def ratio(self, comparison: str, size: str, over: tuple[str, str], under: tuple[str, str]) -> Spread | None:
        """Return seconds over seconds, each pair of one round; a side is a job and a part (`wall`: all of it)."""
        above, below = (
            {run.round: _seconds(run, part) for run in self.of(comparison, size, job)} for job, part in (over, under)
        )
        pairs = ((seconds, below.get(each)) for each, seconds in above.items())
        return spread(seconds / base for seconds, base in pairs if seconds is not None and base)

    def peak_bytes(self, comparison: str, size: str, job: str) -> Spread | None:
        """Return the peak memory of a job over its runs."""
        return spread(run.figures.peak_bytes for run in self.of(comparison, size, job) if run.figures)

    def _all(self, comparison: str, size: str, job: str) -> list[Measured]:
        return [run for run in self.runs if (run.comparison, run.size, run.job) == (comparison, size, job)]

    def by_round(self) -> Mapping[str, list[Measured]]:
        """Return the runs by round, in the order in which they were made."""
        found: dict[str, list[Measured]] = defaultdict(list)
        for run in self.runs:
            found[run.round].append(run)
        return found


def spread(numbers: Iterable[float]) -> Spread | None:
    """Return the spread of some numbers, None of none."""
    found = sorted(numbers)
    return Spread(statistics.median(found), found[0], found[-1], len(found)) if found else None


def _seconds(run: Measured, part: str) -> float | None:
    assert run.figures is not None
    return run.figures.wall_s if part == "wall" else run.figures.parts.get(part)


def append(path: Path, run: Measured) -> None:
    """Add one run to the file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(run)) + "\n")


def read(path: Path) -> Results:
    """Return what the file holds; nothing where there is none."""
    if not path.exists():
        return Results()
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        figures = fields.pop("figures")
        found.append(Measured(**fields, figures=Figures(**figures) if figures else None))
    return Results(found)
