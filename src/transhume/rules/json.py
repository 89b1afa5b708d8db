"""The rule `json`: several values in one JSON object."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo
from sqlglot import exp

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.json_reading import quoted, read
from transhume.rules.rule import (
    Argument,
    ColumnRef,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    RuleInvalid,
    RuleProblem,
    Sql,
    SqlScope,
    TypeScope,
    is_quoted,
    label,
    parse_argument,
)
from transhume.schema import JSON, TEXT, Kind, LogicalType
from transhume.words import kind_of

_AS_THEY_ARE = frozenset({Kind.INT, Kind.BIGINT, Kind.DECIMAL, Kind.BOOLEAN, Kind.JSON})
"""Kinds that have a form of their own in JSON; all others are texts in it."""


def _members(node: Any, info: ValidationInfo) -> dict[str, Argument]:
    if isinstance(node, Mapping) and node:
        members: dict[str, Argument] = {}
        problems: list[tuple[tuple[str | int, ...], str]] = []
        for key, value in node.items():
            try:
                members[str(key)] = parse_argument(value, info)
            except RuleInvalid as problem:
                problems += [((str(key), *path), message) for path, message in problem.problems]
            except ValueError as problem:
                problems.append(((str(key),), str(problem)))
        if problems:
            raise RuleInvalid(problems)
        return members
    entries = list(node) if isinstance(node, list | tuple) else [node]
    names: dict[str, Argument] = {}
    for entry in entries:
        if not isinstance(entry, str) or is_quoted(entry):
            what = kind_of(entry)
            message = f"{what} has no name of its own here; write {{json: {{name: column or rule}}}}"
            raise ValueError(message)
        if str(entry) in names:
            message = f"'{entry}' stands twice; an object has each key once"
            raise ValueError(message)
        names[str(entry)] = ColumnRef(str(entry))
    if not names:
        message = "the object has no members; write {json: [a, b]} or {json: {name: column}}"
        raise ValueError(message)
    return names


class JsonObject(Rule):
    """One JSON object without white space, keys sorted by code points: `[a, b]`, or `{key: column or rule}`.

    Integers and decimals are numbers with exactly their digits, booleans true and false, json values are taken in as
    they are (not JSON: `bad_json`), NULL is null, everything with a text is a string. Doubles are refused: their
    digits depend on who prints them.
    """

    verb: ClassVar[str] = "json"
    members: Annotated[dict[str, Argument], BeforeValidator(_members)] = Field(alias="json")

    def arguments(self) -> Iterator[Argument]:
        """Yield the members' values, in the plan's order."""
        yield from self.members.values()

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return json. Raises: RuleProblem for a member that has no exact form in JSON."""
        for key, member in self.members.items():
            _form(key, scope.argument(member))
            if scope.argument(member).kind not in _AS_THEY_ARE:
                scope.argument(member, TEXT)
        return JSON

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return keys and values joined by `||`."""
        texts: dict[str, exp.Expression] = {}
        reasons: list[Reason] = []
        for key, member in self.members.items():
            text, own = _member_sql(scope, key, member)
            texts[key] = exp.Coalesce(this=text, expressions=[trees.text("null")])
            reasons += own
        pieces: list[exp.Expression] = []
        for key in sorted(texts):
            name = scope.bind(op.JsonQuoted(this=trees.text(key)))
            pieces += [trees.text("," if pieces else "{"), name, trees.text(":"), texts[key]]
        whole = trees.joined([*pieces, trees.text("}")])
        return Sql(trees.value_where_sound(reasons, whole), JSON, tuple(reasons))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the object written by Python."""
        written: dict[str, str] = {}
        reasons: list[str] = []
        for key, member in self.members.items():
            text, own = _member_python(scope, key, member)
            written[key] = text
            reasons += own
        if reasons:
            return Outcome(None, tuple(reasons))
        return Outcome("{" + ",".join(f"{quoted(key)}:{written[key]}" for key in sorted(written)) + "}")


def _form(key: str, given: LogicalType) -> Kind:
    """Return how a member of this type stands in the object. Raises: RuleProblem for a type without an exact form."""
    if given.kind is Kind.DOUBLE:
        message = f"the member '{key}' is double, and who reads its digits back may get another number"
        raise RuleProblem(message, "give it a column of its own, or cast it to a decimal in a view of the source")
    if given.kind is Kind.DECIMAL and given.precision is None:
        message = f"the member '{key}' is a number without bounds"
        raise RuleProblem(message, "give it a column of its own with a type, or cast it in a view of the source")
    return given.kind if given.kind in _AS_THEY_ARE else Kind.TEXT


def _member_sql(scope: SqlScope, key: str, member: Argument) -> tuple[exp.Expression, list[Reason]]:
    """Return the JSON text of a member's value, NULL for NULL, and its reasons."""
    given = scope.argument(member).type
    form = _form(key, given)
    if form is Kind.TEXT:
        sql = scope.as_text(member)
        return op.JsonQuoted(this=sql.value.copy()), list(sql.reasons)
    if form is Kind.JSON:
        raw = trees.named(scope, scope.as_text(member))
        parsed = scope.bind(op.OpenJson(this=raw.value.copy()))
        bad = trees.every([trees.is_present(raw.value), trees.is_null(parsed)])
        return op.JsonWritten(this=parsed.copy()), [*raw.reasons, Reason(bad, f"bad_json:{label(member)}")]
    sql = trees.named(scope, scope.argument(member, given))
    if form is Kind.BOOLEAN:
        truths = [(sql.value, trees.text("true")), (trees.negated(sql.value), trees.text("false"))]
        return trees.case(truths, trees.null()), list(sql.reasons)
    digits = op.DecimalText if form is Kind.DECIMAL else op.IntegerText
    return digits(this=sql.value.copy()), list(sql.reasons)


def _member_python(scope: PythonScope, key: str, member: Argument) -> tuple[str, tuple[str, ...]]:
    given = scope.type_of(member)
    form = _form(key, given)
    outcome = scope.as_text(member) if form in {Kind.TEXT, Kind.JSON} else scope.argument(member, given)
    if outcome.value is None:
        return "null", outcome.reasons
    if form is Kind.TEXT:
        return quoted(outcome.value), ()
    if form is Kind.JSON:
        value = read(outcome.value)
        return ("", (f"bad_json:{label(member)}",)) if value is None else (value.written, ())
    if form is Kind.BOOLEAN:
        return ("true" if outcome.value else "false"), ()
    return (f"{outcome.value:.{given.scale}f}" if form is Kind.DECIMAL else str(outcome.value)), ()
