"""The SELECTs of wrong rows find planted duplicates and orphans on a real engine, and nothing else."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.checks.scripts_bench import require_quotes
from transhume.checks.counts import TableTally, accounting, reject_limit
from transhume.checks.keys import duplicate_keys
from transhume.checks.references import orphans
from transhume.dialects import DIALECTS
from transhume.engines.duckdb import DuckDBEngine
from transhume.plan.model import RejectLimit


@pytest.fixture
def engine(tmp_path):
    made = DuckDBEngine(tmp_path, memory_limit_bytes=200_000_000, threads=1)
    yield made
    made.close()


def _file(folder: Path, name: str, **columns) -> str:
    pq.write_table(pa.table(columns), folder / name)
    return name


def _rows(engine, select) -> list[dict]:
    require_quotes(select)
    return sorted(engine.query(DIALECTS["duckdb"].render(select)).to_pylist(), key=str)


def test_duplicate_keys_are_named_once(engine, tmp_path):
    """A key that stands twice or more is found once; NULLs are equal to one another here; others are not found."""
    path = _file(tmp_path, "t.parquet", a=[1, 1, 2, 3, 3, 3], b=["x", "x", "x", None, None, "y"])
    assert _rows(engine, duplicate_keys([path], ["a", "b"])) == [{"a": 1, "b": "x"}, {"a": 3, "b": None}]


def test_orphans_are_found_row_by_row(engine, tmp_path):
    """Every row whose reference finds nothing is found; one with a NULL part refers to nothing and is not."""
    child = _file(tmp_path, "c.parquet", x=[1, 2, 9, 9, None], y=["a", "b", "a", "a", "a"])
    parents = [_file(tmp_path, "p1.parquet", k=[1], l=["a"]), _file(tmp_path, "p2.parquet", k=[2, 9], l=["b", "z"])]
    assert _rows(engine, orphans([child], ["x", "y"], parents, ["k", "l"])) == [{"x": 9, "y": "a"}, {"x": 9, "y": "a"}]


@pytest.mark.parametrize(
    ("tally", "extracted", "unaccounted", "count"),
    [
        (TableTally("t", read=10, loaded=7, rejected=2, filtered=1), 10, 0, 0),
        (TableTally("t", read=10, loaded=7, rejected=2), 10, 0, 1),
        (TableTally("t", read=9, loaded=7, rejected=2), 10, 0, 1),
        (TableTally("t", read=10, loaded=7, rejected=2, unchanged=1), 10, 2, 2),
    ],
)
def test_accounting_fails_on_any_missing_row(tally, extracted, unaccounted, count):
    """A row in no bucket, one not read, or equal counts with wrong rows: each is an error."""
    assert accounting(tally, extracted, unaccounted).count == count


def test_reject_limits_name_what_is_over():
    """A share, a number and a limit by reason each count; a reason without a limit of its own has none to spare."""
    tally = TableTally("t", read=200, rejected=9)
    tally.reasons.update({"unmapped:a": 5, "orphan:b": 3, "null:c": 1})
    assert reject_limit(tally, RejectLimit(share=0.05)).passed
    assert reject_limit(tally, RejectLimit(count=4)).count == 5
    by_reason = RejectLimit(by_reason={"unmapped": RejectLimit(count=2), "orphan:b": RejectLimit(count=3)})
    result = reject_limit(tally, by_reason)
    assert result.count == 3
    assert "5 'unmapped', allowed 2" in result.detail
    assert "'null:c', which has no limit" in result.detail
    assert "orphan" not in result.detail
