"""The rule `value`: a constant."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from transhume.rules.rule import Argument, Constant, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope, is_quoted
from transhume.schema import TEXT, LogicalType
from transhume.words import kind_of


def _constant(node: Any) -> Constant:
    if isinstance(node, Constant):
        return node
    if isinstance(node, str):
        return Constant(None if node == "null" and not is_quoted(node) else str(node))
    message = f"a constant is one scalar, found {kind_of(node)}"
    raise ValueError(message)


class Value(Rule):
    """The same value for every row, typed by its column; a bare `null` is NULL. A quoted scalar is this rule."""

    verb: ClassVar[str] = "value"
    value: Annotated[Constant, BeforeValidator(_constant)] = Field(alias="value")

    def arguments(self) -> Iterator[Argument]:
        """Yield the constant."""
        yield self.value

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the wanted type, text where none is wanted."""
        scope.argument(self.value, wanted)
        return wanted or TEXT

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return the constant in the wanted type."""
        return scope.argument(self.value, wanted)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return the constant in the wanted type."""
        return scope.argument(self.value, wanted)
