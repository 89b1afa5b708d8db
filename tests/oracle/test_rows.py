"""Many rows side by side: keys, joined columns, what is left out, checks over several columns. Expected by hand."""

from typing import Any

from tests.oracle.test_row import _oracle, _row
from transhume.oracle import AMBIGUOUS, Odd, Rows
from transhume.rules import parse_rule
from transhume.rules.rule import ColumnRef, Outcome

MINIMAL = {"key": {"uuid": "model_id"}, "name": "name"}


def test_rows_are_told_without_a_word_on_duplicates() -> None:
    """None is one then."""
    oracle = _oracle(columns=MINIMAL, join={})
    found = oracle.expected_rows(Rows(oracle, [_row(model_id=1), _row(model_id=1)]))
    assert (list(found.fates), dict(found.reasons)) == (["loaded", "loaded"], {})


def test_a_row_for_which_another_stands_is_left_out_and_a_tie_rejects() -> None:
    """The condition comes first: what it leaves out is filtered, whatever else is said."""
    dedupe = {"by": ["name", "status"], "latest": "made"}
    oracle = _oracle(columns=MINIMAL, join={}, dedupe=dedupe, where="status = 'A'")
    rows = [_row(model_id=number) for number in (1, 2, 3)] + [_row(model_id=4, status="B")]
    found = oracle.expected_rows(Rows(oracle, rows), None, ["lost", "tied", "", "lost"])
    assert list(found.fates) == ["deduplicated", "rejected", "loaded", "filtered"]
    assert dict(found.reasons) == {1: ("tied:name,status",)}
    assert found.kept == [1, 2]
    assert oracle.expected_row(_row(), dedupe="lost").fate == "deduplicated"
    assert oracle.expected_row(_row(), dedupe="tied").reasons == ("tied:name,status",)
    plain = _oracle(columns=MINIMAL, join={})
    assert plain.expected_row(_row(), dedupe="tied").fate == "loaded"


def test_a_condition_says_which_rows_it_leaves_out() -> None:
    """FALSE and NULL do; what cannot be decided is a reject and not left out."""
    oracle = _oracle(columns=MINIMAL, join={}, where="status = 'A'")
    rows = Rows(oracle, [_row(), _row(status="B"), _row(status=None), _row(status=Odd("blob", b"A"))])
    assert oracle.is_filtered(rows) == [False, True, True, False]
    every = _oracle(columns=MINIMAL, join={})
    assert every.is_filtered(Rows(every, [_row(), _row(status=None)])) == [False, False]


def test_a_check_over_two_columns_looks_at_both() -> None:
    """Rows that are equal in the first alone are not alike."""
    checks = [{"name": "same", "sql": "name = status", "then": "warn"}]
    oracle = _oracle(columns=MINIMAL | {"status": "status"}, join={}, checks=checks)
    rows = [_row(name="a", status=status) for status in ("a", "b", "a", "c", None)]
    found = oracle.expected_rows(Rows(oracle, rows))
    assert dict(found.warnings) == {1: ("warn:same",), 3: ("warn:same",)}


def test_a_key_of_a_join_that_cannot_be_read_is_a_reason() -> None:
    """Once, before those of the columns, and no missing row beside it."""
    join = {"metric": {"from": "metrics", "on": {"model_id": "status"}, "none": "reject"}}
    oracle = _oracle(columns=MINIMAL, join=join)
    row = _row(status=Odd("invalid", b"\xff"), name=None)
    assert oracle.expected_row(row, {"metric": None}).reasons == ("bad_encoding:status", "null:name")
    assert oracle.expected_row(_row(), {"metric": None}).reasons == ("no_match:metric",)
    assert oracle.expected_row(_row(status=None), {"metric": None}).reasons == ("no_match:metric",)


def test_rows_beside_others_keep_their_own_columns_and_lose_the_joined_ones() -> None:
    """What was read of the first joined rows says nothing of the second."""
    oracle = _oracle(join={"metric": {"from": "metrics", "on": {"model_id": "model_id"}}})
    rows = Rows(
        oracle, [_row(model_id=1), _row(model_id=2)], [{"metric": {"model_id": 1, "value": 0.5}}, {"metric": None}]
    )
    assert rows.column("metric.value") == [0.5, None]
    assert rows.column("model_id") == [1, 2]
    assert [part.value for part in rows.key_parts("metric.model_id")] == ["1", None]
    assert [part.value for part in rows.key_parts("model_id")] == ["1", "2"]
    other = rows.beside([{"metric": AMBIGUOUS}, {"metric": {"model_id": 7, "value": 0.7}}])
    assert other.column("metric.value") == [None, 0.7]
    assert other.columns(["model_id", "metric.value"]) == [(1, None), (2, 0.7)]
    assert [part.value for part in other.key_parts("metric.model_id")] == [None, "7"]
    assert other.key_parts("model_id") is rows.key_parts("model_id")
    assert other.column("model_id") is rows.column("model_id")
    assert len(other) == 2
    assert rows.column("metric.value") == [0.5, None]


def test_rows_at_some_places_keep_what_is_known() -> None:
    """Columns, keys and joined rows go with them."""
    oracle = _oracle(join={"metric": {"from": "metrics", "on": {"model_id": "model_id"}}})
    rows = Rows(
        oracle, [_row(model_id=number) for number in (1, 2, 3)], [{"metric": {"value": n}} for n in (0.1, 0.2, 0.3)]
    )
    rows.column("model_id")
    rows.key_parts("model_id")
    some = rows.take([2, 0])
    assert (some.column("model_id"), some.column("metric.value")) == ([3, 1], [0.3, 0.1])
    assert some.key_parts("model_id") == [Outcome("3"), Outcome("1")]
    assert [scope.row["model_id"] for scope in some.scopes] == [3, 1]


def test_keys_are_texts_of_all_their_parts_or_none() -> None:
    """A column as it identifies rows, a rule by its text; a NULL or bad part makes none, and no part the empty key."""
    oracle = _oracle(join={})
    bad: list[dict[str, Any]] = [{"status": None}, {"status": Odd("blob", b"")}, {"model_id": None}]
    rows = Rows(oracle, [_row(model_id=7, status=" A")] + [_row(**each) for each in bad])
    codes = parse_rule({"codes": "status", "to": {"A": "Active"}}, {})
    assert rows.keys([ColumnRef("model_id"), codes]) == [("7", "Active"), None, None, None]
    assert rows.keys([ColumnRef("score")]) == [("0.5",)] * 4
    assert rows.keys([]) == [()] * 4
    assert rows.key_values(["model_id", "score"]) == [("7", 0.5), ("1", 0.5), ("1", 0.5), None]
    assert rows.key_values(["status"]) == [(" A",), None, None, ("A",)]
