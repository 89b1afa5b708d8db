"""The types of an expression: every kind is compared and combined with its own kind only."""

import math
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import Any

from transhume.expressions.tree import WHITE, Call, Column, ExpressionError, Node, Null, Number, Quoted, Truth, Typed
from transhume.schema import BIGINT, BOOLEAN, DECIMAL_PRECISION_MAX, DOUBLE, TEXT, Kind, LogicalType

Types = Callable[[str], LogicalType | None]

_COMPARED = {"=", "<>", "<", "<=", ">", ">=", "between", "in"}
_EQUALITY = {"=", "<>", "in"}
_ARITHMETIC = {"+", "-", "*"}
_INTEGER = {Kind.INT, Kind.BIGINT}
_NUMBERS = {*_INTEGER, Kind.DECIMAL, Kind.DOUBLE}
_ORDERED = {*_NUMBERS, Kind.TEXT, Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ}
_COMPARABLE = {*_ORDERED, Kind.BOOLEAN, Kind.UUID}
_QUOTED = {Kind.TEXT, Kind.DECIMAL, Kind.UUID, Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ}
_BIGINT_MAX = 2**63 - 1
_BIGINT_DIGITS = 19
_INT_DIGITS = 10

_DATE = r"(?!0000)\d{4}-\d{2}-\d{2}"
_TIME = r"(\d{2}:\d{2}:\d{2})(?:\.(\d{1,6})0*)?"
_OFFSET = r"(Z|[+-]\d{2}(?::\d{2}(?::\d{2})?)?)"


def check_types(node: Node, types: Types) -> Typed:
    """Return the expression with the type of every node; literals have the type of what they stand beside.

    Raises: ExpressionError for a column without a type and for kinds that do not go together.
    """
    if not isinstance(node, Call):
        return _leaf(node, types)
    return _CHECKS[node.name](node, tuple(check_types(operand, types) for operand in node.operands))


def settle(typed: Typed, wanted: LogicalType | None) -> Typed:
    """Return a literal or NULL that is a whole expression with the wanted type, or with that of its own form."""
    if isinstance(typed.node, Null):
        return Typed(typed.node, wanted or TEXT)
    if typed.is_literal:
        fits = wanted is not None and (wanted.kind in _NUMBERS or isinstance(typed.node, Quoted))
        return _literal_as(typed, wanted if fits and wanted is not None else _own_type(typed))
    return typed


def _leaf(node: Node, types: Types) -> Typed:
    if isinstance(node, Column):
        found = types(node.name)
        if found is None:
            message = f"'{node.name}' is not a column here"
            raise ExpressionError(message, "text literals stand in single quotes", node.offset)
        return Typed(node, found)
    if isinstance(node, Null):
        return Typed(node, None)
    if isinstance(node, Truth):
        return Typed(node, BOOLEAN, value=node.value)
    return Typed(node, TEXT if isinstance(node, Quoted) else _number_type(node))


def _number_type(node: Node) -> LogicalType:
    assert isinstance(node, Number)
    whole, _, fraction = node.digits.removeprefix("-").partition(".")
    if not fraction and -_BIGINT_MAX - 1 <= int(node.digits) <= _BIGINT_MAX:
        return BIGINT
    precision, scale = len(whole.lstrip("0")) + len(fraction), len(fraction)
    if precision > DECIMAL_PRECISION_MAX:
        message = f"the number {node.digits} has more than {DECIMAL_PRECISION_MAX} digits"
        raise ExpressionError(message, "", node.offset)
    return LogicalType(Kind.DECIMAL, precision=max(precision, 1), scale=scale)


# -- comparisons and choices ------------------------------------------------------------------------------


def _comparison(node: Call, operands: tuple[Typed, ...]) -> Typed:
    for operand in operands:
        if isinstance(operand.node, Null):
            message = f"a comparison with NULL ('{node.name}') is never true"
            raise ExpressionError(message, "write IS NULL or IS NOT NULL", operand.node.offset)
    joined = _common(operands, node)
    kind = joined[0].type.kind if joined[0].type else Kind.TEXT
    if kind not in _COMPARABLE:
        message = f"{kind} values cannot be compared"
        raise ExpressionError(message, "only IS NULL is known for them", node.offset)
    if kind not in _ORDERED and node.name not in _EQUALITY:
        message = f"{kind} values have no order for '{node.name}'"
        raise ExpressionError(message, "compare them with = or <>", node.offset)
    return Typed(node, BOOLEAN, joined)


