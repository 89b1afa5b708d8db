"""The form of the language: what is read, what is refused and with which words, columns, and types."""

import pytest

from transhume.expressions import ExpressionError, parse
from transhume.schema import BIGINT, BOOLEAN, DATE, DOUBLE, INT, JSON, TEXT, TIMESTAMP, TIMESTAMPTZ, UUID, parse_type

TYPES = {
    "a": BIGINT,
    "i": INT,
    "t": TEXT,
    "d": DOUBLE,
    "n": parse_type("decimal(10,2)"),
    "wide": parse_type("decimal(38,30)"),
    "b": BOOLEAN,
    "day": DATE,
    "ts": TIMESTAMP,
    "tz": TIMESTAMPTZ,
    "u": UUID,
    "j": JSON,
    "l": parse_type("list(text)"),
    "m.value": DOUBLE,
    "date": DATE,
    "a b": TEXT,
}


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("-- only a comment", 0, "empty"),
        ("a = 'x", 0, "cannot be read"),
        ("a <> 'b' or", 9, "near 'or'"),
        ("a = = 1", 4, "near '='"),
        ("(a = 1", 5, "cannot be read"),
        ("a = 1)", 5, "cannot be read"),
        ("a = 1 -- all", 4, "comment"),
        ("a /* x */ = 1", 0, "comment"),
        ("a = 1; a = 2", 5, "';'"),
        ("a = 1;", 5, "';'"),
        ("upper(t) = 'A'", 0, "'upper(...)'"),
        ("a = 1 and now() > ts", 10, "'now(...)'"),
        ("random() > d", 0, "'random(...)'"),
        ("ifnull(a, 1) = 1", 0, "'ifnull(...)'"),
        ("len(t) = 1", 0, "'len(...)'"),
        ("count(*) > 1", 0, "'count(...)'"),
        ("cast(a as text) = '1'", 0, "'cast(...)'"),
        ("exists (select 1)", 0, "'exists(...)'"),
        ("row_number() over () = 1", 0, "'row_number(...)'"),
        ("read_text('/etc/passwd') = ''", 0, "'read_text(...)'"),
        ("a::text = '1'", 0, "a cast"),
        ("date '2024-01-01' = day", 5, "a cast"),
        ("current_date = day", 0, "not in the language"),
        ("ts > current_timestamp", 0, "not in the language"),
        ("interval '1' day = a", 9, "INTERVAL"),
        ("select 1", 7, "subquery"),
        ("(select 1) = a", 8, "subquery"),
        ("a in (select 1)", 0, "subquery"),
        ("case when b then 1 end = 1", 10, "CASE"),
        ("a / 2 = 1", 0, "'/'"),
        ("a % 2 = 0", 0, "'%'"),
        ("a & 1 = 0", 0, "not in the language"),
        ("a = ?", 0, "parameter"),
        ("a = :x", 0, "parameter"),
        ("a = @x", 0, "parameter"),
        ("a = $1", 4, "'$1'"),
        ("a = $$x$$", 4, "neither a name nor a literal"),
        ("*", 0, "'*'"),
        ("m.*", 0, "not in the language"),
        ("x.y.z = 1", 0, "two parts"),
        ("a b", 0, "side by side"),
        ("a as b", 0, "side by side"),
        ("t = 'x' 'y'", 4, "side by side"),
        ("t = N'x'", 4, "national"),
        ("t = E'x'", 5, "cannot be read"),
        ("a = 0x10", 0, "side by side"),
        ("a = 1_000", 0, "side by side"),
        ("d = 1e5", 4, "plain digits"),
        ("d = 1.", 4, "plain digits"),
        ("a == 1", 2, "'=='"),
        ("a <=> 1", 0, "IS NOT DISTINCT FROM"),
        ("a is true", 0, "IS is only read before NULL"),
        ("a is distinct from 1", 0, "not in the language"),
        ("a is unknown", 5, "'unknown'"),
        ("a isnull", 2, "'isnull'"),
        ("t ilike 'x'", 0, "ILIKE"),
        ("t like 'a' escape '!'", 0, "ESCAPE"),
        ("t like t", 0, "LIKE takes a literal"),
        ("t similar to 'x'", 0, "not in the language"),
        ("t collate nocase = 'x'", 0, "COLLATE"),
        ("a in (1, null)", 0, "literals"),
        ("a in (i)", 6, "literals"),
        ("a in ()", 0, "literals"),
        ("a in i", 0, "not in the language"),
        ("(a, i) = (1, 2)", 1, "list"),
        ("a between symmetric 1 and 2", 0, "BETWEEN"),
        ("[a] = 1", 1, "brackets"),
        ("length(t, t) = 1", 0, "LENGTH"),
        ("not " * 200 + "b", 0, "nested too deeply"),
        ("(" * 40 + "b" + ")" * 40, 30, "nested too deeply"),
        ("a" * 20_001, 0, "characters"),
        ("a+" * 3000 + "a", 0, "words and signs"),
    ],
)
def test_what_is_not_of_the_language_is_refused_with_its_place(text, offset, words):
    """Each construct is named in words, and the place is that of the construct or its operand."""
    with pytest.raises(ExpressionError) as refused:
        parse(text)
    assert words in refused.value.message
    assert refused.value.offset == offset


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing = 1", "'nothing' is not a column"),
        ("A = 1", "'A' is not a column"),
        ("a", "a condition is needed"),
        ("a + 1", "a condition is needed"),
        ("not a", "takes conditions"),
        ("a and b", "takes conditions"),
        ("t = 1", "the number 1 stands beside text"),
        ("a = '1'", "the literal '1' stands beside bigint"),
        ("d = '1'", "the literal '1' stands beside double"),
        ("a = t", "together"),
        ("b = a", "together"),
        ("b = 2", "the number 2 stands beside boolean"),
        ("b < true", "no order"),
        ("u < '6e71ae5e-1dba-5b35-bfd4-c5dc6c81afed'", "no order"),
        ("u = 'x'", "the literal 'x' is no uuid"),
        ("day = '2024-02-30'", "is no date"),
        ("day = ts", "together"),
        ("ts = tz", "together"),
        ("ts > 'now'", "is no timestamp"),
        ("tz > '2024-01-01 00:00:00'", "is no timestamptz"),
        ("tz > '2024-01-01 00:00:00+24:00'", "is no timestamptz"),
        ("n = 'x'", "is no decimal(10,2)"),
        ("n = d", "decimal(10,2) and double"),
        ("n + d > 1", "decimal(10,2) and double"),
        ("wide = a", "may need 49 digits"),
        ("wide * wide > 0", "may need 76 digits"),
        ("wide + wide > 0", "may need 39 digits"),
        ("j = '{}'", "stands beside json"),
        ("j = j", "cannot be compared"),
        ("l = l", "cannot be compared"),
        ("t || a = 'x'", "takes texts"),
        ("length(a) = 1", "takes texts"),
        ("a like '1'", "takes texts"),
        ("t + 1 > 1", "takes numbers"),
        ("-t = 1", "takes numbers"),
        ("a = null", "never true"),
        ("null in (1)", "never true"),
        ("a < b < 1", "together"),
        ("coalesce(a, t) = 1", "together"),
        ("coalesce(a, 'x') = 1", "stands beside bigint"),
        ("t = 'a\0'", "no text can hold"),
        ("d = " + "9" * 400, "more than 38 digits"),
    ],
)
def test_kinds_that_do_not_go_together_are_refused(text, words):
    """Nothing is compared or combined with a value of another kind."""
    with pytest.raises(ExpressionError) as refused:
        parse(text).check_condition(TYPES.get)
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a + i", "bigint"),
        ("i + 1", "bigint"),
        ("-i", "bigint"),
        ("i", "int"),
        ("coalesce(i, 0)", "bigint"),
        ("n + n", "decimal(11,2)"),
        ("n * 1.5", "decimal(12,3)"),
        ("n - a", "decimal(22,2)"),
        ("coalesce(n, 0)", "decimal(10,2)"),
        ("coalesce(n, 0.125)", "decimal(11,3)"),
        ("d * 2", "double"),
        ("d + a", "double"),
        ("coalesce(d, 0)", "double"),
        ("t || 'x'", "text"),
        ("length(t)", "bigint"),
        ("coalesce(day, '2024-01-01')", "date"),
        ("t like 'a%'", "boolean"),
        ("'x'", "text"),
        ("1", "bigint"),
        ("1.50", "decimal(3,2)"),
        ("null", "text"),
        ("9223372036854775808", "decimal(19,0)"),
    ],
)
def test_the_type_of_an_expression(text, kind):
    """Integers are of 64 bits, decimals as wide as they can become."""
    assert str(parse(text).check(TYPES.get).type) == kind


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("b", ("b",)),
        ("m.value > 1 or a = 1 and a < i", ("m.value", "a", "i")),
        ("\"a b\" = 'x' and date is null", ("a b", "date")),
        ("1 = 1", ()),
        ("t not like 'x' and coalesce(d, m.value) between 0 and 1", ("t", "d", "m.value")),
    ],
)
def test_columns_are_listed_once_in_their_order(text, columns):
    """What the expression reads is known before any type is."""
    assert parse(text).columns() == columns


def test_a_long_chain_is_read_and_does_not_nest():
    """An enumeration of a thousand conditions is no deep tree."""
    text = " or ".join(f"t = 'x{index}'" for index in range(900))
    assert parse(text).check_condition(TYPES.get).evaluate({"t": "x899"}.get) is True
