"""The rule `ref`: the UUID that another table mapping gives the row that this key points to."""

import functools
import uuid
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from sqlglot import exp

from transhume import operations as op
from transhume.facts import Need
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Arguments,
    Otherwise,
    OtherwiseField,
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


def _fallback(otherwise: Otherwise) -> Otherwise:
    if otherwise.action == "keep":
        message = "'keep' would put a source key where a UUID belongs; write reject, null or a quoted UUID"
        raise ValueError(message)
    if otherwise.action == "literal":
        try:
            uuid.UUID(otherwise.text)
        except ValueError:
            message = f"'{otherwise.text}' is not a UUID"
            raise ValueError(message) from None
    return otherwise


class Ref(Rule):
    """The UUID of the row of `table` with this key, parts in the order of its `key`; a NULL part gives NULL.

    No such row: `orphan`. The row was rejected or filtered itself, or another row stands for it (`dedupe`):
    `parent_rejected`, `parent_filtered`, `parent_deduplicated`. `else: null` and `else: "uuid"` stand in for all.
    """

    verb: ClassVar[str] = "ref"
    key: Arguments = Field(alias="ref")
    table: str
    otherwise: Annotated[OtherwiseField, AfterValidator(_fallback)] = Field(Otherwise("reject"), alias="else")

    def arguments(self) -> Iterator[Argument]:
        """Yield the parts of the key."""
        yield from self.key

    def needs(self) -> Iterator[Need]:
        """Yield what the arguments need, and the keys and fates of the referenced mapping's rows."""
        yield from super().needs()
        yield Need("parents", self.table)

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return UUID. Raises: RuleProblem for a key that is not text, integer or UUID."""
        for part in self.key:
            kind = scope.argument(part)
            if kind.kind not in _KEY_KINDS:
                message = f"a key is made of text, integers and UUIDs; '{label(part)}' is {kind}"
                raise RuleProblem(message, f"name the columns that reference '{self.table}'")
        return UUID

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the UUID of the parent's key relation; it is not computed again."""
        self._check_parts(scope.key_of(self.table)[1])
        parts = [trees.named(scope, scope.as_text(part)) for part in self.key]
        on = {f"k{place}": part.value.copy() for place, part in enumerate(parts)}
        parent = scope.join(Need("parents", self.table), on)
        reasons = trees.reasons_of(parts)
        given = trees.every(trees.is_present(part.value) for part in parts)
        is_loaded = trees.compared(exp.EQ, parent("fate"), trees.text("loaded"))
        if self.otherwise.action == "literal":
            literal = op.ParseUuid(this=trees.text(str(uuid.UUID(self.otherwise.text))))
            value = trees.case([(is_loaded, parent("uuid")), (given, literal)], trees.null())
            return Sql(value, UUID, reasons)
        value = trees.case([(is_loaded, parent("uuid"))], trees.null())
        if self.otherwise.action == "null":
            return Sql(value, UUID, reasons)
        column = label(self)
        own = (
            Reason(trees.every([given, trees.is_null(parent("fate"))]), f"orphan:{column}"),
            Reason(trees.compared(exp.EQ, parent("fate"), trees.text("rejected")), f"parent_rejected:{column}"),
            Reason(trees.compared(exp.EQ, parent("fate"), trees.text("filtered")), f"parent_filtered:{column}"),
            Reason(trees.compared(exp.EQ, parent("fate"), trees.text("deduplicated")), f"parent_deduplicated:{column}"),
        )
        return Sql(value, UUID, (*reasons, *own))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the UUID computed anew from the parent's table and key."""
        outcomes = [scope.as_text(part) for part in self.key]
        reasons = tuple(reason for outcome in outcomes for reason in outcome.reasons)
        if reasons:
            return Outcome(None, reasons)
        table, columns = scope.key_of(self.table)
        self._check_parts(columns)
        key = tuple(outcome.value for outcome in outcomes)
        if any(part is None for part in key):
            return Outcome(None)
        fate = scope.parent_fate(self.table, key)
        if fate == "loaded":
            namespace = _namespace(scope.namespace)
            return Outcome(uuid.uuid5(namespace, table + "".join(f"|{len(part)}:{part}" for part in key)))
        if self.otherwise.action == "null":
            return Outcome(None)
        if self.otherwise.action == "literal":
            return Outcome(uuid.UUID(self.otherwise.text))
        kind = "orphan" if fate is None else f"parent_{fate}"
        return Outcome(None, (f"{kind}:{label(self)}",))

    def _check_parts(self, columns: tuple[str, ...]) -> None:
        if len(columns) != len(self.key):
            message = f"the key of '{self.table}' is {', '.join(columns)}; this reference names {len(self.key)} part(s)"
            raise RuleProblem(message, "name one column for each part of the key, in its order")


@functools.lru_cache(maxsize=16)
def _namespace(text: str) -> uuid.UUID:
    """Return the namespace of a plan's keys; the Python twin's own."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"transhume:{text}")
