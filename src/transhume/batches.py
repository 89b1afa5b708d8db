"""What moves, and what is told about it: segments, batches, staged lines, events. Arrow types live here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from transhume.schema import LINE, ODD, ROW, Carrier, Kind, LogicalType, Table, physical_names

_PLAIN_ARROW: dict[Kind, pa.DataType] = {
    Kind.UUID: pa.binary(16),
    Kind.INT: pa.int32(),
    Kind.BIGINT: pa.int64(),
    Kind.DOUBLE: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    Kind.TIME: pa.time64("us"),
    Kind.BYTES: pa.binary(),
    Kind.JSON: pa.string(),
}

ODD_TYPE = pa.list_(pa.struct([("name", pa.string()), ("class", pa.string()), ("value", pa.binary())]))
"""One entry per odd value: column name; class `integer`, `real`, `text`, `blob`, `invalid` (text that is not
UTF-8), `refused` (the source's own mark for a value that it refused: index 0 of a MySQL ENUM) or `line` (the row's line
in a file is no row: all its columns are odd); value as bytes: decimal digits, Python's repr of the float, the UTF-8
text, the raw bytes (of a line in the first column alone). A PostgreSQL array that is no plain list is odd as `text`."""

OddValue = tuple[str, bytes]
"""Class and value as bytes, as ODD_TYPE describes them."""


def odd_array(row_count: int, odd: Mapping[str, Mapping[int, OddValue]]) -> pa.Array:
    """Return the `_odd` column of `row_count` rows from the odd values by column name and position."""
    if not any(odd.values()):
        return pa.nulls(row_count, ODD_TYPE)
    rows: list[list[dict[str, Any]] | None] = [None] * row_count
    for name, values in odd.items():
        for position, (kind, value) in values.items():
            entry = {"name": name, "class": kind, "value": value}
            rows[position] = [*(rows[position] or []), entry]
    return pa.array(rows, ODD_TYPE)


def arrow_type(logical: LogicalType) -> pa.DataType:
    """Return the Arrow type in which a value of this logical type travels between our own parts."""
    if logical.kind is Kind.DECIMAL:
        return pa.decimal128(logical.precision or 38, logical.scale or 0)
    if logical.kind is Kind.LIST and logical.element is not None:
        return pa.list_(arrow_type(logical.element))
    return _PLAIN_ARROW[logical.kind]


def row_numbers(first: int, count: int) -> pa.Array:
    """Return `count` whole numbers from `first` on, int64."""
    return pa.arange(first, first + count)


def extract_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table's extract: `_row`, `_line` of a located table, each carried column, `_odd`.

    Columns whose type is None are left out; `check` has refused a plan that uses them.
    """
    carried = [column for column in table.columns if column.type is not None]
    names = physical_names(column.name for column in table.columns)
    fields = [pa.field(ROW, pa.int64(), nullable=False)]
    if table.located:
        fields.append(pa.field(LINE, pa.int64(), nullable=False))
    for column in carried:
        assert column.type is not None
        kind = pa.string() if column.carrier is Carrier.TEXT else arrow_type(column.type)
        fields.append(pa.field(names[column.name], kind))
    return pa.schema([*fields, pa.field(ODD, ODD_TYPE)])


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of rows of one extracted source table, one Parquet file inside the run's work folder.

    `path` is relative to the work folder. `odd_columns` are the columns with an odd value in this segment.
    """

    table: str
    index: int
    path: str
    first_row: int
    row_count: int
    size_bytes: int
    sha256: str
    odd_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrozenLookup:
    """A lookup as it was read from a table of another system: one Parquet file of texts, `key` and `value`.

    `path` is relative to the work folder; `instant` is the one of the lookup's own system. Of the rows that were read
    `null_keys` had no key, and in `unreadable` ones key or value had no text; neither is in the file.
    """

    lookup: str
    path: str
    row_count: int
    size_bytes: int
    sha256: str
    instant: str
    null_keys: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class BatchId:
    """Rows that are written together: the loaded rows of one segment for one table mapping."""

    mapping: str
    index: int

    def __str__(self) -> str:
        return f"{self.mapping}/{self.index}"


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """The ledger's line for one staged batch, as the target holds it.

    `row_count` rows are staged and invisible, those of `updated` among them: they will replace a row of the target.
    `unchanged`, `skipped` and `conflicts` are not staged: the target has the key already, with the same content or
    with other content that stays (`TargetTable.on_conflict`). All four hold positions in the batch that was handed
    over. `sha256` is over the bytes that were sent.
    """

    batch: BatchId
    row_count: int
    sha256: str
    unchanged: tuple[int, ...] = ()
    conflicts: tuple[int, ...] = ()
    updated: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()

    @property
    def left_out(self) -> tuple[int, ...]:
        """Positions of the rows that were handed over and not staged."""
        return (*self.unchanged, *self.conflicts, *self.skipped)


OnConflict = Literal["error", "skip", "update"]
"""What becomes of a row whose key the target has with other content: a conflict that stops the run, a row that is
left as it is, or a row that is replaced while its before-image is kept."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """What a target must hold for one mapping: the table in logical types, and whether the run creates it.

    `key` are the target columns that identify a row (the primary key where there is one).
    """

    mapping: str
    table: Table
    key: tuple[str, ...]
    create: bool
    on_conflict: OnConflict = "error"
    replaces: str | None = None
    """Of a run that truncates and reloads: the fingerprint that the table has in the verified snapshot, and must have
    when its rows leave. None: the rows that are there stay."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of the batches handed to the target: target column names, canonical Arrow types."""
        fields = []
        for column in self.table.columns:
            assert column.type is not None
            fields.append(pa.field(column.name, arrow_type(column.type), nullable=column.nullable))
        return pa.schema(fields)


@dataclass(frozen=True, slots=True)
class JournalAnchor:
    """How much of a run's journal the target's ledger has seen: number of entries, and the digest of the last."""

    entries: int
    digest: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run; the same event goes to the journal, the screen and the report.

    `fields` holds JSON values only, never a data value or a credential.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
