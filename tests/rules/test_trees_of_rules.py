"""The SQL that rules are written as, where its form is promised: what is searched once, what is refused at once."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlglot import exp

from transhume import operations as op
from transhume.facts import Need
from transhume.rules import parse_rule
from transhume.rules.rule import Argument, ColumnRef, Rule, RuleProblem, Sql
from transhume.schema import BIGINT, BOOLEAN, JSON, TEXT, UUID, LogicalType, parse_type


class Scope:
    """Columns by their names and types; `bound` is every expression that got a name."""

    namespace = "0" * 32
    source_table = "t"

    def __init__(self, **types: str) -> None:
        self.types = {name: parse_type(kind) for name, kind in types.items()}
        self.bound: list[exp.Expression] = []

    def argument(self, argument: Argument, wanted: LogicalType | None = None) -> Sql:
        """A column."""
        assert isinstance(argument, ColumnRef)
        return Sql(exp.column(argument.name), wanted or self.types[argument.name])

    def as_text(self, argument: Argument) -> Sql:
        """A column as text."""
        assert isinstance(argument, ColumnRef)
        return Sql(exp.column(argument.name), TEXT)

    def bind(self, expression: exp.Expression) -> exp.Column:
        """The next name."""
        self.bound.append(expression)
        return exp.column(f"b{len(self.bound)}")

    def join(self, need: Need, on: Mapping[str, exp.Expression]) -> Callable[[str], exp.Column]:
        """Every column, by its name."""
        return exp.column

    def key_of(self, mapping: str) -> tuple[str, tuple[str, ...]]:
        """Two parts, for every mapping."""
        return mapping, ("k", "n")


def _kinds(node: Any, wanted: LogicalType, **types: str) -> set[type]:
    """Return the kinds of all nodes of a rule's SQL, what it binds included."""
    scope = Scope(**types)
    made = parse_rule(node, {"time_zone": "UTC"}).to_sql(scope, wanted)
    trees = [made.value, *(reason.condition for reason in made.reasons), *scope.bound]
    return {type(each) for tree in trees for each in tree.walk()}


@pytest.mark.parametrize(
    ("like", "is_cut"),
    [
        ("{m}.{e}", True),
        ("/a/{m}.{e}", True),
        ("a-{m}.{e}", True),
        ("{v}/{m}.{e}", True),
        ("{v}/x-{m}.{e}", True),
        ("{v}-{w}/{m}.{e}", True),
        ("{v}.{w}/{m}.{e}", True),
        ("{a}-{b}.{c}", False),
        ("{v}/{a}-{b}.{c}", False),
        (".{m}.{e}", False),
        ("/x.{m}.{e}", False),
        ("{v}/x.{m}.{e}", False),
        ("{m}..{e}", False),
        ("{m}-{e}", False),
        ("{m}.{e}x", False),
        ("{m}.", False),
        (".{m}", False),
        ("{m}", False),
        (".", False),
    ],
)
def test_a_files_name_is_cut_where_its_place_is_known(like: str, is_cut: bool) -> None:
    """At the last dot of a name that begins after a slash or with the first capture; a search costs more."""
    kinds = _kinds({"path": "p", "like": like, "to": "x"}, TEXT)
    assert (op.TextBeforeLast in kinds, op.TextAfterLast in kinds) == (is_cut, is_cut)


@pytest.mark.parametrize(("to", "searches"), [("{e}", 1), ("{m}", 1), ("{v}", 2), ("{w}{v}{m}", 3), ("x", 1)])
def test_only_captures_that_are_written_are_searched(to: str, searches: int) -> None:
    """And the file's name, which says whether the value has the form."""
    scope = Scope()
    parse_rule({"path": "p", "like": "{v}/{w}/{m}.{e}", "to": to}, {}).to_sql(scope, TEXT)
    assert sum(isinstance(each, op.RegexCapture) for each in scope.bound) == searches


def test_digits_of_members_are_written_by_their_types() -> None:
    """A decimal's with its scale, a whole number's without."""
    kinds = _kinds({"json": ["d"]}, JSON, d="decimal(9,2)")
    assert (op.DecimalText in kinds, op.IntegerText in kinds) == (True, False)
    kinds = _kinds({"json": ["n"]}, JSON, n="bigint")
    assert (op.DecimalText in kinds, op.IntegerText in kinds) == (False, True)
    kinds = _kinds({"json": ["b", "s"]}, JSON, b="boolean", s="text")
    assert not {op.DecimalText, op.IntegerText} & kinds


@pytest.mark.parametrize(
    ("on_gap", "on_overlap", "is_held_back"),
    [("reject", "earlier", True), ("shift", "reject", True), ("shift", "earlier", False), ("shift", "later", False)],
)
def test_an_instant_that_is_refused_is_null(on_gap: str, on_overlap: str, is_held_back: bool) -> None:
    """What stands around the rule must not see it; where nothing is refused there is no CASE."""
    scope = Scope()
    parse_rule({"utc": "a", "zone": "Asia/Tokyo", "on_gap": on_gap, "on_overlap": on_overlap}, {}).to_sql(scope, TEXT)
    assert isinstance(scope.bound[-1], exp.Case if is_held_back else op.InstantFromMicros)


@pytest.mark.parametrize("parts", [["a"], ["a", "b", "c"]])
def test_a_reference_has_as_many_parts_as_the_key(parts: list[str]) -> None:
    """No SQL is made of another one; the message names the key."""
    rule = parse_rule({"ref": parts, "table": "p"}, {})
    with pytest.raises(RuleProblem, match=rf"the key of 'p' is k, n; this reference names {len(parts)} part") as caught:
        rule.to_sql(Scope(), UUID)
    assert "one column for each part" in caught.value.cure


def test_a_rule_that_is_not_written_says_which() -> None:
    """What every rule must have: its arguments, its type, its twins."""

    class Half(Rule):
        verb = "half"

    half, scope = Half(), Scope()
    for asked in (
        half.arguments,
        lambda: half.result(scope, BIGINT),
        lambda: half.to_sql(scope, BIGINT),
        lambda: half.to_python(scope, BOOLEAN),  # type: ignore[arg-type]
    ):
        with pytest.raises(NotImplementedError, match="half"):
            asked()
