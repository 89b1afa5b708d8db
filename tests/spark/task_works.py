"""Works for tasks, which workers import by name."""

import json
import os
import shutil
from dataclasses import dataclass

import pyarrow as pa

from transhume.engines.engine import TaskFiles
from transhume.errors import CheckFailed


@dataclass(frozen=True)
class Told:
    """Leaves a file and tells which rows it got."""

    word: str

    def __call__(self, place: int, rows: pa.Table, files: TaskFiles) -> bytes:
        """Tell place, process, columns and rows."""
        (files.folder / "left.txt").write_text(f"{self.word} {place}")
        told = {"place": place, "process": os.getpid(), "columns": rows.column_names, "rows": rows.to_pydict()}
        return json.dumps(told).encode()


@dataclass(frozen=True)
class Doubled:
    """Tells twice a number."""

    numbers: tuple[int, ...]

    def __call__(self, place: int, files: TaskFiles) -> bytes:
        """Tell twice the number at this place."""
        assert not list(files.folder.iterdir())
        return str(2 * self.numbers[place]).encode()


@dataclass(frozen=True)
class Copied:
    """Copies a file of the work folder and tells how many rows it got."""

    path: str

    def __call__(self, place: int, rows: pa.Table, files: TaskFiles) -> bytes:
        """Leave the copy in a folder below its own."""
        (files.folder / "deep").mkdir()
        shutil.copyfile(files.read(self.path), files.folder / "deep" / "copy.parquet")
        return str(rows.num_rows).encode()


@dataclass(frozen=True)
class FailsAt:
    """Ends with an error of the program at one place, and tells all others."""

    failing: int

    def __call__(self, place: int, files: TaskFiles) -> bytes:
        """Tell the place."""
        if place == self.failing:
            message = f"place {place} failed"
            raise CheckFailed(message)
        return str(place).encode()


def finds_fault(place: int, rows: pa.Table, files: TaskFiles) -> bytes:
    """End with an error of the program."""
    message = f"range {place} has {rows.num_rows} rows"
    raise CheckFailed(message)
