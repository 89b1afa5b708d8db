"""The rule `prefix`: a fixed text before the value."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Otherwise,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    Sql,
    SqlScope,
    TypeScope,
    is_quoted,
    label,
)
from transhume.schema import TEXT, LogicalType


def _when_null(node: Any) -> Otherwise:
    if isinstance(node, Otherwise):
        return node
    if isinstance(node, str):
        if is_quoted(node):
            return Otherwise("literal", str(node))
        if node in {"null", "prefix", "reject"}:
            return Otherwise(str(node))
    message = f"expected null, prefix, reject or a quoted text, found '{node}'"
    raise ValueError(message)


class Prefix(Rule):
    """The text `with` before the value; for NULL, by `when_null`: NULL, the prefix alone, a reject, or a text."""

    verb: ClassVar[str] = "prefix"
    column: Argument = Field(alias="prefix")
    text: str = Field(alias="with")
    when_null: Annotated[Otherwise, BeforeValidator(_when_null)] = Otherwise("null")

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text."""
        scope.argument(self.column, TEXT)
        return TEXT

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return prefix `||` text."""
        part = scope.as_text(self.column)
        if self.when_null.action == "null":
            return Sql(trees.joined([trees.text(self.text), part.value]), TEXT, part.reasons)
        part = trees.named(scope, part)
        given = trees.joined([trees.text(self.text), part.value])
        missing = trees.where_sound(part.reasons, trees.is_null(part.value))
        if self.when_null.action == "reject":
            return Sql(given, TEXT, (*part.reasons, Reason(missing, f"null:{label(self)}")))
        instead = self.text if self.when_null.action == "prefix" else self.when_null.text
        return Sql(trees.case([(missing, trees.text(instead))], given), TEXT, part.reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return prefix + text."""
        part = scope.as_text(self.column)
        if part.reasons:
            return part
        if part.value is not None:
            return Outcome(self.text + part.value)
        match self.when_null.action:
            case "prefix":
                return Outcome(self.text)
            case "literal":
                return Outcome(self.when_null.text)
            case "reject":
                return Outcome(None, (f"null:{label(self)}",))
        return Outcome(None)
