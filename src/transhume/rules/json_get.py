"""The rule `json_get`: one value out of a JSON text."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from sqlglot import exp

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.json_reading import Json, read
from transhume.rules.rule import (
    Argument,
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
from transhume.schema import JSON, TEXT, Kind, LogicalType


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        message = f"'{text}' is no JSON pointer; write '/{text.replace('.', '/')}', or '' for the whole"
        raise ValueError(message)
    if wrong := re.search("~(?![01]).?", text):
        message = f"'{wrong[0]}' in the JSON pointer '{text}' means nothing; write ~0 for '~' and ~1 for '/'"
        raise ValueError(message)
    if "\0" in text:
        message = "a JSON pointer holds U+0000; name a value around it"
        raise ValueError(message)
    return text


def _otherwise(otherwise: Otherwise) -> Otherwise:
    if otherwise.action == "keep":
        message = "else of the rule 'json_get' is reject, null or a quoted text; there is no value to keep"
        raise ValueError(message)
    return otherwise


class JsonGet(Rule):
    """The value that the JSON pointer `at` (RFC 6901) leads to; '' is the whole document.

    The target column types it: a string's characters, a number's digits as they were written and `true`/`false` are
    read by the type's grammar, so that nothing passes through a double; JSON null is NULL. Into json: any value, as
    JSON text without white space, members in their order, numbers as written.
    Rejected: `bad_json`, text that is not JSON by RFC 8259 to the letter; `json_key_twice`, an object on the way holds
    the pointer's key more than once; `json_kind`, an object or array where a single value is wanted; `json_missing`,
    the pointer leads to nothing, by `else`. NULL gives NULL.
    """

    verb: ClassVar[str] = "json_get"
    column: Argument = Field(alias="json_get")
    pointer: Annotated[str, AfterValidator(_pointer)] = Field(alias="at")
    otherwise: Annotated[OtherwiseField, AfterValidator(_otherwise)] = Field(Otherwise("reject"), alias="else")

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return json where json is wanted, else text. Raises: RuleProblem for what holds no JSON."""
        given = scope.argument(self.column)
        if given.kind not in {Kind.TEXT, Kind.JSON}:
            message = f"'{label(self)}' is {given}, which holds no JSON"
            raise RuleProblem(message, "name a column of texts or of json, or copy this one")
        if wanted is None or wanted.kind is not Kind.JSON:
            return TEXT
        if self.otherwise.action == "literal" and read(self.otherwise.text) is None:
            message = f"the 'else' of json_get, '{self.otherwise.text}', is no JSON, and the target column is json"
            raise RuleProblem(message, "write JSON in single quotes, such as '{}' or '\"text\"'")
        return JSON

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return what the Json operations find."""
        raw = trees.named(scope, scope.as_text(self.column))
        pointer = trees.text(self.pointer)
        parsed = scope.bind(op.OpenJson(this=raw.value.copy()))
        member = scope.bind(op.JsonMember(this=parsed.copy(), pointer=pointer))
        kind = scope.bind(op.JsonKind(this=member.copy()))
        twice = scope.bind(trees.is_true(op.HasJsonKeyTwice(this=parsed.copy(), pointer=pointer.copy())))
        missing = scope.bind(
            trees.every([trees.is_present(parsed), trees.is_null(member), trees.negated(twice)]),
        )
        column = label(self)
        bad = trees.every([trees.is_present(raw.value), trees.is_null(parsed)])
        reasons = [*raw.reasons, Reason(bad, f"bad_json:{column}"), Reason(twice, f"json_key_twice:{column}")]
        if self.otherwise.action == "reject":
            reasons.append(Reason(missing, f"json_missing:{column}"))
        nested = trees.every([trees.negated(twice), trees.among(kind, ["object", "array"])])
        found: exp.Expression
        if wanted.kind is Kind.JSON:
            is_null = trees.compared(exp.EQ, kind, trees.text("null"))
            found = trees.case([(is_null, trees.null())], op.JsonWritten(this=member.copy()))
        else:
            reasons.append(Reason(nested, f"json_kind:{column}"))
            found = op.JsonText(this=member.copy())
        branches = [(twice, trees.null())]
        if self.otherwise.action == "literal":
            branches.append((missing, trees.text(self.otherwise.text)))
        result = JSON if wanted.kind is Kind.JSON else TEXT
        return Sql(trees.case(branches, found), result, tuple(reasons))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return what a walk through the document, read by Python, finds."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        column, document = label(self), read(raw.value)
        if document is None:
            return Outcome(None, (f"bad_json:{column}",))
        found, is_twice = _walk(document, self.pointer.split("/")[1:])
        if is_twice:
            outcome = Outcome(None, (f"json_key_twice:{column}",))
        elif found is not None:
            outcome = _taken(found, wanted, column)
        elif self.otherwise.action == "reject":
            outcome = Outcome(None, (f"json_missing:{column}",))
        else:
            outcome = Outcome(self.otherwise.text if self.otherwise.action == "literal" else None)
        return outcome


def _taken(found: Json, wanted: LogicalType, column: str) -> Outcome:
    if found.kind == "null":
        return Outcome(None)
    if wanted.kind is Kind.JSON:
        return Outcome(found.written)
    return Outcome(None, (f"json_kind:{column}",)) if found.kind in {"object", "array"} else Outcome(found.text)


def _walk(value: Json, tokens: list[str]) -> tuple[Json | None, bool]:
    """Return what the tokens lead to, and whether a key on the way stands twice."""
    for token in tokens:
        key = token.replace("~1", "/").replace("~0", "~")
        if value.kind == "object":
            found = [member for name, member in value.members if name == key]
            if len(found) > 1:
                return None, True
        elif value.kind == "array" and re.fullmatch("0|[1-9][0-9]*", token, re.ASCII):
            found = value.items[int(token) :]
        else:
            found = []
        if not found:
            return None, False
        value = found[0]
    return value, False
