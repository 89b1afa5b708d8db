"""`python -m tests.mutation`: plants every fault, one at a time, and holds what survives to survivors.toml."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.mutation.forks import answer
from tests.mutation.noted import Noted
from tests.mutation.outcomes import Outcome, Outcomes
from tests.mutation.planting import Mutant, Planted
from tests.mutation.session import QUIET, Session
from tests.mutation.verdict import Verdict, read_reasons, score
from tests.mutation.waking import PACKAGES, SOURCE, Importer, read_planted

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
    asked.out.mkdir(parents=True, exist_ok=True)
    before = Outcomes(asked.out / "outcomes.tsv", {name: each.source for name, each in planted.items()})
    noticing = before.noticing()
    if not (asked.resume or asked.survivors):
        before.forget()
    known = before.read(survivors=not asked.survivors)
    wanted = [each for each in mutants if each.key not in known]
    _tell(f"{len(wanted)} of {len(mutants)} mutants, {asked.workers} at a time")
    broken = answer(lambda: _run(planted, wanted, asked, noticing, before.tell)) if wanted else []
    if broken:
        _tell("these tests fail without any fault: " + ", ".join(broken))
        return 1
    results = before.read()
    verdict = score(mutants, results, read_reasons(REASONS), whole=not asked.sample and asked.only == PACKAGES)
    _write(asked.out, mutants, results, verdict)
    _tell(verdict.text())
    _tell(f"{time.monotonic() - started:.0f} s; the outcome of every mutant: {asked.out / 'mutants.tsv'}")
    return 0 if verdict.passed else 1


def _run(
    planted: Mapping[str, Planted],
    mutants: Sequence[Mutant],
    asked: argparse.Namespace,
    noticing: Mapping[str, str],
    told: Callable[[Mutant, Outcome], None],
) -> list[str]:
    """Wake these faults, one at a time, tell of each outcome, and return the tests that fail without any."""
    importer = Importer({name: each.tree for name, each in planted.items()})
    importer.install()
    # A failing example is enough: nobody wants the smallest.
    settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None)
    settings.load_profile("mutation")
    session = Session(importer, planted, mutants, asked.workers, _tell, told=told, noticing=noticing)
    session.budget_s = asked.budget
    noted = Noted(asked.out / "noted.pickle", [SOURCE, Path(__file__).parents[1]])
    session.noted = noted.read() if asked.resume or asked.survivors else {}
    session.when_noted = noted.write
    pytest.main([*QUIET, "--ignore", PLANTED_THERE, *(asked.tests or TESTS)], plugins=[session])
    return session.broken


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
    parser.add_argument("--resume", action="store_true", help="keep the outcomes that stand there, of unchanged files")
    parser.add_argument("--survivors", action="store_true", help="the same, but run again what survived")
    parser.add_argument("--tests", nargs="+", help="ask only these: enough for survivors of the others")
    parser.add_argument("--budget", type=float, default=6.0, help="seconds of CPU for the tests of one fault")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutation")
    return parser.parse_args()


def _write(out: Path, mutants: Sequence[Mutant], results: Mapping[str, str], verdict: Verdict) -> None:
    lines = [f"{results[each.key]}\t{each.line}\t{each.key}\n" for each in mutants]
    (out / "mutants.tsv").write_text("".join(sorted(lines)), "utf-8")
    (out / "score.json").write_text(json.dumps(verdict.to_dict(), indent=2) + "\n", "utf-8")


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
