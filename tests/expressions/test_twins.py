"""The SQL twin on a real DuckDB against the Python twin: truth tables by hand, any expression over nasty values."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dialects.duckdb_bench import column, connect, evaluate, same

from transhume.expressions import parse
from transhume.schema import BIGINT, BOOLEAN, DATE, DOUBLE, INT, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UUID, parse_type

CONNECTION = connect()
NUMBER = parse_type("decimal(10,2)")
WIDE = parse_type("decimal(30,5)")
MICROSECOND = dt.timedelta(microseconds=1)


def both(text: str, types: dict, rows: list[dict]) -> list:
    """The values of an expression for these rows; fails unless both twins give the same values and misfits."""
    checked = parse(text).check(types.get)
    trees = [checked.to_sql(column)]
    misfit = checked.misfit_to_sql(column)
    if misfit is not None:
        trees.append(misfit)
    data = {name: (kind, [row.get(name) for row in rows]) for name, kind in types.items()}
    found = evaluate(CONNECTION, trees, data)
    expected = [checked.evaluate(row.get) for row in rows]
    assert [pair for pair in zip(rows, found[0], expected, strict=True) if not same(pair[1], pair[2])] == [], text
    misfits = found[1] if len(found) > 1 else [False] * len(rows)
    assert misfits == [checked.misfit(row.get) for row in rows], text
    return expected


# -- truth tables, by hand --------------------------------------------------------------------------------

T, F, N = True, False, None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p and q", [T, F, N, F, F, F, N, F, N]),
        ("p or q", [T, T, T, T, F, N, T, N, N]),
        ("not p", [F, F, F, T, T, T, N, N, N]),
        ("p = q", [T, F, N, F, T, N, N, N, N]),
        ("p <> q", [F, T, N, T, F, N, N, N, N]),
        ("p is null", [F, F, F, F, F, F, T, T, T]),
        ("p is not null", [T, T, T, T, T, T, F, F, F]),
        ("coalesce(p, q)", [T, T, T, F, F, F, T, F, N]),
        ("p in (true, false)", [T, T, T, T, T, T, N, N, N]),
        ("p not in (false)", [T, T, T, F, F, F, N, N, N]),
        ("p = 1", [T, T, T, F, F, F, N, N, N]),
        ("not p or q and p", [T, F, N, T, T, T, N, N, N]),
    ],
)
def test_three_valued_logic_is_that_of_the_standard(text, expected):
    """SQL:2016, 6.39: the truth tables of AND, OR and NOT, and what NULL does to comparisons."""
    rows = [{"p": p, "q": q} for p in (T, F, N) for q in (T, F, N)]
    assert both(text, {"p": BOOLEAN, "q": BOOLEAN}, rows) == expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("x between 1 and 3", [0, 1, 3, 4, None], [F, T, T, F, N]),
        ("x not between 3 and 1", [2, None], [T, N]),
        ("x in (1, 2)", [1, 3, None], [T, F, N]),
        ("x + 1", [2**63 - 2, 2**63 - 1, None], [2**63 - 1, N, N]),
        ("-x", [5, -(2**63), None], [-5, N, N]),
        ("x - 1 + 1", [-(2**63)], [N]),
        ("x * x", [3, 2**32, -(2**31)], [9, N, 2**62]),
        ("x * 1.5", [3, 2**63 - 1], [Decimal("4.5"), Decimal("13835058055282163710.5")]),
        ("x = 9223372036854775808", [2**63 - 1, 0], [F, F]),
        ("x < 0.5", [0, 1], [T, F]),
        ("coalesce(x, 0)", [None, 7], [0, 7]),
        ("x = -9223372036854775808", [-(2**63), 0], [T, F]),
        ("2 - 3 - x", [4], [-5]),
        ("2 - (3 - x)", [4], [3]),
    ],
)
def test_integers(text, values, expected):
    """Exact within 64 bits; what does not fit is NULL."""
    assert both(text, {"x": BIGINT}, [{"x": value} for value in values]) == expected


def test_what_does_not_fit_is_told():
    """A misfit is a number that does not fit, not a NULL that was there before."""
    rows = [{"x": 2**63 - 1, "y": 1}, {"x": 1, "y": 1}, {"x": None, "y": 1}, {"x": 2**63 - 1, "y": None}]
    checked = parse("x + 1 > 0 and y = 1").check({"x": BIGINT, "y": BIGINT}.get)
    assert [checked.misfit(row.get) for row in rows] == [True, False, False, True]
    both("x + 1 > 0 and y = 1", {"x": BIGINT, "y": BIGINT}, rows)
    both("coalesce(x + y, 0) * 2 > 0 or y is null", {"x": BIGINT, "y": BIGINT}, rows)
    assert parse("x = 1 and y > 2").check({"x": BIGINT, "y": BIGINT}.get).misfit_to_sql(column) is None


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("x = 0.1", [0.1, float.fromhex("0x1.999999999999bp-4")], [T, F]),
        ("x = 0", [0.0, -0.0], [T, T]),
        ("x = x", [float("nan"), float("inf")], [T, T]),
        ("x > 1", [float("nan"), float("-inf")], [T, F]),
        ("x <> 0", [float("nan")], [T]),
        ("x + 0.2", [0.1], [float.fromhex("0x1.3333333333334p-2")]),
        ("x * 2", [1.7e308, float("inf"), float("nan")], [N, N, N]),
        ("-x", [0.0, float("inf")], [-0.0, float("-inf")]),
        ("x between 0 and 1", [-0.0, 1.0, 1.5, None], [T, T, F, N]),
    ],
)
def test_doubles(text, values, expected):
    """IEEE 754; NaN equals itself and is above all numbers; a literal is its nearest double."""
    assert repr(both(text, {"x": DOUBLE}, [{"x": value} for value in values])) == repr(expected)


def test_integers_beside_doubles_are_exact_or_a_misfit():
    """9007199254740993 is no double: it is not taken for its neighbour."""
    rows = [{"x": x, "y": 2.0**53} for x in (2**53, 2**53 + 1, 2**63 - 1, -(2**53))]
    assert both("x = y", {"x": BIGINT, "y": DOUBLE}, rows) == [T, N, N, F]


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("x like 'a%'", ["a", "A", "ab\n", "", None], [T, F, T, F, N]),
        ("x like '_'", ["a", "é", "日", "\U0001f600", "e\u0301", "\n", "", "ab"], [T, T, T, T, F, T, F, F]),
        ("x like '%\\%'", ["a\\", "a%", "\\b"], [T, F, T]),
        ("x not like '%'", ["", "a", None], [F, F, N]),
        ("x < 'b'", ["a", "B", "é", "\U0001f600", ""], [T, T, F, F, T]),
        ("x > '\uffff'", ["\U00010000", "\ue000"], [T, F]),
        ("x = 'a'", ["a", "a ", "A", "a\0"], [T, F, F, F]),
        ("x || '!' || x", ["a", "", None], ["a!a", "!", N]),
        ("length(x)", ["日本", "", "\U0001f600", "a\0", None], [2, 0, 1, 2, N]),
        ("x in ('a', 'b''c', '')", ["b'c", "", "c"], [T, T, F]),
        ("'' is null or x is null", ["", None], [F, T]),
        ("coalesce(x, '') = ''", [None, "", "a"], [T, T, F]),
    ],
)
def test_texts(text, values, expected):
    """By code points: case, trailing blanks and line feeds count."""
    assert both(text, {"x": TEXT}, [{"x": value} for value in values]) == expected


@pytest.mark.parametrize(
    ("text", "kind", "values", "expected"),
    [
        ("x >= '2024-02-29'", DATE, [dt.date(2024, 2, 28), dt.date(2024, 2, 29), None], [F, T, N]),
        ("x < '12:00:00.5'", TIME, [dt.time(12), dt.time(12, 0, 0, 500000)], [T, F]),
        ("x = '2024-01-15T10:30:00.120'", TIMESTAMP, [dt.datetime.fromisoformat("2024-01-15 10:30:00.12")], [T]),
        ("x = '2024-01-15 10:30:00+05:30'", TIMESTAMPTZ, [dt.datetime(2024, 1, 15, 5, tzinfo=dt.UTC)], [T]),
        ("x <> '6E71AE5E-1DBA-5B35-BFD4-C5DC6C81AFED'", UUID, [uuid.UUID("6e71ae5e-1dba-5b35-bfd4-c5dc6c81afed")], [F]),
        ("x = '1.50'", NUMBER, [Decimal("1.50"), Decimal("1.51")], [T, F]),
        ("x > 1.499", NUMBER, [Decimal("1.50"), Decimal("1.49")], [T, F]),
        ("x in (1, 2.5, '3e0')", NUMBER, [Decimal("2.50"), Decimal("3.00"), Decimal("1.01")], [T, T, F]),
        ("x * x", NUMBER, [Decimal("99999999.99")], [Decimal("9999999998000000.0001")]),
        ("coalesce(x, '2024-01-01')", DATE, [None], [dt.date(2024, 1, 1)]),
    ],
)
def test_quoted_literals_have_the_type_of_what_they_stand_beside(text, kind, values, expected):
    """A literal beside a date, time, UUID or decimal is read by that type's grammar."""
    assert both(text, {"x": kind}, [{"x": value} for value in values]) == expected


