"""A whole range of rows as Arrow columns, by a driver in C, where every value is of its column's own class.

The driver (adbc-driver-sqlite) gives a column one type for all rows of its first batch: it begins with integers and
widens to reals, texts and blobs as it meets them, converting what came before without a word. Here a range is one
batch, so the type says which classes there are at most. What may hide in it is asked for beside the values, by
comparisons that hold whatever the column's affinity: numbers stand before all texts, and texts before all blobs. A
range with anything doubtful is refused, and then its rows are fetched one by one (`fetch`), a third as fast.

The driver has a SQLite of its own, of another version than Python's, and versions compute differently (round(2.675, 2),
a number as text, DEFAULT true). So it may read what stands in the rows themselves only: `catalog.is_stored`.

Only the worker uses this. SQLite's locks belong to a process, so closing a connection of one library drops the lock of
the other: the process that reads on behalf of a run keeps to one library, and its lock is the one that counts.

Source: https://www.sqlite.org/datatype3.html#sort_order and arrow-adbc, c/driver/sqlite/statement_reader.c
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import adbc_driver_sqlite.dbapi as driver
import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import odd_array
from transhume.schema import Kind
from transhume.systems.sqlite.access import SETTINGS
from transhume.systems.sqlite.descriptors import FileIdentity, identity
from transhume.systems.sqlite.fetch import Part, Reading

_ROW_BYTES_MAX = 8192
"""Of texts and blobs; a range with a longer row is refused: all of it is in memory at once."""
_COLUMNS_MAX = 500
"""SQLite takes no expression that is a thousand deep."""
_REFUSED_MAX = 8
"""After so many refused ranges no other is tried: the table is of that kind."""


@dataclass(frozen=True, slots=True)
class _Class:
    """A converter's storage class as the driver types it; `doubt` is true of values of another class, `{}` is one."""

    read_as: pa.DataType
    kept_as: pa.DataType
    doubt: str = ""

    @property
    def has_length(self) -> bool:
        """Whether its own values are texts or blobs."""
        return self.kept_as in {pa.string(), pa.binary()}


_CLASSES = {
    Kind.TEXT.value: _Class(pa.string(), pa.string(), "+{} < ''"),
    Kind.BYTES.value: _Class(pa.binary(), pa.binary(), "+{} < x''"),
    Kind.BIGINT.value: _Class(pa.int64(), pa.int64()),
    Kind.DOUBLE.value: _Class(pa.float64(), pa.float64(), "typeof({}) = 'integer'"),
    Kind.BOOLEAN.value: _Class(pa.int64(), pa.bool_()),
}
"""By the name of the converter; columns with any other one are not for this reader."""


def suits(reading: Reading) -> bool:
    """Say whether every column is of a kind whose values can be proved to be its own."""
    fits = len(reading.converters) <= _COLUMNS_MAX
    return bool(reading.numbered) and fits and all(name in _CLASSES for name in reading.converters)


class ArrowRanges:
    """One connection by the driver, inside one read transaction."""

    def __init__(self, path: Path, parameters: str, file: FileIdentity, reading: Reading) -> None:
        """Open the file as `access` did, and see that it is the same one.

        Raises: driver.Error; FileNotFoundError where another file stands at `path` now.
        """
        self._classes = [_CLASSES[name] for name in reading.converters]
        # The filter for long rows must not hide that there are other rows than there should be.
        self._count = f"SELECT count(*) FROM ({reading.numbered})"  # noqa: S608 - the statement that `fetch` would run
        self._statement = _statement(reading, self._classes)
        self._refused = 0
        # Without autocommit a transaction begins at once and lasts until the end, and with it the lock.
        self._connection = driver.connect(f"file:{quote(os.fsencode(path))}?{parameters}")
        try:
            with self._connection.cursor() as cursor:
                for setting in SETTINGS:
                    cursor.execute(setting).fetchall()
                found = cursor.execute("SELECT encoding FROM pragma_encoding").fetchone()
            if found != ("UTF-8",):
                self._refused = _REFUSED_MAX  # texts would be converted, by two libraries perhaps in two ways
            _require_same(path, file)
        except BaseException:
            self.close()
            raise

    def read(self, low: int, high: int, row_count: int) -> Part | None:
        """Return the rows of a range that must have `row_count` of them; None if one of them is doubtful or long."""
        if self._refused >= _REFUSED_MAX or row_count < 1:
            return None
        part = None
        with contextlib.suppress(driver.Error, pa.ArrowException), self._connection.cursor() as cursor:
            if cursor.execute(self._count, (low, high)).fetchone() == (row_count,):
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(row_count)})
                cursor.execute(self._statement, (low, high))
                part = self._part(list(cursor.fetch_record_batch()), row_count)
        self._refused += part is None
        return part

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _part(self, batches: list[pa.RecordBatch], row_count: int) -> Part | None:
        if len(batches) != 1 or batches[0].num_rows != row_count:
            return None
        *columns, doubts = batches[0].columns
        if pc.max(doubts).as_py():
            return None
        arrays = [_own(array, kind) for array, kind in zip(columns, self._classes, strict=True)]
        sound = [array for array in arrays if array is not None]
        return [*sound, odd_array(row_count, {})] if len(sound) == len(arrays) else None


def _require_same(path: Path, file: FileIdentity) -> None:
    if identity(path) != file:
        raise FileNotFoundError(path)


def _statement(reading: Reading, classes: list[_Class]) -> str:
    """Return the statement for a range, its long rows left out, with whether a value is doubtful behind the columns.

    The order stands outside: SQLite would keep an ordered subquery apart, and hand each value over twice.
    """
    names = [f"c{ordinal}" for ordinal in range(len(classes))]
    pairs = list(zip(names, classes, strict=True))
    doubts = [f"({kind.doubt.format(name)})" for name, kind in pairs if kind.doubt]
    lengths = [f"ifnull(octet_length({name}), 0)" for name, kind in pairs if kind.has_length]
    # A text or blob where numbers belong may be of any length.
    out = [f"+{name} >= ''" for name, kind in pairs if not kind.has_length]
    out += [f"{' + '.join(lengths)} > {_ROW_BYTES_MAX}"] if lengths else []
    # The names are our own, and the statement is the one that `fetch` would run.
    return (
        f"WITH r ({', '.join(names)}, rowid_) AS ({reading.numbered}) "  # noqa: S608
        f"SELECT {', '.join(names)}, {' OR '.join(doubts) or '0'} FROM r "
        f"WHERE NOT coalesce({' OR '.join(out)}, 0) ORDER BY rowid_"
    )


def _own(array: pa.Array, kind: _Class) -> pa.Array | None:
    """Return the array in the column's type, None where its values are of another class. Raises: ArrowInvalid."""
    if array.null_count == len(array):
        return pa.nulls(len(array), kind.kept_as)
    if array.type != kind.read_as:
        return None
    if kind.kept_as == pa.string():
        # The way back validates: the driver takes any bytes for text.
        return array.cast(pa.binary()).cast(pa.string())
    if kind.kept_as == pa.bool_():
        bounds = pc.min_max(array).as_py()
        return array.cast(pa.bool_()) if bounds["min"] >= 0 and bounds["max"] <= 1 else None
    return array
