"""The rule `uuid`: a key of the target, made of the source table's name and the source key, the same in every run."""

import functools
import uuid
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field
from sqlglot import exp

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Arguments,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    RuleProblem,
    Sql,
    SqlScope,
    TypeScope,
    label,
)
from transhume.schema import UUID, Kind, LogicalType

_KEY_KINDS = frozenset({Kind.TEXT, Kind.INT, Kind.BIGINT, Kind.UUID})


class Uuid(Rule):
    """RFC 9562 UUIDv5 of source table and key; a NULL in the key is the reject reason `null_key`.

    Namespace: uuid5(NAMESPACE_URL, "transhume:" + the plan's namespace). Name: the source table, then for each
    part of the key `|`, its length in code points, `:` and the part as text.
    """

    verb: ClassVar[str] = "uuid"
    key: Arguments = Field(alias="uuid")

    def arguments(self) -> Iterator[Argument]:
        """Yield the parts of the key."""
        yield from self.key

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return UUID. Raises: RuleProblem for a key that is not text, integer or UUID."""
        for part in self.key:
            kind = scope.argument(part)
            if kind.kind not in _KEY_KINDS:
                message = f"a key is made of text, integers and UUIDs; '{label(part)}' is {kind}"
                raise RuleProblem(message, "name the columns of the table's key")
        return UUID

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the UUID of the key's texts."""
        parts = [trees.named(scope, scope.as_text(part)) for part in self.key]
        reasons = trees.reasons_of(parts)
        name: list[exp.Expression] = [trees.text(scope.source_table)]
        own = []
        for argument, part in zip(self.key, parts, strict=True):
            size = op.IntegerText(this=op.CodePoints(this=part.value.copy()))
            name += [trees.text("|"), size, trees.text(":"), part.value]
            missing = trees.where_sound(reasons, trees.is_null(part.value))
            own.append(Reason(missing, f"null_key:{label(argument)}"))
        value = op.Uuid5(this=trees.joined(name), namespace=trees.text(scope.namespace))
        return Sql(value, UUID, (*reasons, *own))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the UUID by Python's own uuid module."""
        name = scope.source_table
        for part in self.key:
            text = scope.as_text(part).value
            if text is None:
                return self._without_key(scope)
            name += f"|{len(text)}:{text}"
        return Outcome(uuid.uuid5(_namespace(scope.namespace), name))

    def _without_key(self, scope: PythonScope) -> Outcome:
        """Return the reasons of the parts that cannot be read, else those of the parts that are NULL."""
        outcomes = [scope.as_text(part) for part in self.key]
        reasons = tuple(reason for outcome in outcomes for reason in outcome.reasons)
        if not reasons:
            pairs = zip(self.key, outcomes, strict=True)
            reasons = tuple(f"null_key:{label(part)}" for part, outcome in pairs if outcome.value is None)
        return Outcome(None, reasons)


@functools.lru_cache(maxsize=16)
def _namespace(text: str) -> uuid.UUID:
    """Return the namespace of a plan's keys; the Python twin's own."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"transhume:{text}")