def _coalesce(node: Call, operands: tuple[Typed, ...]) -> Typed:
    joined = _common(operands, node)
    given = [operand.type for operand in joined if operand.type is not None]
    result = given[0] if given else TEXT
    if any(other != result for other in given):
        lengths = [other.length for other in given]
        if result.kind in _INTEGER:
            result = BIGINT
        elif result.kind is Kind.TEXT:
            result = TEXT if None in lengths else LogicalType(Kind.TEXT, length=max(n for n in lengths if n))
    typed = tuple(Typed(o.node, result) if isinstance(o.node, Null) else o for o in joined)
    return Typed(node, result, typed)


def _common(operands: Sequence[Typed], node: Call) -> tuple[Typed, ...]:
    """Give all operands one kind: literals and NULLs follow the others, exact numbers are widened."""
    leading = [operand for operand in operands if not operand.is_literal and operand.type is not None]
    if not leading:
        leading = [_literal_as(operand, _own_type(operand)) for operand in operands if operand.is_literal]
    if not leading:
        return tuple(operands)
    common = leading[0].type
    assert common is not None
    for operand in leading[1:]:
        assert operand.type is not None
        common = _wider(common, operand.type, node)
    for operand in operands:
        if operand.is_literal:
            literal = _literal_as(operand, common)
            assert literal.type is not None
            common = _wider(common, literal.type, node)
    return tuple(_beside(operand, common) for operand in operands)


def _beside(operand: Typed, common: LogicalType) -> Typed:
    if isinstance(operand.node, Null):
        return operand
    return _widened(_literal_as(operand, common) if operand.is_literal else operand, common)


def _wider(left: LogicalType, right: LogicalType, node: Call) -> LogicalType:
    kinds = {left.kind, right.kind}
    if kinds <= _INTEGER:
        return left if left.kind is right.kind else BIGINT
    if Kind.DECIMAL in kinds and kinds <= {*_INTEGER, Kind.DECIMAL}:
        return _decimal_over(left, right, node)
    if Kind.DOUBLE in kinds and kinds <= {*_INTEGER, Kind.DOUBLE}:
        return DOUBLE
    if len(kinds) == 1:
        return left if left == right else LogicalType(left.kind, element=left.element)
    message = f"'{node.name}' cannot take {left} and {right} together"
    cure = "a double holds no decimal exactly; migrate the column as decimal under 'types:'"
    raise ExpressionError(message, cure if kinds == {Kind.DECIMAL, Kind.DOUBLE} else _kind_cure(kinds), node.offset)


def _kind_cure(kinds: set[Kind]) -> str:
    if Kind.TEXT in kinds and kinds & _NUMBERS:
        return "numbers stand without quotes, and a text column is compared with texts"
    return "compare values of one kind only"


def _decimal_over(left: LogicalType, right: LogicalType, node: Call) -> LogicalType:
    (p1, s1), (p2, s2) = _digits(left), _digits(right)
    scale = max(s1, s2)
    return _decimal(max(p1 - s1, p2 - s2) + scale, scale, left, right, node)


def _digits(logical: LogicalType) -> tuple[int, int]:
    if logical.kind is Kind.DECIMAL:
        return logical.precision or DECIMAL_PRECISION_MAX, logical.scale or 0
    return (_INT_DIGITS if logical.kind is Kind.INT else _BIGINT_DIGITS), 0


def _decimal(precision: int, scale: int, left: LogicalType, right: LogicalType, node: Call) -> LogicalType:
    if precision > DECIMAL_PRECISION_MAX:
        message = f"'{node.name}' of {left} and {right} may need {precision} digits; {DECIMAL_PRECISION_MAX} are held"
        raise ExpressionError(message, "narrow the columns' types in the source, or use the rule 'scale'", node.offset)
    return LogicalType(Kind.DECIMAL, precision=precision, scale=scale)


def _widened(operand: Typed, common: LogicalType) -> Typed:
    assert operand.type is not None
    if operand.is_literal and operand.type.kind is common.kind is Kind.DECIMAL:
        return Typed(operand.node, common, value=operand.value)
    if operand.type.kind in _NUMBERS and _value_type(operand.type) != _value_type(common):
        if common.kind is Kind.DECIMAL:
            return Typed(Call(operand.node.offset, "decimal", ()), common, (operand,), operand.value)
        if common.kind is Kind.DOUBLE:
            return Typed(Call(operand.node.offset, "double", ()), common, (operand,), operand.value)
    return operand


def _value_type(logical: LogicalType) -> LogicalType:
    return BIGINT if logical.kind is Kind.INT else logical


# -- texts, truth, arithmetic -----------------------------------------------------------------------------


def _logic(node: Call, operands: tuple[Typed, ...]) -> Typed:
    return Typed(node, BOOLEAN, tuple(_as_boolean(operand, node) for operand in operands))


