"""What stages fetch and pure code receives: catalogs, extracted tables, relations. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transhume.schema import LogicalType, Table


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables of one system, by name, and what identifies the system (no credential)."""

    identity: str
    tables: Mapping[str, Table]


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
    ("join", alias; the argument is the mapping): as `compiler/joins.py` says · ("duplicates", mapping): k0, k1 ..
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
