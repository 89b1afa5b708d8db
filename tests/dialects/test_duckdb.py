"""What is particular to the DuckDB dialect: printing, tables, lists, golden SQL, and references of the tests' own."""

import inspect
import os
import re
import uuid
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse

from tests.dialects.duckdb_bench import DUCKDB, column, connect, evaluate, same
from tests.dialects.operation_cases import tables
from transhume import operations as op
from transhume.batches import ODD_TYPE
from transhume.dialects import LoweringError
from transhume.schema import BIGINT, DOUBLE, TEXT, Kind, LogicalType

GOLDEN = Path(__file__).parent / "golden" / "duckdb.sql"
CONNECTION = connect()
MANY = settings(max_examples=60, deadline=None)


def text(value: str) -> exp.Expression:
    return exp.Literal.string(value)


def number(value: int) -> exp.Expression:
    return exp.Literal.number(value)


def one(tree: exp.Expression):
    return CONNECTION.execute(DUCKDB.render(exp.select(tree))).fetchall()[0][0]


def texts(node: exp.Expression, values: list[str]) -> list:
    return evaluate(CONNECTION, [node], {"x": (TEXT, values)})[0]


# -- printing ---------------------------------------------------------------------------------------------


def _golden_nodes() -> dict[str, exp.Expression]:
    x, y = column("x"), column("y")
    nodes = {table.operation.__name__: table.node(*(x, y)[: len(table.takes)]) for table in tables()}
    nodes["OddClass"] = op.OddClass(this=column("_odd"), name=text("size"))
    nodes["OddText"] = op.OddText(this=column("_odd"), name=text("size"))
    nodes["ApproximateDistinct"] = op.ApproximateDistinct(this=x, kind=text("text"))
    nodes["Total"] = op.Total(this=x)
    nodes["HashShare"] = op.HashShare(expressions=[x, y], shares=number(3))
    nodes["JoinReasons"] = op.JoinReasons(expressions=[x, y])
    nodes["GatheredObject"] = op.GatheredObject(this=x, expression=y)
    nodes["OpenJson"] = op.OpenJson(this=x)
    nodes["JsonMember"] = op.JsonMember(this=x, pointer=text("/a/0"))
    nodes["HasJsonKeyTwice"] = op.HasJsonKeyTwice(this=x, pointer=text("/a/b"))
    nodes["ListMap"] = op.ListMap(this=x, expression=op.TrimAscii(this=op.Element()))
    nodes["ListAny"] = op.ListAny(this=x, expression=op.HasNul(this=op.Element()))
    nodes["HmacSha256"] = op.HmacSha256(this=x, key=text("KEY"))
    nodes["ParquetFiles"] = exp.select("*").from_(exp.Table(this=op.ParquetFiles(expressions=[text("a"), text("b")])))
    return nodes


def test_the_sql_of_every_operation_is_the_golden_one():
    """A change of any lowering shows in a diff; TRANSHUME_GOLDEN=write makes the file anew."""
    printed = "\n\n".join(f"-- {name}\n{DUCKDB.render(node)};" for name, node in sorted(_golden_nodes().items()))
    if os.environ.get("TRANSHUME_GOLDEN") == "write":
        GOLDEN.write_text(printed + "\n", encoding="utf-8")
    assert GOLDEN.read_text(encoding="utf-8") == printed + "\n"


def test_golden_sql_is_read_again_as_what_was_printed():
    """SQLGlot's own parser understands what its printer wrote, one statement per operation."""
    operations = [kind for _, kind in inspect.getmembers(op, inspect.isclass) if issubclass(kind, op.Operation)]
    statements = [tree for tree in parse(GOLDEN.read_text(encoding="utf-8"), dialect="duckdb") if tree is not None]
    assert len(statements) == len({*operations} - {op.Operation, op.Element})


def test_an_operation_without_a_lowering_is_an_error():
    """Nothing that a dialect does not know is printed by its class name."""

    class Unknown(op.Operation):
        pass

    with pytest.raises(LoweringError, match="no lowering for the operation Unknown"):
        DUCKDB.render(exp.select(Unknown(this=column("x"))))