def _is_null(node: Call, operands: tuple[Typed, ...]) -> Typed:
    return Typed(node, BOOLEAN, (settle(operands[0], None),))


def _on_texts(node: Call, operands: tuple[Typed, ...]) -> Typed:
    result = {"like": BOOLEAN, "||": TEXT, "length": BIGINT}[node.name]
    return Typed(node, result, tuple(_as_text(operand, node) for operand in operands))


def _as_boolean(operand: Typed, node: Call) -> Typed:
    if isinstance(operand.node, Null):
        return Typed(operand.node, BOOLEAN)
    if operand.type != BOOLEAN:
        message = f"'{node.name}' takes conditions, not {operand.type}"
        raise ExpressionError(message, "compare the value with something", operand.node.offset)
    return operand


def _as_text(operand: Typed, node: Call) -> Typed:
    if isinstance(operand.node, Null):
        return Typed(operand.node, TEXT)
    if operand.type is None or operand.type.kind is not Kind.TEXT:
        message = f"'{node.name}' takes texts, not {operand.type}"
        raise ExpressionError(message, "use the rule 'concat' to join other values", operand.node.offset)
    return _literal_as(operand, TEXT) if operand.is_literal else operand


def _arithmetic(node: Call, operands: tuple[Typed, ...]) -> Typed:
    for operand in operands:
        if operand.type is None or operand.type.kind not in _NUMBERS:
            message = f"'{node.name}' takes numbers, not {operand.type or 'null'}"
            raise ExpressionError(message, "numbers stand without quotes", operand.node.offset)
    kinds = {operand.type.kind for operand in operands if operand.type and not operand.is_literal}
    if Kind.DOUBLE in kinds:
        return Typed(node, DOUBLE, _common(operands, node))
    left, right = (_literal_as(o, _own_type(o)) if o.is_literal else o for o in operands)
    assert left.type is not None
    assert right.type is not None
    if {left.type.kind, right.type.kind} <= _INTEGER:
        return Typed(node, BIGINT, (left, right))
    (p1, s1), (p2, s2) = _digits(left.type), _digits(right.type)
    if node.name == "*":
        result = _decimal(p1 + p2, s1 + s2, left.type, right.type, node)
        return Typed(node, result, (_exact(left), _exact(right)))
    scale = max(s1, s2)
    result = _decimal(max(p1 - s1, p2 - s2) + scale + 1, scale, left.type, right.type, node)
    return Typed(node, result, (_widened(left, result), _widened(right, result)))


def _exact(operand: Typed) -> Typed:
    assert operand.type is not None
    precision, scale = _digits(operand.type)
    return _widened(operand, LogicalType(Kind.DECIMAL, precision=precision, scale=scale))


def _negation(node: Call, operands: tuple[Typed, ...]) -> Typed:
    operand = operands[0]
    if operand.type is None or operand.type.kind not in _NUMBERS:
        message = f"'-' takes numbers, not {operand.type or 'null'}"
        raise ExpressionError(message, "numbers stand without quotes", node.offset)
    inner = _literal_as(operand, _own_type(operand)) if operand.is_literal else operand
    assert inner.type is not None
    return Typed(node, _value_type(inner.type), (inner,))


_CHECKS: dict[str, Callable[[Call, tuple[Typed, ...]], Typed]] = {
    **dict.fromkeys(_COMPARED, _comparison),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(("and", "or", "not"), _logic),
    **dict.fromkeys(("like", "||", "length"), _on_texts),
    "is null": _is_null,
    "coalesce": _coalesce,
    "neg": _negation,
}


# -- literals ---------------------------------------------------------------------------------------------


def _own_type(literal: Typed) -> LogicalType:
    assert literal.type is not None
    return literal.type


def _literal_as(literal: Typed, wanted: LogicalType) -> Typed:
    """Return a literal as a value of the wanted kind; decimals keep the literal's own digits."""
    node = literal.node
    if isinstance(node, Truth):
        return literal
    if isinstance(node, Number):
        return _number_as(node, wanted)
    assert isinstance(node, Quoted)
    if wanted.kind not in _QUOTED:
        message = f"the literal '{node.text}' stands beside {wanted}"
        cure = "numbers stand without quotes" if wanted.kind in _NUMBERS else "compare values of one kind only"
        raise ExpressionError(message, cure, node.offset)
    if wanted.kind is Kind.TEXT:
        if "\x00" in node.text or any("\ud800" <= character <= "\udfff" for character in node.text):
            raise ExpressionError("a literal holds a character that no text can hold", "", node.offset)
        return Typed(node, TEXT, value=node.text)
    value = _parse_quoted(node.text.strip(WHITE), wanted.kind)
    if value is None:
        message = f"the literal '{node.text}' is no {wanted}"
        raise ExpressionError(message, f"write it like '{_EXAMPLES[wanted.kind]}'", node.offset)
    if isinstance(value, Decimal):
        return _number_as(Number(node.offset, format(value, "f")), wanted)
    return Typed(node, LogicalType(wanted.kind), value=value)


