"""DuckDB as an engine with tasks: each work is sent by pickle and done twice side by side, as speculative tasks are.

What a cluster does besides - workers on other machines that die - is tested on one (`tests/spark`).
"""

import itertools
import pickle
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from transhume.engines.duckdb import DuckDBEngine
from transhume.engines.engine import ItemWork, RangeWork, TaskDone
from transhume.engines.task_work import done, taken
from transhume.project import workplace
from transhume.stages import reach


class TaskingDuckDB(DuckDBEngine):
    """Does every work of a task twice, and takes what the second gave."""

    shares_folder = True
    ranges = 0
    """Works that were done in tasks, but for those that only try whether tasks reach the target."""
    sent: ClassVar[list[bytes]] = []
    """What went to them."""
    _numbers = itertools.count()

    def reaches_tasks(self) -> bool:
        """Say so."""
        return True

    def each_range(
        self, select: str, by: str, ranges: Sequence[tuple[int, int]], work: RangeWork
    ) -> Generator[TaskDone]:
        """Do a work for the rows of each range."""
        output = Path("tasks") / f"{next(self._numbers)}.arrow"
        self.to_arrow(select, output)
        with pa.memory_map(str(self._work / output)) as mapped:
            rows = pa.ipc.open_file(mapped).read_all()
            # In no order, as the rows of a shuffle come.
            rows = rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))
            parts = []
            for first, count in ranges:
                parts.append(
                    rows.filter(pc.is_in(rows[by], value_set=pa.array(range(first, first + count), pa.int64())))
                )
            yield from self._twice(work, parts, by)

    def each(self, count: int, work: ItemWork) -> Generator[TaskDone]:
        """Do a work for every number below a count."""
        yield from self._twice(work, [None] * count, "")

    def _twice(self, work: Any, parts: Sequence[pa.Table | None], by: str) -> Generator[TaskDone]:
        root, folder = str(self._work), f"attempts-{next(self._numbers)}"
        sent, is_try = pickle.dumps(work), isinstance(work, reach._Trying)
        type(self).sent.append(sent)
        with ThreadPoolExecutor(4) as tasks:
            attempts = [
                [tasks.submit(done, sent, place, root, folder, rows, by) for _ in range(2)]
                for place, rows in enumerate(parts)
            ]
            for place, (first, second) in enumerate(attempts):
                first.result()
                (row,) = second.result().to_pylist()
                type(self).ranges += not is_try
                yield TaskDone(place, taken(row["answer"]), self._work / folder / (row["folder"] or "nothing"))


def use(monkeypatch: pytest.MonkeyPatch, batches: int = 3) -> None:
    """Have runs compute by this engine, with so many batches a statement."""

    def opened(folder: Any, capacity: Any, *_: Any) -> TaskingDuckDB:
        engine = TaskingDuckDB(folder.work, capacity.engine_memory_bytes, capacity.jobs)
        engine.segments_together = batches
        return engine

    TaskingDuckDB.ranges = 0
    TaskingDuckDB.sent.clear()
    monkeypatch.setattr(workplace, "open_engine", opened)
