"""The rows that a target shows under a batch's keys: where they are expected, or anywhere, each beside its own key."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transhume.batches import TargetTable
from transhume.schema import BIGINT, TEXT, Column, Table
from transhume.stages.proof.compare import ShownRows
from transhume.stages.proof.recompute import KEY_TEXT, POSITION

_TARGET = TargetTable("t", Table("t", (Column("id", BIGINT), Column("name", TEXT))), ("id",), create=True)
_SIZE, _BATCHES = 20, 5


class _Engine:
    """DuckDB in this process, which counts how often it looks among all rows."""

    dialect = "duckdb"

    def __init__(self, work: Path) -> None:
        self._work, self._connection, self.asked = work, duckdb.connect(), 0
        self._connection.execute(f"SET file_search_path = '{work}'")

    def query(self, text: str) -> pa.Table:
        return self._connection.sql(text).to_arrow_table()

    def to_arrow(self, text: str, output: Path) -> None:
        self.asked += 1
        found = self.query(text)
        with pa.OSFile(str(self._work / output), "wb") as file, pa.ipc.new_file(file, found.schema) as writer:
            writer.write_table(found)


def _asked(folder: Path, keys: list[int], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[int, list[str | None]], int]:
    """Return by expected key the names shown for it, and how often the engine was asked, of a table with these keys."""
    monkeypatch.setattr("transhume.stages.proof.compare._SLACK_ROWS", 2)
    present = pa.table({"id": keys, "name": [f"row {key} at {place}" for place, key in enumerate(keys)]})
    pq.write_table(present, folder / "present.parquet", row_group_size=10)
    engine = _Engine(folder)
    shown = ShownRows(engine, folder, _TARGET, "present.parquet", [_SIZE] * _BATCHES)  # type: ignore[arg-type]
    result: dict[int, list[str | None]] = {}
    for batch in range(_BATCHES):
        own = range(batch * _SIZE, (batch + 1) * _SIZE)
        expected = pa.table({POSITION: own, KEY_TEXT: [str(key) for key in own], "id": own, "name": ["x"] * _SIZE})
        pq.write_table(expected, folder / "expected.parquet")
        aligned, there = shown.under_keys(expected, "expected.parquet", batch)
        for key, name in zip(aligned["id"].to_pylist(), there["name"].to_pylist(), strict=True):
            result.setdefault(key, []).append(name)
    return result, engine.asked


def _wanted(keys: list[int]) -> dict[int, list[str | None]]:
    found: dict[int, list[str | None]] = {key: [] for key in range(_SIZE * _BATCHES)}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(f"row {key} at {place}")
    return {key: sorted(found[key], key=str) or [None] for key in range(_SIZE * _BATCHES)}


_IN_ORDER = list(range(_SIZE * _BATCHES))


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        (_IN_ORDER, 0),
        ([*_IN_ORDER[:20][::-1], *_IN_ORDER[20:]], 0),  # a batch sorted otherwise
        ([-1, *_IN_ORDER[:50], -2, *_IN_ORDER[50:], -3], 0),  # a few rows of others among them
        ([*_IN_ORDER[:7], *_IN_ORDER[8:], 7], 1),  # a row at another end of the table
        ([*_IN_ORDER[:7], *_IN_ORDER[8:]], 1),  # a row that is gone
        (_IN_ORDER[::-1], 5),  # another order everywhere, not looked for again
        ([*_IN_ORDER, 3], 5),  # a key that stands twice
    ],
)
def test_each_expected_row_stands_beside_every_row_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[int], asked: int
) -> None:
    """Whatever the order of the target; the engine is asked only where the order does not answer."""
    found, engine_asked = _asked(tmp_path, keys, monkeypatch)
    assert {key: sorted(names, key=str) for key, names in found.items()} == _wanted(keys)
    assert engine_asked == asked
