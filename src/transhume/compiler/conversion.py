"""Conversion of one value from one logical type to another: exact, or a reason. No plan and no rule stands here.

The reasons, each followed by `:` and the source column (the oracle has its own code for the same table):

| reason          | a row has it where                                                                            |
|-----------------|-----------------------------------------------------------------------------------------------|
| `bad_encoding`  | the source holds text that is not UTF-8                                                       |
| `bad_line`      | the row's line in a file is no row of its table, which stands behind `:` here                 |
| `blob`          | the source holds bytes where its column has another type                                      |
| `bad_value`     | the source holds a value of another class, and no text is read as the wanted type (bytes, list) |
| `bad_integer`   | a text is not an integer of 64 bits                                                           |
| `bad_number`    | a text is not a number that the wanted decimal or double holds                                |
| `bad_boolean`   | a text is none of true, false, t, f, 1, 0; an integer is neither 1 nor 0                      |
| `bad_uuid` `bad_date` `bad_time` `bad_json` | a text is none                                                    |
| `bad_timestamp` | a text is no timestamp, or for timestamptz no instant                                         |
| `not_finite`    | a double is NaN or infinite                                                                   |
| `out_of_range`  | a whole number is beyond 32 bits where `int` is wanted                                        |
| `inexact`       | a number is not held exactly: a fraction for an integer, beyond 64 bits, lost digits          |
| `too_long`      | a text has more code points than the target column takes                                      |
| `nul_character` | a text for the target holds U+0000                                                            |
| `null`          | NULL for a target column that is NOT NULL                                                     |

What may be converted (everything else is a RuleProblem, found before a run):
same kind (decimal: DecimalFromDecimal); text to int, bigint, decimal, double, boolean, uuid, date, time, timestamp,
timestamptz, json by the Parse operations; int, bigint, uuid, decimal, json to text; int and bigint to each other, to
decimal and to double (exactly); 1 and 0 to boolean and back; decimal to int, bigint and double (nearest);
double to int and bigint (whole numbers); date to timestamp (midnight); a list to another whose elements can be had
from its own, one bad element rejecting the row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from sqlglot import exp

from transhume import operations as op
from transhume.rules.rule import Reason, RuleProblem, Sql
from transhume.rules.trees import every, is_null, is_present, is_true, negated
from transhume.schema import BIGINT, Kind, LogicalType, is_contained

Bind = Callable[[exp.Expression], exp.Column]
Origin = Callable[[exp.Expression], exp.Expression]
"""Gives the expression that a bound name stands for."""
_Build = Callable[[exp.Expression, LogicalType], exp.Expression]

_PRECISION_MAX = 38


@dataclass(frozen=True, slots=True)
class _Conversion:
    """How to convert, and the reason for a value that gives NULL (None: there is no such value)."""

    build: _Build
    reason: str | None


def convert(sql: Sql, wanted: LogicalType, column: str, bind: Bind) -> Sql:
    """Return the value as the wanted type, with the reasons that it had and those of the conversion.

    Raises: RuleProblem where no exact conversion exists.
    """
    given = sql.type
    if given.kind is wanted.kind and not _changes(given, wanted):
        return _checked_finite(Sql(sql.value, wanted, sql.reasons), column, bind)
    if given.kind is Kind.LIST and wanted.kind is Kind.LIST:
        return _each_converted(sql, wanted, column, bind)
    if wanted.kind is Kind.INT:
        return _to_int(convert(sql, BIGINT, column, bind), wanted, column, bind)
    if given.kind is Kind.DOUBLE:
        sql = _checked_finite(sql, column, bind)
    conversion = _CONVERSIONS.get((given.kind, wanted.kind))
    if conversion is None:
        message = f"'{column}' is {given}, and {given} cannot become {wanted} exactly"
        raise RuleProblem(message, _cure(given, wanted))
    if conversion.reason is None:
        return Sql(conversion.build(sql.value, wanted), wanted, sql.reasons)
    value = bind(sql.value)
    converted = bind(conversion.build(value, wanted))
    bad = every([is_present(value), is_null(converted)])
    if given.kind is Kind.DOUBLE:
        bad = every([bad, op.IsFinite(this=value.copy())])
    return Sql(converted, wanted, (*sql.reasons, Reason(bind(bad), f"{conversion.reason}:{column}")))


def parse_reason(wanted: LogicalType) -> str | None:
    """Return the reason for a text that is not of the wanted type; None where no text is read as it."""
    conversion = _CONVERSIONS.get((Kind.TEXT, BIGINT.kind if wanted.kind is Kind.INT else wanted.kind))
    return conversion.reason if conversion else None


def parsed(text: exp.Expression, wanted: LogicalType) -> exp.Expression:
    """Return the value of a text that is known to be of the wanted type."""
    if wanted.kind is Kind.INT:
        return exp.cast(parsed(text, BIGINT), sql_type(wanted))
    return _CONVERSIONS[Kind.TEXT, wanted.kind].build(text, wanted)


def for_target(sql: Sql, wanted: LogicalType, column: str, bind: Bind, origin: Origin) -> Sql:
    """Return the value as the target column's type, held against the bounds of the target column."""
    converted = convert(sql, wanted, column, bind)
    if wanted.kind is Kind.LIST:
        return _bounded_list(converted, column, bind)
    if wanted.kind not in {Kind.TEXT, Kind.JSON} or isinstance(converted.value, exp.Null):
        return converted
    bounds = _text_bounds(converted.value, origin)
    own = []
    value = converted.value
    if not bounds.nul_free:
        value = bind(value)
        own.append(Reason(is_true(op.HasNul(this=value.copy())), f"nul_character:{column}"))
    if wanted.length is not None and (bounds.length_max is None or bounds.length_max > wanted.length):
        value = bind(value)
        over = exp.GT(this=op.CodePoints(this=value.copy()), expression=exp.Literal.number(wanted.length))
        own.append(Reason(is_true(over), f"too_long:{column}"))
    return Sql(value, wanted, (*converted.reasons, *own))