def _number_as(node: Number, wanted: LogicalType) -> Typed:
    if wanted.kind is Kind.BOOLEAN and node.digits in {"0", "1"}:
        return Typed(node, BOOLEAN, value=node.digits == "1")
    if wanted.kind not in _NUMBERS:
        message = f"the number {node.digits} stands beside {wanted}"
        raise ExpressionError(message, "texts and dates stand in single quotes", node.offset)
    if wanted.kind is Kind.DOUBLE:
        return _number_as_double(node)
    own = _number_type(node)
    if own.kind is Kind.BIGINT and wanted.kind is not Kind.DECIMAL:
        return Typed(node, BIGINT, value=int(node.digits))
    whole, _, fraction = node.digits.removeprefix("-").partition(".")
    precision = max(len(whole.lstrip("0")) + len(fraction), 1)
    exact = LogicalType(Kind.DECIMAL, precision=precision, scale=len(fraction))
    return Typed(node, exact, value=Decimal(node.digits))


def _number_as_double(node: Number) -> Typed:
    value = float(node.digits)
    if math.isinf(value) or (value == 0 and Decimal(node.digits) != 0):
        message = f"no double holds the number {node.digits}"
        raise ExpressionError(message, "", node.offset)
    return Typed(node, DOUBLE, value=value)


_EXAMPLES = {
    Kind.DECIMAL: "12.50",
    Kind.UUID: "6e71ae5e-1dba-5b35-bfd4-c5dc6c81afed",
    Kind.DATE: "2024-01-31",
    Kind.TIME: "23:59:59",
    Kind.TIMESTAMP: "2024-01-31 23:59:59",
    Kind.TIMESTAMPTZ: "2024-01-31 23:59:59Z",
}


def _parse_quoted(text: str, kind: Kind) -> Any:
    """Return a literal's value by the grammars of the Parse operations, None if it has none."""
    try:
        return _PARSERS[kind](text)
    except (ValueError, OverflowError):
        return None


def _parse_uuid(text: str) -> uuid.UUID | None:
    return uuid.UUID(text) if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) else None


def _parse_date(text: str) -> date | None:
    return date.fromisoformat(text) if re.fullmatch(_DATE, text, re.ASCII) else None


def _parse_time(text: str) -> time | None:
    found = re.fullmatch(_TIME, text, re.ASCII)
    return _time(found[1], found[2]) if found else None


def _parse_timestamp(text: str) -> datetime | None:
    found = re.fullmatch(f"({_DATE})[ T]{_TIME}", text, re.ASCII)
    return datetime.combine(date.fromisoformat(found[1]), _time(found[2], found[3])) if found else None


def _parse_instant(text: str) -> datetime | None:
    found = re.fullmatch(f"({_DATE})[ T]{_TIME}{_OFFSET}", text, re.ASCII)
    return _instant(found) if found else None


def _parse_decimal(text: str) -> Decimal | None:
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", text):
        return None
    with localcontext(prec=1000):
        return Decimal(text) + 0 if Decimal(text) else Decimal(0)


def _time(clock: str, fraction: str | None) -> time:
    return time.fromisoformat(clock).replace(microsecond=int((fraction or "").ljust(6, "0")))


def _instant(found: "re.Match[str]") -> datetime:
    local = datetime.combine(date.fromisoformat(found[1]), _time(found[2], found[3]))
    shift = timedelta(0)
    if found[4] != "Z":
        hours, minutes, seconds = (*(int(part) for part in found[4][1:].split(":")), 0, 0)[:3]
        if hours > 23 or minutes > 59 or seconds > 59:  # noqa: PLR2004 - a clock's limits
            raise ValueError(found[4])
        shift = timedelta(hours=hours, minutes=minutes, seconds=seconds) * (-1 if found[4][0] == "-" else 1)
    return (local - shift).replace(tzinfo=UTC)


_PARSERS: dict[Kind, Callable[[str], Any]] = {
    Kind.DECIMAL: _parse_decimal,
    Kind.UUID: _parse_uuid,
    Kind.DATE: _parse_date,
    Kind.TIME: _parse_time,
    Kind.TIMESTAMP: _parse_timestamp,
    Kind.TIMESTAMPTZ: _parse_instant,
}
