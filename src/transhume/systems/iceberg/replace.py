"""Replacing rows: each file with a row to be replaced is written anew, with the rows of others in it as they are.

A lake has no update: pyiceberg's own overwrites choose rows by a filter, which cannot name a UUID, and write what a
filter leaves. Here whole files are read as readers get them, and rows change places by their keys. Files and
before-images are written; no metadata and no pointer.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from transhume.batches import TargetTable
from transhume.errors import CheckFailed
from transhume.systems.iceberg.files import LakeFiles, canonical
from transhume.systems.iceberg.lake import path_word
from transhume.systems.iceberg.present import KeyIndex, keys_of
from transhume.systems.iceberg.rowbytes import digests
from transhume.systems.iceberg.snapshots import MAIN, Replaced, StagedFiles, branch_name, head_of, scan_files

_CONTENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Replacement:
    """What replacing the rows of one mapping made: the before-images, and for each old data file the new one."""

    before_path: str
    before_sha256: str
    row_count: int
    rewritten: Mapping[str, tuple[str, str]]
    """Location of the old file to location and SHA-256 of the new one."""
    old_files: tuple[DataFile, ...] = field(default=(), compare=False)

    @property
    def files(self) -> Replaced:
        """The files that change places."""
        return Replaced(self.old_files, tuple(new for new, _ in self.rewritten.values()))

    def to_dict(self) -> dict[str, object]:
        """Return what the ledger keeps, as JSON values."""
        return {
            "before": self.before_path,
            "before_sha256": self.before_sha256,
            "rows": self.row_count,
            "rewritten": {old: list(new) for old, new in self.rewritten.items()},
        }


def replaced(
    files: LakeFiles, target: TargetTable, staged: StagedFiles, table: Table, base: int | None
) -> Replacement | None:
    """Replace what a mapping has staged updates for, in the run's branch or, where it has none, in main; None: nothing.

    Raises: CheckFailed if one of the rows is not there once, or is not what it was in `base`; SystemUnavailable.
    """
    if not staged.updates:
        return None
    head = head_of(table, branch_name(staged.run)) or head_of(table, MAIN)
    if head is None or base is None:
        message = f"table '{target.table.name}' was emptied by others since the run began; nothing is published"
        raise CheckFailed(message)
    replacer = Replacer(files, staged.run, target, staged.updates)
    try:
        return replacer.replace(table, head, base)
    finally:
        replacer.close()


class Replacer:
    """Replaces rows of one table by those that one mapping of a run has staged for them.

    Memory: the replacing rows and their before-images, and one file's row groups; not the table.
    """

    def __init__(self, files: LakeFiles, run: str, target: TargetTable, staged: Sequence[str]) -> None:
        """Take the files with the replacing rows."""
        self._files = files
        self._run = run
        self._target = target
        self._rows = pa.concat_tables([files.table(path) for path in staged]).combine_chunks()
        self._index = KeyIndex()
        position = 0
        for batch in self._rows.to_batches():
            places = range(position, position + batch.num_rows)
            self._index.add(self._keys(batch), (place.to_bytes(_CONTENT_BYTES) for place in places))
            position += batch.num_rows
        self._index.build()

    def close(self) -> None:
        """Delete the index."""
        self._index.close()

    def replace(self, table: Table, head: int, base: int) -> Replacement:
        """Write the files of snapshot `head` that hold rows to be replaced anew, and these rows as they were.

        Effects: data files that no snapshot names yet, and one file of before-images; all durable.
        Raises: CheckFailed unless each row to be replaced is there exactly once, as it was in snapshot `base`;
        SystemUnavailable.
        """
        touched = self._touched(table, head)
        old_files: list[DataFile] = []
        rewritten: dict[str, tuple[str, str]] = {}
        before: list[pa.RecordBatch] = []
        schema: pa.Schema | None = None
        seen: dict[int, bytes] = {}
        common = _common_columns(table, head, base)
        for file, projection, batches in scan_files(table, head, only=touched):
            schema = schema_to_pyarrow(projection)
            merged = _Merged(self, schema, common[0], batches)
            where = self._new_location(table, f"data/{len(rewritten):06d}")
            digest, _ = self._files.write_durably(where, pa.RecordBatchReader.from_batches(schema, merged.rows()))
            self._require_written(where, schema, merged.digest)
            rewritten[file.file_path] = (where, digest)
            old_files.append(file)
            before += merged.before
            for place, content in merged.seen:
                self._require_once(place, seen)
                seen[place] = content
        self._require_all(seen)
        if head != base:
            self._require_same(seen, self._at(table, base, common[1]))
        assert schema is not None, "rows were found, so a file was read"
        where = self._new_location(table, "before")
        digest, _ = self._files.write_durably(where, pa.Table.from_batches(before, schema))
        return Replacement(where, digest, len(seen), rewritten, tuple(old_files))

    def found(self, batch: pa.RecordBatch) -> list[tuple[int, int]]:
        """Return which rows of a batch are to be replaced, each with the place of the row that replaces it."""
        contents = self._index.find(self._keys(batch))
        return [(row, int.from_bytes(content)) for row, content in enumerate(contents) if content is not None]

    def merged(self, batch: pa.RecordBatch, hits: Sequence[tuple[int, int]]) -> pa.RecordBatch:
        """Return a batch with these rows replaced, in the columns that the run fills; the others keep their values."""
        order = pa.array(range(batch.num_rows), pa.int64()).to_pylist()
        for place, (row, _) in enumerate(hits):
            order[row] = batch.num_rows + place
        indices = pa.array(order, pa.int64())
        news = self._rows.take(pa.array([place for _, place in hits], pa.int64()))
        columns = []
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            if name not in news.column_names:
                columns.append(array)
                continue
            new = _cast(pa.chunked_array(news.column(name).chunks, news.schema.field(name).type), array.type)
            columns.append(pa.concat_arrays([array, new]).take(indices))
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def _touched(self, table: Table, snapshot: int) -> set[str]:
        """Return the locations of the files that hold a row to be replaced; only key columns are read."""
        return {
            file.file_path
            for file, _, batches in scan_files(table, snapshot, self._target.key)
            if any(self.found(batch) for batch in batches)
        }

    def _at(self, table: Table, snapshot: int, columns: Sequence[str]) -> dict[int, bytes]:
        """Return what the rows to be replaced were in a snapshot."""
        contents: dict[int, bytes] = {}
        for _, projection, batches in scan_files(table, snapshot, only=self._touched(table, snapshot)):
            schema = schema_to_pyarrow(projection)
            for batch in batches:
                rows = _in_schema(batch, schema)
                hits = self.found(rows)
                old = rows.take(pa.array([row for row, _ in hits], pa.int64()))
                for (_, place), content in zip(hits, digests(old, columns), strict=True):
                    self._require_once(place, contents)
                    contents[place] = content
        return contents

    def _require_written(self, where: str, schema: pa.Schema, expected: bytes) -> None:
        """Read a new file back from storage: every row, of others and of ours, must be what was sent."""
        found = hashlib.blake2b()
        for batch in self._files.batches(where, schema.names):
            found.update(b"".join(digests(_in_schema(batch, schema), schema.names)))
        if found.digest() != expected:
            message = f"data file '{where}' reads back differently from what was written; nothing is published"
            raise CheckFailed(message)

    def _require_once(self, place: int, seen: Mapping[int, bytes]) -> None:
        if place in seen:
            message = (
                f"table '{self._target.table.name}' holds a key more than once that this run has another content for "
                f"(row {place} of the replacing rows): which one to replace cannot be told, nothing is published. "
                "Remove the duplicate, or write 'on_conflict: skip'."
            )
            raise CheckFailed(message)

    def _require_all(self, seen: Mapping[int, bytes]) -> None:
        if missing := self._rows.num_rows - len(seen):
            raise self._changed(missing)

    def _require_same(self, seen: Mapping[int, bytes], base: Mapping[int, bytes]) -> None:
        if changed := sum(content != base.get(place) for place, content in seen.items()):
            raise self._changed(changed)

    def _changed(self, count: int) -> CheckFailed:
        return CheckFailed(
            f"table '{self._target.table.name}': others have changed or removed {count} rows that this run replaces, "
            "since it began; nothing is published. Look at these rows, then begin a new run with --fresh."
        )

    def _keys(self, batch: pa.RecordBatch) -> list[bytes]:
        return keys_of(canonical(batch, self._target, self._target.key), self._target.key)

    def _new_location(self, table: Table, kind: str) -> str:
        # A name of its own each time: an earlier process may have died over the same work.
        folder, _, number = kind.partition("/")
        name = f"{self._run}-{path_word(self._target.mapping)}-{number or 'rows'}-{uuid4().hex}.parquet"
        if folder == "data":
            return str(table.location_provider().new_data_location(f"replaced-{name}"))
        return f"{table.location().rstrip('/')}/transhume/before-{name}"


class _Merged:
    """One file on its way: its rows with some replaced, what was replaced, and the digest of all that is written."""

    def __init__(
        self, replacer: Replacer, schema: pa.Schema, compared: Sequence[str], batches: Iterator[pa.RecordBatch]
    ) -> None:
        self._replacer = replacer
        self._schema = schema
        self._compared = compared
        self._batches = batches
        self._written = hashlib.blake2b()
        self.before: list[pa.RecordBatch] = []
        self.seen: list[tuple[int, bytes]] = []

    @property
    def digest(self) -> bytes:
        """Over the rows that were written, in their order."""
        return self._written.digest()

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the new file."""
        for batch in self._batches:
            rows = _in_schema(batch, self._schema)
            hits = self._replacer.found(rows)
            if hits:
                old = rows.take(pa.array([row for row, _ in hits], pa.int64()))
                self.before.append(old)
                places = (place for _, place in hits)
                self.seen += zip(places, digests(old, self._compared), strict=True)
                rows = self._replacer.merged(rows, hits)
            self._written.update(b"".join(digests(rows, self._schema.names)))
            yield rows


def _common_columns(table: Table, head: int, base: int) -> tuple[list[str], list[str]]:
    """Return the columns that two snapshots share, in one order, by their names in the first and in the second."""
    one, other = (_schema_of(table, snapshot) for snapshot in (head, base))
    shared = sorted({each.field_id for each in one.fields} & {each.field_id for each in other.fields})
    return [one.find_field(each).name for each in shared], [other.find_field(each).name for each in shared]


def _schema_of(table: Table, snapshot: int) -> Schema:
    return table.scan(snapshot_id=snapshot).projection()


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch in the table's own Arrow types; the reader gives narrower or wider ones of the same values."""
    columns = [_cast(pa.chunked_array([batch.column(each.name)]), each.type) for each in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.Array:
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if array.type == wanted:
        return array
    if isinstance(wanted, pa.UuidType):
        return pa.ExtensionArray.from_storage(wanted, array)
    return array.cast(wanted)
