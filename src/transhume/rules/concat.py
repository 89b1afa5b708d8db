"""The rule `concat`: several values in one text."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from transhume.rules import trees
from transhume.rules.rule import Argument, Arguments, Flag, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope
from transhume.schema import TEXT, LogicalType


class Concat(Rule):
    """The parts as text, `with` between them. A NULL part makes the whole NULL, unless `skip_null` leaves it out."""

    verb: ClassVar[str] = "concat"
    parts: Arguments = Field(alias="concat")
    separator: str = Field("", alias="with")
    skip_null: Flag = False

    def arguments(self) -> Iterator[Argument]:
        """Yield the parts."""
        yield from self.parts

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text."""
        for part in self.parts:
            scope.argument(part, TEXT)
        return TEXT

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the parts joined by `||`."""
        parts = [trees.named(scope, scope.as_text(part)) for part in self.parts]
        reasons = trees.reasons_of(parts)
        separator = trees.text(self.separator)
        if not self.skip_null:
            pieces = [parts[0].value]
            for part in parts[1:]:
                pieces += [separator, part.value]
            return Sql(trees.joined(pieces), TEXT, reasons)
        whole = parts[0].value
        for part in parts[1:]:
            longer = trees.joined([whole, separator, part.value])
            step = trees.case([(trees.is_null(part.value), whole), (trees.is_null(whole), part.value)], longer)
            whole = scope.bind(step)
        return Sql(trees.value_where_sound(reasons, whole), TEXT, reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the parts joined by Python."""
        outcomes = [scope.as_text(part) for part in self.parts]
        reasons = tuple(reason for outcome in outcomes for reason in outcome.reasons)
        if reasons:
            return Outcome(None, reasons)
        present = [outcome.value for outcome in outcomes if outcome.value is not None]
        if not present or (len(present) < len(outcomes) and not self.skip_null):
            return Outcome(None)
        return Outcome(self.separator.join(present))
