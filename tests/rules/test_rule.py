"""What every rule is made of: arguments of the plan, words, the trees of its SQL. Expected by hand."""

from fnmatch import fnmatch
from types import SimpleNamespace

import pytest
from sqlglot import exp

from transhume.rules import parse_rule, trees
from transhume.rules.rule import (
    ColumnRef,
    Constant,
    Otherwise,
    Reason,
    RuleInvalid,
    RuleProblem,
    Sql,
    Text,
    is_quoted,
    label,
    parse_argument,
    parse_flag,
    parse_otherwise,
)
from transhume.schema import TEXT

QUOTED = Text("a", quoted=True)


def _info(context=None):
    return SimpleNamespace(context=context)


def _rule(node):
    return parse_rule(node, {"time_zone": "UTC"})


def test_an_argument_is_a_column_a_constant_or_a_rule():
    """A bare word is a column, `null` NULL, a quoted text a constant; a plain copy is its column."""
    known = _info({"parse_rule": parse_rule, "time_zone": "UTC"})
    assert parse_argument(Text("a"), known) == ColumnRef("a")
    assert parse_argument("null", known) == Constant(None)
    assert parse_argument(QUOTED, known) == Constant("a")
    assert parse_argument(Text("null", quoted=True), known) == Constant("null")
    assert parse_argument({"copy": "a"}, known) == ColumnRef("a")
    assert parse_argument({"uuid": "a"}, known).verb == "uuid"
    for ready in (ColumnRef("a"), Constant("a"), _rule({"uuid": "a"})):
        assert parse_argument(ready, known) is ready
    with pytest.raises(ValueError, match="with the registry at hand"):
        parse_argument({"uuid": "a"}, _info())
    with pytest.raises(ValueError, match="expected a column, a quoted text or a rule, found a list"):
        parse_argument(["a"], known)


def test_what_happens_otherwise_is_a_word_or_a_quoted_text():
    """A word in quotes is a text; a mapping with `value` alone is one, too."""
    for word in ("reject", "null", "keep"):
        assert parse_otherwise(Text(word)) == Otherwise(word)
        assert parse_otherwise(Text(word, quoted=True)) == Otherwise("literal", word)
        assert parse_otherwise({"value": word}) == Otherwise("literal", word)
    assert parse_otherwise(Otherwise("keep")) == Otherwise("keep")
    for node in ("other", {"value": ["a"]}, {"value": "a", "x": "b"}, {"valu": "a"}, ["reject"]):
        with pytest.raises(ValueError, match="expected reject, null, keep or a quoted text, found"):
            parse_otherwise(node)


def test_a_flag_is_true_or_false():
    """No other word, no number."""
    assert [parse_flag(node) for node in (True, False, "true", "false")] == [True, False, True, False]
    for node in ("yes", "True", "", 1, None):
        with pytest.raises(ValueError, match="expected true or false, found"):
            parse_flag(node)


def test_a_reason_names_the_first_column():
    """Of a constant, or a rule of constants only, there is none."""
    assert label(ColumnRef("m.a")) == "m.a"
    assert label(Constant("x")) == "constant"
    assert label(_rule({"concat": [QUOTED, {"uuid": "b"}, "c"]})) == "b"
    assert label(_rule({"concat": [QUOTED, QUOTED]})) == "constant"


def test_a_rule_tells_its_columns_needs_and_secrets_from_any_depth():
    """In the order in which they stand."""
    rule = _rule(
        {"concat": ["a", {"ref": "b", "table": "t"}, {"mask": "c", "key": "${KEY}"}, {"coalesce": ["a", "d"]}]}
    )
    assert list(rule.columns()) == ["a", "b", "c", "a", "d"]
    assert [str(each) for each in rule.needs()] == [str(each) for each in _rule({"ref": "b", "table": "t"}).needs()]
    assert len(list(rule.needs())) == 1
    assert list(rule.secrets()) == ["${KEY}"]
    assert rule.way(None) == ""
    assert rule.ways({}) == ()


NAMED = {"names": "a", "in": "l"}