def typed_null(wanted: LogicalType) -> exp.Expression:
    """Return NULL of this type."""
    return exp.cast(exp.Null(), sql_type(wanted))


def sql_type(logical: LogicalType) -> exp.DataType:
    """Return the SQL type of the tree in which a value of this logical type stands."""
    if logical.kind is Kind.DECIMAL:
        precision, scale = decimal_bounds(logical)
        return exp.DataType(
            this=exp.DataType.Type.DECIMAL,
            expressions=[exp.DataTypeParam(this=exp.Literal.number(bound)) for bound in (precision, scale)],
        )
    if logical.kind is Kind.LIST:
        assert logical.element is not None
        return exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[sql_type(logical.element)], nested=True)
    return exp.DataType(this=_SQL_TYPES[logical.kind])


def decimal_bounds(logical: LogicalType) -> tuple[int, int]:
    """Return precision and scale; 38 and 0 where none are given, as `batches.arrow_type` has them."""
    return logical.precision or _PRECISION_MAX, logical.scale or 0


@dataclass(frozen=True, slots=True)
class _Bounds:
    nul_free: bool
    length_max: int | None


_LENGTHS: dict[type[exp.Expression], int] = {
    op.IntegerText: 20,
    op.UuidText: 36,
    op.InstantText: 27,
    op.DecimalText: 41,
}


def _text_bounds(value: exp.Expression, origin: Origin) -> _Bounds:
    """Return what is known of a text without looking at rows, so that nothing is tested that cannot be."""
    value = origin(value)
    if isinstance(value, exp.Literal):
        return _Bounds("\0" not in str(value.this), len(str(value.this)))
    if isinstance(value, exp.Null):
        return _Bounds(nul_free=True, length_max=0)
    if type(value) in _LENGTHS:
        return _Bounds(nul_free=True, length_max=_LENGTHS[type(value)])
    parts: list[exp.Expression] = []
    if isinstance(value, exp.Case):
        parts = [branch.args["true"] for branch in value.args["ifs"]]
        parts.append(value.args.get("default") or exp.Null())
    elif isinstance(value, exp.Coalesce):
        parts = [value.this, *value.expressions]
    elif isinstance(value, exp.DPipe):
        parts = [value.args["this"], value.args["expression"]]
    elif isinstance(value, exp.Paren):
        parts = [value.this]
    if not parts:
        return _Bounds(nul_free=False, length_max=None)
    bounds = [_text_bounds(part, origin) for part in parts]
    lengths = [bound.length_max for bound in bounds if bound.length_max is not None]
    combine = sum if isinstance(value, exp.DPipe) else max
    length_max = combine(lengths) if len(lengths) == len(bounds) else None
    return _Bounds(all(bound.nul_free for bound in bounds), length_max)


def _changes(given: LogicalType, wanted: LogicalType) -> bool:
    if given.kind is Kind.DECIMAL:
        return decimal_bounds(given) != decimal_bounds(wanted)
    return given.kind is Kind.LIST and not is_contained(given, wanted)


