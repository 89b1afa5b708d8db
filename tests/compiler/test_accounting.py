"""The accounting by row finds what equal counts hide."""

from pathlib import Path

import pytest

from tests.compiler.workbench import Workbench, column, plan_of
from transhume.compiler import compile_accounting, compile_unaccounted

_PLAN = "tables: {t: {from: s, key: id, create: true, types: {id: bigint primary key}, columns: {id: id}}}"


@pytest.mark.parametrize(
    ("fate_rows", "wrong"),
    [
        ([0, 1, 2, 3], {}),
        ([0, 1, 1, 3], {1: (1, 2), 2: (1, 0)}),
        ([0, 1, 2], {3: (1, 0)}),
        ([0, 1, 2, 3, 4], {4: (0, 1)}),
        ([], {0: (1, 0), 1: (1, 0), 2: (1, 0), 3: (1, 0)}),
    ],
)
def test_each_row_has_exactly_one_fate(tmp_path: Path, fate_rows: list[int], wrong: dict[int, tuple[int, int]]) -> None:
    """Rows without a fate, fates without a row and rows with two fates are found one by one."""
    bench = Workbench(tmp_path, plan_of(_PLAN))
    bench.table("s", [column("id", "bigint")], [{"id": place} for place in range(4)], segment_rows=3)
    paths = [bench.fates_file([(row, row, "loaded") for row in fate_rows])] if fate_rows else []
    mapping = bench.plan.tables["t"]
    rows = bench.query(compile_unaccounted(mapping, bench.facts, paths))
    assert {row["_row"]: (row["extract_count"], row["fate_count"]) for row in rows} == wrong
    assert bench.query(compile_accounting(mapping, bench.facts, paths)) == [{"row_count": len(wrong)}]
