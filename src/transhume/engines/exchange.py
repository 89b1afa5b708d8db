"""Where the process of a run and an engine's workers exchange files: a folder that all of them see, or S3."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from pyarrow import fs

from transhume.errors import SystemUnavailable
from transhume.object_store import opened


class Exchange(Protocol):
    """Files under the same name here, below the work folder, and where workers find them, below `root`."""

    root: str

    def give(self, path: str) -> None:
        """Let workers read a file of the work folder. Raises: FileNotFoundError; SystemUnavailable."""
        ...

    def take(self, path: str) -> Path:
        """Return the place, on this machine, of a folder that workers wrote. Raises: SystemUnavailable."""
        ...

    def drop(self, path: str) -> None:
        """Remove a folder that workers wrote, everywhere where it can be reached."""
        ...

    def close(self) -> None:
        """Remove what is not the run's own folder's, if it can be reached."""
        ...


class SharedFolder:
    """The work folder itself, which every worker reads and writes under the same path."""

    def __init__(self, work: Path) -> None:
        self._work, self.root = work, str(work)

    def give(self, path: str) -> None:
        """Do nothing for a file that is there."""
        if not (self._work / path).exists():
            raise FileNotFoundError(path)

    def take(self, path: str) -> Path:
        """Return the folder, made where nobody wrote to it."""
        folder = self._work / path
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def drop(self, path: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self._work / path, ignore_errors=True)

    def close(self) -> None:
        """Leave everything: the folder is the run's."""


class ObjectStore:
    """A prefix in S3 for one run. What is there is a copy, made anew by each process, and gone at its end.

    What a process that was killed left there goes with the next one of the same run.
    """

    def __init__(self, work: Path, place: str, run: str) -> None:
        self._work, self.root = work, f"{place.rstrip('/')}/{run}"
        self._given: dict[str, tuple[int, int]] = {}
        self._open: tuple[fs.FileSystem, str] | None = None

    def give(self, path: str) -> None:
        """Copy a file there, unless this process has done so and it is as it was."""
        local = self._work / path
        state = local.stat()
        known = (state.st_mtime_ns, state.st_size)
        if self._given.get(path) != known:
            with self._reached() as (system, root):
                fs.copy_files(str(local), f"{root}/{path}", fs.LocalFileSystem(), system)
            self._given[path] = known

    def take(self, path: str) -> Path:
        """Copy a folder from there."""
        local = self._work / path
        local.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._reached() as (system, root):
            if system.get_file_info(f"{root}/{path}").type is fs.FileType.Directory:
                fs.copy_files(f"{root}/{path}", str(local), system, fs.LocalFileSystem())
        return local

    def drop(self, path: str) -> None:
        """Remove a folder here and there."""
        shutil.rmtree(self._work / path, ignore_errors=True)
        self._remove(f"/{path}")

    def close(self) -> None:
        """Remove everything of the run that is there."""
        if self._open is not None:
            self._remove("")

    def _remove(self, below: str) -> None:
        """Remove what stands there. A run is not less done where that fails; the next process of it does it."""
        with suppress(SystemUnavailable), self._reached() as (system, root):
            system.delete_dir_contents(f"{root}{below}", missing_dir_ok=True)

    @contextmanager
    def _reached(self) -> Iterator[tuple[fs.FileSystem, str]]:
        """Give the client and the path in it. Raises: SystemUnavailable, the client's words without a credential."""
        try:
            self._open = self._open or opened(self.root)
            yield self._open
        except OSError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
            message = (
                f"the engine's files at '{self.root}' cannot be reached ({reason}); look at AWS_ENDPOINT_URL, the "
                "credentials and the bucket, then run the same command again"
            )
            raise SystemUnavailable(message) from error