def _each_converted(sql: Sql, wanted: LogicalType, column: str, bind: Bind) -> Sql:
    """Convert every element; a reason holds where it holds for any of them."""
    assert sql.type.element is not None
    assert wanted.element is not None
    value = bind(sql.value)
    # Names stand outside of the list, so that inside an expression stands for itself.
    inside = convert(Sql(op.Element(), sql.type.element), wanted.element, column, cast("Bind", exp.Expression.copy))
    made: exp.Expression = op.ListMap(this=value.copy(), expression=inside.value.copy())
    own = [
        Reason(bind(is_true(op.ListAny(this=value.copy(), expression=reason.condition.copy()))), reason.text)
        for reason in inside.reasons
    ]
    if own:
        none_bad = every(negated(reason.condition) for reason in own)
        made = exp.Case(ifs=[exp.If(this=none_bad, true=made)])
    return Sql(bind(made), wanted, (*sql.reasons, *own))


def _bounded_list(sql: Sql, column: str, bind: Bind) -> Sql:
    """Hold the texts of a list, or of lists in it, against the bounds of the target column."""
    depth, element = 1, sql.type.element
    while element is not None and element.kind is Kind.LIST:
        depth, element = depth + 1, element.element
    if element is None or element.kind not in {Kind.TEXT, Kind.JSON} or isinstance(sql.value, exp.Null):
        return sql
    value = bind(sql.value)
    conditions: list[tuple[exp.Expression, str]] = [(op.HasNul(this=op.Element()), "nul_character")]
    if element.length is not None:
        over = exp.GT(this=op.CodePoints(this=op.Element()), expression=exp.Literal.number(element.length))
        conditions.append((over, "too_long"))
    own = []
    for condition, reason in conditions:
        for level in range(depth, 0, -1):
            inner = value if level == 1 else op.Element()
            condition = op.ListAny(this=inner.copy(), expression=condition)  # noqa: PLW2901 - from the inside out
        own.append(Reason(bind(is_true(condition)), f"{reason}:{column}"))
    return Sql(value, sql.type, (*sql.reasons, *own))


def _to_int(sql: Sql, wanted: LogicalType, column: str, bind: Bind) -> Sql:
    value = bind(sql.value)
    fits = op.FitsInt(this=value.copy())
    narrow = exp.Case(ifs=[exp.If(this=fits, true=exp.cast(value.copy(), sql_type(wanted)))])
    outside = is_true(negated(fits))
    return Sql(bind(narrow), wanted, (*sql.reasons, Reason(outside, f"out_of_range:{column}")))


def _checked_finite(sql: Sql, column: str, bind: Bind) -> Sql:
    text = f"not_finite:{column}"
    if sql.type.kind is not Kind.DOUBLE or any(reason.text == text for reason in sql.reasons):
        return sql
    value = bind(sql.value)
    return Sql(value, sql.type, (*sql.reasons, Reason(is_true(negated(op.IsFinite(this=value.copy()))), text)))


def _cure(given: LogicalType, wanted: LogicalType) -> str:
    if given.kind is Kind.TIMESTAMP and wanted.kind in {Kind.TIMESTAMPTZ, Kind.TEXT}:
        return "write {utc: column}, which says what zone the local time is in"
    if given.kind is Kind.DOUBLE and wanted.kind is Kind.DECIMAL:
        return "give the target column the type double, or write {scale: column}"
    if given.kind is Kind.TEXT and wanted.kind is Kind.TIMESTAMPTZ:
        return "write {utc: column} or {parse: column, format: ...}"
    return "give the target column another type in 'types:', or convert by a rule"


def _plain(operation: type[op.Operation]) -> _Build:
    return lambda value, _: operation(this=value.copy())


def _with_bounds(operation: type[op.Operation]) -> _Build:
    def build(value: exp.Expression, wanted: LogicalType) -> exp.Expression:
        precision, scale = decimal_bounds(wanted)
        return operation(this=value.copy(), precision=exp.Literal.number(precision), scale=exp.Literal.number(scale))

    return build


def _cast(value: exp.Expression, wanted: LogicalType) -> exp.Expression:
    return exp.cast(value.copy(), sql_type(wanted))


def _same(value: exp.Expression, _: LogicalType) -> exp.Expression:
    return value.copy()


def _number_of_boolean(value: exp.Expression, wanted: LogicalType) -> exp.Expression:
    one, zero = (exp.cast(exp.Literal.number(number), sql_type(wanted)) for number in (1, 0))
    return exp.Case(ifs=[exp.If(this=value.copy(), true=one), exp.If(this=negated(value), true=zero)])


