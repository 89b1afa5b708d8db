"""Rows of a target by whose they are, found in files that are made by hand."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.checks.scripts_bench import require_quotes
from transhume.checks.present_rows import claiming_rows, missing_rows, other_rows
from transhume.checks.references import chosen_parents
from transhume.dialects import DIALECTS


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Runs a SELECT over the files of the test's folder."""
    monkeypatch.chdir(tmp_path)
    server = duckdb.connect()

    def ask(select):
        require_quotes(select)
        return sorted(server.execute(DIALECTS["duckdb"].render(select)).fetchall(), key=str)

    yield ask
    server.close()


def _file(name: str, **columns) -> str:
    pq.write_table(pa.table(columns), Path(name))
    return name


@pytest.fixture
def files(ask):
    """Two batches of a run with keys (a, b), and the rows that the target shows with keys (x, y)."""
    own = [
        _file("o1.parquet", **{"a a": [1, 2], "group": ["p", "q"]}),
        _file("o2.parquet", **{"a a": [3, 3], "group": ["r", "s"]}),
    ]
    present = _file(
        "present.parquet",
        **{
            "x x": [1, 2, 3, 9, 8, 7],
            "order": ["p", "z", "s", "t", "u", "v"],
            "original id": [1, 2, 3, 2, 3, 4],
            "part": ["1", "2", "3", "2", "4", "4"],
        },
    )
    return own, present


KEY = {"a a": "x x", "group": "order"}


def test_rows_that_the_target_does_not_show_are_missing(ask, files):
    """Every part of the key counts."""
    own, present = files
    assert ask(missing_rows(own, present, KEY)) == [(2, "q"), (3, "r")]


def test_rows_that_no_batch_holds_are_others(ask, files):
    """Under the target's own names."""
    own, present = files
    select = other_rows(own, present, KEY)
    assert ask(select) == [(2, "z"), (7, "v"), (8, "u"), (9, "t")]
    assert select.named_selects == ["x x", "order"]


def test_a_row_of_others_that_holds_a_source_key_of_this_run_claims_it(ask, files):
    """Whatever the types of the key on both sides; of rows in the buckets that are asked for."""
    own, present = files
    buckets = ["rejected", "loaded", "filtered"]
    fates = _file("fates.parquet", _k0=["2", "3", "2"], _k1=[2, 4, 9], **{"fa te": buckets})
    select = claiming_rows(own, present, KEY, [fates], ["original id", "part"], ["rejected", "filtered"], "fa te")
    assert ask(select) == [(2, "z"), (9, "t")]
    select = claiming_rows(own, present, KEY, [fates], ["original id", "part"], ["loaded"], "fa te")
    assert ask(select) == [(8, "u")]


def test_the_parents_of_chosen_rows_are_chosen_once(ask):
    """Every part of the reference counts; a parent of two chosen rows is one row."""
    children = _file("c.parquet", _row=[0, 1, 2, 3], **{"r r": [1, 1, 2, 3], "group": ["a", "a", "b", "c"]})
    parents = _file("p.parquet", _row=[10, 11, 12, 13], **{"k k": [1, 2, 3, 1], "order": ["a", "x", "c", "z"]})
    chosen = _file("n.parquet", _row=[0, 1, 2])
    assert ask(chosen_parents([children], ["r r", "group"], [parents], ["k k", "order"], chosen)) == [(10,)]
    assert ask(chosen_parents([children], ["r r"], [parents], ["k k"], chosen)) == [(10,), (11,), (13,)]
