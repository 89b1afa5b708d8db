"""How the oracle reads single columns, keys and conditions: values as drivers hand them over. Expected by hand."""

import uuid
from decimal import Decimal
from typing import Any

import pytest

from tests.rules.twins import Setting, _tables, _target, column
from transhume.oracle import Odd, Oracle
from transhume.rules.rule import ColumnRef, Constant, Outcome, RuleProblem
from transhume.schema import LINE_CLASS, TEXT, Column, parse_type

U = uuid.UUID("12345678-9abc-def0-1234-56789abcdef0")
KINDS = {
    "n": "bigint", "m": "bigint", "s": "text", "d": "double", "u": "uuid", "v": "uuid via text", "us": "list(uuid)",
    "b": "bytes", "j": "json via text",
    "nt": "bigint via text", "dt": "decimal(12,4) via text", "d0": "decimal(9,0)", "d2": "decimal(9,2)",
}  # fmt: skip


def _oracle(rule: Any = "s", into: str = "text", **changes: Any) -> Oracle:
    columns = {name: column(name, kind) for name, kind in KINDS.items()}
    setting = Setting(rule, columns | {"x": Column("x", None, native="GEOMETRY")}, parse_type(into), **changes)
    plan = setting.plan()
    return Oracle(plan, plan.tables["m"], _target(setting.into), _tables(setting))


def _row(**values: Any) -> dict[str, Any]:
    return {"id": 1, **dict.fromkeys((*KINDS, "x")), **values}


def _value(rule: Any, into: str, **values: Any) -> Any:
    expected = _oracle(rule, into).expected_row(_row(**values))
    return expected.reasons or expected.values["out"]


@pytest.mark.parametrize(
    ("rule", "into", "values", "expected"),
    [
        ("u", "uuid", {"u": U.bytes}, U),
        ("u", "uuid", {"u": U}, U),
        ("u", "text", {"u": U.bytes}, str(U)),
        ("u", "text", {"u": Odd("text", str(U).upper().encode())}, str(U).upper()),
        ("v", "uuid", {"v": str(U)}, U),
        ("v", "uuid", {"v": "x"}, ("bad_uuid:v",)),
        ("us", "list(uuid)", {"us": [U.bytes, None, U]}, [U, None, U]),
        ("us", "list(text)", {"us": [U.bytes]}, [str(U)]),
        ("nt", "double", {"nt": "9007199254740993"}, ("inexact:nt",)),
        ("nt", "double", {"nt": "9007199254740992"}, 9007199254740992.0),
        ("nt", "double", {"nt": "1.5"}, ("bad_integer:nt",)),
        ("nt", "text", {"nt": " 007"}, " 007"),
        ("nt", "boolean", {"nt": "1"}, True),
        ("dt", "double", {"dt": "0.123456789"}, 0.123456789),
        ("dt", "bigint", {"dt": "7.0000"}, 7),
        ("dt", "bigint", {"dt": "7.5"}, ("inexact:dt",)),
        ("dt", "bigint", {"dt": "x"}, ("bad_number:dt",)),
        ({"concat": [{"sql": "d0"}]}, "text", {"d0": Decimal(7)}, "7"),
        ({"concat": [{"sql": "d2"}]}, "text", {"d2": Decimal("7.5")}, "7.50"),
        ("s", "text", {"s": Odd(LINE_CLASS, b"a;b")}, ("bad_line:t",)),
        ("s", "text", {"s": Odd("refused", b"0")}, ("bad_value:s",)),
        ("s", "text", {"s": Odd("real", b"1e+16")}, "1e+16"),
        ("b", "bytes", {"b": Odd("text", b"x")}, ("bad_value:b",)),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_is_read_as_its_column_carries_it(rule: Any, into: str, values: dict[str, Any], expected: Any) -> None:
    """UUIDs come as bytes or as themselves, digits as text are read by their own type first, odd values as text."""
    assert _value(rule, into, **values) == expected


def test_json_in_json_may_be_as_deep_as_it_likes() -> None:
    """It is read without going deep."""
    deep = "[" * 3000 + "]" * 3000
    assert _value({"json": {"k": "j"}}, "text", j=f" {deep}") == f'{{"k":{deep}}}'


def test_a_constant_that_is_no_value_of_the_type_says_so() -> None:
    """It has no column to name."""
    bad = _oracle().reader(Constant("x"), parse_type("bigint"))
    assert bad(_oracle().read(_row())) == Outcome(None, ("bad_integer:constant",))


def test_a_joined_column_may_have_a_dot_in_its_name() -> None:
    """What stands before the first one is the alias."""
    known = {"a.b": column("a.b", "text"), "b": column("b", "text"), "id": column("id", "bigint")}
    joins = {"o": {"from": "others", "on": {"id": "id"}}}
    oracle = _oracle("o.a.b", joins=joins, joined_columns={"others": known}, joined_rows={"others": []})
    other = {"a.b": "right", "b": "wrong", "id": 1}
    assert oracle.read(_row(), {"o": other}).as_text(ColumnRef("o.a.b")) == Outcome("right")
    assert oracle.expected_row(_row(), {"o": other}).values["out"] == "right"
    assert oracle.expected_row(_row(), {"o": None}).values["out"] is None


def test_a_column_without_a_type_cannot_be_read() -> None:
    """The message holds the name that the source gives it."""
    for wanted in (None, TEXT):
        with pytest.raises(RuleProblem, match="'x' has the type 'GEOMETRY', which cannot be carried exactly"):
            _oracle().reader(ColumnRef("x"), wanted)


def test_a_key_is_a_text_where_it_has_one_else_itself() -> None:
    """Doubles and bytes identify rows as they are."""
    row = _oracle().read(_row(n=7, s="7", d=0.5, b=b"x", u=U.bytes))
    parts = {name: row.key_part(name) for name in ("n", "s", "d", "b", "u", "m")}
    assert parts == {
        **{name: Outcome(value) for name, value in {"n": "7", "s": "7", "d": 0.5, "b": b"x", "u": str(U)}.items()},
        "m": Outcome(None),
    }


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("n * m > 5", {"n": 2, "m": 3}, Outcome(True)),
        ("n * m > 5", {"n": 1, "m": 3}, Outcome(False)),
        ("n * m > 5", {"n": None, "m": 3}, Outcome(None)),
        ("m * n > 5", {"n": 2**62, "m": 3}, Outcome(None, ("out_of_range:m",))),
        ("n>5 or m>5", {"n": Odd("blob", b""), "m": Odd("invalid", b"")}, Outcome(None, ("blob:n", "bad_encoding:m"))),
        ("1 = 1", {}, Outcome(True)),
        ("9223372036854775807 + 1 > 0", {}, Outcome(None, ("out_of_range:constant",))),
    ],
    ids=str,
)  # fmt: skip
def test_a_condition_says_what_it_cannot_decide(condition: str, values: dict[str, Any], expected: Outcome) -> None:
    """A number that does not fit is said of the first column, bad values of each."""
    assert _oracle().read(_row(**values)).condition(condition) == expected
