"""The rule `split`: the parts of a text as a list."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import Argument, Flag, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope
from transhume.schema import TEXT, Kind, LogicalType

_TEXTS = LogicalType(Kind.LIST, element=TEXT)
_SPACE = " \t\n\v\f\r"


def _separator(text: str) -> str:
    if not text:
        message = "'by' is empty; write the text that stands between the parts"
        raise ValueError(message)
    return text


class Split(Rule):
    """The parts between every `by`, a list of texts in their order; `trim` takes ASCII white space off each.

    An empty text (with `trim`: one of white space alone) gives an empty list, `a,,b` an empty part. NULL gives NULL.
    In a list of another type each part is converted like a text of its own, and one bad part rejects the row.
    """

    verb: ClassVar[str] = "split"
    column: Argument = Field(alias="split")
    separator: Annotated[str, AfterValidator(_separator)] = Field(alias="by")
    trim: Flag = False

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return list(text)."""
        scope.argument(self.column, TEXT)
        return _TEXTS

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the engine's split by a literal."""
        raw = scope.as_text(self.column)
        whole = op.TrimAscii(this=raw.value.copy()) if self.trim else raw.value.copy()
        parts = op.SplitText(this=whole, separator=trees.text(self.separator))
        if self.trim:
            return Sql(op.ListMap(this=parts, expression=op.TrimAscii(this=op.Element())), _TEXTS, raw.reasons)
        return Sql(parts, _TEXTS, raw.reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return Python's split."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        text = raw.value.strip(_SPACE) if self.trim else raw.value
        parts = text.split(self.separator) if text else []
        return Outcome([part.strip(_SPACE) for part in parts] if self.trim else parts)
