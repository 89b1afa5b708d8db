"""Which of its ways a rule takes for a row: what a sample is stratified by, and its coverage stated in."""

import datetime as dt
from typing import Any

import pytest

from tests.rules.twins import Setting, _tables, _target, column
from transhume.oracle import Odd, Oracle
from transhume.rules import RULES
from transhume.rules.rule import Rule, Text
from transhume.schema import parse_type


def _quoted(text: str) -> Text:
    return Text(text, quoted=True)


def _rule(node: Any, columns: dict[str, str], **around: Any) -> tuple[Rule, Oracle]:
    setting = Setting(node, {name: column(name, kind) for name, kind in columns.items()}, parse_type("text"), **around)
    plan = setting.plan()
    mapping = plan.tables["m"]
    oracle = Oracle(plan, mapping, _target(setting.into), _tables(setting), lookups=setting.lookups)
    return mapping.columns["out"], oracle


CASE = {"case": [{"when": "n > 1", "then": "a"}, {"when": "n + m < 0", "then": "b"}], "otherwise": "null"}
CHOICES = {"coalesce": ["a", "n", "raw"]}
AB = {"a": "text", "b": "text", "n": "bigint", "m": "bigint", "raw": "bytes"}
UTC = {"utc": "at", "zone": "America/New_York"}
PATHS = {"path": "a", "any": [{"like": "/{x}", "to": "{x}"}, {"like": "{x}/{y}", "to": "{y}"}]}


@pytest.mark.parametrize(
    ("node", "columns", "ways"),
    [
        (CASE, AB, [({"n": 2, "m": 0}, "branch 1"), ({"n": 1, "m": -2}, "branch 2"), ({"n": 1, "m": 0}, "otherwise")]),
        (CASE, AB, [({"n": None, "m": -2}, "otherwise"), ({"n": Odd("blob", b"x"), "m": 0}, "")]),
        (CASE, AB, [({"n": -(2**63), "m": -1}, "")]),
        (CHOICES, AB, [({"a": ""}, "choice 1"), ({"a": None, "n": 0}, "choice 2"), ({"raw": b""}, "choice 3")]),
        (CHOICES, AB, [({}, "none"), ({"a": Odd("blob", b"x"), "n": 1}, "choice 1")]),
        (CHOICES | {"skip_empty": "true"}, AB, [({"a": "", "n": 0}, "choice 2"), ({"a": "", "raw": b""}, "choice 3")]),
        (CHOICES | {"skip_empty": "true"}, AB, [({"a": " ", "n": 0}, "choice 1"), ({"a": ""}, "none")]),
        ({"codes": "a", "to": {"D": "x", "7": "y"}}, AB, [({"a": "D"}, "code D"), ({"a": " 7\t"}, "code 7")]),
        ({"codes": "a", "to": {"D": "x"}}, AB, [({"a": "d"}, "else"), ({"a": "\u00a0D"}, "else"), ({"a": None}, "")]),
        (PATHS, AB, [({"a": "/b"}, "form 1"), ({"a": "b/c"}, "form 2"), ({"a": "b"}, "else"), ({"a": None}, "")]),
        (UTC, {"at": "text"}, [({"at": "2024-01-01 00:00:00"}, "time"), ({"at": None}, ""), ({"at": "x"}, "no time")]),
        (UTC, {"at": "text"}, [({"at": "2024-03-10 02:30:00"}, "skipped time"), ({"at": "0000-00-00"}, "zero date")]),
        (UTC, {"at": "text"}, [({"at": "2024-11-03 01:30:00"}, "repeated time"), ({"at": "2024-02-30"}, "no time")]),
        (UTC, {"at": "text"}, [({"at": "\t0000-00-00 00:00:00.0\r"}, "zero date"), ({"at": "0000-00-00x"}, "no time")]),
        (UTC, {"at": "timestamp"}, [({"at": dt.datetime(2024, 11, 3, 1, 30)}, "repeated time")]),  # noqa: DTZ001
        (UTC, {"at": "date"}, [({"at": dt.date(2024, 11, 3)}, "time"), ({"at": None}, "")]),
        ("a", AB, [({"a": "x"}, ""), ({"a": None}, "")]),
    ],
    ids=str,
)  # fmt: skip
def test_a_row_takes_one_way(node: Any, columns: dict[str, str], ways: list[tuple[dict[str, Any], str]]) -> None:
    """By its own values; where nothing can be decided, and where all ways are one, it is the empty one."""
    rule, oracle = _rule(node, columns)
    nothing = {"id": 1, **dict.fromkeys(columns)}
    assert [rule.way(oracle.read(nothing | row)) for row, _ in ways] == [way for _, way in ways]


def test_a_key_is_in_its_lookup_or_not() -> None:
    """An entry without a value is an entry."""
    rule, oracle = _rule({"lookup": "n", "in": "l"}, AB, lookups={"l": {"7": "x", "8": None}})
    rows = [dict.fromkeys(AB) | {"id": 1, "n": number} for number in (7, 8, 9, None)]
    assert [rule.way(oracle.read(row)) for row in rows] == ["entry", "entry", "else", ""]
    assert rule.ways({}) == ()


def test_a_spelling_is_a_names_own_or_a_folded_one() -> None:
    """Another spelling of the list is as good as the canonical one."""
    rule, oracle = _rule({"names": "a", "in": "l"}, AB, names={"l": {"Random Forest": ["RF"], "SVM": []}})
    spellings = ["Random Forest", "RF", "r f", "rf", "random-forest!", "SVM", "svm", "x", None]
    rows = [dict.fromkeys(AB) | {"id": 1, "a": spelling} for spelling in spellings]
    assert [rule.way(oracle.read(row)) for row in rows] == [
        *("name Random Forest", "name Random Forest", "else", "name Random Forest (folded)"),
        *("name Random Forest (folded)", "name SVM", "name SVM (folded)", "else", ""),
    ]
    assert rule.ways({"l": ["Random Forest", "SVM"], "m": ["x"]}) == ("name Random Forest", "name SVM")


@pytest.mark.parametrize(
    ("node", "ways"),
    [
        (CASE, ("branch 1", "branch 2", "otherwise")),
        (CHOICES, ("choice 1", "choice 2", "choice 3")),
        ({"codes": "a", "to": {"D": "x", "7": "y"}}, ("code D", "code 7")),
        (PATHS, ("form 1", "form 2")),
        ({"path": "a", "like": "{x}", "to": "{x}"}, ("form 1",)),
        ("a", ()),
        (UTC | {"utc": "a"}, ()),
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_lists_the_ways_that_it_writes_down(node: Any, ways: tuple[str, ...]) -> None:
    """What a value alone decides is not listed: it may be that no row takes it."""
    rule, _ = _rule(node, AB)
    assert rule.ways({}) == ways


def test_only_these_rules_have_several_ways() -> None:
    """A rule that gets some has a row above."""
    several = {verb for verb, rule in RULES.items() if rule.way is not Rule.way}
    assert several == {"case", "coalesce", "codes", "lookup", "names", "path", "utc"}
