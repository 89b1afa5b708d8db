"""On any rows at all, the SQL twin and the Python twin of a rule give the same values and the same reasons."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules.nasty import rows_of
from tests.rules.twins import Bench, Parent, Setting, column
from transhume.rules import RULES
from transhume.rules.rule import Text
from transhume.schema import BIGINT, TEXT, parse_type

EXAMPLES = 3
EXAMPLES_OF_A_SWEEP = 60


def _quoted(text: str) -> Text:
    return Text(text, quoted=True)


def _setting(rule: Any, columns: Mapping[str, str], into: str, **around: Any) -> Setting:
    return Setting(rule, {name: column(name, words) for name, words in columns.items()}, parse_type(into), **around)


_HARD_KEY = 'é"\\\U0001f600'
_PARENT = {"p": Parent("ps", {"k": BIGINT}, {("7",): "loaded", ("8",): "rejected", ("9",): "filtered"})}
_TEXT_PARENT = {"p": Parent("ps", {"k": TEXT, "n": BIGINT}, {("a", "7"): "loaded", ("", "8"): "filtered"})}
_GATHERED = [
    *({"of": str(number), "n": chr(number), "v": f"{chr(number)}\\{number}"} for number in range(1, 40)),
    *({"of": "7", "n": sign, "v": sign * 2} for sign in ("a", "A", "\u2028", "\U0001f600", "\ufb01", "\x7f", '"')),
    *({"of": "8", "n": "twice", "v": str(number)} for number in range(2)),
    *({"of": "", "n": name, "v": None} for name in ("", "b", "a")),
]
_NAMES = {"l": {"Random Forest": ["RF"], "ﬁ": [], "İ": [], "a": ["ä"]}}
_NUMBERS = ("bigint", "int", "double", "decimal(9,3)", "boolean", "text")
_DECIMALS = ("decimal(9,3)", "bigint", "double", "text")
_KINDS = ("bigint", "int", "double", "decimal(9,3)", "boolean", "uuid", "date", "time", "timestamp", "timestamptz")

SETTINGS: dict[str, list[Setting]] = {
    "copy": [
        *(_setting("a", {"a": "text"}, kind) for kind in (*_KINDS, "text(3)", "text")),
        *(
            _setting("a", {"a": "bigint"}, kind)
            for kind in ("bigint", "int", "double", "decimal(9,3)", "boolean", "text")
        ),
        *(_setting("a", {"a": "double"}, kind) for kind in ("double", "bigint", "int")),
        *(_setting("a", {"a": "decimal(12,4)"}, kind) for kind in _DECIMALS),
        *(
            _setting("a", {"a": "decimal(12,4) via text"}, kind)
            for kind in ("decimal(9,3)", "bigint", "double", "text")
        ),
        *(_setting("a", {"a": "timestamp via text"}, kind) for kind in ("timestamp", "text")),
        _setting("a", {"a": "date"}, "timestamp"),
    ],
    "uuid": [
        _setting({"uuid": "a"}, {"a": "text"}, "uuid"),
        _setting({"uuid": ["a", "b", "c"]}, {"a": "bigint", "b": "text", "c": "uuid"}, "uuid"),
    ],
    "ref": [
        _setting({"ref": "a", "table": "p"}, {"a": "bigint"}, "uuid", parents=_PARENT),
        _setting({"ref": "a", "table": "p", "else": "null"}, {"a": "text"}, "uuid", parents=_PARENT),
        _setting({"ref": ["a", "b"], "table": "p"}, {"a": "text", "b": "bigint"}, "uuid", parents=_TEXT_PARENT),
    ],
    "lookup": [
        _setting({"lookup": "a", "in": "l"}, {"a": "text"}, "bigint", lookups={"l": {"a": "1", "": "x", "b": None}}),
        _setting({"lookup": "a", "in": "l", "else": "keep"}, {"a": "bigint"}, "text(5)", lookups={"l": {"7": "seven"}}),
        _setting(
            {"lookup": {"codes": "a", "to": {"a": "A"}}, "in": "l", "else": _quoted("?")},
            {"a": "text"},
            "text",
            lookups={"l": {"A": "found"}},
        ),
    ],
    "names": [
        _setting({"names": "a", "in": "l"}, {"a": "text"}, "text", names=_NAMES),
        _setting({"names": "a", "in": "l", "else": "keep"}, {"a": "text"}, "text(4)", names=_NAMES),
    ],
    "codes": [
        _setting({"codes": "a", "to": {"a": "one", "": _quoted(""), "7": "null"}}, {"a": "text"}, "text"),
        _setting({"codes": "a", "to": {"7": "1", "8": "x"}, "else": "keep"}, {"a": "bigint"}, "bigint"),
    ],
    "utc": [
        _setting({"utc": "a"}, {"a": "timestamp via text"}, "timestamptz"),
        _setting(
            {"utc": "a", "on_overlap": "later", "on_gap": "shift", "zero_date": "b"}, {"a": "text", "b": "text"}, "text"
        ),
        _setting({"utc": "a", "zone": "Africa/Casablanca", "on_overlap": "reject"}, {"a": "timestamp"}, "timestamptz"),
        _setting({"utc": "a", "zone": "Pacific/Apia", "zero_date": "null"}, {"a": "date"}, "timestamptz"),
    ],
    "path": [
        _setting({"path": "a", "like": "/legacy/m/{v}/{m}.{e}", "to": "s3://{m}/{v}/x.{e}"}, {"a": "text"}, "text"),
        _setting({"path": "a", "any": [{"like": "{x}", "to": "<{x}>"}], "else": "keep"}, {"a": "text"}, "text(6)"),
        _setting({"path": "a", "like": "{x}.{y}", "to": "{y}{x}", "else": "null"}, {"a": "text"}, "text"),
    ],
    "prefix": [
        _setting({"prefix": "a", "with": "p:", "when_null": "prefix"}, {"a": "text"}, "text(6)"),
        _setting({"prefix": "a", "with": "p:", "when_null": "reject"}, {"a": "decimal(12,4)"}, "text"),
        _setting(
            {"prefix": {"coalesce": ["a", "b"], "skip_empty": "true"}, "with": ""}, {"a": "text", "b": "text"}, "text"
        ),
    ],
    "value": [_setting({"value": _quoted(kind)}, {"a": "text"}, "text") for kind in ("", "'", "a\nb")],
    "coalesce": [
        _setting({"coalesce": ["a", "b"], "skip_empty": "true"}, {"a": "text", "b": "text"}, "bigint"),
        _setting({"coalesce": ["a", "b"]}, {"a": "double", "b": "bigint"}, "double"),
        _setting({"coalesce": ["a", "b", _quoted("none")]}, {"a": "text", "b": "bigint"}, "text(4)"),
    ],
    "gather": [
        _setting(
            {"gather": "c", "on": {"of": "a"}, "name": "n", "value": "v"},
            {"a": "bigint"},
            "json",
            joined_columns={"c": {name: column(name, "text") for name in ("of", "n", "v")}},
            joined_rows={"c": _GATHERED},
        ),
    ],
    "case": [
        _setting(
            {"case": [{"when": "a > b or a is null", "then": "a"}, {"when": "b < 5", "then": "b"}], "otherwise": "c"},
            {"a": "bigint", "b": "bigint", "c": "text"},
            "int",
        ),
        _setting(
            {"case": [{"when": "a + 1 > 7", "then": {"prefix": "b", "with": "x"}}], "otherwise": "null"},
            {"a": "double", "b": "text"},
            "text(4)",
        ),
    ],
    "split": [
        _setting({"split": "a", "by": " "}, {"a": "text"}, "list(text(3))"),
        _setting({"split": "a", "by": "e", "trim": "true"}, {"a": "text"}, "list(bigint)"),
        _setting({"split": "a", "by": ","}, {"a": "text"}, "list(int)"),
        _setting({"split": "a", "by": "x"}, {"a": "text"}, "list(double)"),
        _setting({"split": "a", "by": "-", "trim": "true"}, {"a": "text"}, "list(decimal(9,3))"),
    ],
    "replace": [
        _setting({"replace": "a", "find": "a", "by": "aa"}, {"a": "text"}, "text(5)"),
        _setting({"replace": "a", "find": _quoted("\0"), "by": ""}, {"a": "text"}, "text"),
        _setting({"replace": "a", "find": "0", "by": "1"}, {"a": "bigint"}, "bigint"),
    ],
    "epoch": [
        _setting({"epoch": "a", "unit": unit}, {"a": kind}, into)
        for unit, kind, into in (
            ("s", "bigint", "timestamptz"),
            ("ms", "bigint", "text"),
            ("us", "bigint", "timestamptz"),
            ("ms", "double", "timestamptz"),
            ("s", "text", "timestamptz"),
        )
    ],
    "json": [
        _setting(
            {"json": ["a", "b", "c", "d", "e"]},
            {"a": "text", "b": "bigint", "c": "decimal(12,4)", "d": "boolean", "e": "uuid"},
            "json",
        ),
        _setting(
            {"json": {"k": {"prefix": "a", "with": "p"}, _HARD_KEY: "b"}},
            {"a": "text", "b": "json via text"},
            "text(30)",
        ),
    ],
    "json_get": [
        *(_setting({"json_get": "a", "at": "/a"}, {"a": "json via text"}, kind) for kind in ("json", "text", "bigint")),
        _setting({"json_get": "a", "at": "/a/0", "else": "null"}, {"a": "json via text"}, "decimal(12,3)"),
        _setting({"json_get": "a", "at": "/0/~1", "else": _quoted("1")}, {"a": "json via text"}, "double"),
        _setting({"json_get": "a", "at": ""}, {"a": "text"}, "json"),
        _setting({"json_get": "a", "at": ""}, {"a": "json via text"}, "json"),
    ],
    "mask": [
        _setting({"mask": "a", "key": "${OTHER_KEY}"}, {"a": kind}, "text") for kind in ("text", "bigint", "uuid")
    ],
    "concat": [
        _setting({"concat": ["a", "b", "c"], "with": "|"}, {"a": "text", "b": "bigint", "c": "uuid"}, "text"),
        _setting(
            {"concat": ["a", "b", "c"], "with": "-", "skip_null": "true"}, dict.fromkeys("abc", "text"), "text(9)"
        ),
    ],
    "parse": [
        _setting({"parse": "a", "format": "%d.%m.%Y"}, {"a": "text"}, "date"),
        _setting({"parse": "a", "format": "%Y-%m-%d %H:%M:%S.%f"}, {"a": "timestamp via text"}, "timestamp"),
        _setting(
            {"parse": "a", "format": "%Y-%m-%d %H:%M:%S", "else": "null"}, {"a": "timestamp via text"}, "timestamp"
        ),
        _setting({"parse": "a", "format": "%Y%m%d"}, {"a": "bigint"}, "date"),
    ],
    "boolean": [
        _setting({"boolean": "a", "true": ["a", "t"], "false": ["", "b"]}, {"a": "text"}, "boolean"),
        _setting({"boolean": "a", "true": "7", "false": "8", "else": "null"}, {"a": "bigint"}, "int"),
    ],
    "scale": [
        _setting({"scale": "a", "times": "1048576"}, {"a": "decimal(12,4) via text"}, "bigint"),
        _setting({"scale": "a", "times": "-1000"}, {"a": "bigint"}, "bigint"),
        _setting({"scale": "a", "times": "0.01"}, {"a": "text"}, "decimal(20,4)"),
        _setting({"scale": "a", "times": "-2.50"}, {"a": "decimal(12,4)"}, "text"),
    ],
    "sql": [
        _setting({"sql": "a * b + 1"}, {"a": "bigint", "b": "bigint"}, "bigint"),
        _setting({"sql": "a + b"}, {"a": "double", "b": "double"}, "double"),
        _setting({"sql": "coalesce(a, 'x') || b"}, {"a": "text", "b": "text"}, "text(7)"),
        _setting({"sql": "a < b or a like '%a_' or length(b) in (1, 2)"}, {"a": "text", "b": "text"}, "boolean"),
        _setting({"sql": "a - 0.5"}, {"a": "decimal(12,4)"}, "decimal(14,4)"),
    ],
}


def _agree(setting: Setting, rows: list[dict[str, Any]], bench: Bench) -> None:
    pairs = zip(rows, bench.python(setting, rows), bench.sql(setting, rows), strict=True)
    assert [(row, one, other) for row, one, other in pairs if one.key() != other.key()] == []


def test_every_rule_has_a_property() -> None:
    """A rule cannot be added without a property test of its twins."""
    assert set(SETTINGS) == set(RULES)


_EACH = [(verb, place) for verb in sorted(SETTINGS) for place in range(len(SETTINGS[verb]))]


@pytest.mark.parametrize(("verb", "place"), _EACH)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_twins_agree_on_nasty_values(verb: str, place: int, bench: Bench, data: st.DataObject) -> None:
    """Both twins give the same on NULL, odd values, NUL, -0.0, NaN, 2^53+1, long and strange texts."""
    setting = SETTINGS[verb][place]
    _agree(setting, data.draw(rows_of(setting.columns)), bench)


@pytest.mark.sweep
@pytest.mark.parametrize(("verb", "place"), _EACH)
@settings(max_examples=EXAMPLES_OF_A_SWEEP, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_twins_agree_on_many_nasty_values(verb: str, place: int, bench: Bench, data: st.DataObject) -> None:
    """Both twins give the same in a long run, on other values each time."""
    setting = SETTINGS[verb][place]
    _agree(setting, data.draw(rows_of(setting.columns)), bench)
