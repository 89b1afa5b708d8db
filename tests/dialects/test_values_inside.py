"""DuckDB's lists, JSON pointers and keyed hashes: operations whose values never leave alone."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from tests.dialects.duckdb_bench import DUCKDB, column, connect, evaluate
from transhume import operations as op
from transhume.dialects import LoweringError
from transhume.schema import BIGINT, TEXT, Kind, LogicalType

CONNECTION = connect()
_TEXTS = LogicalType(Kind.LIST, element=TEXT)


def _literal(value: str) -> exp.Expression:
    return exp.Literal.string(value)


def _texts(node: exp.Expression, values: list[str | None]) -> list:
    return evaluate(CONNECTION, [node], {"x": (TEXT, values)})[0]


def _at(document: str, pointer: str) -> tuple[str | None, bool | None]:
    parsed = op.OpenJson(this=column("x"))
    member = op.JsonWritten(this=op.JsonMember(this=parsed, pointer=_literal(pointer)))
    twice = op.HasJsonKeyTwice(this=parsed.copy(), pointer=_literal(pointer))
    return _texts(member, [document])[0], _texts(twice, [document])[0]


_RFC = (
    '{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\\\j": 5, "k\\"l": 6, " ": 7, "m~n": 8}'
)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", '["bar","baz"]'), ("/foo/0", '"bar"'), ("/", "0"), ("/a~1b", "1"), ("/c%d", "2"), ("/e^f", "3"),
        ("/g|h", "4"), ("/i\\j", "5"), ('/k"l', "6"), ("/ ", "7"), ("/m~0n", "8"),
    ],
)  # fmt: skip
def test_pointers_of_the_standard(pointer: str, value: str) -> None:
    """Every example of RFC 6901, section 5."""
    assert _at(_RFC, pointer) == (value, False)


@pytest.mark.parametrize(
    ("document", "pointer", "expected"),
    [
        ('{"a":1}', "", ('{"a":1}', False)),
        ("[5]", "/00", (None, False)),
        ("[5]", "/-", (None, False)),
        ("[5]", "/1", (None, False)),
        ('{"0":5}', "/0", ("5", False)),
        ('{"00":5}', "/00", ("5", False)),
        ('{"*":5,"x":6}', "/*", ("5", False)),
        ('{"x":6}', "/*", (None, False)),
        ('{"s":1,"n":[2]}', "/n/0", ("2", False)),
        ('{"a":{"b":1,"b":2}}', "/a", ('{"b":1,"b":2}', False)),
        ('{"a":{"b":1,"\\u0062":2}}', "/a/b", ("1", True)),
        ('{"a":1,"a":2,"c":3}', "/c", ("3", False)),
        ('{"a":null}', "/a", ("null", False)),
        ('"a"', "/a", (None, False)),
        ('{"~1":1,"/":2}', "/~01", ("1", False)),
        ("nope", "/a", (None, None)),
    ],
)
def test_pointers_by_hand(document: str, pointer: str, expected: tuple) -> None:
    """Places of arrays without leading zeros, keys that look like places or marks, keys that stand twice."""
    assert _at(document, pointer) == expected


def test_a_pointer_without_slash_is_refused() -> None:
    """A pointer begins with a slash or is empty."""
    with pytest.raises(LoweringError, match="no JSON pointer"):
        DUCKDB.render(op.JsonMember(this=column("x"), pointer=_literal("a")))


def test_deep_json_is_read() -> None:
    """Ten thousand levels are JSON like others."""
    deep = "[" * 10_000 + "1.10" + "]" * 10_000
    assert _at(deep, "") == (deep, False)


def test_elements_of_lists() -> None:
    """An operation is applied to each element, NULL elements included; NULL and empty lists stay what they are."""
    values = [["1", " 2 ", None, "x"], [], None, [None]]
    parsed = op.ListMap(this=column("x"), expression=op.ParseInteger(this=op.Element()))
    is_null = exp.Is(this=op.ParseInteger(this=op.Element()), expression=exp.Null())
    some = op.ListAny(this=column("x"), expression=is_null)
    found = evaluate(CONNECTION, [parsed, some], {"x": (_TEXTS, values)})
    assert found == [[[1, 2, None, None], [], None, [None]], [True, False, None, True]]


def test_unknown_conditions_are_not_true() -> None:
    """ListAny counts elements for which the condition is TRUE; NULL is not."""
    above = exp.GT(this=op.Element(), expression=exp.Literal.number(5))
    node = op.ListAny(this=column("x"), expression=above)
    numbers = LogicalType(Kind.LIST, element=BIGINT)
    assert evaluate(CONNECTION, [node], {"x": (numbers, [[None, 1], [None, 6]])})[0] == [False, True]


_RFC_4231 = [
    (b"\x0b" * 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (
        b"\xaa" * 131,
        "Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


def _hashed(key: bytes, values: list[str | None]) -> list:
    for name, value in DUCKDB.secret_variables("KEY", key).items():
        CONNECTION.execute(f"SET VARIABLE \"{name}\" = unhex('{value.hex()}')")
    return _texts(op.HmacSha256(this=column("x"), key=_literal("KEY")), values)


@pytest.mark.parametrize(("key", "text", "expected"), _RFC_4231)
def test_hashes_of_the_standard(key: bytes, text: str, expected: str) -> None:
    """Test cases 1, 2 and 6 of RFC 4231."""
    assert _hashed(key, [text, None]) == [expected, None]


@settings(deadline=None, max_examples=30)
@given(st.binary(min_size=1, max_size=100), st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_hashes_are_python_s(key: bytes, text: str) -> None:
    """Any key and text give what Python's hmac module gives."""
    assert _hashed(key, [text]) == [hmac.new(key, text.encode(), hashlib.sha256).hexdigest()]


def test_the_statement_does_not_hold_the_key() -> None:
    """The key and its pads are in variables; the text names them."""
    printed = DUCKDB.render(op.HmacSha256(this=column("x"), key=_literal("KEY")))
    assert "GETVARIABLE('inner pad of KEY')" in printed
    assert set(DUCKDB.secret_variables("KEY", b"k")) == {"inner pad of KEY", "outer pad of KEY"}
