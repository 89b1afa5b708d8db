"""What a rule says of types before any row is read: the type of its value, and what it cannot work on."""

from dataclasses import replace
from typing import Any

import pytest

from tests.plan.planning import DECIMAL, table
from transhume.plan.model import Join, TableMapping
from transhume.plan.types import SourceTypes
from transhume.rules import RULES, parse_rule
from transhume.rules.rule import RuleProblem, Text
from transhume.schema import Column, parse_type

BOUNDED = table(
    "t",
    "n bigint, i int, s text, short text(3), d double, b boolean, at timestamp, day date, tz timestamptz, raw bytes, "
    "big decimal(12,4), wide decimal(38,25), u uuid, j json, l list(text), x !geometry",
)
SOURCE = replace(BOUNDED, columns=(*BOUNDED.columns, Column("open", DECIMAL)))
JOIN = Join.model_validate({"from": "t", "on": {"n": "n"}})
MAPPING = TableMapping.model_construct(name="t", from_="t", key=("n",), join={"o": JOIN}, columns={})


def _result(node: Any, wanted: str | None) -> str:
    scope = SourceTypes(MAPPING, {"t": SOURCE})
    rule = parse_rule(node, {"time_zone": "UTC"})
    return str(rule.result(scope, None if wanted is None else parse_type(wanted)))


def _quoted(text: str) -> Text:
    return Text(text, quoted=True)


A_CASE = {"case": [{"when": "n > 1", "then": "n"}], "otherwise": "n"}


