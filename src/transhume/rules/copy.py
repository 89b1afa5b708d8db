"""The rule `copy`: a column's value, widened without loss or parsed by the target type's grammar."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from transhume.rules.rule import Argument, ColumnRef, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope
from transhume.schema import LogicalType


def _column(node: Any) -> Any:
    return ColumnRef(str(node)) if isinstance(node, str) else node


class Copy(Rule):
    """Copy a column; a value that the target type cannot hold exactly is a reject. A bare word is this rule.

    `{copy: "name"}` names a column that no bare word can: in quotes too, because a copy of a literal is `value`.
    """

    verb: ClassVar[str] = "copy"
    column: Annotated[Argument, BeforeValidator(_column)] = Field(alias="copy")

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the wanted type, or the column's own where none is wanted."""
        own = scope.argument(self.column, wanted)
        return wanted or own

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return the column converted to the wanted type."""
        return scope.argument(self.column, wanted)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return the column converted to the wanted type."""
        return scope.argument(self.column, wanted)