@pytest.mark.parametrize(
    "tree",
    [
        exp.Lower(this=column("x")),
        exp.Trim(this=column("x")),
        exp.Round(this=column("x")),
        exp.Concat(expressions=[column("x")]),
        exp.Anonymous(this="now"),
        exp.CurrentTimestamp(),
        exp.Div(this=column("x"), expression=column("y")),
        exp.Mod(this=column("x"), expression=column("y")),
        exp.AtTimeZone(this=column("x"), zone=text("Europe/Berlin")),
        exp.TryCast(this=column("x"), to=exp.DataType.build("INT")),
        exp.ILike(this=column("x"), expression=text("a")),
        exp.ReadCSV(this=text("/etc/passwd")),
    ],
    ids=lambda tree: type(tree).__name__,
)
def test_what_engines_understand_differently_is_refused(tree):
    """Functions and operators with more than one meaning never reach a printer."""
    with pytest.raises(LoweringError, match="different engines"):
        DUCKDB.render(exp.select(tree))


def test_operands_keep_their_tree_when_printed():
    """SQLGlot prints a + b * c for (a + b) * c; rendering puts the parentheses in."""
    tree = exp.Mul(this=exp.Add(this=number(1), expression=number(2)), expression=number(3))
    assert one(tree) == 9
    assert one(exp.Not(this=exp.Or(this=exp.true(), expression=exp.true()))) is False
    assert one(exp.Is(this=exp.EQ(this=exp.Null(), expression=number(1)), expression=exp.Null())) is True
    assert one(exp.Neg(this=exp.Neg(this=number(5)))) == 5
    assert one(exp.Sub(this=number(1), expression=exp.Sub(this=number(2), expression=number(3)))) == 2
    assert one(exp.Sub(this=number(1), expression=exp.Neg(this=number(2)))) == 3
    between = exp.Between(this=number(1), low=number(0), high=number(2))
    assert one(exp.EQ(this=between, expression=exp.false())) is False


def test_rendering_leaves_the_tree_as_it_was():
    """A tree can be printed twice, and for several dialects."""
    tree = exp.select(op.TrimAscii(this=op.OddText(this=column("_odd"), name=text("x"))))
    before = repr(tree)
    assert DUCKDB.render(tree) == DUCKDB.render(tree)
    assert repr(tree) == before


@pytest.mark.parametrize(
    "value", ["", "'", "''", "a\0b", "\0", "\\", "\\'", "\n", "$1", "--", "日本", '"', "{x}", "E'\\n'"]
)
def test_text_literals_arrive_as_they_are(value):
    """No character of a literal is an escape, and NUL does not end the statement."""
    sql = DUCKDB.render(exp.select(text(value)))
    assert "\0" not in sql
    assert CONNECTION.execute(sql).fetchall() == [(value,)]


@pytest.mark.parametrize("name", ['a"b', "select", "a b", "A", "ä", "x;--", "$1", "'"])
def test_names_are_always_quoted(name):
    """No name is code, whatever characters it has."""
    inner = exp.select(exp.alias_(number(7), name, quoted=True)).subquery("v")
    assert CONNECTION.execute(DUCKDB.render(exp.select(column(name)).from_(inner))).fetchall() == [(7,)]


@pytest.mark.parametrize(
    ("logical", "printed"),
    [
        (LogicalType(Kind.DECIMAL, precision=10, scale=2), "DECIMAL(10, 2)"),
        (LogicalType(Kind.DECIMAL), "DECIMAL(38, 0)"),
        (LogicalType(Kind.TEXT, length=5), "TEXT"),
        (LogicalType(Kind.LIST, element=LogicalType(Kind.UUID)), "UUID[]"),
        (LogicalType(Kind.TIMESTAMPTZ), "TIMESTAMPTZ"),
        (LogicalType(Kind.BYTES), "BLOB"),
    ],
    ids=str,
)
def test_types_have_their_names_in_duckdb(logical, printed):
    """The type of a column is one that DuckDB computes in without loss."""
    assert DUCKDB.data_type(logical).sql("duckdb") == printed
    assert one(DUCKDB.null(logical)) is None


def test_equal_values_fall_into_one_share_and_many_into_all():
    """The share is a number below the count, NULL has one too, and of 300 texts each of three gets its part."""
    node = op.HashShare(expressions=[column("x")], shares=number(3))
    values = [str(n) for n in range(300)]
    shares = texts(node, [*values, *values])
    assert shares[:300] == shares[300:]
    assert set(shares) == {0, 1, 2}
    assert min(shares.count(share) for share in (0, 1, 2)) > 150
    assert one(op.HashShare(expressions=[exp.Null()], shares=number(3))) in {0, 1, 2}