# -- any expression ---------------------------------------------------------------------------------------

TYPES = {
    "a": BIGINT, "b": BIGINT, "i": INT, "s": TEXT, "t": TEXT, "d": DOUBLE, "e": DOUBLE, "n": NUMBER, "w": WIDE,
    "p": BOOLEAN, "q": BOOLEAN, "day": DATE, "tz": TIMESTAMPTZ, "u": UUID,
}  # fmt: skip
EDGES = st.sampled_from([0, 1, -1, 2**31 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 3037000500])
TEXTS = st.text(st.sampled_from("aAb%_\\ \n\0'é日\U0001f600\uffff"), max_size=4)
UUIDS = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("6e71ae5e-1dba-5b35-bfd4-c5dc6c81afed")]
VALUES = {
    "a": EDGES | st.integers(-(2**63), 2**63 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "s": TEXTS,
    "d": st.floats() | st.sampled_from([0.1, 0.5, 1.0, -0.0, 2.0**53]),
    "n": st.decimals(min_value=-99999999, max_value=99999999, places=2),
    "w": st.decimals(min_value=-(10**24), max_value=10**24, places=5),
    "p": st.booleans(),
    "day": st.dates() | st.just(dt.date(2024, 2, 29)),
    "tz": st.datetimes(timezones=st.just(dt.UTC)),
    "u": st.sampled_from(UUIDS),
}
ALIKE = {"b": "a", "t": "s", "e": "d", "q": "p"}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | VALUES[ALIKE.get(name, name)] for name in TYPES}), min_size=3, max_size=10
)


def quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


PATTERNS = st.text(st.sampled_from("aAb%_\\ \n'é日"), max_size=5).map(quoted)
LITERALS = TEXTS.map(lambda text: quoted(text.replace("\0", "")))
INTEGERS = st.sampled_from(["a", "b", "i"]) | EDGES.map(str) | st.just("length(s)")
DECIMALS = st.sampled_from(["n", "0.01", "1.5", "n * 2", "n + 0.125", "n - n"])
FLOATS = st.sampled_from(["d", "e"])


def _sums(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda p: f"({' '.join(p)})")
            | inner.map(lambda operand: f"(- {operand})")
            | st.tuples(inner, inner).map(lambda pair: f"coalesce({pair[0]}, {pair[1]})")
        ),
        max_leaves=4,
    )


OPERATORS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def _compared(operands: st.SearchStrategy[str], literals: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(operands, OPERATORS, operands).map(" ".join),
        st.tuples(operands, operands, operands).map(lambda p: f"{p[0]} not between {p[1]} and {p[2]}"),
        st.tuples(operands, st.lists(literals, min_size=1, max_size=3)).map(lambda p: f"{p[0]} in ({', '.join(p[1])})"),
        operands.map(lambda operand: f"{operand} is null"),
    )


CONDITIONS = st.recursive(
    st.one_of(
        _compared(_sums(INTEGERS), EDGES.map(str)),
        _compared(_sums(st.sampled_from(["d", "e", "a"])).filter(lambda t: "d" in t or "e" in t), st.just("0.1")),
        st.tuples(_sums(FLOATS), OPERATORS, INTEGERS).map(" ".join),
        _compared(DECIMALS | st.just("w"), st.sampled_from(["1", "0.01"])),
        st.tuples(INTEGERS, OPERATORS, DECIMALS).map(" ".join),
        _compared(st.sampled_from(["s", "t", "s || t", "coalesce(s, t)", "s || 'é'"]) | LITERALS, LITERALS),
        st.tuples(st.sampled_from(["s", "s || t"]), st.sampled_from(["like", "not like"]), PATTERNS).map(" ".join),
        _compared(st.just("day"), VALUES["day"].map(quoted)),
        _compared(st.just("tz"), VALUES["tz"].map(quoted)),
        st.tuples(st.just("u"), st.sampled_from(["=", "<>"]), VALUES["u"].map(quoted)).map(" ".join),
        st.sampled_from(["p", "q", "true", "null", "p = q", "p <> false"]),
    ),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({' '.join(p)})")
        | inner.map(lambda condition: f"not ({condition})")
    ),
    max_leaves=5,
)


@given(CONDITIONS, ROWS)
@settings(max_examples=300, deadline=None)
def test_both_twins_agree_on_any_condition(text, rows):
    """Random expressions over nasty values: the same value and the same misfits from both twins."""
    both(text, TYPES, rows)


@given(TEXTS, st.text(st.sampled_from("aAb%_\\ \né日"), max_size=6))
@settings(max_examples=200, deadline=None)
def test_like_is_that_of_a_slow_and_plain_reference(value, pattern):
    """The definition by recursion over the pattern, written for the test only."""

    def like(text: str, rest: str) -> bool:
        if not rest:
            return not text
        if rest[0] == "%":
            return any(like(text[at:], rest[1:]) for at in range(len(text) + 1))
        return bool(text) and rest[0] in {"_", text[0]} and like(text[1:], rest[1:])

    assert both(f"s like {quoted(pattern)}", {"s": TEXT}, [{"s": value}]) == [like(value, pattern)]


def test_a_pattern_of_many_wildcards_takes_no_time():
    """No pattern makes the Python twin try every way of splitting a text."""
    checked = parse(f"s like '{'%a' * 200}%b'").check({"s": TEXT}.get)
    assert checked.evaluate({"s": "a" * 5000}.get) is False