@pytest.mark.parametrize(
    ("node", "needs"),
    [
        (NAMED, ["names:l:a"]),
        ({"names": NAMED, "in": "m"}, ["names:l:a", "names:m:*"]),
        ({"lookup": NAMED, "in": "m"}, ["names:l:a", "lookup:m"]),
        ({"ref": [NAMED, "b"], "table": "t"}, ["names:l:a", "parents:t"]),
        ({"gather": "t", "on": {"x": NAMED}, "name": "n", "value": "v"}, ["names:l:a", "gather:t:*"]),
        ({"utc": "a", "zone": "Asia/Tokyo", "zero_date": NAMED}, ["names:l:a", "zone:Asia/Tokyo"]),
        ({"mask": NAMED, "key": "${K}"}, ["names:l:a"]),
        ({"case": [{"when": "a > 1", "then": NAMED}], "otherwise": NAMED}, ["names:l:a", "names:l:a"]),
        ({"json": {"x": NAMED, "y": "b"}}, ["names:l:a"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_rule_needs_begins_with_what_is_inside_it(node, needs):
    """The relation of the inner rule is made before that of the outer one."""
    found = [str(each) for each in _rule(node).needs()]
    assert len(found) == len(needs)
    assert all(fnmatch(each, pattern) for each, pattern in zip(found, needs, strict=True)), found


@pytest.mark.parametrize(
    ("node", "columns"),
    [
        ({"case": [{"when": "a>1 or b<2", "then": "c"}, {"when": "b>7", "then": "d"}], "otherwise": "e"}, "abcbde"),
        ({"utc": "a", "zone": "Asia/Tokyo", "zero_date": "b"}, "ab"),
        ({"utc": "a", "zone": "Asia/Tokyo", "zero_date": "null"}, "a"),
        ({"gather": "t", "on": {"x": "a", "y": "b"}, "name": "n", "value": "v"}, "ab"),
        ({"json": {"x": "b", "y": "a"}}, "ba"),
        ({"sql": "b + a * b"}, "ba"),
        ({"coalesce": ["a", QUOTED, {"prefix": "b", "with": "p"}]}, "ab"),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_tells_every_column_that_it_reads(node, columns):
    """Those of its conditions, too; `null`, texts and the columns of other tables are none."""
    assert "".join(_rule(node).columns()) == columns


def test_secrets_of_nested_rules_are_told_too():
    """The outer one's first."""
    inner = {"mask": "a", "key": "${INNER}"}
    assert list(_rule({"mask": inner, "key": "${OUTER}"}).secrets()) == ["${OUTER}", "${INNER}"]
    assert list(_rule({"prefix": inner, "with": "p"}).secrets()) == ["${INNER}"]


def test_problems_are_told_together():
    """As the texts of the errors, in order."""
    invalid = RuleInvalid([(("a", 1), "one"), ((), "two")])
    assert str(invalid) == "one; two"
    assert invalid.problems == ((("a", 1), "one"), ((), "two"))
    problem = RuleProblem("what", "cure")
    assert (str(problem), problem.message, problem.cure) == ("what", "what", "cure")
    assert RuleProblem("what").cure == ""


def test_quotes_are_kept_with_a_text_and_lost_with_a_plain_one():
    """What is written in quotes is equal to the same text without."""
    assert is_quoted(QUOTED)
    assert not is_quoted(Text("a"))
    assert not is_quoted("a")
    assert QUOTED == "a"


A, B = exp.column("a"), exp.column("b")


@pytest.mark.parametrize(
    ("tree", "sql"),
    [
        (lambda: trees.every([]), "TRUE"),
        (lambda: trees.some([]), "FALSE"),
        (lambda: trees.every([A]), "a"),
        (lambda: trees.every([A, B, A]), "a AND b AND a"),
        (lambda: trees.some([A, B]), "a OR b"),
        (lambda: trees.is_null(A), "a IS NULL"),
        (lambda: trees.is_present(A), "NOT (a IS NULL)"),
        (lambda: trees.is_true(A), "COALESCE(a, FALSE)"),
        (lambda: trees.negated(exp.EQ(this=A, expression=B)), "NOT (a = b)"),
        (lambda: trees.compared(exp.LT, A, exp.Add(this=A, expression=B)), "a < (a + b)"),
        (lambda: trees.among(A, ["x", "y"]), "a IN ('x', 'y')"),
        (lambda: trees.case([], A), "a"),
        (lambda: trees.case([(A, B), (B, A)], trees.null()), "CASE WHEN a THEN b WHEN b THEN a ELSE NULL END"),
        (lambda: trees.joined([A]), "a"),
        (lambda: trees.joined([A, trees.text("x"), exp.Add(this=A, expression=B)]), "a || 'x' || (a + b)"),
        (lambda: trees.where_sound([], A), "a"),
        (lambda: trees.where_sound([Reason(B, "r:b")], A), "NOT COALESCE(b, FALSE) AND a"),
        (lambda: trees.value_where_sound([], A), "a"),
        (
            lambda: trees.value_where_sound([Reason(B, "r:b")], A),
            "CASE WHEN NOT COALESCE(b, FALSE) THEN a ELSE NULL END",
        ),
    ],
)  # fmt: skip
def test_trees_are_the_sql_that_they_are_named_for(tree, sql):
    """Printers put parentheses around a NOT or not."""
    assert tree().sql().replace("(NOT COALESCE(b, FALSE))", "NOT COALESCE(b, FALSE)") == sql


@pytest.mark.parametrize(("count", "groups"), [(100, 0), (101, 2), (200, 2), (250, 3)])
def test_a_long_chain_stands_in_groups_of_a_hundred(count, groups):
    """Every term once, in order, and no parser goes deep."""
    made = trees.some([exp.column(f"c{place}") for place in range(count)])
    assert [each.name for each in made.find_all(exp.Column, bfs=False)] == [f"c{place}" for place in range(count)]
    assert len(list(made.find_all(exp.Paren))) == groups


def test_a_name_is_bound_once_and_reasons_go_with_it():
    """What is a name already is not bound again."""
    bound: list[exp.Expression] = []
    scope = SimpleNamespace(bind=lambda value: bound.append(value) or exp.column(f"b{len(bound)}"))
    sum_of = exp.Add(this=A, expression=B)
    named = trees.named(scope, Sql(sum_of, TEXT, (Reason(trees.is_null(A), "r:a"), Reason(B, "s:b"))))
    assert [each.condition.sql() for each in named.reasons] == ["b1", "b"]
    assert [each.text for each in named.reasons] == ["r:a", "s:b"]
    assert named.value.sql() == "b2"
    assert bound == [trees.is_null(A), sum_of]
    assert trees.reasons_of([named, Sql(A, TEXT), named]) == named.reasons * 2
    assert trees.sound([]) is None
