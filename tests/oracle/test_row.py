"""One row and what must become of it: fate, order of reasons, checks, joins; expected values by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from transhume.batches import TargetTable
from transhume.oracle import AMBIGUOUS, Expected, Odd, Oracle, Rows
from transhume.oracle.remembered import Remembered
from transhume.plan.model import Plan
from transhume.rules import parse_rule
from transhume.rules.rule import RuleProblem, Text
from transhume.schema import BIGINT, DOUBLE, TEXT, UUID, Carrier, Column, Kind, LogicalType, Table

_SOURCES = {
    "models": Table(
        "models",
        (
            Column("model_id", BIGINT),
            Column("name", TEXT),
            Column("score", DOUBLE),
            Column("status", TEXT),
            Column("made", LogicalType(Kind.TIMESTAMP), carrier=Carrier.TEXT),
            Column("shape", None, native="GEOMETRY"),
        ),
    ),
    "metrics": Table("metrics", (Column("model_id", BIGINT), Column("value", DOUBLE))),
}
_TARGET = TargetTable(
    "ml",
    Table(
        "ml",
        (
            Column("key", UUID, nullable=False),
            Column("name", LogicalType(Kind.TEXT, length=5), nullable=False),
            Column("score", DOUBLE),
            Column("status", TEXT),
        ),
    ),
    ("key",),
    create=True,
)
_ROW: dict[str, Any] = {"model_id": 1, "name": "one", "score": 0.5, "status": "A", "made": "2024-01-01 00:00:00"}


def _oracle(**changes: Any) -> Oracle:
    mapping: dict[str, Any] = {
        "from": "models",
        "key": ["model_id"],
        "columns": {
            "key": {"uuid": "model_id"},
            "name": "name",
            "score": {"coalesce": ["metric.value", "score"]},
            "status": {"codes": "status", "to": {"A": "Active"}},
        },
        "join": {"metric": {"from": "metrics", "on": {"model_id": "model_id"}}},
    }
    plan = Plan.model_validate(
        {
            "transhume": "1",
            "name": "rows",
            "namespace": "AI_Research_DB_Legacy",
            "source": "sqlite:///x.db",
            "target": "iceberg:./lake",
            "tables": {"ml": mapping | changes},
        },
        context={"parse_rule": parse_rule},
    )
    return Oracle(plan, plan.tables["ml"], _TARGET, _SOURCES)


def _row(**values: Any) -> Mapping[str, Any]:
    return _ROW | values


def test_a_good_row_is_loaded_with_its_values() -> None:
    """The golden UUID, the copied text, the joined value, the label."""
    expected = _oracle().expected_row(_row(), {"metric": {"model_id": 1, "value": 0.9}})
    assert expected.fate == "loaded"
    assert {name: str(value) for name, value in expected.values.items()} == {
        "key": "da3e586a-4bd1-55fc-925f-433257c8c5c4",
        "name": "one",
        "score": "0.9",
        "status": "Active",
    }


def test_reasons_stand_in_the_order_of_the_plan() -> None:
    """Key, joins, columns, checks; each reason once."""
    oracle = _oracle(checks=[{"name": "score_range", "sql": "score between 0 and 1"}])
    row = _row(model_id=None, name="far too long", score=7.0, status=Odd("invalid", b"\xff"))
    assert oracle.expected_row(row, {"metric": AMBIGUOUS}).reasons == (
        "null_key:model_id",
        "ambiguous:metric",
        "too_long:name",
        "bad_encoding:status",
        "check:score_range",
    )


def test_a_duplicate_key_is_named_after_the_key() -> None:
    """The reason holds the whole key, as one text."""
    oracle = _oracle(key=["model_id", "name"])
    assert oracle.expected_row(_row(), duplicate=True).reasons == ("duplicate_key:model_id,name",)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("A", Expected("loaded")),
        ("B", Expected("filtered")),
        (None, Expected("filtered")),
        (Odd("invalid", b"\xff"), Expected("rejected", ("bad_encoding:status",))),
    ],
)
def test_a_condition_that_is_not_true_filters(status: Any, expected: Expected) -> None:
    """FALSE and NULL filter, whatever else is wrong with the row; a condition that cannot be read rejects."""
    name = "much too long" if expected.fate == "filtered" else "one"
    found = _oracle(where="status = 'A'").expected_row(_row(status=status, name=name))
    assert (found.fate, found.reasons) == (expected.fate, expected.reasons)


def test_null_for_a_column_that_must_not_be_null_is_a_reason_of_its_own() -> None:
    """It is said once, and not of a value that is bad already."""
    assert _oracle().expected_row(_row(name=None)).reasons == ("null:name",)
    assert _oracle().expected_row(_row(name=Odd("blob", b""))).reasons == ("blob:name",)


def test_a_missing_joined_row_is_null_or_a_reject() -> None:
    """By `none:` of the join."""
    assert _oracle().expected_row(_row(), {"metric": None}).values["score"] == 0.5
    strict = _oracle(join={"metric": {"from": "metrics", "on": {"model_id": "model_id"}, "none": "reject"}})
    assert strict.expected_row(_row(), {"metric": None}).reasons == ("no_match:metric",)


def test_checks_reject_stop_or_warn() -> None:
    """A check that is NULL passes; warnings are only said of loaded rows."""
    checks = [
        {"name": "low", "sql": "score < 0.4"},
        {"name": "high", "sql": "score > 0.6", "then": "warn"},
        {"name": "named", "sql": "name <> 'one'", "then": "stop"},
    ]
    oracle = _oracle(checks=checks)
    assert oracle.expected_row(_row(score=None)).warnings == ("stop:named",)
    assert oracle.expected_row(_row(score=0.1)).warnings == ("warn:high", "stop:named")
    rejected = oracle.expected_row(_row(score=0.5))
    assert (rejected.reasons, rejected.warnings) == (("check:low",), ())


def test_a_check_sees_null_where_a_value_is_bad() -> None:
    """A row that is bad already does not fail a check on the same value too."""
    oracle = _oracle(
        checks=[{"name": "named", "sql": "name is not null"}, {"name": "short", "sql": "length(name) < 3"}]
    )
    assert oracle.expected_row(_row(name="far too long")).reasons == ("too_long:name", "check:named")


def test_a_column_that_cannot_be_carried_is_refused() -> None:
    """The type's own name stands in the message."""
    with pytest.raises(RuleProblem, match="GEOMETRY"):
        _oracle(columns={"key": {"uuid": "model_id"}, "name": "shape"}).expected_row(_row())


