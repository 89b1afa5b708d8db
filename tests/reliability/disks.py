"""Disks that are full for real: a small tmpfs where this user may mount one, and a filler that takes what is left."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / ".filler"

    def fill(self, left_bytes: int = 0) -> None:
        """Take all room but so much."""
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_frsize - left_bytes
        with self._filler.open("ab") as file, contextlib.suppress(OSError):
            while size > 0:
                block = min(size, 65536)
                os.write(file.fileno(), b"\0" * block)
                size -= block

    def make_room(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of this size at a folder; skipped where this user may not."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0755", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as problem:
        pytest.skip(f"needs mount: {problem.strerror}")
    if done.returncode:
        pytest.skip(f"this user may not mount a small disk: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
