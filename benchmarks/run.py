"""The whole job beside its limits and its peers: same data, same machine, in turns, in one go.

Each job is held against the rows that must arrive; one whose rows are wrong has no figures. Results are kept as lines
of JSON below `build/bench` and rendered into RESULTS.md, so parts may be measured one after the other.
"""

import argparse
import compileall
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import report
import results
import transhume
from comparisons import COMPARISONS, Comparison
from environments import FOLDER, Unavailable
from job import Ground, Job
from jobs import JOBS
from legacy import legacy
from postgres_server import Server, running_server
from targets import judge

_RESULTS = FOLDER / "results.jsonl"


def main() -> int:
    """Measure what was asked for, render the report; exit 1 where a target is missed."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if arguments.fresh:
        _RESULTS.unlink(missing_ok=True)
    if not arguments.render:
        # What is installed has its bytecode; an editable install without it would be compiled anew by each run, 0.2 s.
        compileall.compile_dir(str(Path(transhume.__file__).parent), quiet=1)
        folder = Path(tempfile.mkdtemp(prefix="transhume-bench-"))
        folder.chmod(0o755)
        try:
            with running_server(folder / "pg") as server:
                for comparison in COMPARISONS:
                    if comparison.name in arguments.only:
                        for size in (each for each in comparison.rounds if each in arguments.rows):
                            _measure(comparison, size, server, folder, arguments)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    found = results.read(_RESULTS)
    if arguments.write:
        report.write(found, Path(__file__).parent)
    print(report.tables(found))
    verdicts = judge(found)
    for verdict in verdicts:
        if verdict.word == "missed":
            print(f"missed: {report.sentence(verdict)}", file=sys.stderr)
    failed = [run for run in found.runs if run.failed and run.job.startswith("transhume")]
    for run in failed:
        print(f"failed: {run.job} of {run.comparison}, {run.size}: {run.failed}", file=sys.stderr)
    return 1 if failed or any(verdict.word == "missed" for verdict in verdicts) else 0


def _stop(*_: object) -> NoReturn:
    """End by the way out, so that the servers stop."""
    sys.exit(143)


def _arguments() -> argparse.Namespace:
    names = [comparison.name for comparison in COMPARISONS]
    sizes = list(dict.fromkeys(size for comparison in COMPARISONS for size in comparison.rounds))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these comparisons (default all)")
    parser.add_argument("--rows", nargs="+", choices=sizes, default=sizes, help="these sizes (default all)")
    parser.add_argument("--jobs", nargs="+", help="these jobs only, by name")
    parser.add_argument("--rounds", type=int, help="so many rounds, whatever is usual")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before; else it is added to")
    parser.add_argument("--render", action="store_true", help="measure nothing, only render what was measured")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and growth.svg beside this file")
    return parser.parse_args()


def _measure(comparison: Comparison, size: str, server: Server, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the jobs of one comparison and size in turns; each round begins with another one."""
    chosen = [job for job in JOBS if job.comparison == comparison.name and size in job.sizes]
    if arguments.jobs:
        chosen = [job for job in chosen if job.name in arguments.jobs]
    if not chosen:
        return
    _say(f"{comparison.title}, {size}: {', '.join(job.name for job in chosen)}")
    work = folder / f"{comparison.name}-{size}"
    work.mkdir()
    begin = Ground(size, legacy(FOLDER / "data", size), server, work)
    try:
        ready = _ready(chosen, comparison, size, server)
        with comparison.prepare(begin) as ground:
            rounds = arguments.rounds or comparison.rounds[size]
            for number in range(rounds):
                turn = ready[number % len(ready) :] + ready[: number % len(ready)]
                _round(turn, ground, f"round {number + 1} of {rounds}", number)
    except Unavailable as reason:
        for job in chosen:
            _keep(_blank(job, size, server, "", ""), str(reason))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _ready(jobs: Sequence[Job], comparison: Comparison, size: str, server: Server) -> list[tuple[Job, str]]:
    """Return the jobs whose programs are there, with their versions; note why the others are not."""
    ready = []
    for job in jobs:
        try:
            ready.append((job, job.version()))
        except Unavailable as reason:
            _say(f"  {job.name} of {comparison.name} cannot be had: {reason}")
            _keep(_blank(job, size, server, "", ""), str(reason))
    return ready


def _round(turn: Sequence[tuple[Job, str]], ground: Ground, told: str, number: int) -> None:
    name = datetime.now(UTC).isoformat(timespec="seconds")
    for job, version in turn:
        if number >= job.rounds.get(ground.size, number + 1):
            continue
        place = ground.folder / "job"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        servers = f"PostgreSQL {ground.postgres.version}" + (
            f", MariaDB {ground.mariadb.version}" if ground.mariadb else ""
        )
        run = replace(_blank(job, ground.size, ground.postgres, name, version), servers=servers)
        try:
            figures = job.run(replace(ground, folder=place))
        except Exception as problem:  # noqa: BLE001 - whatever becomes of one job, the others are measured
            _say(f"  {told}, {job.name}: {problem!r}")
            _keep(run, str(problem) or repr(problem))
            continue
        _say(f"  {told}, {job.name}: {figures.wall_s:.1f} s, {figures.peak_bytes / 2**20:.0f} MB")
        results.append(_RESULTS, replace(run, figures=figures))
        shutil.rmtree(place, ignore_errors=True)


def _blank(job: Job, size: str, server: Server, name: str, version: str) -> results.Measured:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    servers = f"PostgreSQL {server.version}"
    return results.Measured(job.comparison, size, job.name, name, at, version, servers, round(os.getloadavg()[0], 1))


def _keep(run: results.Measured, reason: str) -> None:
    lines = reason.strip().splitlines()
    results.append(_RESULTS, replace(run, failed=" ".join(dict.fromkeys([lines[0], lines[-1]]))[:300]))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
