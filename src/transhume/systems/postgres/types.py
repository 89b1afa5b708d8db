"""Which PostgreSQL types a source carries, and how: exactly, or not at all. No connection here.

| type | carried as |
|---|---|
| smallint, integer, bigint, oid | int, bigint |
| real, double precision | double; a real is widened by the server, which is exact |
| numeric(p,s), p up to 38 | decimal, as the server's text |
| numeric without bounds, or wider | text: the digits as they stand (`NaN` and `Infinity` too) |
| boolean, bytea | boolean, bytes |
| text, varchar(n), char(n) with its padding, name, citext, enums | text |
| uuid, date, time, timestamp, timestamptz, json, jsonb | their kind, as the server's text |
| a domain | what it stands over |
| arrays of these | list of their kind; one of more dimensions or with other bounds is an odd value of its row |
| every other (ranges, interval, money, network, geometric, xml, timetz, composites ...) | not carried |

As text, because `infinity`, years before Christ and after 9999 are legal there: the rule's grammar judges them.
Source: https://www.postgresql.org/docs/current/datatype.html
"""

from dataclasses import dataclass

from transhume.schema import (
    BIGINT,
    BOOLEAN,
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

_PLAIN: dict[str, tuple[LogicalType, Carrier]] = {
    "bool": (BOOLEAN, Carrier.NATIVE),
    "bytea": (BYTES, Carrier.NATIVE),
    "date": (DATE, Carrier.TEXT),
    "float4": (DOUBLE, Carrier.NATIVE),
    "float8": (DOUBLE, Carrier.NATIVE),
    "int2": (INT, Carrier.NATIVE),
    "int4": (INT, Carrier.NATIVE),
    "int8": (BIGINT, Carrier.NATIVE),
    "json": (JSON, Carrier.TEXT),
    "jsonb": (JSON, Carrier.TEXT),
    "name": (TEXT, Carrier.NATIVE),
    "oid": (BIGINT, Carrier.NATIVE),
    "text": (TEXT, Carrier.NATIVE),
    "time": (TIME, Carrier.TEXT),
    "timestamp": (TIMESTAMP, Carrier.TEXT),
    "timestamptz": (TIMESTAMPTZ, Carrier.TEXT),
    "uuid": (UUID, Carrier.TEXT),
}
_HEADER = 4
"""What PostgreSQL adds to the numbers in a type modifier."""


@dataclass(frozen=True, slots=True)
class NativeType:
    """A type of the server with its domains taken off: `schema`, `name` and `kind` as in pg_type, `modifier` or -1.

    `element` is an array's element type, whose modifier stands with the array.
    """

    schema: str
    name: str
    kind: str
    modifier: int = -1
    element: "NativeType | None" = None


def source_type(native: NativeType) -> tuple[LogicalType, Carrier] | None:
    """Return the logical type and carrier that hold every value of a native type, None where none does."""
    if native.element is not None:
        element = source_type(native.element)
        return None if element is None else (LogicalType(Kind.LIST, element=element[0]), Carrier.NATIVE)
    if native.kind == "e" or native.name == "citext":
        return TEXT, Carrier.NATIVE
    if native.schema != "pg_catalog":
        return None
    if native.name in {"varchar", "bpchar"}:
        length = native.modifier - _HEADER if native.modifier >= _HEADER else None
        return LogicalType(Kind.TEXT, length=length), Carrier.NATIVE
    if native.name == "numeric":
        return _numeric(native.modifier)
    return _PLAIN.get(native.name)


def _numeric(modifier: int) -> tuple[LogicalType, Carrier]:
    """Return the type of a numeric; since PostgreSQL 15 the scale may be negative, or wider than the precision.

    Source: https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-NUMERIC-DECIMAL
    """
    if modifier < _HEADER:
        return TEXT, Carrier.NATIVE
    precision = (modifier - _HEADER) >> 16 & 0xFFFF
    scale = ((modifier - _HEADER & 0x7FF) ^ 0x400) - 0x400
    digits = max(precision, scale) if scale >= 0 else precision - scale
    if digits > DECIMAL_PRECISION_MAX:
        return TEXT, Carrier.NATIVE
    return LogicalType(Kind.DECIMAL, precision=digits, scale=max(scale, 0)), Carrier.TEXT
