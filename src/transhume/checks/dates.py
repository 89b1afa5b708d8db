"""Dates that stand as text: zero dates, days that no calendar has, other forms. Conditions for a WHERE only.

Said with pieces of the text, so that databases without a cautious cast say the same. NULL stays NULL.
"""

from sqlglot import exp

from transhume import operations as op
from transhume.rules.trees import among, compared, every, is_present, is_true, negated, some, text

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_ZERO = "0000-00-00"
_MONTH, _DAY = (6, 2), (9, 2)
_HOUR, _MINUTE, _SECOND = (12, 2), (15, 2), (18, 2)


def is_zero(value: exp.Expression) -> exp.Expression:
    """Return whether a text begins with the zero date, which no calendar has and some databases store."""
    return _equals(_piece(value, (1, len(_ZERO))), _ZERO)


def is_impossible(value: exp.Expression) -> exp.Expression:
    """Return whether a text begins like a date, `dddd-dd-dd`, of a day that is in no calendar; a zero date is none."""
    fours = [f"{year:02d}" for year in range(0, 100, 4)]
    month, day, century, year = (_piece(value, place) for place in (_MONTH, _DAY, (1, 2), (3, 2)))
    leap = every([among(year, fours), some([negated(_equals(year, "00")), among(century, fours)])])
    wrong = some(
        [
            _equals(_piece(value, (1, 4)), "0000"),
            negated(_between(month, "01", "12")),
            negated(_between(day, "01", "31")),
            every([among(month, ["04", "06", "09", "11"]), _equals(day, "31")]),
            every([_equals(month, "02"), among(day, ["30", "31"])]),
            every([_equals(month, "02"), _equals(day, "29"), negated(leap)]),
        ]
    )
    return every([_matches(value, 10, _DATE), negated(is_zero(value)), wrong])


def is_of_other_form(value: exp.Expression) -> exp.Expression:
    """Return whether a text is not `YYYY-MM-DD`, a space or `T`, `HH:MM:SS`; what follows is not looked at.

    Days that no calendar has are of the form.
    """
    bounds = [(_HOUR, "23"), (_MINUTE, "59"), (_SECOND, "59")]
    shaped = [_matches(value, 19, f"{_DATE}[ T]{_TIME}")]
    shaped += [_between(_piece(value, place), "00", most) for place, most in bounds]
    return every([is_present(value), negated(is_true(every(shaped)))])


def _piece(value: exp.Expression, place: tuple[int, int]) -> exp.Expression:
    start, length = (exp.Literal.number(number) for number in place)
    return op.TextPart(this=value.copy(), start=start, length=length)


def _matches(value: exp.Expression, length: int, pattern: str) -> exp.Expression:
    return op.RegexMatches(this=_piece(value, (1, length)), pattern=exp.Literal.string(pattern))


def _equals(value: exp.Expression, literal: str) -> exp.Expression:
    return compared(exp.EQ, value, text(literal))


def _between(value: exp.Expression, low: str, high: str) -> exp.Expression:
    return exp.Between(this=value.copy(), low=text(low), high=text(high))
