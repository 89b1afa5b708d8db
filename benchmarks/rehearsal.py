"""How far a rehearsal of a part is off: it predicts the machine time of all rows, which are then run.

A table of the demo's database with planted defects, for each target and seed; exit 1 where a total is off by more than
the bound. Both runs are on this machine, one after the other: what else it does at that time is in the numbers.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from environments import FOLDER
from postgres_server import running_server
from transhume import Project
from transhume.demo import generate
from transhume.demo.project import write_project
from transhume.stages.timings import STAGES, measured

_OFF_MAX = 0.30


def main() -> int:
    """Rehearse and run as often as asked for; print predicted and taken seconds by stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1_000_000, help="rows of the table that grows")
    parser.add_argument("--percent", type=float, default=5.0, help="of them are rehearsed")
    parser.add_argument("--targets", nargs="+", choices=("lake", "postgres"), default=["postgres", "lake"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    legacy = _legacy(arguments.models)
    worst = 0.0
    print("| target | seed | stage | predicted, s | taken, s | off |\n|---|---:|---|---:|---:|---:|")
    for kind in arguments.targets:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder, _target(kind, Path(folder)) as url:
                worst = max(worst, _measure(kind, seed, arguments.percent, legacy, Path(folder) / "project", url))
    print(f"\nworst total: {worst:.0%}; bound {_OFF_MAX:.0%}")
    return int(worst > _OFF_MAX)


def _legacy(models: int) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"legacy-defects-{models}.db"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        generate(unfinished, models)
        unfinished.rename(path)
    return path


@contextmanager
def _target(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty target."""
    if kind == "lake":
        yield "iceberg:./lake?namespace=ai"
        return
    with running_server(folder / "server") as server, server.database("rehearsed"):
        yield server.url("rehearsed", schema="ai")


def _measure(kind: str, seed: int, percent: float, legacy: Path, folder: Path, url: str) -> float:
    """Print the stages of one rehearsal and run; return how far the total was off, as a share of what it took."""
    folder.mkdir()
    write_project(folder)
    (folder / ".env").write_text(f"LEGACY_URL=sqlite:///{legacy.absolute()}\nPLATFORM_URL={url}\n")
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("backup: required", "backup: warn"))
    project = Project(folder)
    rates = {rate.stage: rate for rate in project.rehearse(percent=percent, seed=seed).rates}
    done = project.run()
    points = {point.stage: point for point in measured([project.runs / done.run / "journal.jsonl"])}
    predicted = {stage: rates[stage].seconds(points[stage].row_count) for stage in STAGES}
    taken = {stage: points[stage].duration_s for stage in STAGES}
    predicted["total"], taken["total"] = sum(predicted.values()), sum(taken.values())
    for stage, told_s in predicted.items():
        off = told_s / taken[stage] - 1 if taken[stage] else 0.0
        print(f"| {kind} | {seed} | {stage} | {told_s:.1f} | {taken[stage]:.1f} | {off:+.0%} |", flush=True)
    return abs(predicted["total"] / taken["total"] - 1)


if __name__ == "__main__":
    sys.exit(main())
