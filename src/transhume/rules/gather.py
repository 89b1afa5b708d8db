"""The rule `gather`: the rows of another table that belong to this one, as one JSON object of names and values."""

import json
from collections.abc import Iterator
from typing import Annotated, ClassVar

from annotated_types import MinLen
from pydantic import Field

from transhume.facts import Need
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    Sql,
    SqlScope,
    TypeScope,
)
from transhume.schema import JSON, TEXT, LogicalType


class Gather(Rule):
    """One JSON object of the rows of `gather` whose `on` columns equal this row's: text of `name` to text of `value`.

    Names in the order of their code points, no white space, values as JSON strings of their exact texts, NULL as
    null; no row gives `{}`, a NULL in the own columns NULL. A name that stands twice is `duplicate_name:table.name`.
    A row whose name is NULL, or whose name or value is no text or holds U+0000, is `not_gathered:table.name`.
    """

    verb: ClassVar[str] = "gather"
    table: str = Field(alias="gather")
    on: Annotated[dict[str, Argument], MinLen(1)]
    name: str
    value: str

    def arguments(self) -> Iterator[Argument]:
        """Yield what the rows are found by."""
        yield from self.on.values()

    def need(self) -> Need:
        """Return what names the relation of the gathered objects: all that tells one from another."""
        return Need("gather", self.table, json.dumps([list(self.on), self.name, self.value]))

    def needs(self) -> Iterator[Need]:
        """Yield what the arguments need, and the gathered objects."""
        yield from super().needs()
        yield self.need()

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return JSON. Raises: RuleProblem for an own column without an exact text."""
        for argument in self.on.values():
            scope.argument(argument, TEXT)
        return JSON

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the object of the relation that the compiler has made of the whole table."""
        parts = [trees.named(scope, scope.as_text(argument)) for argument in self.on.values()]
        gathered = scope.join(self.need(), {f"k{place}": part.value.copy() for place, part in enumerate(parts)})
        is_none = trees.every([*(trees.is_present(part.value) for part in parts), trees.is_null(gathered("k0"))])
        label = f"{self.table}.{self.name}"
        reasons = (
            *trees.reasons_of(parts),
            Reason(trees.is_true(gathered("many")), f"duplicate_name:{label}"),
            Reason(trees.is_true(gathered("bad")), f"not_gathered:{label}"),
        )
        value = trees.case([(is_none, trees.text("{}"))], gathered("object"))
        return Sql(trees.value_where_sound(trees.reasons_of(parts), value), JSON, reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the object of the rows that are found one by one."""
        own = [scope.as_text(argument) for argument in self.on.values()]
        reasons = [reason for part in own for reason in part.reasons]
        if reasons or any(part.value is None for part in own):
            return Outcome(None, tuple(reasons))
        found: dict[str, str | None] = {}
        label = f"{self.table}.{self.name}"
        for name, value in scope.children(
            self.table, dict(zip(self.on, (part.value for part in own), strict=True)), (self.name, self.value)
        ):
            texts = [name.value, value.value]
            if name.reasons or value.reasons or name.value is None or any("\0" in (text or "") for text in texts):
                reasons.append(f"not_gathered:{label}")
            elif name.value in found:
                reasons.insert(0, f"duplicate_name:{label}")
            else:
                found[name.value] = value.value
        if reasons:
            return Outcome(None, tuple(dict.fromkeys(reasons)))
        members = [f"{_string(name)}:{_string(found[name])}" for name in sorted(found)]
        return Outcome("{" + ",".join(members) + "}")


_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def _string(text: str | None) -> str:
    """Return a text as a JSON string, with the escapes that RFC 8259 asks for and no others; null for None."""
    if text is None:
        return "null"
    signs = (_SHORT.get(sign) or (f"\\u{ord(sign):04X}" if sign < " " else sign) for sign in text)
    return f'"{"".join(signs)}"'
