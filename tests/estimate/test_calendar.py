"""Dates: weekends and holidays are free, phases follow one another, a team is not a multiple of one."""

from datetime import date

import pytest

from transhume.estimate.calendar import elapsed_days, holidays_of, spans, working_day


def test_weekends_and_holidays_are_left_out():
    """Five working days from Thursday 14 January 2027 end on Thursday 21: a weekend and Martin Luther King Day."""
    free = holidays_of("US", {2027})
    assert date(2027, 1, 18) in free  # the third Monday of January, 5 U.S.C. 6103
    assert working_day(date(2027, 1, 14), 5, free) == date(2027, 1, 21)


def test_a_start_on_a_free_day_moves_to_the_next_working_day():
    """Work that starts on a Saturday begins on Monday."""
    assert working_day(date(2027, 1, 16), 1, {}) == date(2027, 1, 18)


def test_phases_follow_one_another():
    """Each phase begins on the working day after the last one; parts of days are whole days in a calendar."""
    found = spans(date(2027, 1, 11), {"planning": 3, "development": 2.2, "nothing": 0, "review": 1}, {})
    assert [(span.phase, span.first.day, span.last.day, span.working_days) for span in found] == [
        ("planning", 11, 13, 3),
        ("development", 14, 18, 3),
        ("review", 19, 19, 1),
    ]


def test_a_state_has_holidays_of_its_own():
    """Reformation Day is free in Hamburg and not in all of Germany."""
    assert date(2029, 10, 31) in holidays_of("DE", {2029}, "HH")
    assert date(2029, 10, 31) not in holidays_of("DE", {2029})


def test_an_unknown_country_is_said():
    """A country without known holidays is an error that names it."""
    with pytest.raises(ValueError, match="'XX'"):
        holidays_of("XX", {2027})


def test_people_without_a_table_do_not_help():
    """Two people take 1/1.8 of the time of one; ten people on one table take as long as one."""
    assert elapsed_days(9, 2, 5) == 5
    assert elapsed_days(9, 10, 1) == 9
