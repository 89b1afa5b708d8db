"""Fingerprints of a lake's rows: their number and the sum mod 2^128 of the md5 of each row's canonical bytes.

The bytes of a row: for each column of the table's schema in its order the value's bytes behind their length in eight
bytes (-1 for NULL), as `rowbytes.row_bytes` makes them: numbers and instants as Arrow's little-endian bits, UUIDs as 16
bytes, text as UTF-8, a list as its length and its elements. A value of a type that transhume does not carry stands as
the UTF-8 of its Python text. Delete files are applied. No file is written here.
"""

import hashlib

import pyarrow as pa
from pyiceberg.table import FileScanTask, Table

from transhume.systems.iceberg.rowbytes import row_bytes
from transhume.systems.iceberg.snapshots import scan_file, tasks
from transhume.systems.undo import Fingerprint


class Fingerprints:
    """Fingerprints of the files of one table; each file is read once, also where several snapshots hold it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, frozenset[str]], Fingerprint] = {}

    def of_snapshot(self, table: Table, snapshot_id: int | None) -> Fingerprint:
        """Return the fingerprint of what readers of a snapshot get."""
        total = Fingerprint()
        for task in tasks(table, snapshot_id):
            total += self.of_file(table, task)
        return total

    def of_file(self, table: Table, task: FileScanTask) -> Fingerprint:
        """Return the fingerprint of one data file's rows, delete files applied."""
        key = (task.file.file_path, frozenset(delete.file_path for delete in task.delete_files))
        if key not in self._known:
            total = Fingerprint()
            for batch in scan_file(table, task):
                total += of_rows(batch)
            self._known[key] = total
        return self._known[key]


def of_rows(batch: pa.RecordBatch) -> Fingerprint:
    """Return the fingerprint of rows as a scan gives them, with all columns of the table."""
    return Fingerprint(batch.num_rows, sum(int.from_bytes(each) for each in row_md5s(batch)) % 2**128)


def row_md5s(batch: pa.RecordBatch) -> list[bytes]:
    """Return the md5 of each row's canonical bytes."""
    if not batch.num_rows or not batch.num_columns:
        return [hashlib.md5(usedforsecurity=False).digest()] * batch.num_rows
    rows = row_bytes([_plain(array) for array in batch.columns])
    return [hashlib.md5(row, usedforsecurity=False).digest() for row in rows.to_pylist()]


def _plain(array: pa.Array) -> pa.Array:
    """Return an array in a type whose bytes are defined."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    held = array.type
    if pa.types.is_dictionary(held):
        return _plain(array.dictionary_decode())
    if pa.types.is_large_string(held):
        return array.cast(pa.string())
    if pa.types.is_large_binary(held):
        return array.cast(pa.binary())
    if pa.types.is_large_list(held) or pa.types.is_list(held):
        element = held.value_type
        if isinstance(element, pa.BaseExtensionType) or pa.types.is_nested(element):
            return _texts(array)
        return array.cast(pa.list_(_plain(pa.array([], element)).type))
    return _texts(array) if pa.types.is_nested(held) or pa.types.is_null(held) else array


def _texts(array: pa.Array) -> pa.Array:
    return pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.string())
