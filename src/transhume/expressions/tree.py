"""The nodes of an expression, as they were written and with their types; no meaning stands here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transhume.schema import Kind, LogicalType

WHITE = "\t\n\v\f\r "
"""White space around a literal that is read as a date, a number and the like."""


class ExpressionError(ValueError):
    """An expression that is not of the language, or whose types do not fit.

    `message` says what and `cure` what to write instead; `offset` is the place in the text, counted from 0.
    """

    def __init__(self, message: str, cure: str = "", offset: int = 0) -> None:
        self.message, self.cure, self.offset = message, cure, offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or `alias.column` of a join."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number literal in digits, `-` before a negative one."""

    offset: int
    digits: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """A literal in single quotes."""

    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Truth:
    """TRUE or FALSE."""

    offset: int
    value: bool


@dataclass(frozen=True, slots=True)
class Null:
    """NULL."""

    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """Something done to operands.

    `name` is one of: `=` `<>` `<` `<=` `>` `>=` `and` `or` `not` `is null` `between` `in` `like` `+` `-` `*` `neg`
    `||` `coalesce` `length`. `and`, `or`, `||` and `coalesce` take two or more operands, `in` one and its members.
    """

    offset: int
    name: str
    operands: tuple["Node", ...]


Node = Column | Number | Quoted | Truth | Null | Call


@dataclass(frozen=True, slots=True)
class Typed:
    """A node with its type (None only of a NULL that nothing gives a type).

    `value` is a literal's value in Python. A node whose `name` is `double` or `decimal` was put in by the checker: it
    widens its one operand to `type`.
    """

    node: Node
    type: LogicalType | None
    operands: tuple["Typed", ...] = ()
    value: Any = None

    @property
    def name(self) -> str:
        """The name of a call, or the kind of any other node."""
        return self.node.name if isinstance(self.node, Call) else type(self.node).__name__.lower()

    @property
    def is_literal(self) -> bool:
        """Whether the node is a literal other than NULL."""
        return isinstance(self.node, Number | Quoted | Truth)


_CALCULATING = frozenset({"+", "-", "*", "neg", "double", "decimal"})


def calculations(typed: Typed) -> Iterator[Typed]:
    """Yield the largest parts of an expression that only calculate and whose number may not fit its type.

    Decimals are given room enough by their type, so that a part without integers and doubles always fits.
    """
    for operand in inputs(typed):
        yield from calculations(operand)
    if typed.name in _CALCULATING and _may_misfit(typed):
        yield typed


def inputs(typed: Typed) -> Iterator[Typed]:
    """Yield what a calculation starts from: operands of its operators that are none themselves.

    Of a node that does not calculate, the operands.
    """
    for operand in typed.operands:
        if typed.name in _CALCULATING and operand.name in _CALCULATING:
            yield from inputs(operand)
        else:
            yield operand


def _may_misfit(typed: Typed) -> bool:
    if typed.name not in _CALCULATING or typed.type is None:
        return False
    widened = typed.operands[0].type if typed.name == "double" else None
    own = typed.type.kind in {Kind.BIGINT, Kind.DOUBLE}
    if typed.name == "double":
        own = widened is not None and widened.kind is not Kind.INT
    elif typed.name == "neg":
        own = typed.type.kind is Kind.BIGINT
    return own or any(_may_misfit(operand) for operand in typed.operands)
