"""Nodes of a plan as rules: shorthands, nesting, and every mistake with its place and a cure."""

from typing import Any

import pytest

from transhume.rules import RULES, parse_rule
from transhume.rules.coalesce import Coalesce
from transhume.rules.copy import Copy
from transhume.rules.names import Names
from transhume.rules.rule import ColumnRef, Constant, Otherwise, RuleInvalid, Text, label
from transhume.rules.utc import Utc
from transhume.rules.value import Value

_CONTEXT = {"time_zone": "America/New_York"}


def _quoted(text: str) -> Text:
    return Text(text, quoted=True)


def _problems(node: Any, context: dict[str, Any] | None = None) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(RuleInvalid) as caught:
        parse_rule(node, _CONTEXT if context is None else context)
    return list(caught.value.problems)


def test_a_bare_word_copies_a_column() -> None:
    """The shorthand for copy; a dot reaches into a joined table."""
    assert parse_rule(Text("metric.value"), {}) == Copy(column=ColumnRef("metric.value"))


def test_a_quoted_word_is_a_literal() -> None:
    """Quotes make a constant of anything, keywords included."""
    assert parse_rule(_quoted("null"), {}) == Value(value=Constant("null"))


def test_a_bare_null_is_null() -> None:
    """The keyword null gives NULL, at the top and inside."""
    assert parse_rule(Text("null"), {}) == Value(value=Constant(None))
    rule = parse_rule({"coalesce": [Text("a"), Text("null"), _quoted("null")]}, {})
    assert list(rule.arguments()) == [ColumnRef("a"), Constant(None), Constant("null")]


def test_rules_nest_where_columns_stand() -> None:
    """A rule stands in a list of a rule in a rule; its columns are those of the whole."""
    inner = {"names": {"concat": [Text("b"), Text("c.d")]}, "in": Text("l")}
    rule = parse_rule({"coalesce": [Text("a"), inner], "skip_empty": Text("true")}, {})
    assert isinstance(rule, Coalesce)
    assert isinstance(rule.choices[1], Names)
    assert list(rule.columns()) == ["a", "b", "c.d"]
    assert str(next(iter(rule.needs()))).startswith("names:l:Concat")
    assert label(rule) == "a"


def test_needs_tell_arguments_apart() -> None:
    """Two columns under one list of names are two relations, the same column is one."""
    needs = [next(parse_rule({"names": Text(column), "in": Text("l")}, {}).needs()) for column in ("a", "b", "a")]
    assert needs[0] == needs[2] != needs[1]


def test_the_zone_of_a_rule_wins_over_the_plans() -> None:
    """`zone:` counts, then defaults.time_zone, and without either the rule is wrong."""
    rule = parse_rule({"utc": Text("t"), "zone": Text("Asia/Tokyo")}, _CONTEXT)
    assert isinstance(rule, Utc)
    assert rule.zone == "Asia/Tokyo"
    default = parse_rule({"utc": Text("t")}, _CONTEXT)
    assert isinstance(default, Utc)
    assert default.zone == "America/New_York"
    assert "no time zone" in _problems({"utc": Text("t")}, {})[0][1]


def test_a_zone_that_is_open_is_taken_where_the_plan_may_have_open_decisions() -> None:
    """The one word for it and no other; elsewhere it is no zone."""
    rule = parse_rule({"utc": Text("t"), "zone": Text("undecided")}, {**_CONTEXT, "open_zone": "undecided"})
    assert isinstance(rule, Utc)
    assert rule.zone == "undecided"
    for zone, context in (("undecided", _CONTEXT), ("decided", {**_CONTEXT, "open_zone": "undecided"})):
        assert f"'{zone}' is not an IANA time zone" in _problems({"utc": Text("t"), "zone": Text(zone)}, context)[0][1]


def test_else_takes_keywords_and_literals() -> None:
    """Bare reject, null and keep are keywords; quoted they are literals."""
    for node, expected in [
        (Text("keep"), Otherwise("keep")),
        (_quoted("keep"), Otherwise("literal", "keep")),
        ({"value": Text("x")}, Otherwise("literal", "x")),
    ]:
        rule = parse_rule({"codes": Text("a"), "to": {"x": Text("y")}, "else": node}, {})
        assert rule.otherwise == expected  # type: ignore[attr-defined]


