"""What an engine must do: run a SELECT over files of the run's work folder."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa


class Engine(Protocol):
    """Computes; touches only files inside its work folder. Paths in SQL and arguments are relative to it."""

    dialect: str
    """Name of the dialect in `transhume.dialects.DIALECTS` whose SQL it takes."""

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
