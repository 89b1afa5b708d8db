"""Files of a run: private, whole or absent, known by their hash."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transhume.errors import Interrupted

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


def write_private_parquet(path: Path, table: pa.Table, *, durable: bool = False) -> str:
    """Write a Parquet file that only the owner reads and return its SHA-256; it is there as a whole or not at all.

    `durable` waits for the disk before the file gets its name.
    """
    private_folder(path.parent)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        # Written once, read once or twice, whole: dictionaries and statistics would cost more than they save.
        pq.write_table(table, file, compression="lz4", write_statistics=False, use_dictionary=False)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    digest = sha256_of(partial)
    partial.rename(path)
    return digest


def write_private_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> str:
    """Write a Parquet file batch by batch, durably, and return its SHA-256; see `write_private_parquet`."""
    private_folder(path.parent)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with pq.ParquetWriter(file, schema, compression="lz4", write_statistics=False, use_dictionary=False) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())
    digest = sha256_of(partial)
    partial.rename(path)
    return digest


def write_private(path: Path, content: bytes) -> str:
    """Write a small file that only the owner reads, durably, as a whole or not at all, and return its SHA-256."""
    private_folder(path.parent)
    _write_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def write_last(path: Path, content: bytes) -> None:
    """Write a private file that says what others are: with it, its name and theirs are durable in their folder."""
    _write_durably(path, content)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def make_durable(path: Path) -> None:
    """Wait until the disk holds the content of a file that came from elsewhere."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner alone: `mkdir` gives its mode to the last."""
    for missing in reversed([folder, *folder.parents]):
        if not missing.exists():
            missing.mkdir(exist_ok=True, mode=0o700)


def private_file(path: Path) -> Path:
    """Make an empty file that only the owner reads, for a writer that takes a path, and return that."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    return path


@contextmanager
def room() -> Iterator[None]:
    """Say of a disk that is full, broken or read only what it means and what to do; other errors pass.

    Raises: Interrupted.
    """
    try:
        yield
    except OSError as problem:
        if problem.errno not in _DISK_ERRORS:
            raise
        where = f" '{problem.filename}'" if problem.filename else ""
        message = (
            f"a file{where} of the run was not written ({os.strerror(problem.errno)}); the target holds only finished "
            "batches. Make room or mend the disk, then run the same command again."
        )
        raise Interrupted(message) from problem


def write_text(path: Path, text: str) -> None:
    """Write a text for people that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_durably(path, text.encode(), 0o666)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads; it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_durably(path, content)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, "" if there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
