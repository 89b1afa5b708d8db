"""The oracle's reading of JSON against the hand-written tables that hold for the engine's operations too."""

import pytest

from tests.dialects.operation_cases import Table, tables
from transhume import operations as op
from transhume.oracle.json_texts import changes_as_value, read_json

TABLES = {table.operation: table for table in tables()}


def test_texts_are_json_by_the_letter():
    """What RFC 8259 calls JSON is given back as it is, everything else is none."""
    rows = [(values[0], out) for values, out in _rows(TABLES[op.ParseJson])]
    assert [(text, out) for text, out in rows if read_json(text) != out] == []


def test_changes_by_keeping_the_value_only_are_seen():
    """Repeated names, U+0000 and long numbers are seen in any depth and spelling."""
    rows = [(values[0], out) for values, out in _rows(TABLES[op.JsonKeepsValue])]
    assert [(text, out) for text, out in rows if changes_as_value(text) is out] == []


@pytest.mark.parametrize(
    ("number", "is_changed"),
    [
        *(("9" * 999, False), ("9" * 1000, True), ("-" + "9" * 999, False), ("-" + "9" * 1000, True)),
        *(("9" * 600 + "." + "9" * 600, False), ("1." + "9" * 999, False), ("1." + "9" * 1000, True)),
        *(("9" * 1000 + ".5", True), ("1e999", False), ("1E-0999", False), ("1e1000", True), ("1.5E+1000", True)),
    ],
    ids=lambda value: str(value)[:9],
)  # fmt: skip
def test_a_number_has_999_digits_on_either_side_and_as_many_in_its_exponents_size(number: str, is_changed: bool):
    """In any depth: beyond that systems that keep numbers lose or refuse them."""
    for text in (
        number,
        f"[[{number}]]",
        f'{{"a": {{"b": [1, {number}]}}, "c": [2]}}',
        f'[[1, 2], {number}, {{"a": 1}}]',
    ):
        assert changes_as_value(text) is is_changed


def test_no_json_changes_nothing():
    """It is refused elsewhere, and for what it is."""
    assert changes_as_value("{") is False
    assert changes_as_value("[" * 100_000) is False


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_deep_nesting_ends_in_an_answer(count: int):
    """A text of many brackets is answered, not a crash."""
    assert read_json("[" * count) is None


def _rows(table: Table) -> list:
    return [row for row in table.rows if row[0][0] is not None]
