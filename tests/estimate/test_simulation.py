"""Chances: the published overruns come out again, and the same seed gives the same numbers."""

import math
import statistics

import pytest

from transhume.estimate.simulation import percentile, simulate

BRIEF = {"planning": 3.0, "development": 5.0, "testing": 4.0, "execution": 1.0, "review": 2.0}


def test_the_published_overruns_come_out_again():
    """Half of the draws overrun by at most 13 %, four of five by at most 50 %: lognormal(0.120, 0.336)."""
    found = simulate(BRIEF, seed=7)
    # By hand: exp(0.120) = 1.1275; exp(0.120 + 0.8416 * 0.336) = 1.4960; exp(0.120 + 1.2816 * 0.336) = 1.7343.
    assert found.total[50] / 15 == pytest.approx(1.1275, rel=0.02)
    assert found.total[80] / 15 == pytest.approx(1.4960, rel=0.02)
    assert found.total[90] / 15 == pytest.approx(1.7343, rel=0.02)


def test_one_factor_hits_all_phases():
    """Phases share their luck: the spread of the total is nearly that of one phase, not a fraction of it."""
    many = simulate(dict.fromkeys("abcdefghij", 1.5), seed=3)
    one = simulate({"a": 15.0}, seed=3)
    assert many.total[90] / many.total[50] == pytest.approx(one.total[90] / one.total[50], rel=0.06)


def test_the_curve_rises_to_one_and_agrees_with_the_percentiles():
    """The chance to be done never falls with time, ends at 1, and is at least 80 % on the P80 day rounded up."""
    found = simulate(BRIEF, seed=5)
    chances = [chance for _, chance in found.curve]
    assert chances == sorted(chances)
    assert chances[-1] == 1
    assert found.chance_within(math.ceil(found.total[80])) >= 0.8
    assert found.chance_within(math.floor(found.total[80]) - 1) < 0.8


def test_the_same_seed_gives_the_same_chances():
    """A simulation can be repeated."""
    assert simulate(BRIEF, seed=11) == simulate(BRIEF, seed=11)
    assert simulate(BRIEF, seed=11).total != simulate(BRIEF, seed=12).total


def test_percentiles_are_those_of_the_standard_library():
    """Between neighbours the line is straight, as in `statistics.quantiles(method='inclusive')`."""
    values = sorted([3.0, 1.0, 4.0, 1.5, 9.0, 2.6])
    expected = statistics.quantiles(values, n=10, method="inclusive")
    assert [percentile(values, percent) for percent in range(10, 100, 10)] == pytest.approx(expected)
