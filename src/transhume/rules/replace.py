"""The rule `replace`: another text in place of a part of the value."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import Argument, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope
from transhume.schema import TEXT, LogicalType


def _find(text: str) -> str:
    if not text:
        message = "'find' is empty; write the text that is to be replaced"
        raise ValueError(message)
    return text


class Replace(Rule):
    """The text with every `find` replaced by `by`, from the left; compared exactly, no pattern. NULL gives NULL."""

    verb: ClassVar[str] = "replace"
    column: Argument = Field(alias="replace")
    find: Annotated[str, AfterValidator(_find)]
    by: str

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text."""
        scope.argument(self.column, TEXT)
        return TEXT

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the engine's replacement of a literal."""
        raw = scope.as_text(self.column)
        replaced = op.ReplaceText(this=raw.value.copy(), find=trees.text(self.find), by=trees.text(self.by))
        return Sql(replaced, TEXT, raw.reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return Python's replacement."""
        raw = scope.as_text(self.column)
        return raw if raw.value is None else Outcome(raw.value.replace(self.find, self.by))
