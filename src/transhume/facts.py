"""What stages fetch and pure code receives: catalogs, extracted tables, relations. No I/O here."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from transhume.schema import LogicalType, Table


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables of one system, by name, and what identifies the system (no credential).

    `one_instant` is False for a source whose tables cannot be read as of one moment (files). `loose_tables` are those
    that the moment of all others does not cover, each with its reason (in MySQL the engine, such as MyISAM).
    """

    identity: str
    tables: Mapping[str, Table]
    one_instant: bool = True
    loose_tables: Mapping[str, str] = field(default_factory=dict)

    def are_of_one_instant(self, tables: Iterable[str]) -> bool:
        """Say whether these tables can be read as of one moment."""
        return self.one_instant and self.loose_tables.keys().isdisjoint(tables)


@dataclass(frozen=True, slots=True)
class ExtractedTable:
    """A source table as the extract holds it: Parquet files whose columns have physical names.

    `odd_columns` (logical names) have at least one value of another storage class somewhere in the table.
    """

    table: Table
    paths: tuple[str, ...]
    row_count: int
    odd_columns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Relation:
    """A Parquet file that a SELECT joins: lookup, name map, parent keys, zone years, joined rows.

    `columns` gives each column's logical type, in order.
    """

    path: str
    columns: Mapping[str, LogicalType]
    row_count: int


@dataclass(frozen=True, slots=True)
class Need:
    """A relation that a rule wants to join; the stage `keys` builds it once per table.

    kind and subject, and the columns of the relation:
    ("lookup", name): key, value · ("names", lookup name; argument: mapping and column): raw, canonical ·
    ("parents", table mapping): k0, k1 .. one a key part, uuid, fate · ("zone", IANA name): as `rules/utc.py` says ·
    ("gather", source table; the argument says on, name and value): as `compiler/gathers.py` says ·
    ("join", alias; the argument is the mapping): as `compiler/joins.py` says · ("dedupe", mapping): as
    `compiler/dedupe.py` says · ("duplicates", mapping): k0, k1 ..
    """

    kind: str
    subject: str
    argument: str = ""

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind, self.subject, self.argument) if part)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that compiling one table mapping depends on, beside the plan.

    `relations` is keyed by str(Need).
    """

    extracts: Mapping[str, ExtractedTable]
    relations: Mapping[str, Relation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What the values of one column are like, over all rows that were read unless a field says otherwise.

    Values stand as text. `distinct` is an estimate where `distinct_exact` is False (a few per cent off). `classes` are
    the values of another storage class than the column's own (SQLite), by class. `zero_dates` and `bad_dates` count
    texts in date columns that are `0000-00-00`, and those that are no date at all. `top` and `patterns` are the most
    frequent, over `rows_looked_at` rows; `values` is the whole set where it is small, None where it is not;
    `examples` are a few different values.
    `likely` says what personal data or secret the column seems to hold, "" where nothing shows.
    """

    name: str
    type: str
    null_count: int
    distinct: int
    distinct_exact: bool
    minimum: str | None = None
    maximum: str | None = None
    length_min: int | None = None
    length_max: int | None = None
    top: tuple[tuple[str, int], ...] = ()
    patterns: tuple[tuple[str, int], ...] = ()
    values: tuple[str, ...] | None = None
    examples: tuple[str, ...] = ()
    rows_looked_at: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    zero_dates: int = 0
    bad_dates: int = 0
    likely: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceProfile:
    """A reference from `columns` to `key_columns` of `table`: `rows` have a value, `orphans` of them no row there.

    `declared` False: proposed, because names and values fit.
    """

    columns: tuple[str, ...]
    table: str
    key_columns: tuple[str, ...]
    declared: bool
    rows: int
    orphans: int


@dataclass(frozen=True, slots=True)
class TableProfile:
    """What the rows of one table are like; `rows_read` of `row_count` rows were looked at.

    `keys` are columns without NULL and without repetition. `duplicates` gives the declared key's rows beyond the first
    of each value. `references` are empty where a table on either side was sampled.
    """

    table: str
    row_count: int
    rows_read: int
    columns: Mapping[str, ColumnProfile]
    keys: tuple[tuple[str, ...], ...] = ()
    key: tuple[str, ...] = ()
    duplicates: int = 0
    references: tuple[ReferenceProfile, ...] = ()
    unread: str = ""
    """Why no row was read, "" where rows were read."""

    @property
    def sampled(self) -> bool:
        """Whether some rows were left out."""
        return self.rows_read < self.row_count


@dataclass(frozen=True, slots=True)
class Profile:
    """The tables of one system as they were at `instant`."""

    identity: str
    instant: str
    tables: Mapping[str, TableProfile]


Cell = int | Decimal | float | str | None
"""A value that a query gave: a number or a text; anything else stands as its text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query of the plan gave: `count` rows in all (None: not counted), and its first `rows`."""

    count: int | None
    rows: tuple[tuple[Cell, ...], ...]

    def to_json(self) -> str:
        """Return the answer as a text that `from_json` reads back, every number exactly."""
        rows = [[None if cell is None else [type(cell).__name__, str(cell)] for cell in row] for row in self.rows]
        return json.dumps({"count": self.count, "rows": rows}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Answer":
        """Return the answer that `to_json` wrote."""
        content = json.loads(text)
        kinds: dict[str, Callable[[str], Cell]] = {"int": int, "Decimal": Decimal, "float": float, "str": str}
        rows = tuple(
            tuple(None if cell is None else kinds[cell[0]](cell[1]) for cell in row) for row in content["rows"]
        )
        return cls(content["count"], rows)


def cell(value: object) -> Cell:
    """Return a driver's value as a cell; texts that are bytes are read as UTF-8."""
    if value is None or type(value) in {int, float, str, Decimal}:
        return value  # type: ignore[return-value]
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return str(value)