# -- patterns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "a|b",
        "a.b",
        "^a",
        "a$",
        "(?=a)",
        "(?i)a",
        r"\d",
        r"(a)\1",
        "a*?",
        "a++",
        "a{2,300}",
        "a{2,}",
        "[]",
        "[é]",
        "[[]",
        "(a",
        "a)",
        "[a",
        "a\\",
        "a{x}",
        "*a",
        "(?P<n>a)",
        r"\b",
        r"[\w]",
        "[z-a]",
    ],
)
def test_patterns_outside_the_closed_subset_are_refused(pattern):
    """What engines read differently is an error that names the construct."""
    with pytest.raises(LoweringError, match="the pattern"):
        DUCKDB.render(exp.select(op.RegexMatches(this=column("x"), pattern=text(pattern))))


def test_a_group_that_may_be_empty_is_told_from_no_match():
    """An empty capture is a text, no match is NULL."""
    node = op.RegexCapture(this=column("x"), pattern=text("a([b]*)c"), group=number(1))
    assert texts(node, ["ac", "abc", "a", ""]) == ["", "b", None, None]


def test_a_group_that_may_be_left_out_and_empty_is_refused():
    """DuckDB gives the same empty text for both, so there is no lowering that means one of them."""
    with pytest.raises(LoweringError, match="left out"):
        DUCKDB.render(exp.select(op.RegexCapture(this=column("x"), pattern=text("(b*)?c"), group=number(1))))
    optional = op.RegexCapture(this=column("x"), pattern=text("(b)?c"), group=number(1))
    assert texts(optional, ["c", "bc", "d"]) == [None, "b", None]


@given(st.lists(st.sampled_from(["/", ".", "a", "b", "\n", "é", "-", " ", "\\", "["]), max_size=8).map("".join))
@MANY
def test_patterns_match_as_pythons_own(value):
    """Python's `re.fullmatch` is the reference for the closed subset."""
    for pattern in [
        r"/([^/]+)\.([^/.]+)",
        r"(a+)(b?)",
        r"[\-a]{1,2}([^a-b]*)",
        r"a\ b\\\[",
        r"(?:a|)".replace("|", ""),
    ]:
        found = re.fullmatch(pattern, value)
        matches, *groups = (
            texts(node, [value])[0]
            for node in [
                op.RegexMatches(this=column("x"), pattern=text(pattern)),
                *(
                    op.RegexCapture(this=column("x"), pattern=text(pattern), group=number(group + 1))
                    for group in range(re.compile(pattern).groups)
                ),
            ]
        )
        assert matches is (found is not None)
        assert groups == ([None] * len(groups) if found is None else list(found.groups()))


# -- tables and lists -------------------------------------------------------------------------------------


def test_parquet_files_are_read_one_after_the_other(tmp_path):
    """The rows of all files, in their order; a folder named a=b gives no column."""
    folder = tmp_path / "a=1" / "it's"
    folder.mkdir(parents=True)
    for index in range(2):
        pq.write_table(pa.table({"n": [index * 2, index * 2 + 1]}), folder / f"{index}.parquet")
    files = op.ParquetFiles(expressions=[text(str(folder / f"{index}.parquet")) for index in (1, 0)])
    table = exp.alias_(exp.Table(this=files), "t", table=True)
    assert CONNECTION.execute(DUCKDB.render(exp.select("*").from_(table))).fetchall() == [(2,), (3,), (0,), (1,)]
    with pytest.raises(LoweringError, match="at least one file"):
        DUCKDB.render(exp.select("*").from_(exp.Table(this=op.ParquetFiles(expressions=[]))))


def test_odd_values_are_found_by_the_column_name():
    """Class and text of a row's odd value; bytes and text that is not UTF-8 have no text."""
    entries = [
        None,
        [],
        [{"name": "n", "class": "text", "value": "é".encode()}],
        [{"name": "m", "class": "integer", "value": b"1"}, {"name": "n", "class": "real", "value": b"0.1"}],
        [{"name": "n", "class": "blob", "value": b"\xff"}],
        [{"name": "n", "class": "invalid", "value": b"\xff\xfe"}],
        [{"name": "n", "class": "refused", "value": b"0"}],
        [{"name": "N", "class": "text", "value": b"x"}],
    ]
    CONNECTION.register("odd_rows", pa.table({"i": range(len(entries)), "_odd": pa.array(entries, ODD_TYPE)}))
    nodes = [kind(this=exp.column("_odd", quoted=True), name=text("n")) for kind in (op.OddClass, op.OddText)]
    rows = CONNECTION.execute(DUCKDB.render(exp.select(*nodes).from_("odd_rows").order_by("i"))).fetchall()
    assert rows == [
        (None, None),
        (None, None),
        ("text", "é"),
        ("real", "0.1"),
        ("blob", None),
        ("invalid", None),
        ("refused", None),
        (None, None),
    ]