def test_a_reference_with_a_wrong_number_of_parts_is_refused() -> None:
    """The message names the parent's key."""
    rule = {"ref": ["model_id", "name"], "table": "ml"}
    with pytest.raises(RuleProblem, match="the key of 'ml' is model_id"):
        _oracle(columns={"key": rule, "name": "name"}).expected_row(_row())


@pytest.mark.parametrize(
    "rule",
    [
        {"prefix": "score", "with": "x"},
        {"uuid": "score"},
        {"scale": "score", "times": "2"},
        {"utc": "model_id", "zone": "UTC"},
        {"concat": ["name", "score"]},
        {"sql": Text("name + 1")},
    ],
)
def test_types_that_a_rule_cannot_take_are_refused(rule: Any) -> None:
    """Before any row is looked at, with a message that names the type."""
    oracle = _oracle(columns={"key": {"uuid": "model_id"}, "name": rule})
    with pytest.raises(RuleProblem, match=r"double|bigint|text"):
        oracle.types.argument(oracle.mapping.columns["name"], TEXT)


def test_many_rows_are_told_like_each_one_alone() -> None:
    """Values that come again, values that only look equal, filtered, repeated and rejected rows: place by place."""
    checks = [
        {"name": "low", "sql": "score < 0.4"},
        {"name": "named", "sql": "name <> 'one'", "then": "warn"},
    ]
    changes: dict[str, Any] = {"where": "status <> 'gone'", "checks": checks}
    values = [
        {"score": 0.1},
        {"score": -0.0},
        {"score": 0.0, "name": "two"},
        {"score": 0.9},
        {"status": "gone"},
        {"name": "far too long", "score": 0.2},
        {"name": None, "status": Odd("blob", b"A")},
        {"name": Odd("integer", b"1"), "score": None},
        {"model_id": None, "score": 0.1},
    ]
    rows = [_row(**({"model_id": number} | each)) for number, each in enumerate(values, 1)] * 2
    joined: list[Any] = [{"metric": None}] * len(rows)
    joined[2], joined[3] = {"metric": {"model_id": 3, "value": 0.3}}, {"metric": AMBIGUOUS}
    repeated = [place == 1 for place in range(len(rows))]
    oracle = _oracle(**changes)
    found = oracle.expected_rows(Rows(oracle, rows, joined), repeated)
    alone = [
        _oracle(**changes).expected_row(row, known, duplicate=again)
        for row, known, again in zip(rows, joined, repeated, strict=True)
    ]
    assert repr([found.row(place) for place in range(len(rows))]) == repr(alone)
    assert list(found.fates) == [each.fate for each in alone]
    assert [found.reasons.get(place, ()) for place in range(len(rows))] == [each.reasons for each in alone]
    assert [found.warnings.get(place, ()) for place in range(len(rows))] == [each.warnings for each in alone]
    assert [alone[place].fate for place in (0, 1, 3, 4)] == ["loaded", "rejected", "rejected", "filtered"]
    assert (alone[2].values["score"], alone[11].values["score"]) == (0.3, 0.0)


def test_answers_are_remembered_by_equal_values_within_bounds() -> None:
    """Each distinct value is asked once; where none comes again, remembering is given up; it never grows for ever."""
    asked: list[int] = []

    def answer(place: int) -> tuple[int]:
        asked.append(place)
        return (place,)

    few: Remembered[tuple[int]] = Remembered()
    keys = [number % 3 for number in range(30_000)]
    assert [few.all(keys, answer)[place] for place in (0, 4, 29_999)] == [(0,), (1,), (2,)]
    assert asked == [0, 1, 2]
    assert few.one(2, lambda: (9,)) == (2,)
    many: Remembered[tuple[int]] = Remembered()
    many.all(range(30_000), answer)
    assert many.is_given_up
    assert many.all([7, 7], answer) == [(0,), (1,)]
    half: Remembered[tuple[int]] = Remembered()
    for first in range(0, 200_000, 10_000):
        half.all([number // 2 for number in range(first, first + 10_000)], answer)
        assert len(half) <= 60_000
    assert not half.is_given_up


def test_a_check_without_a_column_holds_of_every_row_or_of_none() -> None:
    """A condition over literals alone is asked of each row all the same."""
    oracle = _oracle(checks=[{"name": "never", "sql": "1 = 0"}, {"name": "always", "sql": "1 = 1"}])
    assert oracle.expected_row(_row()).reasons == ("check:never",)