_MISTAKES = [
    ({"loookup": Text("a")}, ("loookup",), "did you mean 'lookup'"),
    ({"zzz": Text("a")}, ("zzz",), "the rules are copy, uuid"),
    ({}, (), "names no rule"),
    ([Text("a"), Text("b")], (), "coalesce: [a, b]"),
    ({"uuid": Text("a"), "value": Text("b")}, ("value",), "both rules"),
    ({"lookup": Text("a")}, (), "'lookup' needs 'in'"),
    ({"lookup": Text("a"), "inn": Text("l")}, ("inn",), "did you mean 'in'"),
    ({"prefix": Text("a"), "with": Text("x"), "zzzzz": Text("l")}, ("zzzzz",), "it takes prefix, with, when_null"),
    ({"codes": Text("a"), "to": {"D": Text("x"), " D ": Text("y")}}, ("to",), "'D' stands twice"),
    ({"codes": Text("a"), "to": {}}, ("to",), "mapping of codes to labels"),
    ({"codes": Text("a"), "to": {"x": Text("y")}, "else": Text("Other")}, ("else",), "a literal stands in quotes"),
    ({"ref": Text("a"), "table": Text("t"), "else": Text("keep")}, ("else",), "where a UUID belongs"),
    ({"ref": Text("a"), "table": Text("t"), "else": _quoted("x")}, ("else",), "'x' is not a UUID"),
    ({"uuid": []}, ("uuid",), "uuid"),
    ({"utc": Text("t"), "zone": Text("EST5")}, ("zone",), "not an IANA time zone"),
    ({"utc": Text("t"), "on_gap": Text("skip")}, ("on_gap",), "shift"),
    ({"path": Text("a"), "like": Text("/{x}")}, (), "needs like and to"),
    ({"path": Text("a"), "like": Text("/{x}"), "to": Text("{y}")}, (), "'{y}' in to '{y}' is not captured"),
    ({"path": Text("a"), "like": Text("/{x}{y}"), "to": Text("z")}, (), "nothing between them"),
    ({"path": Text("a"), "like": Text("/{x}/{x}"), "to": Text("z")}, (), "stands twice"),
    ({"path": Text("a"), "like": Text("/{x"), "to": Text("z")}, (), "brace at character 2"),
    ({"path": Text("a"), "any": [{"like": Text("a"), "to": Text("{b}")}]}, ("any", 0), "captures nothing"),
    ({"path": Text("a"), "like": Text("{a}.{b}"), "to": Text("{c}")}, (), "captures {a}, {b}"),
    ({"path": Text("a"), "any": [], "like": Text("b"), "to": Text("c")}, (), "not both"),
    ({"path": Text("a"), "any": []}, (), "holds no pair"),
    ({"parse": Text("a"), "format": Text("%d.%m.%y")}, ("format",), "'%y'"),
    ({"parse": Text("a"), "format": Text("%d.%m")}, ("format",), "needs %Y, %m and %d"),
    ({"parse": Text("a"), "format": Text("%M:%S")}, ("format",), "%M needs %H"),
    ({"parse": Text("a"), "format": Text("x")}, ("format",), "no directive"),
    ({"parse": Text("a"), "format": Text("%H %H")}, ("format",), "stands twice"),
    ({"parse": Text("a"), "format": Text("%H%")}, ("format",), "'%'"),
    ({"boolean": Text("a"), "true": [Text("Y")], "false": [Text(" Y")]}, (), "under true and under false"),
    ({"boolean": Text("a"), "true": [], "false": [Text("N")]}, ("true",), "list of texts"),
    ({"scale": Text("a"), "times": Text("0")}, ("times",), "other than 0"),
    ({"scale": Text("a"), "times": Text("1e6")}, ("times",), "not a factor"),
    ({"coalesce": [Text("a")], "skip_empty": Text("yes")}, ("skip_empty",), "true or false"),
    ({"boolean": Text("a"), "true": [["Y"]], "false": [Text("N")]}, ("true",), "list of texts"),
    ({"boolean": Text("a"), "true": ["X", ["Y"]], "false": [Text("N")]}, ("true",), "list of texts"),
    (
        {"boolean": Text("a"), "true": [*"zyxwvutsrqponmlkjihgfedcba"], "false": [*"qxyzab"]},
        (),
        "'a' stands under true",
    ),
    (
        {"boolean": Text("a"), "true": Text("Y"), "false": Text("N"), "else": Text("keep")},
        (),
        'null, "true" or "false"',
    ),
    (
        {"boolean": Text("a"), "true": Text("Y"), "false": Text("N"), "else": _quoted("no")},
        (),
        'null, "true" or "false"',
    ),
    ({"codes": Text("a"), "to": {"x": [Text("y")]}}, ("to",), "the label of code 'x' is one scalar, found a list"),
    ({"codes": Text("a"), "to": [Text("y")]}, ("to",), "mapping of codes to labels"),
    ({"case": [], "otherwise": Text("a")}, ("case",), "has no branch"),
    (
        {"case": [{"when": Text("a +"), "then": Text("a")}], "otherwise": Text("a")},
        ("case", 0, "when"),
        "cannot be read near '+'",
    ),
    ({"case": [{"when": Text("a > 1")}], "otherwise": Text("a")}, ("case", 0), "needs 'then'; it takes when and then"),
    ({"path": Text("a"), "any": [{"to": Text("b")}]}, ("any", 0), "needs 'like'; it takes like and to"),
    ({"path": Text("a"), "any": [{"like": Text("a"), "to": Text("b"), "x": Text("c")}]}, ("any", 0, "x"), "has no 'x'"),
    ({"path": Text("a"), "any": [], "to": Text("c")}, (), "not both"),
    ({"path": Text("a"), "any": [], "like": Text("c")}, (), "not both"),
    ({"path": Text("a"), "to": Text("c")}, (), "needs like and to"),
    ({"path": Text("a"), "like": Text(""), "to": Text("c")}, (), "'like' is empty"),
    ({"path": Text("a"), "like": Text("/x}"), "to": Text("z")}, (), "brace at character 3"),
    ({"path": Text("a"), "like": Text("{1}"), "to": Text("z")}, (), "brace at character 1"),
    ({"path": Text("a"), "like": Text("/{a}"), "to": Text("{")}, (), "brace at character 1"),
    (
        {"prefix": Text("a"), "with": Text("p"), "when_null": Text("keep")},
        ("when_null",),
        "a quoted text, found 'keep'",
    ),
    ({"prefix": Text("a"), "with": Text("p"), "when_null": [Text("null")]}, ("when_null",), "expected null, prefix"),
    ({"value": [Text("a")]}, ("value",), "a constant is one scalar, found a list"),
    ({"parse": Text("a"), "format": Text("%Y-%m-%d"), "else": Text("keep")}, ("else",), "is reject or null"),
    ({"parse": Text("a"), "format": Text("%Y-%m-%d"), "else": _quoted("x")}, ("else",), "is reject or null"),
    ({"parse": Text("a"), "format": Text("%Y-%m-%d %M")}, ("format",), "%M needs %H"),
    ({"parse": Text("a"), "format": Text("%Y-%m %H")}, ("format",), "needs %Y, %m and %d"),
    ({"parse": Text("a"), "format": Text("%%")}, ("format",), "no directive"),
    ({"split": Text("a"), "by": Text("")}, ("by",), "'by' is empty"),
    ({"replace": Text("a"), "find": Text(""), "by": Text("b")}, ("find",), "'find' is empty"),
    ({"gather": Text("t"), "on": {}, "name": Text("n"), "value": Text("v")}, ("on",), ""),
    ({"json": []}, ("json",), "has no members"),
    ({"json": {}}, ("json",), ""),
    ({"json": [Text("a"), Text("a")]}, ("json",), "'a' stands twice"),
    ({"json": [_quoted("a")]}, ("json",), "has no name of its own here"),
    ({"json": [{"uuid": Text("a")}]}, ("json",), "a mapping has no name of its own here"),
    ({"json": {"k": {"names": Text("b")}}}, ("json", "k"), "needs 'in'"),
    ({"json": {"k": {"coalesce": [{"names": Text("b")}]}}}, ("json", "k", "coalesce", 0), "needs 'in'"),
    ({"json": {"k": [Text("a")]}}, ("json", "k"), "found a list"),
    ({"json_get": Text("a"), "at": Text("b.c")}, ("at",), "write '/b/c', or ''"),
    ({"json_get": Text("a"), "at": Text("/a~2")}, ("at",), "'~2' in the JSON pointer"),
    ({"json_get": Text("a"), "at": Text("/a~")}, ("at",), "'~' in the JSON pointer"),
    ({"json_get": Text("a"), "at": Text("/\0")}, ("at",), "holds U+0000"),
    ({"json_get": Text("a"), "at": Text("/a"), "else": Text("keep")}, ("else",), "no value to keep"),
    ({"mask": Text("a"), "key": Text("hunter2")}, (), "never stands in the plan"),
    ({"mask": Text("a"), "key": Text("${A}${B}")}, (), "never stands in the plan"),
    ({"mask": Text("a"), "key": Text("${}")}, (), "never stands in the plan"),
    ({"mask": Text("a"), "key": [Text("${A}")]}, (), "never stands in the plan"),
    ({"mask": Text("a")}, (), "needs 'key'"),
    ({"utc": Text("t"), "zero_date": [Text("a")]}, ("zero_date",), ""),
    ({"copy": [Text("a")]}, ("copy",), "found a list"),
    ({"scale": Text("a"), "times": Text("1234567890.123456789")}, ("times",), "at most 18 digits"),
    ({"scale": Text("a"), "times": Text("1234567890123456789")}, ("times",), "not a factor"),
    ({"scale": Text("a"), "times": Text("-0.00")}, ("times",), "other than 0"),
    ({"scale": Text("a"), "times": Text(".5")}, ("times",), "not a factor"),
    ({"scale": Text("a"), "times": Text("5.")}, ("times",), "not a factor"),
    ({"scale": Text("a"), "times": Text("+5")}, ("times",), "not a factor"),
    ({"epoch": Text("a"), "unit": Text("h")}, ("unit",), "write s, ms or us"),
    ({"sql": Text("a +")}, ("sql",), ""),
    ({"sql": Text("(select 1)")}, ("sql",), ""),
    (
        {"prefix": {"coalesce": [Text("a"), {"names": Text("b")}]}, "with": Text("x")},
        ("prefix", "coalesce", 1),
        "needs 'in'",
    ),
]