def test_reasons_are_joined_in_order_without_nulls():
    """Only reasons that hold, a line feed between them; NULL where none holds."""
    assert one(op.JoinReasons(expressions=[text("a"), exp.Null(), text("b")])) == "a\nb"
    assert one(op.JoinReasons(expressions=[exp.Null(), text("b")])) == "b"
    assert one(op.JoinReasons(expressions=[exp.Null(), exp.Null()])) is None
    assert one(op.JoinReasons(expressions=[])) is None


def test_an_object_is_gathered_in_the_order_of_its_names():
    """Members by code points, null for a NULL value, RFC 8259's escapes and no others; NULL without a name."""
    names = ["b", "B", "é", "\U0001f600", "\ufb01", None, '"', "\\", "\x01\n\x1f"]
    values = ["1", None, "/", "\u2028", "\x7f", "lost", "q", "", "\t"]
    connection = connect()
    connection.execute("CREATE TABLE v (x TEXT, y TEXT)")
    gathered = op.GatheredObject(this=column("x"), expression=column("y"))
    statement = DUCKDB.render(exp.select(gathered).from_(exp.to_table("v", quoted=True)))
    assert connection.execute(statement).fetchall() == [(None,)]
    connection.executemany("INSERT INTO v VALUES (?, ?)", list(zip(names, values, strict=True)))
    first = '{"\\u0001\\n\\u001F":"\\t","\\"":"q","B":null,"\\\\":"","b":"1",'
    expected = first + '"é":"/","\ufb01":"\x7f","\U0001f600":"\u2028"}'
    assert connection.execute(statement).fetchall() == [(expected,)]


# -- references of the tests' own -------------------------------------------------------------------------

BLANKS = st.text("\t\n\v\f\r ", max_size=2)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(BLANKS, ANY, BLANKS).map("".join), min_size=1, max_size=30))
@MANY
def test_trim_and_length_as_pythons_own(values):
    """Python's strip with the six characters and len are the references."""
    found = evaluate(
        CONNECTION, [op.TrimAscii(this=column("x")), op.CodePoints(this=column("x"))], {"x": (TEXT, values)}
    )
    assert found == [[value.strip("\t\n\v\f\r ") for value in values], [len(value) for value in values]]


@given(st.lists(ANY, min_size=1, max_size=30), st.uuids())
@MANY
def test_uuids_as_pythons_own(values, namespace):
    """Python's uuid5 is the reference, for any text and any namespace."""
    node = op.Uuid5(this=column("x"), namespace=text(namespace.hex))
    assert texts(node, values) == [uuid.uuid5(namespace, value) for value in values]


DIGITS = st.text("0123456789", min_size=1, max_size=30)
NUMERIC = st.tuples(
    st.sampled_from(["", "+", "-"]),
    DIGITS,
    st.one_of(st.just(""), DIGITS.map(lambda digits: f".{digits}")),
    st.one_of(st.just(""), st.integers(-40, 40).map(lambda power: f"e{power}")),
).map("".join)


@given(
    st.lists(NUMERIC, min_size=1, max_size=20),
    st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))),
)
@MANY
def test_decimals_are_exact_or_null(values, bounds):
    """Fractions are the reference: a value is given if and only if it is a multiple of 10^-scale that fits."""
    precision, scale = bounds
    node = op.ParseDecimal(this=column("x"), precision=number(precision), scale=number(scale))
    for value, found in zip(values, texts(node, values), strict=True):
        units = Fraction(value) * 10**scale
        fits = units.denominator == 1 and abs(units.numerator) < 10**precision
        assert (found is not None) == fits, value
        assert found is None or Fraction(found) == Fraction(value)


