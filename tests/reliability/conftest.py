"""A place for projects that are killed hundreds of times."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> Iterator[Path]:
    """A folder that is gone after the module, in memory where the system has such a place.

    What a killed process has written is in the page cache, and a file system in memory is nothing but that: a kill
    leaves the same there, and no disk makes hundreds of lives wait. What must reach a disk is not tested with it.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="transhume-", dir=MEMORY))
    except OSError:
        folder = tmp_path_factory.mktemp("memory")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
