"""Which rows the target has already: an index of keys and row digests over one snapshot, on disk, built once a run."""

import sqlite3
from collections.abc import Iterable, Sequence

import pyarrow as pa

from transhume.systems.iceberg.rowbytes import digests

_CACHE_KIB = 32 * 1024


class PresentRows:
    """An index of 16-byte digests: key -> content. The file is private, temporary and gone with the object.

    Memory is bounded by SQLite's page cache, whatever the number of rows.
    """

    def __init__(self, key: Sequence[str], columns: Sequence[str]) -> None:
        self._key = tuple(key)
        self._columns = tuple(columns)
        # An empty name makes a private database on disk that is deleted when it is closed.
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.execute(f"pragma cache_size = -{_CACHE_KIB}")
        self._index.execute("pragma journal_mode = off")
        self._index.execute("create table present (key blob not null, content blob not null)")
        self._index.execute("create temp table asked (key blob not null, position integer not null)")

    def build(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take the rows of a snapshot (own types) into the index."""
        self._index.execute("begin")
        for batch in batches:
            rows = zip(digests(batch, self._key), digests(batch, self._columns), strict=True)
            self._index.executemany("insert into present values (?, ?)", rows)
        self._index.execute("create index by_key on present (key, content)")
        self._index.execute("commit")

    def positions(self, rows: pa.Table) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the positions of the rows that are there with the same content, and with other content.

        A key that the snapshot holds several times counts as the same only if every one of them is the same.
        """
        batch = one_batch(rows)
        contents = digests(batch, self._columns)
        self._index.execute("begin")
        self._index.execute("delete from asked")
        asked = ((key, position) for position, key in enumerate(digests(batch, self._key)))
        self._index.executemany("insert into asked values (?, ?)", asked)
        found = self._index.execute(
            "select asked.position, present.content from asked join present on present.key = asked.key"
        ).fetchall()
        self._index.execute("commit")
        seen = {position for position, _ in found}
        conflicts = {position for position, content in found if content != contents[position]}
        return tuple(sorted(seen - conflicts)), tuple(sorted(conflicts))

    def close(self) -> None:
        """Delete the index."""
        self._index.close()


class KeySet:
    """The keys of staged rows, to be looked for in what others have written since."""

    def __init__(self, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.execute(f"pragma cache_size = -{_CACHE_KIB}")
        self._index.execute("pragma journal_mode = off")
        self._index.execute("create table staged (key blob primary key) without rowid")

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take the keys of these rows (own types) into the set."""
        self._index.execute("begin")
        for batch in batches:
            keys = ((key,) for key in sorted(digests(batch, self._key)))
            self._index.executemany("insert or ignore into staged values (?)", keys)
        self._index.execute("commit")

    def count_in(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Return how many of these rows have a key of the set."""
        count = 0
        for batch in batches:
            for key in digests(batch, self._key):
                if self._index.execute("select 1 from staged where key = ?", (key,)).fetchone():
                    count += 1
        return count

    def close(self) -> None:
        """Delete the set."""
        self._index.close()


def one_batch(rows: pa.Table) -> pa.RecordBatch:
    """Return a table as one record batch."""
    batches = rows.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=rows.schema)