def _boolean_of_number(value: exp.Expression, _: LogicalType) -> exp.Expression:
    branches = [(1, exp.true()), (0, exp.false())]
    return exp.Case(
        ifs=[exp.If(this=value.copy().eq(exp.Literal.number(number)), true=truth) for number, truth in branches]
    )


_CONVERSIONS: dict[tuple[Kind, Kind], _Conversion] = {
    (Kind.TEXT, Kind.BIGINT): _Conversion(_plain(op.ParseInteger), "bad_integer"),
    (Kind.TEXT, Kind.DECIMAL): _Conversion(_with_bounds(op.ParseDecimal), "bad_number"),
    (Kind.TEXT, Kind.DOUBLE): _Conversion(_plain(op.ParseDouble), "bad_number"),
    (Kind.TEXT, Kind.BOOLEAN): _Conversion(_plain(op.ParseBoolean), "bad_boolean"),
    (Kind.TEXT, Kind.UUID): _Conversion(_plain(op.ParseUuid), "bad_uuid"),
    (Kind.TEXT, Kind.DATE): _Conversion(_plain(op.ParseDate), "bad_date"),
    (Kind.TEXT, Kind.TIME): _Conversion(_plain(op.ParseTime), "bad_time"),
    (Kind.TEXT, Kind.TIMESTAMP): _Conversion(_plain(op.ParseTimestamp), "bad_timestamp"),
    (Kind.TEXT, Kind.TIMESTAMPTZ): _Conversion(_plain(op.ParseInstant), "bad_timestamp"),
    (Kind.TEXT, Kind.JSON): _Conversion(_plain(op.ParseJson), "bad_json"),
    (Kind.INT, Kind.TEXT): _Conversion(_plain(op.IntegerText), None),
    (Kind.BIGINT, Kind.TEXT): _Conversion(_plain(op.IntegerText), None),
    (Kind.UUID, Kind.TEXT): _Conversion(_plain(op.UuidText), None),
    (Kind.DECIMAL, Kind.TEXT): _Conversion(_plain(op.DecimalText), None),
    (Kind.JSON, Kind.TEXT): _Conversion(_same, None),
    (Kind.INT, Kind.BIGINT): _Conversion(_cast, None),
    (Kind.INT, Kind.DECIMAL): _Conversion(_with_bounds(op.DecimalFromInteger), "inexact"),
    (Kind.BIGINT, Kind.DECIMAL): _Conversion(_with_bounds(op.DecimalFromInteger), "inexact"),
    (Kind.INT, Kind.DOUBLE): _Conversion(_cast, None),
    (Kind.BIGINT, Kind.DOUBLE): _Conversion(_plain(op.DoubleFromInteger), "inexact"),
    (Kind.INT, Kind.BOOLEAN): _Conversion(_boolean_of_number, "bad_boolean"),
    (Kind.BIGINT, Kind.BOOLEAN): _Conversion(_boolean_of_number, "bad_boolean"),
    (Kind.BOOLEAN, Kind.BIGINT): _Conversion(_number_of_boolean, None),
    (Kind.DECIMAL, Kind.BIGINT): _Conversion(_plain(op.IntegerFromDecimal), "inexact"),
    (Kind.DECIMAL, Kind.DECIMAL): _Conversion(_with_bounds(op.DecimalFromDecimal), "inexact"),
    (Kind.DECIMAL, Kind.DOUBLE): _Conversion(_plain(op.DoubleFromDecimal), None),
    (Kind.DOUBLE, Kind.BIGINT): _Conversion(_plain(op.IntegerFromDouble), "inexact"),
    (Kind.DATE, Kind.TIMESTAMP): _Conversion(_plain(op.TimestampFromDate), None),
}

_SQL_TYPES = {
    Kind.UUID: exp.DataType.Type.UUID,
    Kind.INT: exp.DataType.Type.INT,
    Kind.BIGINT: exp.DataType.Type.BIGINT,
    Kind.DOUBLE: exp.DataType.Type.DOUBLE,
    Kind.BOOLEAN: exp.DataType.Type.BOOLEAN,
    Kind.TEXT: exp.DataType.Type.TEXT,
    Kind.DATE: exp.DataType.Type.DATE,
    Kind.TIMESTAMP: exp.DataType.Type.TIMESTAMP,
    Kind.TIMESTAMPTZ: exp.DataType.Type.TIMESTAMPTZ,
    Kind.TIME: exp.DataType.Type.TIME,
    Kind.BYTES: exp.DataType.Type.VARBINARY,
    Kind.JSON: exp.DataType.Type.TEXT,
}
