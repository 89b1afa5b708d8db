"""The rule `lookup`: the value that a lookup holds for this key."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from transhume.facts import Need
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Otherwise,
    OtherwiseField,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    Sql,
    SqlScope,
    TypeScope,
    label,
)
from transhume.schema import TEXT, LogicalType


class Lookup(Rule):
    """The value beside the equal key of the lookup `in`; keys are compared as text, exactly.

    A key that the lookup does not hold is `unmapped` by `else`; NULL gives NULL. A value that is NULL in the
    lookup is NULL, not `else`.
    """

    verb: ClassVar[str] = "lookup"
    column: Argument = Field(alias="lookup")
    name: str = Field(alias="in")
    otherwise: OtherwiseField = Field(Otherwise("reject"), alias="else")

    def arguments(self) -> Iterator[Argument]:
        """Yield the key."""
        yield self.column

    def needs(self) -> Iterator[Need]:
        """Yield what the key needs, and the lookup's keys and values."""
        yield from super().needs()
        yield Need("lookup", self.name)

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the type of the lookup's values; text with `else: keep`, which may give a key."""
        scope.argument(self.column, TEXT)
        if self.otherwise.action == "keep" or wanted is not None:
            return TEXT
        return scope.lookup_value(self.name)

    def way(self, scope: PythonScope) -> str:
        """Return `entry` or `else`."""
        key = scope.as_text(self.column).value
        return "" if key is None else "entry" if key in scope.lookup(self.name) else "else"

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the text of the lookup's value; the compiler converts it."""
        key = trees.named(scope, scope.as_text(self.column))
        entry = scope.join(Need("lookup", self.name), {"key": key.value.copy()})
        found = trees.is_present(entry("key"))
        if self.otherwise.action == "reject":
            unmapped = trees.every([trees.is_present(key.value), trees.is_null(entry("key"))])
            reason = Reason(unmapped, f"unmapped:{label(self)}")
            return Sql(entry("value"), TEXT, (*key.reasons, reason))
        if self.otherwise.action == "null":
            return Sql(entry("value"), TEXT, key.reasons)
        fallback = trees.text(self.otherwise.text) if self.otherwise.action == "literal" else key.value
        value = trees.case([(found, entry("value")), (trees.is_present(key.value), fallback)], trees.null())
        return Sql(value, TEXT, key.reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the dictionary's value."""
        key = scope.as_text(self.column)
        if key.value is None:
            return key
        entries = scope.lookup(self.name)
        if key.value in entries:
            return Outcome(entries[key.value])
        match self.otherwise.action:
            case "null":
                return Outcome(None)
            case "keep":
                return key
            case "literal":
                return Outcome(self.otherwise.text)
        return Outcome(None, (f"unmapped:{label(self)}",))
