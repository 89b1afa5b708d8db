"""The rule `codes`: labels for the codes of a column."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from sqlglot import exp

from transhume import operations as op
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
    is_quoted,
    label,
)
from transhume.schema import TEXT, LogicalType
from transhume.words import kind_of

_SPACE = " \t\n\v\f\r"


def _labels(node: Any) -> dict[str, str | None]:
    if not isinstance(node, Mapping) or not node:
        message = "expected a mapping of codes to labels, such as {D: Draft, P: Pending}"
        raise ValueError(message)
    labels: dict[str, str | None] = {}
    for code, meaning in node.items():
        trimmed = str(code).strip(_SPACE)
        if trimmed in labels:
            message = f"the code '{trimmed}' stands twice; spaces around a code do not count"
            raise ValueError(message)
        if not isinstance(meaning, str | None):
            message = f"the label of code '{trimmed}' is one scalar, found {kind_of(meaning)}"
            raise ValueError(message)  # noqa: TRY004 - a plan's mistake is a ValueError, whatever it is
        is_null = meaning is None or (meaning == "null" and not is_quoted(meaning))
        labels[trimmed] = None if is_null else str(meaning)
    return labels


class Codes(Rule):
    """The label of a code: the raw text without ASCII white space around it equals a key of `to`.

    Another code is `unmapped` by `else`; NULL gives NULL. A bare `null` as label is NULL.
    """

    verb: ClassVar[str] = "codes"
    column: Argument = Field(alias="codes")
    to: Annotated[dict[str, str | None], BeforeValidator(_labels)]
    otherwise: OtherwiseField = Field(Otherwise("reject"), alias="else")

    def arguments(self) -> Iterator[Argument]:
        """Yield the code."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text; the labels are converted to the target column like any text."""
        scope.argument(self.column, TEXT)
        return TEXT

    def way(self, scope: PythonScope) -> str:
        """Return the code, or `else`."""
        raw = scope.as_text(self.column).value
        code = None if raw is None else raw.strip(_SPACE)
        return "" if code is None else f"code {code}" if code in self.to else "else"

    def ways(self, names: Mapping[str, Collection[str]]) -> tuple[str, ...]:  # noqa: ARG002
        """Return every code."""
        return tuple(f"code {code}" for code in self.to)

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return a CASE over the trimmed text."""
        raw = trees.named(scope, scope.as_text(self.column))
        code = scope.bind(op.TrimAscii(this=raw.value.copy()))
        branches = [
            (trees.compared(exp.EQ, code, trees.text(known)), trees.null() if meaning is None else trees.text(meaning))
            for known, meaning in self.to.items()
        ]
        if self.otherwise.action in {"keep", "literal"}:
            fallback = raw.value if self.otherwise.action == "keep" else trees.text(self.otherwise.text)
            branches.append((trees.is_present(code), fallback))
        value = trees.case(branches, trees.null())
        if self.otherwise.action != "reject":
            return Sql(value, TEXT, raw.reasons)
        reason = Reason(trees.negated(trees.among(code, self.to)), f"unmapped:{label(self)}")
        return Sql(value, TEXT, (*raw.reasons, reason))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the dictionary's label."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        code = raw.value.strip(_SPACE)
        if code in self.to:
            return Outcome(self.to[code])
        match self.otherwise.action:
            case "null":
                return Outcome(None)
            case "keep":
                return raw
            case "literal":
                return Outcome(self.otherwise.text)
        return Outcome(None, (f"unmapped:{label(self)}",))
