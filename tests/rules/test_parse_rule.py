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


def test_every_problem_is_told_at_once() -> None:
    """Two mistakes in one rule are two problems."""
    found = _problems({"utc": Text("t"), "zone": Text("Nope"), "on_gap": Text("x"), "on_overlap": Text("y")})
    assert {path for path, _ in found} == {("zone",), ("on_gap",), ("on_overlap",)}


def test_every_rule_is_filed_under_its_verb() -> None:
    """The registry's keys are the verbs, and each rule's own column stands under its verb."""
    for verb, rule in RULES.items():
        assert rule.verb == verb
        assert verb in {field.alias or name for name, field in rule.model_fields.items()}
