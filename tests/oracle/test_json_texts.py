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


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_deep_nesting_ends_in_an_answer(count: int):
    """A text of many brackets is answered, not a crash."""
    assert read_json("[" * count) is None


def _rows(table: Table) -> list:
    return [row for row in table.rows if row[0][0] is not None]
