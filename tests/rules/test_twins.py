"""Every case of every rule, through both twins."""

import pytest

from tests.rules.cases import Case, read_cases
from tests.rules.twins import Bench, Result
from transhume.rules import RULES

CASES = list(read_cases())
_IDS = [f"{case.verb}: {case.name}" for case in CASES]


def differences(case: Case, found: list[Result]) -> list[str]:
    return [
        f"{given} -> {result}, expected {expected}"
        for given, result, expected in zip(case.rows, found, case.expected, strict=True)
        if result.key() != expected.key()
    ]


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_python_twin_gives_what_the_case_says(case: Case, bench: Bench) -> None:
    """The Python twin gives the expected value or the expected reasons, in order."""
    assert differences(case, bench.python(case.setting, case.rows)) == []


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_sql_twin_gives_what_the_case_says(case: Case, bench: Bench) -> None:
    """The SQL twin, run by DuckDB, gives the expected value or the expected reasons, in order."""
    assert differences(case, bench.sql(case.setting, case.rows)) == []


@pytest.mark.parametrize("verb", sorted(RULES))
def test_every_rule_has_enough_cases(verb: str) -> None:
    """Each rule has at least 15 rows of cases, and each case says where its expectations come from."""
    cases = [case for case in CASES if case.verb == verb]
    assert sum(len(case.rows) for case in cases) >= 15
    assert all(case.origin for case in cases)
