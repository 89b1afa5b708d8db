"""`python -m tests.mutation`: plants every fault, one at a time, and holds what survives to survivors.toml."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.mutation.forks import answer
from tests.mutation.planting import Mutant, Planted
from tests.mutation.session import QUIET, Session
from tests.mutation.verdict import Verdict, read_reasons, score
from tests.mutation.waking import PACKAGES, Importer, read_planted

ROOT = Path(__file__).parents[2]
REASONS = Path(__file__).parent / "survivors.toml"
TESTS = ("tests/rules", "tests/oracle", "tests/checks", "tests/plan", "tests/compiler")
PLANTED_THERE = "tests/rules/test_planted.py"


def main() -> int:
    """Run what is asked for and return the exit code."""
    asked = _arguments()
    started = time.monotonic()
    planted = read_planted()
    mutants = [mutant for name, each in planted.items() if name.startswith(asked.only) for mutant in each.mutants]
    if asked.sample:
        mutants = random.Random(asked.seed).sample(mutants, min(asked.sample, len(mutants)))
    _tell(f"{len(mutants)} mutants, {asked.workers} at a time")
    results, broken = answer(lambda: _results(planted, mutants, asked.workers))
    if broken:
        _tell("these tests fail without any fault: " + ", ".join(broken))
        return 1
    verdict = score(mutants, results, read_reasons(REASONS), whole=not asked.sample and asked.only == PACKAGES)
    _write(asked.out, mutants, results, verdict)
    _tell(verdict.text())
    _tell(f"{time.monotonic() - started:.0f} s; the outcome of every mutant: {asked.out / 'mutants.tsv'}")
    return 0 if verdict.passed else 1


def _results(
    planted: Mapping[str, Planted], mutants: Sequence[Mutant], workers: int
) -> tuple[dict[tuple[str, int], str], list[str]]:
    importer = Importer({name: each.tree for name, each in planted.items()})
    importer.install()
    session = Session(importer, planted, mutants, workers, _tell)
    pytest.main([*QUIET, "--ignore", PLANTED_THERE, *TESTS], plugins=[session])
    return session.results, session.broken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "--only",
        default=PACKAGES,
        type=lambda text: tuple(text.split(",")),
        help="files whose path below transhume begins so, with commas between: rules/path.py,oracle",
    )
    parser.add_argument("--sample", type=int, default=0, help="so many mutants, chosen by chance, and no verdict")
    parser.add_argument("--seed", type=int, default=0, help="for --sample")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutation")
    return parser.parse_args()


def _write(out: Path, mutants: Sequence[Mutant], results: Mapping[tuple[str, int], str], verdict: Verdict) -> None:
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"{results[each.file, each.number]}\t{each.line}\t{each.key}\n" for each in mutants]
    (out / "mutants.tsv").write_text("".join(sorted(lines)), "utf-8")
    (out / "score.json").write_text(json.dumps(verdict.to_dict(), indent=2) + "\n", "utf-8")


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
