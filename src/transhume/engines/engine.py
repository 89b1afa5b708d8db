"""What an engine must do: run a SELECT over files of the run's work folder."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa


class Engine(Protocol):
    """Computes; touches only files inside its work folder. Paths in SQL and arguments are relative to it."""

    dialect: str
    """Name of the dialect in `transhume.dialects.DIALECTS` whose SQL it takes."""
    segments_together: int
    """How many segments it works on at once: as many has a statement that joins much, or whose rows
    its tasks write."""

    def start(self) -> None:
        """Get ready, so that the first statement need not wait."""
        ...

    def to_arrow(self, select: str, output: Path) -> int:
        """Run a SELECT and write its rows as an Arrow IPC file; return the row count.

        Raises: EngineCrashed if the process died or ran out of memory; `output` does not exist then.
        """
        ...

    def to_arrow_files(self, select: str, by: str, outputs: Sequence[tuple[Path, int, int]]) -> Generator[int]:
        """Run one SELECT and write its rows into several files: path, first value of column `by`, row count.

        Yields the position of each file when it is complete, in any order.
        Raises: as `to_arrow`; EngineFailed if rows are missing, or belong into none of the files.
        """
        ...

    def to_parquet(self, select: str, output: Path) -> int:
        """Run a SELECT and write its rows as one Parquet file; return the row count."""
        ...

    def query(self, select: str) -> pa.Table:
        """Run a SELECT whose result is small and return it."""
        ...

    def cancel(self) -> None:
        """Stop the statement under way; the engine stays usable."""
        ...

    def close(self) -> None:
        """End the engine's process."""
        ...


class TaskFiles(Protocol):
    """The files of a task."""

    folder: Path
    """A folder of its own to write to."""

    def read(self, path: str) -> Path:
        """Return a file of the work folder as one of this machine; it was in a statement, or is on a shared disk."""
        ...


RangeWork = Callable[[int, pa.Table, TaskFiles], bytes]
"""What a task does with the rows of one range: their place among the ranges, the rows, the task's files.
It is sent to the task by pickle, and what it returns comes back."""
ItemWork = Callable[[int, TaskFiles], bytes]
"""What a task does with one thing of several: its place among them, the task's files."""


@dataclass(frozen=True, slots=True)
class TaskDone:
    """What a finished task gave: its place, its answer, and the folder with the files that it left.

    The folder is there until the next one is asked for. A task that was tried several times is one: of the others
    nothing is seen.
    """

    place: int
    answer: bytes
    folder: Path


@runtime_checkable
class WorksInTasks(Protocol):
    """An engine whose tasks can run this program's own code, beside one another and on other machines."""

    shares_folder: bool
    """Whether tasks see the work folder itself, at the same path, and not copies of what a statement reads."""

    def reaches_tasks(self) -> bool:
        """Say whether the tasks have this very version of the program; asked of them once."""
        ...

    def each_range(
        self, select: str, by: str, ranges: Sequence[tuple[int, int]], work: RangeWork
    ) -> Generator[TaskDone]:
        """Run one SELECT and give the rows of each range (first value of column `by`, row count > 0) to a task.

        The ranges ascend. Rows come sorted by that column. Yields each range once, when all are done.
        Raises: what the work raises of `TranshumeError`; EngineCrashed, Interrupted, EngineFailed as `to_arrow`.
        """
        ...

    def each(self, count: int, work: ItemWork) -> Generator[TaskDone]:
        """Do a work for every place from 0 to `count` - 1, each in a task. Yields and raises as `each_range`."""
        ...
