"""The planting of faults on a small module, forks that fail or hang, and what the verdict says."""

import itertools
import time
from pathlib import Path

import pytest

from tests.mutation.forks import KILLED, SURVIVED, Job, answer, outcomes
from tests.mutation.noted import Noted, Reached
from tests.mutation.outcomes import Outcome, Outcomes
from tests.mutation.planting import SWITCH, Mutant, Planted, plant, statements_of_fault
from tests.mutation.verdict import Verdict, read_reasons, score

SOURCE = '''"""A module."""

import re

LIMIT = 3
WORDS = re.compile("[a-z]+ ?")
TWICE = LIMIT * 2


def is_small(number, name="x"):
    """A docstring of words."""
    assert number != 99
    if number < LIMIT and name:
        return True
    message = f"the number {number + 1} is too large"
    raise ValueError(message)


def kinds(values):
    for value in values:
        match value:
            case 1:
                yield "one"
            case _:
                yield f"{value}:"
'''


def _module(planted: Planted, awake: int = -1) -> dict:
    names: dict = {}
    exec(compile(planted.tree, "<m>", "exec"), names)
    names[SWITCH] = awake
    return names


def _told(names: dict) -> list:
    """Return what the module's functions give for some values."""
    told = []
    for number, name in itertools.product((2, 3), ("x", "")):
        try:
            told.append(names["is_small"](number, name))
        except ValueError as error:
            told.append(str(error))
    try:
        return [*told, *names["kinds"]([1, 2])]
    except TypeError:
        return told


def test_no_fault_is_awake_unless_it_is_woken():
    """The planted module does what the source does."""
    planted, whole = plant(SOURCE, "m.py"), {}
    exec(SOURCE, whole)
    assert _told(_module(planted)) == _told(whole) == [
        *(True, "the number 3 is too large", "the number 4 is too large", "the number 4 is too large", "one", "2:"),
    ]  # fmt: skip


def test_every_fault_in_a_function_is_another_behaviour():
    """Each is named by what becomes of what; texts for people, assertions and defaults are left alone."""
    planted = plant(SOURCE, "m.py")
    switched = [each for each in planted.mutants if each.fault is None]
    assert [each.key.removeprefix("m.py ") for each in switched] == [
        "is_small: number < LIMIT and name -> number <= LIMIT and name",
        "is_small: number < LIMIT and name -> number < LIMIT or name",
        "is_small: return True -> return False",
        "is_small: raise ValueError(message) -> pass",
        "kinds: (yield 'one') -> (yield 'XXone')",
        "kinds: yield 'one' -> pass",
        "kinds: (yield f'{value}:') -> (yield f'XX{value}:')",
        "kinds: yield f'{value}:' -> pass",
        *(each.key.removeprefix("m.py ") for each in switched[8:]),
    ]
    assert [each.key.count("match value") for each in switched[8:]] == [2, 2]
    right = _told(_module(planted))
    assert [each.key for each in switched if _told(_module(planted, each.number)) == right] == []


def test_a_fault_at_import_changes_what_is_made_of_it_too():
    """The statement is run again, and those after it that use its names; a pattern loses its repetitions."""
    planted = plant(SOURCE, "m.py")
    faults = {each.key.removeprefix("m.py module: "): each for each in planted.mutants if each.fault is not None}
    assert "LIMIT = 3 -> LIMIT = 4" in faults
    assert any("'[a-z]* ?'" in key for key in faults)
    assert any("'[a-z]+ '" in key for key in faults)
    changed = statements_of_fault(SOURCE, faults["LIMIT = 3 -> LIMIT = 4"])
    assert [each.lineno for each in changed] == [5, 7]


def test_keys_of_equal_changes_are_counted_and_do_not_hang_on_lines():
    """Lines above change nothing."""
    source = "def f(a):\n    return (a + 1, a + 1)\n"
    keys = [each.key for each in plant(source, "m.py").mutants]
    assert keys == [each.key for each in plant("X = [1, 2]\n\n\n" + source, "m.py").mutants if "f:" in each.key]
    assert "m.py f: a + 1 -> a - 1 #2" in keys
    assert len(keys) == len(set(keys))


def _hang(folder: Path) -> int:
    while True:
        pass


def _sleep(folder: Path) -> int:
    time.sleep(60)
    return SURVIVED


def _fail(folder: Path) -> int:
    raise ValueError(str(folder))


def test_a_fork_that_fails_hangs_or_sleeps_is_noticed():
    """One that ends well survives; each has a folder that is gone afterwards."""
    jobs = [
        Job("well", lambda folder: SURVIVED if folder.is_dir() else KILLED, 5, 60),
        *(Job("failed", _fail, 5, 60), Job("hangs", _hang, 0, 60), Job("sleeps", _sleep, 5, 0.2)),
    ]
    found = {name: outcome for name, outcome, _, _ in outcomes(jobs, 2)}
    assert found == {"well": "survived", "failed": "killed", "hangs": "timeout", "sleeps": "timeout"}


