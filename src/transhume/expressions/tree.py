"""The nodes of an expression, as they were written and with their types; no meaning stands here."""

from dataclasses import dataclass
from typing import Any

from transhume.schema import LogicalType

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
