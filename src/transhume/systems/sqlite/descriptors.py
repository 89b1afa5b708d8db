"""Reading a file's first bytes beside SQLite without taking its locks away. Nothing here knows what the bytes mean.

POSIX gives up all locks that a process has on a file as soon as the process closes any descriptor of that file. So a
descriptor of ours is closed only when no connection of this process has the file open any more.
Source: https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
"""

import os
import threading
from collections import Counter, defaultdict
from pathlib import Path

FileIdentity = tuple[int, int]
"""Device and number of a file."""

_guard = threading.Lock()
_connections: Counter[FileIdentity] = Counter()
_left_open: defaultdict[FileIdentity, list[int]] = defaultdict(list)


def identity(path: Path) -> FileIdentity | None:
    """Return which file stands at `path`, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def first_bytes(path: Path, size_bytes: int) -> bytes:
    """Return the first bytes of a file. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    found = os.fstat(descriptor)
    try:
        return os.read(descriptor, size_bytes)
    finally:
        with _guard:
            if _connections[found.st_dev, found.st_ino]:
                _left_open[found.st_dev, found.st_ino].append(descriptor)
            else:
                os.close(descriptor)


def hold(file: FileIdentity | None) -> None:
    """Say, before it takes a lock, that a connection opens the file."""
    if file is not None:
        with _guard:
            _connections[file] += 1


def release(file: FileIdentity | None) -> None:
    """Say that a connection is closed; the last one lets descriptors go."""
    if file is None:
        return
    with _guard:
        _connections[file] -= 1
        if not _connections[file]:
            del _connections[file]
            for descriptor in _left_open.pop(file, ()):
                os.close(descriptor)
