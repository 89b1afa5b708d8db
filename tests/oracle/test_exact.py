"""Exact conversion of single values: every edge of every type, by hand. The engine is held to the same elsewhere."""

import datetime as dt
import math
import struct
import uuid
from decimal import Decimal

import pytest

from transhume.oracle.exact import at_scale, convert, converter, parse, reads_text
from transhume.rules.rule import Outcome, RuleProblem
from transhume.schema import Kind, LogicalType, parse_type

UTC = dt.UTC
U = uuid.UUID("12345678-9abc-def0-1234-56789abcdef0")

TEXTS = {
    "bigint": (
        {
            "0": 0, "-0": 0, "+7": 7, " 12\t": 12, "007": 7, "\n-7\v\f\r": -7, "9223372036854775807": 2**63 - 1,
            "-9223372036854775808": -(2**63), "000000000000000000000000000001": 1,
        },
        [
            "", " ", "+", "--1", "1.0", "1e2", "1_000", "٣", "9223372036854775808", "-9223372036854775809", "1" * 30,
            "10000000000000000000", "\u00a01", "1 2", "X7", "7X",
        ],
    ),
    "double": (
        {
            "0": 0.0, "1.5": 1.5, "-2.5e-3": -0.0025, "+1E+2": 100.0, " 7 ": 7.0, "5e-324": 5e-324,
            "1.7976931348623157e308": 1.7976931348623157e308, "0e999": 0.0, "0.00": 0.0,
            "12345678901234567890": 12345678901234567890.0,
        },
        ["", "1.", ".5", "1e", "1e999", "-1e999", "1e-400", "0.1e-400", "9e-400",
         "0." + "0" * 400 + "1", "nan", "inf", "0x1", "1_0.0", "1 e2"],
    ),
    "decimal(5,2)": (
        {
            "1.5": "1.50", "-999.99": "-999.99", "999.990000": "999.99", " 0 ": "0.00", "-0.00": "0.00",
            "1e2": "100.00",
            "12345e-2": "123.45", "0e999999": "0.00", "0e-999999": "0.00", "0.0e99999999999999999999999": "0.00",
            "0.00001e7": "100.00", "100000e-3": "100.00", "1E+0002": "100.00",
        },
        [
            "", "1000", "999.991", "0.001", "1e3", "1e99999999999999999999999", "1e-99999999999999999999999",
            "1e100001",
            "1e999999", "-1e-100001", "1.", "x", "1e+", "10e99999", "1e19", "1e20", "1e-19", "1e-20",
            "0." + "0" * 189 + "5e" + "9" * 23,
        ],
    ),
    "boolean": (
        {"true": True, "t": True, "1": True, " false\n": False, "f": False, "0": False},
        ["TRUE", "T", "yes", "", "2", "F", "no", "on"],
    ),
    "uuid": (
        {str(U): U, str(U).upper(): U, f" {U}\t": U},
        ["", str(U).replace("-", ""), f"{{{U}}}", f"{U}0", str(U)[:-1], str(U).replace("f",
         "g"), f"x{U}", f"urn:uuid:{U}"],
    ),
    "date": (
        {"2024-02-29": dt.date(2024, 2, 29), "0001-01-01": dt.date(1, 1, 1), " 9999-12-31 ": dt.date(9999, 12, 31)},
        ["", "2023-02-29", "2024-13-01", "2024-00-01", "0000-01-01", "2024-1-01", "2024-01-1", "24-01-01",
         "2024-01-011"],
    ),
    "time": (
        {
            "00:00:00": dt.time(), "23:59:59.999999": dt.time(23, 59, 59, 999999),
            "01:02:03.5": dt.time(1, 2, 3, 500000),
            "01:02:03.1234560000": dt.time(1, 2, 3, 123456), "01:02:03.000001": dt.time(1, 2, 3, 1),
        },
        ["", "24:00:00", "00:60:00", "00:00:60", "01:02", "01:02:03.", "01:02:03.1234567", "1:02:03",
         "01:02:03.0000000001"],
    ),
    "timestamp": (
        {
            "2024-02-29 01:02:03": dt.datetime.fromisoformat("2024-02-29 01:02:03"),
            "2024-02-29T01:02:03.000100": dt.datetime.fromisoformat("2024-02-29 01:02:03.000100"),
            " 9999-12-31 23:59:59.999999 ": dt.datetime.fromisoformat("9999-12-31 23:59:59.999999"),
        },
        [
            "", "2024-02-29", "2024-02-29 ", "2024-02-29X01:02:03", "2024-02-30 01:02:03", "2024-02-29 24:00:00",
            "2024-02-29  1:02:03", "2024-02-29t01:02:03", "2024-02-29 01:02:03Z", "2024-02-2901:02:03",
            "2024-02-29_01:02:03",
        ],
    ),
    "timestamptz": (
        {
            "2024-02-29 01:02:03Z": dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC),
            "2024-02-29T01:02:03.5+01": dt.datetime(2024, 2, 29, 0, 2, 3, 500000, tzinfo=UTC),
            "2024-02-29 01:02:03-05:30": dt.datetime(2024, 2, 29, 6, 32, 3, tzinfo=UTC),
            "2024-02-29 01:02:03+00:00:30": dt.datetime(2024, 2, 29, 1, 1, 33, tzinfo=UTC),
            "2024-02-29 23:59:59-23:59:59": dt.datetime(2024, 3, 1, 23, 59, 58, tzinfo=UTC),
            "0001-01-01 10:00:00+10:00": dt.datetime(1, 1, 1, tzinfo=UTC),
        },
        [
            "", "2024-02-29 01:02:03", "2024-02-29 01:02:03 Z", "2024-02-29 01:02:03z", "2024-02-29 01:02:03Zx",
            "2024-02-29 01:02:03+24",
            "2024-02-29 01:02:03+01:60", "2024-02-29 01:02:03+01:00:60", "2024-02-29 01:02:03+1",
            "2024-02-29 01:02:03+0100",
            "2024-02-29 01:02:03+", "2024-02-30 01:02:03Z", "0001-01-01 00:00:00+00:01", "9999-12-31 23:59:59-00:01",
            "2024-02-29 01:02:03+01:", "2024-02-29Z", "2024-02-29 01:02:03+01:00:", "Z",
        ],
    ),
    "json": ({'{"a": 1}': '{"a": 1}', " 1 ": " 1 ", "null": "null"}, ["", "{a: 1}", "NaN", "'x'", "\v1"]),
}  # fmt: skip
BAD = {"bigint": "bad_integer", "double": "bad_number", "decimal(5,2)": "bad_number", "timestamptz": "bad_timestamp"}
GOOD_TEXTS = [(kind, text, value) for kind, (good, _) in TEXTS.items() for text, value in good.items()]
BAD_TEXTS = [(kind, text) for kind, (_, bad) in TEXTS.items() for text in bad]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD_TEXTS)
def test_a_text_of_the_grammar_is_its_value(kind, text, value):
    """Without ASCII white space around it, of JSON the text as it is."""
    wanted = Decimal(value) if kind.startswith("decimal") else value
    found = parse(text, parse_type(kind))
    assert found == wanted
    assert str(found) == str(wanted)
    assert type(found) is type(wanted)
    assert convert(text, parse_type("text"), parse_type(kind), "c") == Outcome(found)
    assert converter(parse_type("text"), parse_type(kind), "c")(text) == Outcome(found)


