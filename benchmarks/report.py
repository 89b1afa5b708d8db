"""The results in words, tables and one plot: RESULTS.md and growth.svg."""

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import plot
from comparisons import COMPARISONS, Comparison
from job import WHOLE, Job
from jobs import JOBS
from results import Measured, Results, Spread, spread
from targets import Verdict, judge

_MEGABYTE = 2**20


def write(results: Results, folder: Path) -> None:
    """Write RESULTS.md and growth.svg into a folder."""
    (folder / "growth.svg").write_text(plot.growth(results), encoding="utf-8")
    (folder / "RESULTS.md").write_text(_document(results), encoding="utf-8")


def tables(results: Results) -> str:
    """Return what a terminal shows: the tables of all comparisons and the targets."""
    return "\n".join([*_measured(results), *_targets(results)])


def sentence(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    found, target = verdict.found, verdict.target
    told = "not measured" if found is None else f"{_number(found.median)} {target.unit}"
    return f"{target.text}: {told}, at most {_number(target.most)} {target.unit} wanted"


def _in_parts(results: Results) -> Iterator[str]:
    """Say so where `make bench` was not measured as a whole."""
    wanted = {(job.comparison, size, job.name) for job in JOBS for size in job.sizes}
    measured = {(run.comparison, run.size, run.job) for run in results.runs if run.figures is not None}
    if left := len(wanted - measured):
        yield f"It was run in parts: {left} of {len(wanted)} pairs of job and size were not measured."


def _document(results: Results) -> str:
    lines = [
        "# Beside limits and peers",
        "",
        "Made by `benchmarks/run.py`; `benchmarks/README.md` says how to read and extend it. Quote ratios, not",
        "seconds: those of such a machine differ by a third from hour to hour.",
        *_in_parts(results),
        "",
        *_circumstances(results),
        "",
        *_targets(results),
        *_measured(results),
        "![time and memory by number of rows](growth.svg)",
        "",
        *_claims(),
        *_versions(results),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _circumstances(results: Results) -> Iterator[str]:
    days = sorted({run.at[:10] for run in results.runs})
    busy = spread(run.busy for run in results.runs)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"- Machine: {os.cpu_count()} virtual cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}."
    yield f"- Date: {' to '.join(dict.fromkeys([days[0], days[-1]])) if days else 'nothing measured yet'}."
    if busy:
        yield (
            f"- Other work on the machine: its load (waiting processes, mean of a minute, this benchmark included) was"
            f" {busy.least} to {busy.most} when jobs began, in the middle {busy.median}."
        )
    yield "- All jobs of a comparison run in turns on the same data and servers; PostgreSQL has fsync on. A ratio"
    yield "  is taken within one round; shown are the median of the rounds and, of several, the least and the most."
    yield "- Data: the demo's legacy database without planted defects, at which raw copies stop or leave rows out. The"
    yield "  number counts `models`; the four other tables are small (29,000 rows) except in the last comparison."
    yield "- Memory is the peak of all processes of a job without the server, shared pages counted once (PSS). CPU"
    yield "  seconds are those of the job, and of the PostgreSQL server meanwhile."


def _targets(results: Results) -> Iterator[str]:
    yield "## Targets"
    yield ""
    yield from _table(
        ("target (the first in times the second)", "at most", "measured", "rounds", ""),
        (
            (
                verdict.target.text,
                f"{_number(verdict.target.most)} {verdict.target.unit}",
                _told(verdict.found, verdict.target.unit),
                str(verdict.found.count) if verdict.found else "",
                f"**{verdict.word}**" if verdict.word == "missed" else verdict.word,
            )
            for verdict in judge(results)
        ),
    )


def _measured(results: Results) -> Iterator[str]:
    for comparison in COMPARISONS:
        for size in comparison.rounds:
            jobs = [job for job in JOBS if job.comparison == comparison.name and size in job.sizes]
            rows = list(_rows(results, comparison, size, jobs))
            if rows:
                yield f"## {comparison.title}: {_size(size)}"
                yield ""
                header = (
                    "job", "wall s", f"x {comparison.base}", "CPU s", "server CPU s", "peak MB", "rows", "rounds",
                )  # fmt: skip
                yield from _table(header, rows)
                yield from _parts(results, comparison, size, jobs)


def _size(size: str) -> str:
    return "1 M models, 2 M runs, 5 M metrics" if size == WHOLE else f"{int(size):,} models"


def _rows(results: Results, comparison: Comparison, size: str, jobs: Sequence[Job]) -> Iterator[tuple[str, ...]]:
    is_measured = any(results.of(comparison.name, size, job.name) for job in jobs)
    for job in jobs:
        runs = results.of(comparison.name, size, job.name)
        if not runs:
            reason = results.why_not(comparison.name, size, job.name)
            if reason or is_measured:
                yield (job.title, f"no result: {reason}" if reason else "not measured", "", "", "", "", "", "")
            continue
        ratio = results.ratio(comparison.name, size, (job.name, "wall"), (comparison.base, "wall"))
        figures = [run.figures for run in runs if run.figures]
        yield (
            job.title,
            _told(spread(each.wall_s for each in figures), ""),
            "1" if job.name == comparison.base else _told(ratio, ""),
            _median(each.cpu_s for each in figures),
            _median(each.server_cpu_s for each in figures) if any(each.server_cpu_s for each in figures) else "-",
            f"{max(each.peak_bytes for each in figures) / _MEGABYTE:.0f}",
            f"{figures[0].rows:,}",
            str(len(figures)),
        )


def _parts(results: Results, comparison: Comparison, size: str, jobs: Sequence[Job]) -> Iterator[str]:
    told = False
    for job in jobs:
        runs = results.of(comparison.name, size, job.name)
        names = dict.fromkeys(name for run in runs if run.figures for name in run.figures.parts)
        if not names:
            continue
        medians = []
        for name in names:
            of_base = results.ratio(comparison.name, size, (job.name, name), (comparison.base, "wall"))
            seconds = spread(run.figures.parts[name] for run in runs if run.figures and name in run.figures.parts)
            assert seconds is not None
            as_ratio = f", {_number(of_base.median)} x {comparison.base}" if of_base else ""
            medians.append(f"{name.replace('_', ' ')} {seconds.median:.2f} s{as_ratio}")
        yield f"Parts of {job.title}: {'; '.join(medians)}."
        told = True
    if told:
        yield ""


def _claims() -> Iterator[str]:
    yield "## What each job does and does not do"
    yield ""
    yield from _table(
        ("job", "in its time", "not done"),
        (
            (f"{comparison.title}: {job.title}", job.does, job.not_done)
            for comparison in COMPARISONS
            for job in JOBS
            if job.comparison == comparison.name
        ),
    )
    yield from (
        "Parts of a run of transhume: `load` is keys, rules, staging, reading back, comparing, checks and",
        "publishing, which overlap; `verify` what comes after, `rest` starting and what else no stage has.",
        "`comparison` is that of all rows of the big table, as readers see them, with what was staged; `read back`",
        "the sum over its batches, beside the load. `undo records` is what the server took for statements that only",
        "an undo needs (the staged rows, which are the undo's record too, are needed to publish all or nothing, and",
        "are in the load); `rollback` the whole command afterwards, with its proof.",
    )
    yield ""


def _versions(results: Results) -> Iterator[str]:
    yield "## Versions"
    yield ""
    found = dict.fromkeys(
        (job.title.split(",")[0], run.version)
        for job in JOBS
        for run in results.runs
        if (run.comparison, run.job) == (job.comparison, job.name) and run.version and _is_newest(results, run)
    )
    yield from _table(("program", "version"), found)
    servers = sorted({part for run in results.runs for part in run.servers.split(", ")})
    yield f"Servers: {', '.join(servers)}. Python {platform.python_version()}."
    yield ""


def _is_newest(results: Results, run: Measured) -> bool:
    same = [each for each in results.runs if (each.comparison, each.job) == (run.comparison, run.job) and each.version]
    return run.version == same[-1].version


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def _told(found: Spread | None, unit: str) -> str:
    if found is None:
        return "not measured"
    told = f"{_number(found.median)} {unit}".strip()
    return told if found.count == 1 else f"{told} ({_number(found.least)} to {_number(found.most)})"


def _median(numbers: Iterable[float]) -> str:
    found = spread(numbers)
    return "" if found is None else f"{found.median:.1f}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 20 else f"{value:.2f}"
