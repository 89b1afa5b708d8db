"""Files of a run: private, whole or absent, known by their hash."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_private_parquet(path: Path, table: pa.Table, *, durable: bool = False) -> str:
    """Write a Parquet file that only the owner reads and return its SHA-256; it is there as a whole or not at all.

    `durable` waits for the disk before the file gets its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    return hashlib.sha256(content).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text for people that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads; it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, "" if there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
