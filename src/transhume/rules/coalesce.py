"""The rule `coalesce`: the first of several values that is not NULL."""

from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar

from pydantic import Field
from sqlglot import exp

from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Arguments,
    Constant,
    Flag,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    RuleProblem,
    Sql,
    SqlScope,
    TypeScope,
)
from transhume.schema import TEXT, LogicalType


class Coalesce(Rule):
    """The first value that is not NULL; with `skip_empty`, an empty text is passed over too.

    A bad value is not passed over: its reasons hold, and what stands behind it is not looked at.
    """

    verb: ClassVar[str] = "coalesce"
    choices: Arguments = Field(alias="coalesce")
    skip_empty: Flag = False

    def arguments(self) -> Iterator[Argument]:
        """Yield the choices, in order."""
        yield from self.choices

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the wanted type, else the one type that all choices have.

        Raises: RuleProblem where no type is wanted and the choices differ.
        """
        if wanted is not None:
            for choice in self.choices:
                scope.argument(choice, wanted)
            return wanted
        types = [scope.argument(choice) for choice in self.choices if not isinstance(choice, Constant)]
        for other in types[1:]:
            if other.kind is not types[0].kind:
                message = f"the choices of coalesce differ in type: {types[0]} and {other}"
                raise RuleProblem(message, "give the target column a type, or convert one of them by a rule")
        return types[0] if types else TEXT

    def way(self, scope: PythonScope) -> str:
        """Return the number of the choice that is taken."""
        for place, choice in enumerate(self.choices, 1):
            if self.skip_empty and _text_or_none(scope, choice) == "":
                continue
            outcome = scope.argument(choice)
            if outcome.value is not None or outcome.reasons:
                return f"choice {place}"
        return "none"

    def ways(self, names: Mapping[str, Collection[str]]) -> tuple[str, ...]:  # noqa: ARG002
        """Return every choice."""
        return tuple(f"choice {place}" for place in range(1, len(self.choices) + 1))

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return a CASE that looks at a choice only where the ones before it are passed over."""
        branches: list[tuple[exp.Expression, exp.Expression]] = []
        reasons: list[Reason] = []
        passed: exp.Expression | None = None
        for choice in self.choices:
            part = trees.named(scope, scope.argument(choice, wanted))
            is_empty = _is_empty(scope, choice) if self.skip_empty else None
            is_full = [] if is_empty is None else [trees.negated(is_empty)]
            for reason in part.reasons:
                bad = trees.is_true(reason.condition)
                terms = [*([passed] if passed is not None else []), bad, *is_full]
                reasons.append(Reason(scope.bind(trees.every(terms)), reason.text))
            bad = trees.some(trees.is_true(reason.condition) for reason in part.reasons)
            skipped = trees.every([trees.is_null(part.value), trees.negated(bad)])
            if is_empty is not None:
                skipped = trees.some([skipped, is_empty])
            taken = [*([passed] if passed is not None else []), trees.negated(skipped)]
            branches.append((trees.every(taken), part.value))
            passed = scope.bind(trees.every([*([passed] if passed is not None else []), skipped]))
        return Sql(trees.case(branches, trees.null()), wanted, tuple(reasons))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return the first outcome that is not passed over."""
        for choice in self.choices:
            if self.skip_empty and _text_or_none(scope, choice) == "":
                continue
            outcome = scope.argument(choice, wanted)
            if outcome.value is not None or outcome.reasons:
                return outcome
        return Outcome(None)


def _is_empty(scope: SqlScope, choice: Argument) -> exp.Expression | None:
    try:
        part = scope.as_text(choice)
    except RuleProblem:
        return None  # a type without a text form is never an empty text
    return scope.bind(trees.is_true(trees.compared(exp.EQ, part.value, trees.text(""))))


def _text_or_none(scope: PythonScope, choice: Argument) -> str | None:
    try:
        outcome = scope.as_text(choice)
    except RuleProblem:
        return None
    text: str | None = outcome.value
    return text
