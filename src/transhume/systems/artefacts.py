"""Whether files and objects are there: local paths, and S3 by its standard environment variables. Nothing is read."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Lock

from pyarrow import fs

from transhume.object_store import open_s3

ASKED_AT_ONCE = 16
"""Objects that are asked for at the same time."""
_CHUNK = 2_000


class Artefacts:
    """The places that references lead to. An S3 client is made when the first reference needs it."""

    def __init__(self) -> None:
        """Begin without any connection."""
        self._lock = Lock()
        self._s3: fs.FileSystem | None = None

    def missing(self, references: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield each reference to nothing, in their order, with "" or the reason why nobody could look.

        Memory: bounded, whatever the number; at most ASKED_AT_ONCE objects are asked for at a time.
        """
        waiting = iter(references)
        with ThreadPoolExecutor(ASKED_AT_ONCE, "artefacts") as threads:
            while chunk := list(islice(waiting, _CHUNK)):
                found = dict.fromkeys(chunk)
                for reference, said in zip(found, threads.map(self._look, found), strict=True):
                    found[reference] = said
                yield from ((reference, said) for reference in chunk if (said := found[reference]) is not None)

    def _look(self, reference: str) -> str | None:
        """Return None for what is there, "" for what is not, else why that is not known."""
        scheme, mark, rest = reference.partition("://")
        if mark and scheme not in _OPENED:
            return f"'{scheme}://' cannot be looked at"
        place = rest if mark else reference
        if not place.strip("/") and mark:
            return ""
        try:
            if scheme == "s3" and mark:
                there = self._s3_client().get_file_info(place)
            else:
                there = fs.LocalFileSystem().get_file_info(place)
        except (OSError, ValueError) as problem:
            return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        return "" if there.type is fs.FileType.NotFound else None

    def _s3_client(self) -> fs.FileSystem:
        with self._lock:
            if self._s3 is None:
                self._s3 = _OPENED["s3"]()
            return self._s3


_OPENED: dict[str, Callable[[], fs.FileSystem]] = {"s3": open_s3, "file": fs.LocalFileSystem}
