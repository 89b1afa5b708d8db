"""Which MySQL and MariaDB types a source carries, and how: exactly, or not at all. No connection here.

| type | carried as |
|---|---|
| tinyint, smallint, mediumint, int, boolean (a tinyint that may be 5) | int |
| int unsigned, bigint | bigint |
| bigint unsigned, bit(64) | bigint; a number beyond it is an odd value of its row, as digits |
| bit(n) below 64, year | int or bigint: its number |
| float, double | double; a float is widened by the server, which is exact |
| decimal(p,s), p up to 38 | decimal, as the server's text |
| decimal with more digits | text: the digits as they stand |
| char, varchar, tinytext, text, mediumtext, longtext, set | text |
| enum | text; the empty text of index 0, the server's mark for a value that it refused, is an odd value |
| json (in MariaDB: longtext that must be `json_valid`), uuid | their kind, as the server's text |
| date, datetime, time | their kind, as the server's text: zero dates, partial dates, times beyond 24 hours |
| timestamp | an instant, as the server's text in UTC |
| binary, varbinary, tinyblob, blob, mediumblob, longblob | bytes |
| every other (geometry, point, polygon ..., inet4, inet6, vector) | not carried |

Source: https://mariadb.com/docs/server/reference/data-types and https://dev.mysql.com/doc/refman/8.4/en/data-types.html
"""

from dataclasses import dataclass

from transhume.schema import (
    BIGINT,
    BYTES,
    DATE,
    DECIMAL_PRECISION_MAX,
    DOUBLE,
    INT,
    JSON,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    Carrier,
    Kind,
    LogicalType,
)

_INT_BITS_MAX = 31
_SPATIAL = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection"}
)
_PLAIN: dict[str, tuple[LogicalType, Carrier]] = {
    "tinyint": (INT, Carrier.NATIVE),
    "smallint": (INT, Carrier.NATIVE),
    "mediumint": (INT, Carrier.NATIVE),
    "bigint": (BIGINT, Carrier.NATIVE),
    "year": (INT, Carrier.NATIVE),
    "float": (DOUBLE, Carrier.NATIVE),
    "double": (DOUBLE, Carrier.NATIVE),
    "date": (DATE, Carrier.TEXT),
    "datetime": (TIMESTAMP, Carrier.TEXT),
    "timestamp": (TIMESTAMPTZ, Carrier.TEXT),
    "time": (TIME, Carrier.TEXT),
    "uuid": (UUID, Carrier.TEXT),
    "json": (JSON, Carrier.TEXT),
    "enum": (TEXT, Carrier.NATIVE),
    "set": (TEXT, Carrier.NATIVE),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), (TEXT, Carrier.NATIVE)),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), (BYTES, Carrier.NATIVE)),
}


@dataclass(frozen=True, slots=True)
class NativeType:
    """A column's type as information_schema tells it: `name` is DATA_TYPE, `full` is COLUMN_TYPE.

    `length` is in characters for texts and in bytes for bytes; `octets` is the most that a value takes in storage;
    `charset` is empty where the type has none; `is_json` says that the server takes nothing but valid JSON.
    """

    name: str
    full: str
    length: int | None = None
    octets: int | None = None
    precision: int | None = None
    scale: int | None = None
    charset: str = ""
    is_json: bool = False

    @property
    def unsigned(self) -> bool:
        """Whether the type has no negative values."""
        return " unsigned" in self.full


def source_type(native: NativeType) -> tuple[LogicalType, Carrier] | None:
    """Return the logical type and carrier that hold every value of a native type, None where none does."""
    if native.is_json:
        return JSON, Carrier.TEXT
    found = _PLAIN.get(native.name)
    match native.name:
        case "int":
            found = (BIGINT if native.unsigned else INT), Carrier.NATIVE
        case "bit":
            found = (INT if (native.precision or 1) <= _INT_BITS_MAX else BIGINT), Carrier.NATIVE
        case "char" | "varchar":
            found = LogicalType(Kind.TEXT, length=native.length), Carrier.NATIVE
        case "decimal" if native.precision is None or native.precision > DECIMAL_PRECISION_MAX:
            found = TEXT, Carrier.NATIVE
        case "decimal":
            found = LogicalType(Kind.DECIMAL, precision=native.precision, scale=native.scale or 0), Carrier.TEXT
    return found


def exceeds_bigint(native: NativeType) -> bool:
    """Say whether the type has whole numbers beyond 64 bits with a sign."""
    return (native.name == "bigint" and native.unsigned) or (native.name == "bit" and native.precision == 64)  # noqa: PLR2004


def is_float(kind: str) -> bool:
    """Say whether the DATA_TYPE is a binary floating point number."""
    return kind in {"float", "double"}


def is_spatial(kind: str) -> bool:
    """Say whether the DATA_TYPE is one of shapes."""
    return kind in _SPATIAL
