"""What numbers of two sides, or of one within limits, say: equal, near, NULL, and what adding doubles may change."""

from decimal import Decimal
from fractions import Fraction
from math import inf, nan

import pytest

from transhume.checks.tables import (
    Numbers,
    beyond,
    compared,
    difference,
    measure,
    queries_compared,
    query_dialect,
    rows_found,
    shown,
)
from transhume.facts import Answer, cell
from transhume.plan.table_check import TableCheck


def _check(**fields: object) -> TableCheck:
    return TableCheck.model_validate({"name": "c", **fields})


def _both(compare: str, **more: object) -> TableCheck:
    return _check(compare=compare, source="a", target="b", **more)


@pytest.mark.parametrize(
    ("source", "target", "tolerance", "agrees"),
    [
        (10, 10, None, True),
        (10, 11, None, False),
        (10, 11, "1", True),
        (10, 9, "1", True),
        (10, Decimal("11.01"), "1", False),
        (200, 202, "1%", True),
        (200, Decimal("202.01"), "1%", False),
        (-200, -198, "1%", True),  # a share of the size, whatever the sign
        (0, 1, "50%", False),  # a share of nothing is nothing
        (10**30, 10**30 + 1, None, False),  # beyond what a double tells apart
        (Decimal("0.1"), 0.1, None, False),  # as numbers they differ; rounding is another matter
        (None, None, None, True),
        (None, 0, "100", False),
        (0, None, "100", False),
        ("a", "a", None, True),
        ("a", "A", None, False),
        ("None", None, None, False),
        (nan, nan, None, True),
        (inf, inf, None, True),
        (inf, -inf, None, False),
        (nan, 1.0, "5", False),
    ],
)
def test_two_values_agree_or_not(source: object, target: object, tolerance: str | None, agrees: bool) -> None:
    """By arithmetic on paper; NULL agrees with NULL alone."""
    limit = _both("sum", tolerance=tolerance).tolerance if tolerance is not None else None
    problem, _ = difference(source, target, limit)
    assert (problem == "") is agrees


def test_sums_of_doubles_may_differ_by_the_order_of_adding_and_by_no_more() -> None:
    """0.1 + 0.2 + 0.3 is 0.6000000000000001 from the left and 0.6 from the right (IEEE 754)."""
    left, right = (0.1 + 0.2) + 0.3, 0.1 + (0.2 + 0.3)
    assert left != right

    def sides(one: float, other: float) -> dict[str, Numbers]:
        return {
            side: Numbers({"rows": 3, "found": 3, "total": total, "size": 0.6})
            for side, total in (("source", one), ("target", other))
        }

    assert compared(_both("sum"), "t", sides(left, right), shows=True).passed
    assert not compared(_both("sum"), "t", sides(left, right + 1e-14), shows=True).passed
    assert compared(_both("avg"), "t", sides(left, right), shows=True).passed
    assert not compared(_both("avg"), "t", sides(left, right + 1e-14), shows=True).passed


@pytest.mark.parametrize(
    ("compare", "found", "expected"),
    [
        ("count", {"rows": 5}, 5),
        ("count", {"rows": 5, "found": 3}, 3),
        ("nulls", {"rows": 5, "found": 3}, 2),
        ("sum", {"rows": 5, "found": 3, "total": 7}, 7),
        ("avg", {"rows": 5, "found": 3, "total": 7}, Fraction(7, 3)),
        ("avg", {"rows": 5, "found": 0, "total": None}, None),
        ("avg", {"rows": 1, "found": 1, "total": inf}, inf),
        ("min", {"rows": 5, "found": 3, "least": "a"}, "a"),
        ("max", {"rows": 5, "found": 3, "most": 9}, 9),
        ("distinct", {"rows": 5, "found": 3, "distinct": 2}, 2),
    ],
)
def test_each_function_is_made_of_its_numbers(compare: str, found: dict[str, object], expected: object) -> None:
    """A mean is over values, not over rows."""
    assert measure(_both(compare), Numbers(found)) == expected


@pytest.mark.parametrize(
    ("fields", "value", "rows", "right"),
    [
        ({"least": "5"}, 5, 9, True),
        ({"least": "5"}, 4, 9, False),
        ({"most": "5"}, 5, 9, True),
        ({"most": "5"}, 6, 9, False),
        ({"most": "10%"}, 2, 20, True),
        ({"most": "10%"}, 3, 20, False),
        ({"least": "-2", "most": "2"}, -2, 9, True),
        ({"least": "-2", "most": "2"}, -3, 9, False),
        ({"most": "5"}, None, 9, False),
        ({"most": "5"}, nan, 9, False),
    ],
)
def test_one_number_is_within_its_limits_or_not(fields: dict, value: object, rows: int, right: bool) -> None:
    """Both bounds are allowed; NULL is within no limit."""
    problem, _ = beyond(_check(compare="nulls", target="b", **fields), value, rows)
    assert (problem == "") is right


