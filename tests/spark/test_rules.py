"""Every case and property of every rule on Spark: the same values and reasons as in Python and in DuckDB."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.rules.cases import Case, read_cases
from tests.rules.nasty import rows_of
from tests.rules.test_properties import SETTINGS
from tests.rules.test_twins import differences
from tests.rules.twins import Bench, Setting

CASES = list(read_cases())
ROWS_OF_A_RULE = 1_000
ROWS_OF_A_RULE_IN_A_SWEEP = 20_000


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.verb}: {case.name}")
def test_sql_twin_gives_what_the_case_says(case: Case, spark: Bench) -> None:
    """The SQL twin, run by Spark, gives the expected value or the expected reasons, in order."""
    assert differences(case, spark.sql(case.setting, case.rows)) == []


def _rows(setting: Setting, count: int) -> list[dict[str, Any]]:
    """Draw at least this many rows for a setting, the same ones each time."""
    rows: list[dict[str, Any]] = []

    @settings(max_examples=count // 15 + 5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(drawn=rows_of(setting.columns))
    def draw(drawn: list[dict[str, Any]]) -> None:
        rows.extend(drawn)

    draw()
    assert len(rows) >= count
    return rows


def _agree(verb: str, count: int, spark: Bench, bench: Bench) -> None:
    """Hold Spark and DuckDB to the oracle over `count` rows, shared among the settings of the rule."""
    for setting in SETTINGS[verb]:
        rows = _rows(setting, -(-count // len(SETTINGS[verb])))
        expected = [result.key() for result in bench.python(setting, rows)]
        for engine in (bench, spark):
            found = [result.key() for result in engine.sql(setting, rows)]
            both = zip(rows, expected, found, strict=True)
            assert [(row, one, other) for row, one, other in both if one != other] == []


@pytest.mark.parametrize("verb", sorted(SETTINGS))
def test_engines_and_oracle_agree_on_nasty_values(verb: str, spark: Bench, bench: Bench) -> None:
    """Spark, DuckDB and Python give the same on NULL, odd values, NUL, -0.0, NaN, 2^53+1, long and strange texts."""
    _agree(verb, ROWS_OF_A_RULE, spark, bench)


@pytest.mark.sweep
@pytest.mark.parametrize("verb", sorted(SETTINGS))
def test_engines_and_oracle_agree_on_many_nasty_values(verb: str, spark: Bench, bench: Bench) -> None:
    """The same, on many more rows of each rule."""
    _agree(verb, ROWS_OF_A_RULE_IN_A_SWEEP, spark, bench)
