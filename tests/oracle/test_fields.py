"""One target column of a mapping: its bounds, which way its rule goes, and what is remembered. Expected by hand."""

from typing import Any

import pytest

from transhume.batches import TargetTable
from transhume.oracle import Odd, Oracle, Rows
from transhume.oracle.reading import Field
from transhume.plan.model import Plan
from transhume.rules import parse_rule
from transhume.schema import BIGINT, INT, JSON, TEXT, Carrier, Column, Kind, LogicalType, Table, parse_type

SOURCE = Table(
    "t",
    (
        *(Column("id", BIGINT), Column("n", BIGINT), Column("s", TEXT), Column("d", LogicalType(Kind.DOUBLE))),
        *(Column("j", JSON, carrier=Carrier.TEXT), Column("other", TEXT)),
    ),
)
NOTHING = dict.fromkeys(("id", "n", "s", "d", "j", "other"))


def _field(rule: Any, column: Column, key: tuple[str, ...] = ("id",)) -> tuple[Field, Oracle]:
    mapping = {"from": "t", "key": list(key), "columns": {column.name: rule}}
    plan = Plan.model_validate(
        {
            "transhume": "1",
            "name": "n",
            "namespace": "n",
            "source": "sqlite:///x.db",
            "target": "iceberg:./lake",
            "tables": {"t": mapping},
        },
        context={"parse_rule": parse_rule},
    )
    oracle = Oracle(plan, plan.tables["t"], TargetTable("t", Table("t", (column,)), (), create=True), {"t": SOURCE})
    return oracle.fields()[0], oracle


def _held(rule: Any, column: Column, **row: Any) -> tuple[Any, tuple[str, ...]]:
    field, oracle = _field(rule, column)
    alone = field.of(oracle.read(NOTHING | row))
    assert field.all(Rows(oracle, [NOTHING | row] * 3)) == [alone] * 3
    return tuple(alone)


@pytest.mark.parametrize(
    ("bits", "number", "is_held"),
    [
        *((16, 32_767, True), (16, 32_768, False), (16, -32_768, True), (16, -32_769, False), (16, 0, True)),
        *((8, 127, True), (8, 128, False), (8, -128, True), (8, -129, False), (8, -1, True), (8, 2**40, False)),
        *((None, 2**62, True), (None, -(2**62), True)),
    ],
)  # fmt: skip
def test_an_integer_column_holds_as_many_bits_as_it_has(bits: int | None, number: int, is_held: bool) -> None:
    """Smaller ones than the type has are the system's own."""
    column = Column("c", BIGINT if bits is None else INT, bits_max=bits)
    expected = (number, ()) if is_held else (None, ("out_of_range:n",))
    if not is_held and not -(2**31) <= number < 2**31:
        column = Column("c", BIGINT, bits_max=bits)
    assert _held("n", column, n=number) == expected


@pytest.mark.parametrize(
    ("column", "text", "reasons"),
    [
        (Column("c", parse_type("text(3)")), "abc", ()),
        (Column("c", parse_type("text(3)")), "abcd", ("too_long:s",)),
        (Column("c", parse_type("text(3)")), "\U0001f600" * 3, ()),
        (Column("c", parse_type("text(3)")), "a\0", ("nul_character:s",)),
        (Column("c", parse_type("text(3)")), "abc\0", ("nul_character:s", "too_long:s")),
        (Column("c", TEXT), "x" * 4000, ()),
        (Column("c", TEXT, nullable=False), None, ("null:s",)),
        (Column("c", TEXT, nullable=False), "", ()),
        (Column("c", TEXT), None, ()),
        (Column("c", TEXT, nullable=False), Odd("blob", b""), ("blob:s",)),
    ],
)
def test_a_text_column_holds_so_many_characters_and_no_nul(column: Column, text: Any, reasons: tuple[str, ...]) -> None:
    """Both are said; NULL only where it must not be, and not of a value that is bad already."""
    assert _held("s", column, s=text) == (None if reasons else text, reasons)


def test_parts_of_a_list_are_held_against_its_bounds() -> None:
    """One that is too long, or has a NUL, is enough."""
    column = Column("c", parse_type("list(text(2))"))
    rule = {"split": "s", "by": ","}
    assert _held(rule, column, s="ab,,c") == (["ab", "", "c"], ())
    assert _held(rule, column, s="ab,abc,c") == (None, ("too_long:s",))
    assert _held(rule, column, s="\0,a") == (None, ("nul_character:s",))
    assert _held(rule, column, s="abc,\0") == (None, ("nul_character:s", "too_long:s"))


@pytest.mark.parametrize(("text", "is_changed"), [('{"a": 1}', False), ('{"a": 1, "a": 2}', True), ('"\\u0000"', True)])
def test_json_is_refused_where_its_value_alone_would_be_kept(text: str, is_changed: bool) -> None:
    """A column that keeps the text takes it as it is."""
    expected = (None, ("json_changed:j",)) if is_changed else (text, ())
    assert _held("j", Column("c", JSON, keeps_text=False), j=text) == expected
    assert _held("j", Column("c", JSON), j=text) == (text, ())
    assert _held("j", Column("c", TEXT, keeps_text=False), j=text) == (text, ())


def test_a_field_tells_its_rules_ways() -> None:
    """Asked once for each distinct value; a rule of one way says so."""
    field, oracle = _field({"codes": "s", "to": {"A": "x"}, "else": "keep"}, Column("c", TEXT))
    assert field.has_ways
    rows = [oracle.read(NOTHING | {"s": text}) for text in ("A", "B", None, "A", "B", None)]
    assert [field.way(row) for row in rows] == ["code A", "else", ""] * 2
    floats, oracle = _field({"coalesce": ["d", "n"]}, Column("c", LogicalType(Kind.DOUBLE)))
    rows = [oracle.read(NOTHING | {"d": number, "n": 1}) for number in (0.5, None, 0.5)]
    assert [floats.way(row) for row in rows] == ["choice 1", "choice 2", "choice 1"]
    assert not _field("s", Column("c", TEXT))[0].has_ways


def test_equal_values_are_told_apart_where_they_are_not_the_same() -> None:
    """0.0 and -0.0 are equal, and each stays itself; so is a value beside another column's."""
    field, oracle = _field("d", Column("c", LogicalType(Kind.DOUBLE)))
    rows = [NOTHING | {"d": number} for number in (0.0, -0.0, 0.0)]
    assert str([value for value, _ in field.all(Rows(oracle, rows))]) == "[0.0, -0.0, 0.0]"
    assert str([field.of(oracle.read(row))[0] for row in rows]) == "[0.0, -0.0, 0.0]"
    both, oracle = _field({"concat": ["s", "other"], "with": "|"}, Column("c", TEXT))
    rows = [NOTHING | {"s": s, "other": other} for s, other in (("a", "b"), ("a", "c"), ("a", "b"), ("b", "a"))]
    assert [value for value, _ in both.all(Rows(oracle, rows))] == ["a|b", "a|c", "a|b", "b|a"]
    assert [both.of(oracle.read(row))[0] for row in rows] == ["a|b", "a|c", "a|b", "b|a"]