@pytest.mark.parametrize(("node", "path", "words"), _MISTAKES)
def test_a_mistake_says_where_and_what_to_do(node: Any, path: tuple[str | int, ...], words: str) -> None:
    """The path leads to the node, and the message names the value or the cure."""
    found_path, message = _problems(node)[0]
    assert (found_path, words in message) == (path, True), (found_path, message)
    assert message[0] in "'%" or message[0].islower()


_TAKEN = [
    ({"boolean": Text("a"), "true": Text(" Y "), "false": (Text("N"), Text(""))}, "true_texts", ("Y",)),
    ({"boolean": Text("a"), "true": Text("Y"), "false": (Text("N"), Text(" "))}, "false_texts", ("N", "")),
    (
        {"boolean": Text("a"), "true": "Y", "false": "N", "else": _quoted("true")},
        "otherwise",
        Otherwise("literal", "true"),
    ),
    ({"boolean": Text("a"), "true": "Y", "false": "N", "else": Text("null")}, "otherwise", Otherwise("null")),
    ({"codes": Text("a"), "to": {" D\t": Text("x"), 7: None}}, "to", {"D": "x", "7": None}),
    ({"codes": Text("a"), "to": {"D": Text("null"), "E": _quoted("null")}}, "to", {"D": None, "E": "null"}),
    ({"codes": Text("a"), "to": {"D": "x"}}, "otherwise", Otherwise("reject")),
    ({"path": Text("a"), "any": [{"like": Text("{x}"), "to": Text("")}]}, "like", None),
    ({"prefix": Text("a"), "with": Text("p")}, "when_null", Otherwise("null")),
    ({"prefix": Text("a"), "with": Text("p"), "when_null": Text("prefix")}, "when_null", Otherwise("prefix")),
    ({"prefix": Text("a"), "with": Text("p"), "when_null": _quoted("null")}, "when_null", Otherwise("literal", "null")),
    ({"prefix": Text("a"), "with": Text("p"), "when_null": Otherwise("reject")}, "when_null", Otherwise("reject")),
    ({"value": Text("null")}, "value", Constant(None)),
    ({"value": _quoted("null")}, "value", Constant("null")),
    ({"value": Text("a")}, "value", Constant("a")),
    ({"value": Constant("a")}, "value", Constant("a")),
    ({"copy": _quoted("a")}, "column", ColumnRef("a")),
    ({"json": Text("a")}, "members", {"a": ColumnRef("a")}),
    ({"json": (Text("a"), Text("b"))}, "members", {"a": ColumnRef("a"), "b": ColumnRef("b")}),
    ({"json": {"x": _quoted("a")}}, "members", {"x": Constant("a")}),
    ({"json_get": Text("a"), "at": Text("")}, "pointer", ""),
    ({"json_get": Text("a"), "at": Text("/~0~1/~00")}, "pointer", "/~0~1/~00"),
    ({"mask": Text("a"), "key": Text("${A b}")}, "key", "${A b}"),
    ({"utc": Text("t"), "zero_date": Text("null")}, "zero_date", "null"),
    ({"utc": Text("t"), "zero_date": _quoted("null")}, "zero_date", Constant("null")),
    ({"utc": Text("t"), "zero_date": Text("b")}, "zero_date", ColumnRef("b")),
    ({"scale": Text("a"), "times": Text("123456789012345678")}, "times", "123456789012345678"),
    ({"utc": Text("t"), "zero_date": Text("reject")}, "zero_date", "reject"),
    ({"utc": Text("t"), "zero_date": _quoted("reject")}, "zero_date", Constant("reject")),
    ({"scale": Text("a"), "times": Text("-123456789.123456789")}, "times", "-123456789.123456789"),
    ({"scale": Text("a"), "times": Text("0.00000000000000001")}, "times", "0.00000000000000001"),
    ({"parse": Text("a"), "format": Text("%H")}, "format", "%H"),
    ({"parse": Text("a"), "format": Text("%H"), "else": Text("reject")}, "otherwise", Otherwise("reject")),
    ({"parse": Text("a"), "format": Text("%H"), "else": Text("null")}, "otherwise", Otherwise("null")),
    ({"parse": Text("a"), "format": Text("%%%Y%m%d%%d")}, "format", "%%%Y%m%d%%d"),
]


