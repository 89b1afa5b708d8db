"""What a value may be: logical types, columns, tables. No driver, no Arrow, no SQL here."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

DECIMAL_PRECISION_MAX = 38
"""Digits that DuckDB, Iceberg, Spark and Arrow's decimal128 all hold."""


class Kind(StrEnum):
    """The logical kinds; each system and engine maps its own types to these or refuses by name."""

    UUID = "uuid"
    INT = "int"  # 32 bits
    BIGINT = "bigint"  # 64 bits
    DECIMAL = "decimal"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    TIMESTAMP = "timestamp"  # naive local time, microseconds
    TIMESTAMPTZ = "timestamptz"  # an instant, microseconds
    TIME = "time"
    BYTES = "bytes"
    JSON = "json"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class LogicalType:
    """A kind with its bounds: `length` in code points for text, digits for decimal."""

    kind: Kind
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    element: "LogicalType | None" = None

    def __str__(self) -> str:
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        if self.kind is Kind.TEXT and self.length is not None:
            return f"text({self.length})"
        if self.kind is Kind.LIST:
            return f"list({self.element})"
        return self.kind.value


TEXT = LogicalType(Kind.TEXT)
BIGINT = LogicalType(Kind.BIGINT)
INT = LogicalType(Kind.INT)
DOUBLE = LogicalType(Kind.DOUBLE)
BOOLEAN = LogicalType(Kind.BOOLEAN)
UUID = LogicalType(Kind.UUID)
DATE = LogicalType(Kind.DATE)
TIME = LogicalType(Kind.TIME)
TIMESTAMP = LogicalType(Kind.TIMESTAMP)
TIMESTAMPTZ = LogicalType(Kind.TIMESTAMPTZ)
BYTES = LogicalType(Kind.BYTES)
JSON = LogicalType(Kind.JSON)

_PLAIN = {
    "uuid": UUID,
    "int": INT,
    "bigint": BIGINT,
    "double": DOUBLE,
    "boolean": BOOLEAN,
    "text": TEXT,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMPTZ,
    "time": TIME,
    "bytes": BYTES,
    "json": JSON,
}


def parse_type(text: str) -> LogicalType:
    """Return the logical type that a plan's `types:` entry names, such as `decimal(10,2)`.

    Raises: ValueError with the accepted forms.
    """
    words = re.sub(r"\s+", "", text.lower())
    if words in _PLAIN:
        return _PLAIN[words]
    if match := re.fullmatch(r"text\(([1-9][0-9]{0,8})\)", words):
        return LogicalType(Kind.TEXT, length=int(match[1]))
    if match := re.fullmatch(r"decimal\(([1-9][0-9]?),([0-9]{1,2})\)", words):
        precision, scale = int(match[1]), int(match[2])
        if scale <= precision <= DECIMAL_PRECISION_MAX:
            return LogicalType(Kind.DECIMAL, precision=precision, scale=scale)
    if match := re.fullmatch(r"list\((.+)\)", words):
        return LogicalType(Kind.LIST, element=parse_type(match[1]))
    known = ", ".join([*_PLAIN, "text(n)", "decimal(p,s)", "list(type)"])
    message = f"'{text}' is not a type; known types: {known}"
    raise ValueError(message)


_TEXT_GRAMMARS = (
    Kind.BIGINT,
    Kind.DECIMAL,
    Kind.DOUBLE,
    Kind.BOOLEAN,
    Kind.UUID,
    Kind.DATE,
    Kind.TIME,
    Kind.TIMESTAMP,
    Kind.TIMESTAMPTZ,
    Kind.JSON,
)
_CONVERTIBLE = frozenset(
    {
        *((Kind.TEXT, kind) for kind in _TEXT_GRAMMARS),
        *((kind, Kind.TEXT) for kind in (Kind.INT, Kind.BIGINT, Kind.UUID, Kind.DECIMAL, Kind.JSON)),
        *((kind, wanted) for kind in (Kind.INT, Kind.BIGINT) for wanted in (Kind.DECIMAL, Kind.DOUBLE, Kind.BOOLEAN)),
        (Kind.INT, Kind.BIGINT),
        (Kind.BOOLEAN, Kind.BIGINT),
        (Kind.DECIMAL, Kind.BIGINT),
        (Kind.DECIMAL, Kind.DOUBLE),
        (Kind.DOUBLE, Kind.BIGINT),
        (Kind.DATE, Kind.TIMESTAMP),
    }
)


