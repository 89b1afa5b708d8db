"""The rule `sql`: an expression of the portable language."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from transhume.rules.rule import Argument, ColumnRef, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope
from transhume.schema import LogicalType


class SqlRule(Rule):
    """The value of a portable expression over source columns."""

    verb: ClassVar[str] = "sql"
    expression: str = Field(alias="sql")

    def arguments(self) -> Iterator[Argument]:
        """Yield the columns of the expression."""
        return iter(())