@pytest.mark.parametrize(("node", "parameter", "value"), _TAKEN, ids=str)
def test_a_parameter_is_taken_as_it_is_meant(node: Any, parameter: str, value: Any) -> None:
    """Blanks around codes do not count, words in quotes are no keywords, one entry is a list of one."""
    assert getattr(parse_rule(node, _CONTEXT), parameter) == value


def test_a_rule_that_is_made_already_stays_itself() -> None:
    """And one inside another, too."""
    made = parse_rule({"uuid": Text("a")}, {})
    assert parse_rule(made, {}) is made
    assert list(parse_rule({"concat": [made, ColumnRef("b")]}, {}).arguments()) == [made, ColumnRef("b")]


def test_what_is_no_node_of_a_rule_is_named() -> None:
    """Only a list is told what takes several columns."""
    assert _problems(7) == [((), "expected a column, a quoted text or a rule, found '7'")]
    assert _problems([7])[0][1].startswith("expected a column, a quoted text or a rule, found a list; several columns")


def test_every_problem_is_told_at_once() -> None:
    """Two mistakes in one rule are two problems."""
    found = _problems({"utc": Text("t"), "zone": Text("Nope"), "on_gap": Text("x"), "on_overlap": Text("y")})
    assert {path for path, _ in found} == {("zone",), ("on_gap",), ("on_overlap",)}
    members = {
        "k": {"names": Text("a")},
        "l": [Text("b")],
        "m": {"concat": [{"names": Text("a")}, {"lookup": Text("b")}]},
    }
    found = _problems({"json": members})
    assert [path for path, _ in found] == [
        ("json", "k"), ("json", "l"), ("json", "m", "concat", 0), ("json", "m", "concat", 1),
    ]  # fmt: skip


def test_a_constant_is_the_one_argument_of_its_rule() -> None:
    """It is no column."""
    rule = parse_rule({"value": _quoted("a")}, {})
    assert (list(rule.arguments()), list(rule.columns())) == ([Constant("a")], [])


def test_every_rule_is_filed_under_its_verb() -> None:
    """The registry's keys are the verbs, and each rule's own column stands under its verb."""
    for verb, rule in RULES.items():
        assert rule.verb == verb
        assert verb in {field.alias or name for name, field in rule.model_fields.items()}
