"""The rule `boolean`: TRUE and FALSE for the texts that the plan lists."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator
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
    label,
)
from transhume.schema import BOOLEAN, TEXT, LogicalType

_SPACE = " \t\n\v\f\r"


def _texts(node: Any) -> tuple[str, ...]:
    entries = list(node) if isinstance(node, list | tuple) else [node]
    if not entries or not all(isinstance(entry, str) for entry in entries):
        message = "expected a list of texts, such as [Y, yes, 1]"
        raise ValueError(message)
    return tuple(entry.strip(_SPACE) for entry in entries)


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class Boolean(Rule):
    """TRUE for the texts in `true`, FALSE for those in `false`, compared without ASCII white space around them.

    Another text is `unmapped` by `else` (reject, null, or a quoted "true" or "false"); NULL gives NULL.
    """

    verb: ClassVar[str] = "boolean"
    column: Argument = Field(alias="boolean")
    true_texts: Texts = Field(alias="true")
    false_texts: Texts = Field(alias="false")
    otherwise: OtherwiseField = Field(Otherwise("reject"), alias="else")

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = sorted(set(self.true_texts) & set(self.false_texts))
        if both:
            message = f"'{both[0]}' stands under true and under false"
            raise ValueError(message)
        if self.otherwise.action == "keep" or (
            self.otherwise.action == "literal" and self.otherwise.text not in {"true", "false"}
        ):
            message = 'else of the rule \'boolean\' is reject, null, "true" or "false"'
            raise ValueError(message)
        return self

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return BOOLEAN."""
        scope.argument(self.column, TEXT)
        return BOOLEAN

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return a CASE over the trimmed text."""
        raw = scope.as_text(self.column)
        text = scope.bind(op.TrimAscii(this=raw.value))
        is_true, is_false = trees.among(text, self.true_texts), trees.among(text, self.false_texts)
        branches: list[tuple[exp.Expression, exp.Expression]] = [(is_true, exp.true()), (is_false, exp.false())]
        if self.otherwise.action == "literal":
            instead = exp.true() if self.otherwise.text == "true" else exp.false()
            branches.append((trees.is_present(text), instead))
        value = trees.case(branches, trees.null())
        if self.otherwise.action != "reject":
            return Sql(value, BOOLEAN, raw.reasons)
        reason = Reason(trees.negated(trees.some([is_true, is_false])), f"unmapped:{label(self)}")
        return Sql(value, BOOLEAN, (*raw.reasons, reason))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return what the lists say."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        text = raw.value.strip(_SPACE)
        if text in self.true_texts:
            return Outcome(True)
        if text in self.false_texts:
            return Outcome(False)
        match self.otherwise.action:
            case "null":
                return Outcome(None)
            case "literal":
                return Outcome(self.otherwise.text == "true")
        return Outcome(None, (f"unmapped:{label(self)}",))