@pytest.mark.parametrize(
    ("node", "wanted", "given"),
    [
        ("s", None, "text"),
        ("s", "bigint", "bigint"),
        (_quoted("1"), None, "text"),
        (_quoted("1"), "bigint", "bigint"),
        ({"uuid": ["n", "i", "s", "u"]}, None, "uuid"),
        ({"ref": ["n", "i", "s", "u"], "table": "t"}, None, "uuid"),
        ({"lookup": "n", "in": "l"}, None, "text"),
        ({"names": "n", "in": "l"}, None, "text"),
        ({"codes": "n", "to": {"1": "a"}}, "bigint", "text"),
        ({"utc": "s"}, None, "timestamptz"),
        ({"utc": "at"}, "timestamptz", "timestamptz"),
        ({"utc": "day"}, "date", "timestamptz"),
        ({"utc": "s"}, "text", "text"),
        ({"path": "n", "like": "{a}", "to": "{a}"}, None, "text"),
        ({"prefix": "n", "with": "p"}, None, "text"),
        ({"coalesce": ["n", "s"]}, "double", "double"),
        ({"coalesce": ["s", _quoted("1"), "short"]}, None, "text"),
        ({"coalesce": [_quoted("1"), "n"]}, None, "bigint"),
        ({"coalesce": [_quoted("1")]}, None, "text"),
        (A_CASE, "text", "text"),
        (A_CASE, None, "bigint"),
        (A_CASE | {"otherwise": _quoted("1")}, None, "bigint"),
        ({"case": [{"when": "n > 1", "then": _quoted("a")}], "otherwise": _quoted("b")}, None, "text"),
        ({"concat": ["n", "s"]}, None, "text"),
        ({"gather": "t", "on": {"n": "n"}, "name": "s", "value": "s"}, None, "json"),
        ({"split": "n", "by": ","}, None, "list(text)"),
        ({"replace": "n", "find": "1", "by": "2"}, None, "text"),
        ({"parse": "s", "format": "%Y-%m-%d"}, None, "date"),
        ({"parse": "s", "format": "%Y-%m-%d %H"}, None, "timestamp"),
        ({"parse": "s", "format": "%H:%M"}, None, "time"),
        ({"parse": "s", "format": "%%Y %H"}, None, "time"),
        ({"parse": "s", "format": "%Y-%m-%d %%H"}, None, "date"),
        ({"epoch": "n", "unit": "s"}, None, "timestamptz"),
        ({"epoch": "i", "unit": "s"}, "timestamptz", "timestamptz"),
        ({"epoch": "s", "unit": "s"}, "date", "timestamptz"),
        ({"epoch": "big", "unit": "s"}, "text", "text"),
        ({"epoch": "d", "unit": "s"}, "text(30)", "text"),
        ({"boolean": "n", "true": "1", "false": "0"}, "int", "boolean"),
        ({"scale": "n", "times": "1000"}, None, "bigint"),
        ({"scale": "i", "times": "1000"}, None, "bigint"),
        ({"scale": "n", "times": "-0.25"}, None, "decimal(22,2)"),
        ({"scale": "s", "times": "-0.25"}, None, "decimal(38,14)"),
        ({"scale": "s", "times": "7"}, None, "decimal(38,12)"),
        ({"scale": "big", "times": "0.5"}, None, "decimal(38,13)"),
        ({"scale": "wide", "times": "1000"}, None, "decimal(38,25)"),
        ({"scale": "wide", "times": "1234567890123"}, None, "decimal(38,25)"),
        ({"scale": "open", "times": "2"}, None, "decimal(38,12)"),
        ({"json": ["n", "i", "s", "b", "big", "u", "j"]}, None, "json"),
        ({"json_get": "s", "at": "/a"}, None, "text"),
        ({"json_get": "j", "at": "/a"}, "bigint", "text"),
        ({"json_get": "j", "at": "/a"}, "json", "json"),
        ({"json_get": "j", "at": "/a", "else": _quoted("{}")}, "json", "json"),
        ({"json_get": "j", "at": "/a", "else": _quoted("{")}, "bigint", "text"),
        ({"json_get": "j", "at": "/a", "else": _quoted("{")}, None, "text"),
        ({"mask": "n", "key": "${K}"}, None, "text"),
        ({"sql": "n + 1"}, None, "bigint"),
        ({"sql": "n > 1"}, "boolean", "boolean"),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_tells_its_type(node: Any, wanted: str | None, given: str) -> None:
    """The type of the value, which a target column of another type then converts."""
    assert _result(node, wanted) == given


_NO_TEXT = "gives bytes, and bytes cannot become text exactly"


@pytest.mark.parametrize(
    ("node", "wanted", "message"),
    [
        ("raw", "text", _NO_TEXT),
        ("x", None, "has the type 'geometry', which cannot be carried exactly"),
        (_quoted("a"), "bigint", "'a'"),
        ({"uuid": ["n", "raw"]}, None, "'raw' is bytes"),
        ({"uuid": ["big"]}, None, "'big' is decimal(12,4)"),
        ({"ref": ["n", "d"], "table": "t"}, None, "'d' is double"),
        ({"lookup": "raw", "in": "l"}, None, _NO_TEXT),
        ({"lookup": "raw", "in": "l"}, "text", _NO_TEXT),
        ({"names": "raw", "in": "l"}, None, _NO_TEXT),
        ({"codes": "raw", "to": {"1": "a"}}, None, _NO_TEXT),
        ({"utc": "n"}, None, "'n' is bigint, which is no local time"),
        ({"utc": "tz"}, None, "'tz' is timestamptz, which is no local time"),
        ({"utc": "s", "zero_date": "n"}, None, "'n' is bigint, which is no local time"),
        ({"path": "raw", "like": "{a}", "to": "{a}"}, None, _NO_TEXT),
        ({"prefix": "raw", "with": "p"}, None, _NO_TEXT),
        ({"coalesce": ["n", "raw"]}, "text", _NO_TEXT),
        ({"coalesce": ["n", _quoted("a"), "s"]}, None, "differ in type: bigint and text"),
        (A_CASE | {"otherwise": "raw"}, "text", _NO_TEXT),
        (A_CASE | {"otherwise": "s"}, None, "differ in type: bigint and text"),
        ({"case": [{"when": "n + 1", "then": "n"}], "otherwise": "n"}, "bigint", "the condition 'n + 1': "),
        ({"case": [{"when": "n > 1", "then": "raw"}], "otherwise": "n"}, "text", _NO_TEXT),
        ({"concat": ["s", "raw"]}, None, _NO_TEXT),
        ({"gather": "t", "on": {"n": "n", "s": "raw"}, "name": "s", "value": "s"}, None, _NO_TEXT),
        ({"split": "raw", "by": ","}, None, _NO_TEXT),
        ({"replace": "raw", "find": "1", "by": "2"}, None, _NO_TEXT),
        ({"parse": "raw", "format": "%Y-%m-%d"}, None, _NO_TEXT),
        ({"epoch": "b", "unit": "s"}, None, "'b' is boolean, and a count of s"),
        ({"boolean": "raw", "true": "1", "false": "0"}, None, _NO_TEXT),
        ({"scale": "d", "times": "2"}, None, "'d' is double; the rule 'scale' multiplies"),
        ({"scale": "wide", "times": "12345678901234"}, None, "'wide' is decimal(38,25); times 12345678901234 it has"),
        ({"json": ["d"]}, None, "the member 'd' is double"),
        ({"json": ["open"]}, None, "the member 'open' is a number without bounds"),
        ({"json": ["raw"]}, None, _NO_TEXT),
        ({"json": ["at"]}, None, "timestamp cannot become text exactly"),
        ({"json_get": "n", "at": "/a"}, None, "'n' is bigint, which holds no JSON"),
        ({"json_get": "j", "at": "/a", "else": _quoted("{")}, "json", "'{', is no JSON"),
        ({"mask": "raw", "key": "${K}"}, None, _NO_TEXT),
        ({"sql": "n + s"}, None, "text"),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_refuses_what_it_cannot_work_on(node: Any, wanted: str | None, message: str) -> None:
    """The message names the column and its type, and there is a cure."""
    with pytest.raises(RuleProblem) as caught:
        _result(node, wanted)
    assert message in caught.value.message
    assert caught.value.cure


def test_a_cure_fits_what_is_wrong() -> None:
    """An instant is copied; a timestamp has a rule of its own, and so have other types."""
    cures = {}
    for name, node in {"tz": {"utc": "tz"}, "n": {"utc": "n"}, "at": {"epoch": "at", "unit": "s"}}.items():
        with pytest.raises(RuleProblem) as caught:
            _result(node, None)
        cures[name] = caught.value.cure
    with pytest.raises(RuleProblem) as caught:
        _result({"epoch": "b", "unit": "s"}, None)
    assert cures == {"tz": "copy the column", "n": "use a column of local times", "at": "write {utc: column}"}
    assert caught.value.cure == "name a column of numbers"


def test_every_rule_is_asked_for_its_type() -> None:
    """A new rule has a line above."""
    told = test_a_rule_tells_its_type.pytestmark[0].args[1]  # type: ignore[attr-defined]
    verbs = {parse_rule(node, {"time_zone": "UTC"}).verb for node, *_ in told}
    assert verbs == set(RULES)
