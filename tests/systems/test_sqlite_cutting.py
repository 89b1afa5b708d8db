"""Where a batch ends depends on the rows alone."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transhume.batches import odd_array
from transhume.systems.sqlite.cutting import batches
from transhume.systems.sqlite.fetch import Part

SCHEMA = pa.schema([("_row", pa.int64()), ("n", pa.int64()), ("t", pa.string()), ("_odd", odd_array(0, {}).type)])


def _part(lengths: list[int], first: int = 0) -> Part:
    odd = {"n": {place: ("text", b"x" * length) for place, length in enumerate(lengths) if length % 7 == 3}}
    return [
        pa.array(range(first, first + len(lengths)), pa.int64()),
        pa.array([None if length % 5 == 0 else "t" * length for length in lengths], pa.string()),
        odd_array(len(lengths), odd),
    ]


@given(
    lengths=st.lists(st.integers(0, 60), max_size=40),
    cuts=st.sets(st.integers(0, 40)),
    rows_max=st.integers(1, 12),
    bytes_max=st.integers(1, 400),
)
def test_batches_are_the_same_however_rows_come_in_parts(lengths, cuts, rows_max, bytes_max):
    """All rows in order, within the bounds, and with the same ends for parts of any length, empty ones among them."""
    whole = list(batches([_part(lengths)], SCHEMA, rows_max, bytes_max))
    parts = []
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), len(lengths)], strict=True):
        parts.append(_part(lengths[low:high], low))
    found = list(batches(parts, SCHEMA, rows_max, bytes_max))
    assert [each.num_rows for each in found] == [each.num_rows for each in whole]
    assert all(one.equals(other) for one, other in zip(found, whole, strict=True))
    joined = pa.Table.from_batches(whole, SCHEMA)
    assert joined.column("_row").to_pylist() == joined.column("n").to_pylist() == list(range(len(lengths)))
    assert all(1 <= each.num_rows <= rows_max for each in whole)


def test_names_and_classes_of_odd_values_count():
    """Each odd value weighs its name, class and content: four rows of 89 bytes in 356."""
    columns = _part([4] * 8)
    columns[2] = odd_array(8, {"n" * 20: dict.fromkeys(range(8), ("text", b"x" * 37))})
    assert [each.num_rows for each in batches([columns], SCHEMA, 100, 356)] == [4, 4]
    assert [each.num_rows for each in batches([columns], SCHEMA, 100, 355)] == [3, 3, 2]


def test_a_batch_is_filled_up_to_its_bounds():
    """Three values of 8 bytes a row, and the text's own: five rows of 24 + 4 bytes in 140, four of three in 100."""
    rows = _part([4] * 10)
    assert [each.num_rows for each in batches([rows], SCHEMA, 100, 140)] == [5, 5]
    assert [each.num_rows for each in batches([rows], SCHEMA, 100, 139)] == [4, 4, 2]
    assert [each.num_rows for each in batches([rows], SCHEMA, 3, 10_000)] == [3, 3, 3, 1]
    assert [each.num_rows for each in batches([rows], SCHEMA, 100, 1)] == [1] * 10