@pytest.mark.parametrize(("kind", "text"), BAD_TEXTS)
def test_a_text_outside_the_grammar_is_a_reject_with_its_reason(kind, text):
    """The reason names the type and the column."""
    assert parse(text, parse_type(kind)) is None
    reason = BAD.get(kind, f"bad_{kind}")
    assert convert(text, parse_type("text"), parse_type(kind), "c") == Outcome(None, (f"{reason}:c",))
    assert converter(parse_type("text"), parse_type(kind), "c")(text) == Outcome(None, (f"{reason}:c",))


LONG = 2**63
VALUES = [
    ("int", "bigint", 5, 5),
    ("bigint", "int", 2**31 - 1, 2**31 - 1),
    ("bigint", "int", -(2**31), -(2**31)),
    ("bigint", "int", 2**31, "out_of_range"),
    ("bigint", "int", -(2**31) - 1, "out_of_range"),
    ("text", "int", "2147483648", "out_of_range"),
    ("text", "int", "x", "bad_integer"),
    ("text", "int", "-12", -12),
    ("int", "int", 5, 5),
    ("boolean", "int", True, 1),
    ("boolean", "bigint", False, 0),
    ("bigint", "boolean", 1, True),
    ("bigint", "boolean", 0, False),
    ("bigint", "boolean", 2, "bad_boolean"),
    ("bigint", "boolean", -1, "bad_boolean"),
    ("bigint", "text", -7, "-7!"),
    ("int", "text", 7, "7!"),
    ("uuid", "text", U, f"{U}!"),
    ("bigint", "double", 2**53, float(2**53)),
    ("bigint", "double", -(2**53), -float(2**53)),
    ("bigint", "double", 2**53 + 1, "inexact"),
    ("bigint", "double", -(2**53) - 1, "inexact"),
    ("int", "double", 3, 3.0),
    ("double", "bigint", 3.0, 3),
    ("double", "bigint", -9223372036854775808.0, -LONG),
    ("double", "bigint", 9223372036854775808.0, "inexact"),
    ("double", "bigint", 0.5, "inexact"),
    ("double", "bigint", math.inf, "not_finite"),
    ("double", "double", math.nan, "not_finite"),
    ("double", "double", -math.inf, "not_finite"),
    ("double", "double", -0.0, -0.0),
    ("double", "int", 2.5, "inexact"),
    ("double", "int", 2147483648.0, "out_of_range"),
    ("double", "int", math.nan, "not_finite"),
    ("decimal(20,3)", "bigint", Decimal("7.000"), 7),
    ("decimal(20,3)", "bigint", Decimal("7.001"), "inexact"),
    ("decimal(38,0)", "bigint", Decimal(LONG), "inexact"),
    ("decimal(38,0)", "bigint", Decimal(LONG - 1), LONG - 1),
    ("decimal(38,0)", "bigint", Decimal(-LONG), -LONG),
    ("decimal(38,0)", "bigint", Decimal(-LONG - 1), "inexact"),
    ("decimal(38,0)", "int", Decimal(2**31), "out_of_range"),
    ("decimal(5,2)", "text", Decimal("-0.00"), "0.00!"),
    ("decimal(5,2)", "text", Decimal("1.5"), "1.50!"),
    ("decimal(38,0)", "text", Decimal("1E+3"), "1000!"),
    ("decimal(9,4)", "decimal(5,2)", Decimal("123.4500"), Decimal("123.45")),
    ("decimal(9,4)", "decimal(5,2)", Decimal("123.4510"), "inexact"),
    ("decimal(9,4)", "decimal(5,2)", Decimal("1000.0000"), "inexact"),
    ("decimal(9,4)", "decimal(5,2)", Decimal("-999.9900"), Decimal("-999.99")),
    ("decimal(9,4)", "decimal(9,4)", Decimal("0.0001"), Decimal("0.0001")),
    ("bigint", "decimal(5,2)", 999, Decimal("999.00")),
    ("bigint", "decimal(5,2)", 1000, "inexact"),
    ("bigint", "decimal(5,2)", 0, Decimal("0.00")),
    ("date", "timestamp", dt.date(2024, 2, 29), dt.datetime.fromisoformat("2024-02-29")),
    ("date", "date", dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
    ("text", "text", "x", "x!"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted", "value", "result"), VALUES)
def test_a_value_is_exact_in_its_new_type_or_a_reject(given, wanted, value, result):
    """Numbers keep every digit, doubles their bits; what does not fit says why. `x!` stands for the text `x`."""
    reason = (f"{result}:c",) if isinstance(result, str) and not result.endswith("!") else ()
    expected = None if reason else result.removesuffix("!") if isinstance(result, str) else result
    for found in (
        convert(value, parse_type(given), parse_type(wanted), "c"),
        Outcome(None) if value is None else converter(parse_type(given), parse_type(wanted), "c")(value),
    ):
        assert found.reasons == reason
        assert found.value == expected
        assert str(found.value) == str(expected)
        assert type(found.value) is type(expected)
        if isinstance(expected, float):
            assert struct.pack(">d", found.value) == struct.pack(">d", expected)


@pytest.mark.parametrize("wanted", ["bigint", "int", "text", "decimal(5,2)", "uuid"])
def test_null_stays_null(wanted):
    """Whatever is wanted."""
    assert convert(None, parse_type("text"), parse_type(wanted), "c") == Outcome(None)


@pytest.mark.parametrize(
    ("given", "wanted"), [("double", "text"), ("bytes", "text"), ("text", "bytes"), ("time", "date")]
)
def test_types_without_an_exact_conversion_are_a_problem_of_the_plan(given, wanted):
    """Before any value is seen, NULL included; the column and both types are named."""
    for ask in (lambda *types: convert(None, *types, "c"), lambda *types: converter(*types, "c")):
        with pytest.raises(RuleProblem, match=f"'c' is {given}, and {given} cannot become {wanted} exactly"):
            ask(parse_type(given), parse_type(wanted))


def test_a_list_is_converted_element_by_element():
    """NULLs stay; of all elements each reason is told once, in the order in which one value could have them."""
    doubles, ints, texts = (parse_type(f"list({kind})") for kind in ("double", "int", "text"))
    assert convert([1.0, None, -2.0], doubles, ints, "c") == Outcome([1, None, -2])
    assert convert(["1", "x", "y"], texts, ints, "c") == Outcome(None, ("bad_integer:c",))
    bad = [2147483648.0, 0.5, 1.0, math.nan, 0.25]
    assert convert(bad, doubles, ints, "c") == Outcome(None, ("not_finite:c", "inexact:c", "out_of_range:c"))
    assert convert(["2147483648", "x"], texts, ints, "c") == Outcome(None, ("bad_integer:c", "out_of_range:c"))
    assert convert([1], parse_type("list(int)"), parse_type("list(bigint)"), "c") == Outcome([1])
    assert converter(doubles, ints, "c")([3.0]) == Outcome([3])
    assert convert(bad, doubles, ints, "a:z").reasons == ("not_finite:a:z", "inexact:a:z", "out_of_range:a:z")


def test_an_exponent_counts_with_the_digits_before_it():
    """However long both are, together they may be a small number."""
    money = parse_type("decimal(5,2)")
    assert parse("0." + "0" * 100_001 + "1e100002", money) == 1
    assert parse("1" + "0" * 60_000 + "e-60000", money) == 1
    assert parse("1" + "0" * 60_000 + "e60000", money) is None


def test_a_fraction_alone_has_a_zero():
    """Where no digit stands before the point, 0 is a number all the same, and 1 is none."""
    share = parse_type("decimal(2,2)")
    assert [str(parse(text, share)) for text in ("0", "-0.99", "1", "0.995")] == ["0.00", "-0.99", "None", "None"]
    assert convert(0, parse_type("bigint"), share, "c") == Outcome(Decimal("0.00"))
    assert convert(1, parse_type("bigint"), share, "c") == Outcome(None, ("inexact:c",))


def test_a_decimal_without_bounds_has_38_digits():
    """As the widest one has."""
    widest = LogicalType(Kind.DECIMAL)
    assert parse("9" * 38, widest) == Decimal("9" * 38)
    assert parse("1" + "0" * 38, widest) is None
    assert parse("0.5", widest) is None


def test_which_types_have_a_grammar():
    """All but bytes and lists."""
    readable = [*TEXTS, "text", "int"]
    assert all(reads_text(parse_type(kind)) for kind in readable)
    assert not any(reads_text(parse_type(kind)) for kind in ("bytes", "list(text)"))


def test_a_number_is_written_with_all_its_places_and_zero_without_a_sign():
    """At scale 0, too."""
    assert str(at_scale(Decimal("1.5"), 3)) == "1.500"
    assert str(at_scale(Decimal("-0.0"), 2)) == "0.00"
    assert str(at_scale(Decimal(7), 0)) == "7"
    assert str(at_scale(Decimal(-7), 1)) == "-7.0"
    assert str(at_scale(Decimal("1" + "0" * 36 + "1"), 1)) == "1" + "0" * 36 + "1.0"
