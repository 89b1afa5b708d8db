"""One pytest session that collects the tests once: which faults each reaches, and which survive those that reach them.

Every fault runs in a fork of the session, so that no test and no cache sees another's fault.
"""

import functools
import gc
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.forks import KILLED, NOTE, SURVIVED, ForkedProcess, Job, answer, outcomes
from tests.mutation.noted import Place, Reached
from tests.mutation.outcomes import Outcome
from tests.mutation.planting import Mutant, Planted, assigned_names, statements_of_fault
from tests.mutation.waking import Importer

QUIET = [
    *("-q", "--no-header", "--assert=plain", "--tb=no", "--capture=no", "-W", "ignore"),
    *("-p", "no:xdist", "-p", "no:faulthandler"),
]
_SLACK_S = 10.0
_USEFUL_MAX = 3
_START_S = 0.002
"""What any test takes before its first line."""


@dataclass(eq=False)
class Session:
    """A plugin that runs in the place of pytest's own loop.

    `wanted` are the faults to wake; `told` hears of each; `noticing` is the test that noticed a fault before,
    by its key: it is asked first. `noted` is what the tests of files reach that need not be noted again.
    """

    importer: Importer
    planted: Mapping[str, Planted]
    wanted: Sequence[Mutant]
    workers: int
    tell: Callable[[str], None]
    budget_s: float = 6.0
    told: Callable[[Mutant, Outcome], None] = lambda *_: None
    noticing: Mapping[str, str] = field(default_factory=dict)
    noted: dict[Path, list[Reached]] = field(default_factory=dict)
    when_noted: Callable[[dict[Path, list[Reached]]], None] = lambda _: None
    reached: Sequence[Reached] = ()
    broken: list[str] = field(default_factory=list)
    _useful: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _seconds: dict[str, float] = field(default_factory=dict)
    _fixtures: dict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
        """Note what a fixture reaches that is made once for many tests: it counts for each of them."""
        if not self.importer.noting or fixturedef.scope == "function":
            return (yield)
        before, started = set(self.importer.reached), time.process_time()
        self.importer.reached.clear()
        try:
            return (yield)
        finally:
            self._fixtures[fixturedef.argname] |= self.importer.reached
            self._seconds[fixturedef.argname] = time.process_time() - started
            self.importer.reached |= before

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Note what the tests reach, then wake fault after fault."""
        from transhume.engines import duckdb, duckdb_child  # noqa: F401, PLC0415 - imported with the faults, not before

        duckdb.subprocess = SimpleNamespace(Popen=ForkedProcess, TimeoutExpired=TimeoutExpired, DEVNULL=None)
        gc.collect()
        gc.freeze()
        started = time.monotonic()
        new = [item for item in session.items if item.path not in self.noted]
        found, self.broken = answer(lambda: self._noted(new))
        files = {item.nodeid: item.path for item in session.items}
        for each in found:
            self.noted.setdefault(files[each.test], []).append(each)
        if new and not self.broken:
            self.when_noted(self.noted)
        self.reached = [each for tests in self.noted.values() for each in tests if each.test in files]
        self.tell(f"what {len(self.reached)} tests reach: noted after {time.monotonic() - started:.0f} s")
        items = {item.nodeid: item for item in session.items}
        jobs = self._jobs(items)
        started = time.monotonic()
        for done, (mutant, outcome, seconds, test) in enumerate(outcomes(jobs, self.workers), 1):
            self.told(mutant, Outcome(outcome, seconds, test))
            self._useful[mutant.file, mutant.function][test] += 1
            if done % 100 == 0:
                self.tell(f"{done} of {len(self.wanted)} after {time.monotonic() - started:.0f} s")
        return True

    def _noted(self, items: Sequence[pytest.Item]) -> tuple[list[Reached], list[str]]:
        self.importer.note()
        found, broken = [], []
        for item, following in zip(items, [*items[1:], None], strict=True):
            _clear_caches()
            self.importer.reached.clear()
            started = time.process_time()
            fails = not _passes(item, following)
            seconds = time.process_time() - started
            places = set(self.importer.reached)
            names = getattr(item, "fixturenames", ())
            for name in names:
                places |= self._fixtures[name]
            if fails:
                broken.append(item.nodeid)
            else:
                before = sum(self._seconds.get(name, 0.0) for name in names)
                found.append(Reached(item.nodeid, seconds, frozenset(places), before))
        return found, broken

    def _jobs(self, items: Mapping[str, pytest.Item]) -> Iterator[Job]:
        by_place: dict[Place, list[Reached]] = defaultdict(list)
        # A test that reaches little is written for what it reaches; a quick one costs little to ask.
        for each in sorted(self.reached, key=lambda each: (each.seconds + _START_S) * len(each.places)):
            for place in each.places:
                by_place[place].append(each)
        for mutant in self.wanted:
            own = mutant.file, mutant.number
            reaching = by_place[own] if mutant.fault is None else self._using(mutant)
            reaching = self._ordered(mutant, [each for each in reaching if each.test in items])
            chosen = within(reaching, self.budget_s)
            if not chosen:
                self.told(mutant, Outcome("unreached", 0.0, ""))
                continue
            tests = [items[each.test] for each in chosen]
            seconds = 2 * (sum(each.seconds for each in chosen) + max(each.before for each in chosen)) + _SLACK_S

            def run(folder: Path, mutant: Mutant = mutant, tests: Sequence[pytest.Item] = tests) -> int:
                return self._survives(folder, mutant, tests)

            yield Job(mutant, run, seconds, 60 + 10 * seconds)

    def _ordered(self, mutant: Mutant, tests: Sequence[Reached]) -> list[Reached]:
        """Return the test that noticed the fault before, those that noticed most of its function's, and the others."""
        useful = self._useful[mutant.file, mutant.function]
        first = {self.noticing.get(mutant.key, ""): 0}
        for place, (test, _) in enumerate(useful.most_common(_USEFUL_MAX), 1):
            first.setdefault(test, place)
        return sorted(tests, key=lambda each: first.get(each.test, _USEFUL_MAX + 1))

    def _using(self, mutant: Mutant) -> list[Reached]:
        """Return the tests that reach a function which reads a name that a fault at import changes, else its file."""
        source = self.planted[mutant.file].source
        names = set[str]().union(*map(assigned_names, statements_of_fault(source, mutant)))
        known = {
            (file, each.number)
            for file, planted in self.planted.items()
            for each in planted.mutants
            if each.fault is None and names & planted.mentions.get(each.function, set())
        }
        known = {place for place in known if place[0] == mutant.file} or known
        found = [each for each in self.reached if known & each.places]
        found = found or [each for each in self.reached if any(file == mutant.file for file, _ in each.places)]
        return sorted(found, key=lambda each: each.seconds)

    def _survives(self, folder: Path, mutant: Mutant, tests: Sequence[pytest.Item]) -> int:
        os.environ["TMPDIR"] = str(folder)
        tests[0].config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
        if mutant.fault is None:
            self.importer.wake(mutant.file, mutant.number)
        else:
            self.importer.wake_at_import(mutant, self.planted[mutant.file].source)
        # What functions remembered while the tests were collected, they would give with the fault, too.
        _clear_caches()
        for item, following in zip(tests, [*tests[1:], None], strict=True):
            if not _passes(item, following):
                (folder / NOTE).write_text(item.nodeid, "utf-8")
                return KILLED
        return SURVIVED


def within(tests: Sequence[Reached], budget_s: float) -> list[Reached]:
    """Return the first of these tests that take so long together, at least one."""
    chosen: list[Reached] = []
    for each in tests:
        budget_s -= each.seconds
        if chosen and budget_s < 0:
            break
        chosen.append(each)
    return chosen


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _clear_caches() -> None:
    """Forget what functions of the project remember: a test that finds the value there reaches its maker, too."""
    for name, module in list(sys.modules.items()):
        if name.startswith("transhume"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