def test_a_child_answers_and_changes_nothing_here():
    """What it gives comes back; where it fails, that is said."""
    known: list[int] = []
    assert answer(lambda: known.append(1) or len(known)) == 1
    assert known == []
    with pytest.raises(RuntimeError, match="without an answer"):
        answer(lambda: 1 // 0)


def _mutants(count: int, package: str) -> list[Mutant]:
    return [Mutant(f"{package}/a.py", number, "f", 1, f"{package}/a.py f: {number}") for number in range(count)]


def test_the_verdict_holds_score_survivors_and_reasons_together():
    """Below nine of ten, a survivor without a reason, a reason without a survivor: each fails."""
    mutants = [*_mutants(10, "rules"), *_mutants(2, "compiler")]
    results = {each.key: "killed" for each in mutants}
    results["rules/a.py f: 3"] = "survived"
    results["rules/a.py f: 4"] = "timeout"
    results["compiler/a.py f: 0"] = "unreached"
    reason = {"rules/a.py f: 3": "equal"}
    good = score(mutants, results, reason, whole=True)
    assert (good.passed, good.killed, good.total) == (True, {"rules": 9, "compiler": 1}, {"rules": 10, "compiler": 2})
    assert "9 of    10 noticed, 90.0%" in good.text()
    assert score(mutants, results, {}, whole=True).unexplained == ["rules/a.py f: 3"]
    assert score(mutants, results, reason | {"rules/a.py f: 5": "x"}, whole=True).outdated == ["rules/a.py f: 5"]
    assert score(mutants, results, reason | {"oracle/a.py f: 5": "x"}, whole=False).passed
    assert not score(mutants, results, reason | {"oracle/a.py f: 5": "x"}, whole=True).passed
    assert not Verdict({"rules": 8}, {"rules": 9}).passed
    assert "below 90%: rules" in Verdict({"rules": 8}, {"rules": 9}).text()


def test_a_reason_stands_once_and_says_something(tmp_path):
    """The reasons of the project, too."""
    assert isinstance(read_reasons(Path(__file__).parent / "survivors.toml"), dict)
    place = tmp_path / "s.toml"
    place.write_text('[[reason]]\nwhy = "equal"\nmutants = ["a", "b"]\n')
    assert read_reasons(place) == {"a": "equal", "b": "equal"}
    for text in ('[[reason]]\nwhy = " "\nmutants = ["a"]\n', '[[reason]]\nwhy = "x"\nmutants = ["a", "a"]\n'):
        place.write_text(text)
        with pytest.raises(ValueError, match=r"s\.toml: 'a' stands twice, or without a reason"):
            read_reasons(place)


def test_outcomes_are_kept_while_the_file_is_unchanged(tmp_path):
    """The last line about a fault counts, a line that was cut off does not, and survivors may be asked for again."""
    sources = {"rules/a.py": "a = 1", "rules/b.py": "a = 1"}
    outcomes = Outcomes(tmp_path / "o.tsv", sources)
    assert (outcomes.read(), outcomes.noticing()) == ({}, {})
    first, second = _mutants(2, "rules")
    outcomes.tell(first, Outcome("survived", 1.0, ""))
    outcomes.tell(second, Outcome("survived", 1.0, ""))
    outcomes.tell(first, Outcome("killed", 0.5, "t.py::t"))
    with outcomes.path.open("a") as file:
        file.write("abc\tkilled\t0.1")
    assert outcomes.read() == {first.key: "killed", second.key: "survived"}
    assert outcomes.read(survivors=False) == {first.key: "killed"}
    assert outcomes.noticing() == {first.key: "t.py::t"}
    changed = Outcomes(outcomes.path, sources | {"rules/a.py": "a = 2"})
    assert (changed.read(), changed.noticing()) == ({}, {first.key: "t.py::t"})
    outcomes.forget()
    assert outcomes.read() == {}


def test_what_tests_reach_is_kept_while_nothing_they_hang_on_changes(tmp_path):
    """A file of tests hangs on itself, on data beside it and on every module that is no file of tests."""
    tests = {name: tmp_path / name / f"test_{name}.py" for name in ("a", "b")}
    module, data = tmp_path / "a" / "helper.py", tmp_path / "b" / "case.yaml"
    for path in (*tests.values(), module, data):
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    noted = Noted(tmp_path / "noted", [tmp_path])
    reached = {path: [Reached(f"{path}::t", 0.5, frozenset({("a.py", 1)}))] for path in tests.values()}
    assert noted.read() == {}
    for path, left in ((tests["a"], {"b"}), (data, {"a"}), (module, set())):
        noted.write(reached)
        assert noted.read() == reached
        path.write_text("2")
        assert noted.read() == {tests[name]: reached[tests[name]] for name in left}
        path.write_text("1")
