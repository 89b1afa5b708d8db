"""What a task does with this program's own code: work comes pickled, its answer or its error goes back in a row.

Runs inside of the engine's workers; `spark_tasks.py` calls it there.
"""

import json
import pickle
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from transhume import errors
from transhume.engines.spark_tasks import DONE_SCHEMA

_ANSWER, _ERROR = b"=", b"!"


def done(work: bytes, place: int, folder: str, rows: pa.Table | None = None, by: str = "") -> pa.Table:
    """Do the work in a folder of its own and return the row that tells of it.

    An error that the program raises on purpose goes back as such; any other is the engine's, which tries again.
    """
    own = Path(folder) / f"{place:06d}-{uuid4().hex}"
    own.mkdir(mode=0o700)
    doing = pickle.loads(work)  # noqa: S301 - from the process that drives the engine
    try:
        answer = doing(place, own) if rows is None else doing(place, rows.take(pc.sort_indices(rows[by])), own)
    except errors.TranshumeError as problem:
        told = {"kind": type(problem).__name__, "message": str(problem)}
        return _row(place, _ERROR + json.dumps(told).encode(), own)
    return _row(place, _ANSWER + answer, own)


def taken(answer: bytes) -> bytes:
    """Return what a work answered. Raises: the error that it ended with."""
    if answer.startswith(_ANSWER):
        return answer.removeprefix(_ANSWER)
    told = json.loads(answer.removeprefix(_ERROR))
    kind = getattr(errors, told["kind"], errors.TranshumeError)
    if issubclass(kind, errors.PlanError):
        kind = errors.TranshumeError
    raise kind(told["message"])


def _row(place: int, answer: bytes, folder: Path) -> pa.Table:
    return pa.table([[place], [answer], [folder.name]], schema=DONE_SCHEMA)