def is_contained(given: LogicalType, wanted: LogicalType) -> bool:
    """Say whether every value of one type is a value of the other as it stands: nothing to convert, nothing to check.

    True for equal types, a text in a longer text, JSON (a text to all our parts) in text, lists of such elements.
    """
    if given.kind is Kind.LIST and given.element is not None and wanted.element is not None:
        return wanted.kind is Kind.LIST and is_contained(given.element, wanted.element)
    if wanted.kind is Kind.TEXT and given.kind in {Kind.TEXT, Kind.JSON}:
        return wanted.length is None or (given.length is not None and given.length <= wanted.length)
    return given == wanted


def is_convertible(given: LogicalType, wanted: LogicalType) -> bool:
    """Say whether values of one type can become another exactly or be rejected one by one.

    What goes to `bigint` goes to `int` too; a list becomes another where its elements can.
    Text is parsed by the closed grammars; a double has no text.
    """
    if given.kind is wanted.kind:
        if given.element is None or wanted.element is None:
            return True
        return is_convertible(given.element, wanted.element)
    kind = Kind.BIGINT if wanted.kind is Kind.INT else wanted.kind
    return given.kind is kind or (given.kind, kind) in _CONVERTIBLE


class Carrier(StrEnum):
    """How the extract carries a source column.

    NATIVE: as the Arrow type of its logical type. TEXT: as exact text, parsed later by our own grammars,
    because a driver or engine would bend the value (PostgreSQL infinity, SQLite DATETIME, decimals).
    """

    NATIVE = "native"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a source or target table.

    `type` is None where transhume cannot carry the native type exactly; `native` is the system's own name.
    `refused` says why a target column may not be written (generated, for example). `keeps_text` is False for a
    JSON column that stores the value and not its text (jsonb): what would be changed there is a reject. `bits_max`
    is the width of an integer column that is narrower than its type (smallint).
    """

    name: str
    type: LogicalType | None
    nullable: bool = True
    native: str = ""
    carrier: Carrier = Carrier.NATIVE
    has_default: bool = False
    refused: str = ""
    keeps_text: bool = True
    bits_max: int | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference from `columns` to `table`.`target_columns`; `deferrable` as the system declares it."""

    columns: tuple[str, ...]
    table: str
    target_columns: tuple[str, ...]
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its constraints; `obstacles` are reasons why it cannot be written (trigger, row security).

    The rows of a `located` table are lines of a text file: its extract has the number of each in `_line`.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    row_count: int | None = None
    located: bool = False

    def column(self, name: str) -> Column | None:
        """Return the column of this exact name, or None."""
        return next((column for column in self.columns if column.name == name), None)


ROW = "_row"
"""Extract column: position of the row in its table's extract, from 0, unique."""
ODD = "_odd"
"""Extract column: values whose storage class is not the column's own (SQLite), NULL for nearly all rows."""
LINE = "_line"
"""Extract column of located tables only: the line of the file on which the row begins, from 1."""
LINE_CLASS = "line"
"""Class of an odd value in every column of a row whose line is none of the table's; the first one holds the line."""
KEY_UUID = "_uuid"
FATE = "_fate"
REASONS = "_reasons"
WARNINGS = "_warnings"
"""Only where a mapping has checks that stop or warn: `stop:name` and `warn:name`, joined by line feeds, or NULL."""
BOOKKEEPING = (ROW, LINE, ODD, KEY_UUID, FATE, REASONS, WARNINGS)


def physical_names(names: Iterable[str]) -> dict[str, str]:
    """Map column names to names that no engine confuses: unique without regard to case, none of ours.

    A name is kept where it can be; `A` beside `a` becomes `A #2`. Deterministic in the order given.
    """
    taken = {name.casefold() for name in BOOKKEEPING}
    result: dict[str, str] = {}
    for ordinal, name in enumerate(names, start=1):
        # `_k0`, `_k1` .. are the key parts of fates and relations.
        free = f"#{name}" if name.casefold().startswith("_k") else name
        physical = free
        while physical.casefold() in taken:
            physical = f"{free} #{ordinal}" if physical == free else f"{physical}#"
        taken.add(physical.casefold())
        result[name] = physical
    return result