def test_values_that_cannot_be_read_are_told_and_misfits_fail() -> None:
    """A value of the source that is no number counts as NULL; a calculation that does not fit is a fault."""
    numbers = {"rows": 3, "found": 2, "total": 4}
    sides = {"source": Numbers(numbers, unread=1), "target": Numbers(numbers)}
    told = compared(_both("sum"), "t", sides, shows=True)
    assert told.passed
    assert told.detail.endswith("1 source rows have a value that cannot be read and count as NULL")
    sides["target"] = Numbers(numbers, misfits=2)
    failed = compared(_both("sum", then="warn"), "t", sides, shows=True)
    assert (failed.count, failed.severity, failed.name) == (1, "warning", "table:c")
    assert "2 target rows have a number that does not fit its type" in failed.detail


def test_words_hold_no_value_of_the_data_where_none_may_stand() -> None:
    """A least value is one row's; what looks personal is masked even where values are shown."""
    sides = {side: Numbers({"rows": 2, "found": 2, "least": text}) for side, text in
             {"source": "ann@example.org", "target": "bob@example.org"}.items()}  # fmt: skip
    hidden = compared(_both("min"), "t", sides, shows=False)
    assert (hidden.count, "example" in hidden.detail, "not shown here" in hidden.detail) == (1, False, True)
    assert "example" not in compared(_both("min"), "t", sides, shows=True).detail
    assert shown("colour", "red") == "'red'"
    assert (shown("n", None), shown("n", 1234567), shown("n", 0.5), shown("n", inf)) == (
        "NULL",
        "1,234,567",
        "0.5",
        "inf",
    )


def test_queries_are_compared_value_by_value() -> None:
    """One row each, of as many values; anything else is said and fails."""
    check = _check(query={"source": "SELECT 1", "target": "SELECT 1"}, tolerance="1")
    both = {"source": [(1, "a", None)], "target": [(2, "a", None)]}
    assert queries_compared(check, "t", both, "q", shows=True).passed
    both["target"] = [(3, "b", 0)]
    found = queries_compared(check, "t", both, "q", shows=False)
    assert found.count == 3
    assert found.detail.startswith("value 1, more than the 1 allowed; value 2, the two differ")
    for wrong in ([], [(1,), (2,)], [(1, 2)]):
        refused = queries_compared(check, "t", {"source": [(1,)], "target": wrong}, "q", shows=True)
        assert (refused.count, "must give one row" in refused.detail) == (1, True)
    near = {"source": [(0.1 + 0.2,)], "target": [(0.3,)]}
    exact = _check(query={"source": "SELECT 1", "target": "SELECT 1"})
    assert queries_compared(exact, "t", near, "q", shows=True).passed
    assert not queries_compared(exact, "t", {**near, "target": [(0.3 + 1e-9,)]}, "q", shows=True).passed


def test_wrong_rows_of_a_query_are_counted_against_the_limit() -> None:
    """Keys are shown of a failed check alone."""
    check = _check(query={"target": "SELECT 1"}, most="10%")
    assert rows_found(check, "t", 2, 20, ["k"], "q").sample_keys == ()
    failed = rows_found(check, "t", 3, 20, ["k"], "q")
    assert (failed.count, failed.sample_keys) == (3, ("k",))
    assert failed.detail == "3 rows found, allowed 10 % of 20 rows = 2"
    assert rows_found(_check(query={"target": "SELECT 1"}), "t", 1, 20, [], "q").count == 1


def test_an_answer_comes_back_as_it_was_written() -> None:
    """Every number exactly, text apart from numbers, NULL apart from both."""
    answer = Answer(3, ((1, Decimal("1.10"), 0.1, "1", None), (10**40, -0.0, nan, "NULL", inf)))
    again = Answer.from_json(answer.to_json())
    assert repr(again) == repr(answer)
    assert [cell(bytearray("é".encode())), cell(b"\xff"), cell(True)] == ["é", "\ufffd", "True"]


@pytest.mark.parametrize(
    ("identity", "side", "dialect"),
    [
        ("sqlite:///a.db", "source", "sqlite"),
        ("postgresql://h/d?schema=s", "target", "postgres"),
        ("iceberg:./lake", "target", "duckdb"),
        ("iceberg:./lake", "source", ""),
        ("files:x", "source", ""),
    ],
)
def test_each_system_is_asked_in_its_dialect(identity: str, side: str, dialect: str) -> None:
    """Files answer no SQL."""
    assert query_dialect(identity, side) == dialect