@given(st.lists(NUMERIC, min_size=1, max_size=30))
@MANY
def test_doubles_are_the_nearest(values):
    """Python's float, which is correctly rounded, is the reference."""
    for value, found in zip(values, texts(op.ParseDouble(this=column("x")), values), strict=True):
        nearest = float(value)
        lost = nearest == 0 and Fraction(value) != 0
        assert same(found, None if lost else nearest), value


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**27), max_value=10**27)))
@MANY
def test_decimals_become_the_nearest_doubles(values):
    """Division of exact integers rounds once, so Fraction gives the reference."""
    with localcontext(prec=80):
        exact = [Decimal(value).quantize(Decimal("1e-10")) for value in values] or [Decimal(0)]
    kind = LogicalType(Kind.DECIMAL, precision=38, scale=10)
    found = evaluate(CONNECTION, [op.DoubleFromDecimal(this=column("x"))], {"x": (kind, exact)})[0]
    assert found == [float(Fraction(value)) for value in exact]


@given(
    st.lists(st.floats(), min_size=1, max_size=30), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30)
)
@MANY
def test_integers_and_doubles_convert_exactly_or_not_at_all(doubles, integers):
    """A conversion is given if and only if the way back gives the same value."""
    whole = evaluate(CONNECTION, [op.IntegerFromDouble(this=column("x"))], {"x": (DOUBLE, doubles)})[0]
    for double, found in zip(doubles, whole, strict=True):
        is_whole = abs(double) < float("inf") and double.is_integer() and -(2**63) <= double < 2**63
        assert found == (int(double) if is_whole else None)
    for integer, found in zip(
        integers,
        evaluate(CONNECTION, [op.DoubleFromInteger(this=column("x"))], {"x": (BIGINT, integers)})[0],
        strict=True,
    ):
        assert found == (float(integer) if abs(integer) <= 2**53 else None)


NEARLY_TIMESTAMPS = st.tuples(
    st.integers(0, 10_000).map(lambda year: f"{year:04d}"),
    st.integers(0, 13).map(lambda month: f"-{month:02d}"),
    st.integers(0, 32).map(lambda day: f"-{day:02d}"),
    st.sampled_from([" ", "T", "  ", ""]),
    st.integers(0, 25).map(lambda hour: f"{hour:02d}"),
    st.integers(0, 61).map(lambda minute: f":{minute:02d}"),
    st.integers(0, 61).map(lambda second: f":{second:02d}"),
    st.sampled_from(["", ".", ".1", ".123456", ".1234560", ".1234561", ".000000000000"]),
)
OFFSETS = st.one_of(
    st.just(("Z", 0)),
    st.tuples(st.sampled_from("+-"), st.integers(0, 86399)).map(
        lambda pair: (
            f"{pair[0]}{pair[1] // 3600:02d}:{pair[1] // 60 % 60:02d}:{pair[1] % 60:02d}",
            pair[1] * (1 if pair[0] == "+" else -1),
        )
    ),
)


def _timestamp(parts: tuple[str, ...]) -> datetime | None:
    """The reference: Python's calendar over the parts, which hold only what the strategies make."""
    year, month, day, space, hour, minute, second, fraction = parts
    digits = fraction.removeprefix(".")
    if len(year) != 4 or space not in {" ", "T"} or fraction == "." or digits[6:].strip("0"):
        return None
    try:
        return datetime(  # noqa: DTZ001 - a local time without a zone
            int(year),
            int(month[1:]),
            int(day[1:]),
            int(hour),
            int(minute[1:]),
            int(second[1:]),
            int(digits[:6].ljust(6, "0")),
        )
    except ValueError:
        return None


@given(st.lists(st.tuples(NEARLY_TIMESTAMPS, OFFSETS), min_size=1, max_size=30))
@MANY
def test_timestamps_and_instants_follow_the_calendar(values):
    """Python's datetime is the reference for the calendar, plain subtraction for the offset."""
    written = ["".join(parts) for parts, _ in values]
    instants = [text_ + offset for text_, (_, (offset, _)) in zip(written, values, strict=True)]
    columns = {"x": (TEXT, written), "y": (TEXT, instants)}
    nodes = [op.ParseTimestamp(this=column("x")), op.LocalMicros(this=op.ParseInstant(this=column("y")))]
    locals_, micros = evaluate(CONNECTION, nodes, columns)
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - a local time without a zone
    for (parts, (_, seconds)), local, found in zip(values, locals_, micros, strict=True):
        expected = _timestamp(parts)
        assert local == expected, parts
        try:
            utc = None if expected is None else expected - timedelta(seconds=seconds)
        except OverflowError:
            utc = None
        assert found == (None if utc is None else (utc - epoch) // timedelta(microseconds=1)), parts
