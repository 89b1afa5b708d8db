"""Planned against actual: the team's days, where they lie in the chances, what the rest takes."""

import pytest

from transhume.estimate.comparison import compare, pace, remaining

PLANNED = {"planning": 3.0, "development": 5.0, "testing": 4.0}
EXPECTED = {"planning": 3.0, "development": 5.0, "testing": 6.0}
CHANCES = {name: {50: days * 1.1, 80: days * 1.5, 90: days * 1.75} for name, days in EXPECTED.items()}


def test_each_phase_says_where_it_lies_and_the_rest_goes_at_the_same_pace():
    """3.3 of 3 and 8 of 5 days: 11.3 for 8, so that the 6 days that are left take 8.475."""
    found = compare(PLANNED, EXPECTED, CHANCES, {"planning": 3.3, "development": 8}, 1.0)
    assert [each.within for each in found] == [50, 90, None]
    assert [each.verdict() for each in found] == [
        "within the days of a chance of 50 %",
        "within the days of a chance of 90 %",
        "not over",
    ]
    assert found[1].ratio == pytest.approx(1.6)
    assert pace(found) == pytest.approx(11.3 / 8)
    assert remaining(found) == pytest.approx(8.475)


def test_a_phase_beyond_every_chance_says_so():
    (found,) = compare({"testing": 4.0}, {"testing": 6.0}, {"testing": CHANCES["testing"]}, {"testing": 11}, 1.0)
    assert found.within is None
    assert found.verdict() == "more than the days of a chance of 90 %"


def test_a_team_is_held_to_its_own_days():
    """Two people make 1.8 days a day: 9 days of one person are 5 of theirs."""
    (found,) = compare({"planning": 9.0}, {"planning": 9.0}, {"planning": {50: 9.0}}, {"planning": 5}, 1.8)
    assert (found.planned, found.expected, found.ratio, found.within) == (5.0, 5.0, 1.0, 50)


def test_nothing_is_said_before_a_phase_is_over():
    """No actual: no pace, and the rest is what was expected."""
    found = compare(PLANNED, EXPECTED, CHANCES, {}, 1.0)
    assert pace(found) is None
    assert remaining(found) == pytest.approx(14.0)
