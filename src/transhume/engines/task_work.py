"""What a task does with this program's own code: work comes pickled, its answer or its error goes back in a row.

Runs inside of the engine's workers; `spark_tasks.py` calls it there.
"""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from transhume import errors
from transhume.engines.spark_tasks import DONE_SCHEMA
from transhume.object_store import opened

_ANSWER, _ERROR = b"=", b"!"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a task; see `engine.TaskFiles`. What is read from an object store is copied into `copies`."""

    folder: Path
    root: str
    copies: Path | None = None

    def read(self, path: str) -> Path:
        """Return a file of the work folder as one of this machine."""
        if self.copies is None:
            return Path(self.root) / path
        copy = self.copies / path
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            system, root = opened(self.root)
            fs.copy_files(f"{root}/{path}", str(copy), system, fs.LocalFileSystem())
        return copy


def done(work: bytes, place: int, root: str, folder: str, rows: pa.Table | None = None, by: str = "") -> pa.Table:
    """Do the work in a folder of its own, below `folder` of `root`, and return the row that tells of it.

    An error that the program raises on purpose goes back as such; any other is the engine's, which tries again.
    """
    name = f"{place:06d}-{uuid4().hex}"
    with _files(root, f"{folder}/{name}") as files:
        try:
            doing = _loaded(work)
            answer = doing(place, files) if rows is None else doing(place, rows.take(pc.sort_indices(rows[by])), files)
        except errors.TranshumeError as problem:
            told = {"kind": type(problem).__name__, "message": str(problem)}
            return _row(place, _ERROR + json.dumps(told).encode(), name)
        has_left = any(files.folder.iterdir())
    return _row(place, _ANSWER + answer, name if has_left else "")


def _loaded(work: bytes) -> Any:
    """Return the work. Raises: DriverMissing where a package that it needs is not here."""
    try:
        return pickle.loads(work)  # noqa: S301 - from the process that drives the engine
    except ImportError as problem:
        message = f"a worker of the engine has no '{problem.name}'; install there what the process of the run has"
        raise errors.DriverMissing(message) from problem


def has_failed(answer: bytes) -> bool:
    """Say whether this is the error of a work, which `taken` raises."""
    return answer.startswith(_ERROR)


def taken(answer: bytes) -> bytes:
    """Return what a work answered. Raises: the error that it ended with."""
    if answer.startswith(_ANSWER):
        return answer.removeprefix(_ANSWER)
    told = json.loads(answer.removeprefix(_ERROR))
    kind = getattr(errors, told["kind"], errors.TranshumeError)
    if issubclass(kind, errors.PlanError):
        kind = errors.TranshumeError
    raise kind(told["message"])


@contextmanager
def _files(root: str, folder: str) -> Iterator[Files]:
    """Give a folder to write to; what was written stands below the root afterwards."""
    system, path = opened(root)
    if isinstance(system, fs.LocalFileSystem):
        own = Path(root) / folder
        own.mkdir(parents=True, mode=0o700)
        yield Files(own, root)
        return
    with TemporaryDirectory(prefix="transhume-") as written, TemporaryDirectory(prefix="transhume-") as copies:
        yield Files(Path(written), root, Path(copies))
        fs.copy_files(written, f"{path}/{folder}", fs.LocalFileSystem(), system)


def _row(place: int, answer: bytes, folder: str) -> pa.Table:
    return pa.table([[place], [answer], [folder]], schema=DONE_SCHEMA)
