"""Machine time: fixed and per-row time are told apart, spread is kept, a window has a chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transhume.estimate.rates import Point, fit, predict


def test_two_sizes_tell_fixed_time_from_time_per_row():
    """Runs of 10,000 and 50,000 rows on the line 2 s + rows / 25,000 predict a million rows: 42 s."""
    (rate,) = fit([Point("load", 10_000, 2.4, "a"), Point("load", 50_000, 4.0, "b")])
    assert rate.fixed_s == pytest.approx(2.0)
    assert rate.seconds(1_000_000) == pytest.approx(42.0)


def test_one_run_alone_counts_as_per_row():
    """With one measured run all time is per row, and the spread says that little is known."""
    (rate,) = fit([Point("load", 1_000, 2.0, "a")])
    assert (rate.fixed_s, rate.seconds(2_000), rate.spread) == (0.0, 4.0, 0.30)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0.001, 1000, allow_nan=False)), min_size=1, max_size=6),
    st.integers(0, 10**9),
)
def test_no_prediction_is_negative_and_more_rows_never_take_less(points, rows):
    """Whatever was measured, time is never below zero and never falls with rows."""
    (rate,) = fit([Point("s", count, seconds, str(place)) for place, (count, seconds) in enumerate(points)])
    assert rate.seconds(rows) >= 0
    assert rate.seconds(rows + 1000) >= rate.seconds(rows)


def test_the_chance_of_the_window_follows_the_prediction():
    """A run of 100 s fits 400 s surely, 20 s never, and its own median about half of the time."""
    rates = fit([Point("load", 1000, 100.0, "a"), Point("load", 1001, 100.0, "b")])
    chances = [predict(rates, {"load": 1000}, window_s=window).window_chance for window in (400, 20, 100)]
    assert chances[0] == 1
    assert chances[1] == 0
    assert chances[2] == pytest.approx(0.5, abs=0.05)


def test_stages_share_the_machine_s_luck():
    """Two stages of 50 s spread as one of 100 s: a busy machine slows both."""
    two = predict(fit([Point("a", 10, 50.0, "r"), Point("b", 10, 50.0, "r")]), {"a": 10, "b": 10})
    one = predict(fit([Point("a", 10, 100.0, "r")]), {"a": 10})
    assert two.total[90] == pytest.approx(one.total[90], rel=0.01)
