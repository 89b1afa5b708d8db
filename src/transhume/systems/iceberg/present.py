"""Which keys are there already: an index of 16-byte keys with 16-byte contents, in files, built once a run."""

import mmap
import struct
import tempfile
from collections.abc import Iterable, Sequence
from itertools import repeat

import pyarrow as pa

from transhume.systems.iceberg.rowbytes import digests

_RECORD = struct.Struct("16s16s")
_NO_CONTENT = bytes(16)
_AMBIGUOUS = b"\xff" * 16
_SLOTS_MIN = 1024


class KeyIndex:
    """An index key -> content in two private temporary files that the system deletes with the object.

    Memory: pages of these files (40 to 48 bytes a row), which the operating system may drop at any time.
    A key that comes twice with different contents is kept as ambiguous: no row is equal to it.
    """

    def __init__(self) -> None:
        self._records = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        self._slots_file = tempfile.TemporaryFile()  # noqa: SIM115
        self._count = 0
        self._mask = 0
        self._view: mmap.mmap | None = None
        self._slots_map: mmap.mmap | None = None
        self._slots: memoryview = memoryview(b"")

    def add(self, keys: Iterable[bytes], contents: Iterable[bytes]) -> None:
        """Take keys with contents, 16 bytes each; only before `build`."""
        records = [key + content for key, content in zip(keys, contents, strict=False)]
        self._records.write(b"".join(records))
        self._count += len(records)

    def build(self) -> None:
        """Make the index ready to be asked."""
        if not self._count:
            return
        self._records.flush()
        slot_count = max(_SLOTS_MIN, 1 << (2 * self._count - 1).bit_length())
        self._slots_file.truncate(4 * slot_count)
        self._view = mmap.mmap(self._records.fileno(), 0)
        self._slots_map = mmap.mmap(self._slots_file.fileno(), 0)
        self._slots = memoryview(self._slots_map).cast("I")
        self._mask = mask = slot_count - 1
        slots, view = self._slots, self._view
        for number, (key, content) in enumerate(_RECORD.iter_unpack(view), start=1):
            # Python's hash of bytes is keyed: no choice of keys makes it slow.
            slot = hash(key) & mask
            while found := slots[slot]:
                place = 32 * (found - 1)
                if view[place : place + 16] == key:
                    if view[place + 16 : place + 32] != content:
                        view[place + 16 : place + 32] = _AMBIGUOUS
                    break
                slot = (slot + 1) & mask
            else:
                slots[slot] = number

    def find(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return for every key its content, or None where it is not there."""
        view, slots, mask = self._view, self._slots, self._mask
        if view is None:
            return [None for _ in keys]
        contents: list[bytes | None] = []
        for key in keys:
            slot = hash(key) & mask
            content = None
            while found := slots[slot]:
                place = 32 * (found - 1)
                if view[place : place + 16] == key:
                    content = view[place + 16 : place + 32]
                    break
                slot = (slot + 1) & mask
            contents.append(content)
        return contents

    def close(self) -> None:
        """Delete the index."""
        self._slots.release()
        for held in (self._slots_map, self._view):
            if held is not None:
                held.close()
        self._records.close()
        self._slots_file.close()


class PresentRows:
    """The rows of a snapshot by key, to be told from new rows: the same content, or another."""

    def __init__(self, key: Sequence[str], columns: Sequence[str]) -> None:
        self._key = tuple(key)
        self._columns = tuple(columns)
        self._index = KeyIndex()

    def build(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take the rows of the snapshot (own types) into the index."""
        for batch in batches:
            self._index.add(keys_of(batch, self._key), digests(batch, self._columns))
        self._index.build()

    def positions(self, rows: pa.Table) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the positions of the rows that are there with the same content, and with other content.

        A key that the snapshot holds several times counts as the same only if every one of them is the same.
        """
        batch = one_batch(rows)
        found = self._index.find(keys_of(batch, self._key))
        hits = [position for position, content in enumerate(found) if content is not None]
        if not hits:
            return (), ()
        asked = digests(batch, self._columns)
        unchanged = tuple(position for position in hits if found[position] == asked[position])
        conflicts = tuple(position for position in hits if found[position] != asked[position])
        return unchanged, conflicts

    def close(self) -> None:
        """Delete the index."""
        self._index.close()


class StagedKeys:
    """The keys of staged rows, to be looked for in what others have written since."""

    def __init__(self, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self._index = KeyIndex()

    def build(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take the keys of these rows (own types) into the set."""
        for batch in batches:
            self._index.add(keys_of(batch, self._key), repeat(_NO_CONTENT))
        self._index.build()

    def count_in(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Return how many of these rows have a key of the set."""
        found = (content for batch in batches for content in self._index.find(keys_of(batch, self._key)))
        return sum(content is not None for content in found)

    def close(self) -> None:
        """Delete the set."""
        self._index.close()


def keys_of(batch: pa.RecordBatch, key: Sequence[str]) -> list[bytes]:
    """Return 16 bytes a row that identify its key: the UUID itself, else a digest of the key columns.

    Of each row by itself, whatever others stand beside it.
    """
    if len(key) != 1 or batch.column(key[0]).type != pa.binary(16):
        return digests(batch, key)
    plain: list[bytes | None] = batch.column(key[0]).to_pylist()
    of_null = digests(batch, key) if batch.column(key[0]).null_count else repeat(b"")
    return [each if own is None else own for own, each in zip(plain, of_null, strict=False)]


def one_batch(rows: pa.Table) -> pa.RecordBatch:
    """Return a table as one record batch."""
    batches = rows.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=rows.schema)
