"""Faults planted in the SQL twins: the cases of each rule must see every one of them."""

from collections.abc import Callable

import pytest
from sqlglot import exp

from tests.rules.cases import Case, read_cases
from tests.rules.twins import Bench
from transhume import operations as op
from transhume.compiler import MappingScope
from transhume.errors import TranshumeError
from transhume.rules import RULES
from transhume.rules.rule import Reason, Sql

CASES: dict[str, list[Case]] = {verb: [] for verb in RULES}
for _case in read_cases():
    CASES[_case.verb].append(_case)

Change = Callable[[exp.Expression], exp.Expression]


def _without(operation: type[exp.Expression]) -> Change:
    """Leave an operation out: its argument stands for its result."""
    return lambda node: node.this if isinstance(node, operation) else node


def _literal(old: str, new: str) -> Change:
    """Write another text where a literal holds `old`."""

    def change(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Literal) and node.is_string and old in node.name:
            return exp.Literal.string(node.name.replace(old, new))
        return node

    return change


def _literal_number(old: str, new: str) -> Change:
    """Write another number where a literal is `old`."""
    return lambda node: exp.Literal.number(new) if node == exp.Literal.number(old) else node


def _instead(kind: type[exp.Expression], other: type[exp.Expression]) -> Change:
    """Put one operator in another's place."""
    return lambda node: other(**node.args) if type(node) is kind else node


def _first_part(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.DPipe) else node


FAULTS: dict[str, list[Change]] = {
    "copy": [],
    "value": [_literal("AI_", "ai_")],
    "uuid": [_literal("|", "/"), _literal("models", "Models"), _without(op.CodePoints)],
    "ref": [_literal("loaded", "rejected"), _literal("filtered", "x"), _instead(exp.And, exp.Or)],
    "lookup": [_literal("00000000", "10000000"), _instead(exp.And, exp.Or)],
    "names": [_instead(exp.And, exp.Or), _literal("Other", "other")],
    "codes": [_without(op.TrimAscii), _literal("Draft", "draft"), _literal("null", "NULL")],
    "utc": [_instead(exp.GTE, exp.GT), _instead(exp.Sub, exp.Add), _instead(exp.LT, exp.GT), _without(exp.Not)],
    "path": [
        _without(op.TextBeforeLast),
        _without(op.TextAfterLast),
        _literal("[^/]+", "[^/]*"),
        _literal("\\.", "."),
        _without(exp.Not),
    ],
    "prefix": [_literal("Migrated", "migrated"), _first_part],
    "coalesce": [_instead(exp.And, exp.Or), _instead(exp.Or, exp.And), _without(exp.Not)],
    "gather": [_literal("{}", "[]"), _instead(exp.And, exp.Or), _without(exp.Not)],
    "concat": [_literal(", ", ","), _first_part, _literal("-", "")],
    "parse": [_without(op.TrimAscii), _literal("{4}", "{2}"), _literal("{1,6}", "{6}")],
    "boolean": [_without(op.TrimAscii), _literal("yes", "YES"), _instead(exp.Or, exp.And)],
    "scale": [_literal("1048576", "1000000"), _literal("-2.54", "2.54"), _without(op.DecimalProduct)],
    "case": [_instead(exp.And, exp.Or), _without(exp.Not), _literal("middle", "Middle"), _literal_number("10", "11")],
    "split": [_without(op.TrimAscii), _literal("|", ","), _without(op.ListMap)],
    "replace": [_literal("aa", "a"), _literal(".*", "."), _without(op.ReplaceText)],
    "epoch": [_literal_number("1000", "1001"), _without(op.IntegerProduct), _instead(exp.And, exp.Or)],
    "json": [_literal(",", ", "), _without(op.JsonQuoted), _literal("null", ""), _without(op.JsonWritten)],
    "json_get": [
        *(_literal("/x", "/y"), _literal("null", "x"), _literal("object", "x"), _literal("array", "x")),
        *(_without(op.JsonMember), _without(op.JsonText), _without(op.JsonWritten), _instead(exp.And, exp.Or)),
    ],
    "mask": [_literal("MASK_KEY", "OTHER_KEY"), _without(op.HmacSha256)],
    "sql": [_instead(op.IntegerProduct, op.IntegerSum), _instead(exp.Or, exp.And)],
}


def _no_reasons(sql: Sql) -> Sql:
    return Sql(sql.value, sql.type)


def _last_reason_lost(sql: Sql) -> Sql:
    return Sql(sql.value, sql.type, sql.reasons[:-1])


def _no_value(sql: Sql) -> Sql:
    return Sql(exp.Null(), sql.type, sql.reasons)


def _changed(change: Change) -> Callable[[Sql], Sql]:
    def apply(sql: Sql) -> Sql:
        reasons = tuple(Reason(reason.condition.transform(change), reason.text) for reason in sql.reasons)
        return Sql(sql.value.transform(change), sql.type, reasons)

    return apply


def _is_seen(verb: str, bench: Bench) -> bool:
    for case in CASES[verb]:
        try:
            found = bench.sql(case.setting, case.rows)
        except (TranshumeError, ValueError):
            return True
        if any(one.key() != other.key() for one, other in zip(found, case.expected, strict=True)):
            return True
    return False


def _plant(monkeypatch: pytest.MonkeyPatch, verb: str, change: Callable[[Sql], Sql]) -> None:
    whole = RULES[verb].to_sql
    monkeypatch.setattr(RULES[verb], "to_sql", lambda rule, scope, wanted: change(whole(rule, scope, wanted)))


_LOSSES = [_no_reasons, _last_reason_lost, _no_value]
# A constant has no reasons to lose.
_LOST = [(verb, loss) for verb in sorted(RULES) for loss in _LOSSES if verb != "value" or loss is _no_value]


@pytest.mark.parametrize(("verb", "fault"), _LOST)
def test_cases_see_a_lost_value_or_reason(
    verb: str, fault: Callable[[Sql], Sql], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A twin that loses its reasons, its last reason or its value fails at least one case of its rule."""
    _plant(monkeypatch, verb, fault)
    assert _is_seen(verb, bench)


@pytest.mark.parametrize(("verb", "place"), [(verb, place) for verb in FAULTS for place in range(len(FAULTS[verb]))])
def test_cases_see_a_fault_in_the_tree(verb: str, place: int, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong operator, a changed literal, a forgotten trim: at least one case of the rule fails."""
    change = FAULTS[verb][place]
    bind = MappingScope.bind
    monkeypatch.setattr(
        MappingScope, "bind", lambda scope, expression: bind(scope, expression.copy().transform(change))
    )
    _plant(monkeypatch, verb, _changed(change))
    assert _is_seen(verb, bench)


def test_faults_are_planted_in_every_rule() -> None:
    """A new rule needs its own faults here."""
    assert set(FAULTS) == set(RULES)
