"""The rule `coalesce`: the first of several values that is not NULL."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field
from sqlglot import exp

from transhume.rules import trees
from transhume.rules.flags import Flag
from transhume.rules.rule import (
    Argument,
    Arguments,
    Constant,
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

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return a CASE that looks at a choice only where the ones before it are passed over."""
        branches: list[tuple[exp.Expression, exp.Expression]] = []
        reasons: list[Reason] = []
        passed: exp.Expression | None = None
        for choice in self.choices:
            part = trees.named(scope, scope.argument(choice, wanted))
            for reason in part.reasons:
                bad = trees.is_true(reason.condition)
                if self.skip_empty:
                    bad = exp.and_(bad, exp.not_(_is_empty(scope, choice)))
                bad = bad if passed is None else exp.and_(passed.copy(), bad)
                reasons.append(Reason(scope.bind(bad), reason.text))
            own = [reason.condition for reason in reasons[len(reasons) - len(part.reasons) :]]
            skipped = trees.every([trees.is_null(part.value), *(exp.not_(condition) for condition in own)])
            if self.skip_empty:
                skipped = exp.or_(skipped, _is_empty(scope, choice))
            here = exp.not_(skipped)
            here = here if passed is None else exp.and_(passed.copy(), here)
            branches.append((here, part.value))
            passed = scope.bind(skipped if passed is None else exp.and_(passed.copy(), skipped))
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


def _is_empty(scope: SqlScope, choice: Argument) -> exp.Expression:
    try:
        part = scope.as_text(choice)
    except RuleProblem:
        return exp.false()  # a type without a text form is never an empty text
    return trees.is_true(trees.bound(scope, part.value).eq(trees.text("")))


def _text_or_none(scope: PythonScope, choice: Argument) -> str | None:
    try:
        outcome = scope.as_text(choice)
    except RuleProblem:
        return None
    text: str | None = outcome.value
    return text
