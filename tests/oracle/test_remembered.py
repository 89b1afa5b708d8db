"""When answers are remembered, and when that is given up: counted question by question."""

from collections.abc import Iterable

from transhume.oracle.remembered import Remembered


def _asked(keys: Iterable[int], known: Remembered[str] | None = None) -> tuple[Remembered[str], int]:
    """Ask for each key, and return after which question remembering was given up (0: it is not)."""
    known = known if known is not None else Remembered()
    for count, key in enumerate(keys, 1):
        assert known.one(key, lambda key=key: str(key)) == str(key)  # type: ignore[misc]
        if known.is_given_up:
            return known, count
    return known, 0


def test_each_key_is_answered_once() -> None:
    """What came before is given again, whatever would be made now."""
    known: Remembered[str] = Remembered()
    assert [known.one(key, lambda made=made: made) for key, made in ((1, "a"), (2, "b"), (1, "c"))] == ["a", "b", "a"]  # type: ignore[misc]
    assert len(known) == 2
    assert known.all([2, 3, 3, 1], lambda place: f"at {place}") == ["b", "at 1", "at 1", "a"]
    assert len(known) == 3


def test_what_is_not_worth_it_is_made_anew() -> None:
    """Nothing is kept."""
    known: Remembered[str] = Remembered(is_worth_it=False)
    assert [known.one(1, lambda made=made: made) for made in "ab"] == ["a", "b"]  # type: ignore[misc]
    assert known.all([1, 1], str) == ["0", "1"]
    assert (known.is_given_up, len(known)) == (True, 0)


def test_it_is_judged_after_twenty_thousand_questions() -> None:
    """Given up where more than four fifths of them were new, at once and not before."""
    assert _asked(range(30_000))[1] == 20_000
    assert _asked([0] * 4_000 + list(range(1, 16_001)))[1] == 20_000
    known, given_up = _asked([*range(16_000), *[0] * 4_000])
    assert (given_up, len(known)) == (0, 16_000)
    assert _asked([*range(16_001), *[0] * 3_999])[1] == 20_000


def test_every_twenty_thousand_are_judged_for_themselves() -> None:
    """What was new before counts no more."""
    known, _ = _asked([*range(10_000), *[0] * 10_000])
    assert _asked([*range(10_000, 26_000), *[0] * 4_000], known)[1] == 0
    assert _asked([*range(26_000, 42_001), *[0] * 3_999], known)[1] == 20_000


def test_many_at_once_count_like_one_by_one() -> None:
    """A key that stands twice among them is new once."""
    known: Remembered[str] = Remembered()
    known.all([*range(16_000), *range(4_000)], str)
    assert not known.is_given_up
    known.all([*range(16_000, 32_001), *range(3_999)], str)
    assert (known.is_given_up, len(known)) == (True, 0)


def test_no_more_than_fifty_thousand_are_kept() -> None:
    """One more, and all are forgotten."""
    known: Remembered[str] = Remembered()
    for first in range(0, 50_000, 10_000):
        known.all([number for number in range(first, first + 10_000) for _ in range(2)], str)
    assert len(known) == 50_000
    assert known.one(-1, lambda: "one more") == "one more"
    assert (len(known), known.is_given_up) == (0, False)
    assert known.one(0, lambda: "anew") == "anew"
