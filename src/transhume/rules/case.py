"""The rule `case`: a value by the first condition that holds."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlglot import exp

from transhume.expressions import CheckedExpression, ExpressionError
from transhume.rules import trees
from transhume.rules.expression_text import ExpressionText, parsed
from transhume.rules.rule import (
    Argument,
    ColumnRef,
    Constant,
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
from transhume.schema import TEXT, LogicalType


class Branch(BaseModel):
    """One condition over source columns, and the value where it holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    when: ExpressionText
    then: Argument


def _some(branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
    if not branches:
        message = "the rule 'case' has no branch; write [{when: condition, then: value}]"
        raise ValueError(message)
    return branches


class Case(Rule):
    """The `then` of the first branch whose `when` is TRUE, else `otherwise`; FALSE and NULL go on to the next.

    A condition over a bad value cannot be decided: its reasons hold, and nothing behind it is looked at. A number
    of a condition that does not fit is `overflow`. Values that are not taken are not looked at.
    """

    verb: ClassVar[str] = "case"
    branches: Annotated[tuple[Branch, ...], AfterValidator(_some)] = Field(alias="case")
    otherwise: Argument

    def arguments(self) -> Iterator[Argument]:
        """Yield, branch by branch, the columns of the condition and the value; then `otherwise`."""
        for branch in self.branches:
            for name in parsed(branch.when).columns():
                yield ColumnRef(name)
            yield branch.then
        yield self.otherwise

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the wanted type, else the one type that all values have.

        Raises: RuleProblem where a condition's kinds do not go together, or no type is wanted and values differ.
        """
        for branch in self.branches:
            _checked(branch, lambda name: scope.argument(ColumnRef(name)))
        choices = [*(branch.then for branch in self.branches), self.otherwise]
        if wanted is not None:
            for choice in choices:
                scope.argument(choice, wanted)
            return wanted
        types = [scope.argument(choice) for choice in choices if not isinstance(choice, Constant)]
        for other in types[1:]:
            if other.kind is not types[0].kind:
                message = f"the values of case differ in type: {types[0]} and {other}"
                raise RuleProblem(message, "give the target column a type, or convert one of them by a rule")
        return types[0] if types else TEXT

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return a CASE; a reason holds only where the branch that gives it is reached or taken."""
        reasons: list[Reason] = []
        values: list[tuple[exp.Expression, exp.Expression]] = []
        reached: list[exp.Expression] = []

        def take(choice: Argument, taken: exp.Expression) -> None:
            part = trees.named(scope, scope.argument(choice, wanted))
            for reason in part.reasons:
                held = trees.every([taken, trees.is_true(reason.condition)])
                reasons.append(Reason(scope.bind(held), reason.text))
            values.append((taken, part.value))

        for branch in self.branches:
            holds, own = self._condition(scope, branch)
            for reason in own:
                held = trees.every([*reached, trees.is_true(reason.condition)])
                reasons.append(Reason(scope.bind(held), reason.text))
            guard = trees.sound(own)
            here = [*reached, *([] if guard is None else [guard])]
            take(branch.then, scope.bind(trees.every([*here, holds])))
            reached = [scope.bind(trees.every([*here, trees.negated(holds)]))]
        take(self.otherwise, reached[0])
        return Sql(trees.case(values, trees.null()), wanted, tuple(reasons))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return the value of the first branch that holds."""
        taken, reasons = self._taken(scope)
        if reasons:
            return Outcome(None, reasons)
        return scope.argument(self.otherwise if taken is None else self.branches[taken].then, wanted)

    def way(self, scope: PythonScope) -> str:
        """Return the number of the branch that holds, or `otherwise`."""
        taken, reasons = self._taken(scope)
        return "" if reasons else "otherwise" if taken is None else f"branch {taken + 1}"

    def ways(self, names: Mapping[str, Collection[str]]) -> tuple[str, ...]:  # noqa: ARG002
        """Return every branch, and `otherwise`."""
        return (*(f"branch {place}" for place in range(1, len(self.branches) + 1)), "otherwise")

    def _taken(self, scope: PythonScope) -> tuple[int | None, tuple[str, ...]]:
        """Return the place of the first branch that holds, None for none; or why that cannot be decided."""
        for place, branch in enumerate(self.branches):
            outcomes = {name: scope.argument(ColumnRef(name)) for name in parsed(branch.when).columns()}
            bad = tuple(reason for outcome in outcomes.values() for reason in outcome.reasons)
            if bad:
                return None, bad

            def column(name: str, known: dict[str, Outcome] = outcomes) -> Any:
                return known[name].value

            checked = _checked(branch, lambda name: scope.type_of(ColumnRef(name)))
            if checked.misfit(column):
                return None, (f"overflow:{label(self)}",)
            if checked.evaluate(column) is True:
                return place, ()
        return None, ()

    def _condition(self, scope: SqlScope, branch: Branch) -> tuple[exp.Expression, list[Reason]]:
        """Return a branch's condition, never NULL, and the reasons why it cannot be decided."""
        names = parsed(branch.when).columns()
        columns = {name: trees.named(scope, scope.argument(ColumnRef(name))) for name in names}
        checked = _checked(branch, lambda name: columns[name].type)
        own = list(trees.reasons_of(columns.values()))

        def column(name: str) -> exp.Expression:
            return columns[name].value.copy()

        misfit = checked.misfit_to_sql(column)
        if misfit is not None:
            own.append(Reason(scope.bind(trees.where_sound(own, misfit)), f"overflow:{label(self)}"))
        return scope.bind(trees.is_true(checked.to_sql(column))), own


def _checked(branch: Branch, types: Callable[[str], LogicalType | None]) -> CheckedExpression:
    try:
        return parsed(branch.when).check_condition(types)
    except ExpressionError as error:
        message = f"the condition '{branch.when}': {error.message}"
        raise RuleProblem(message, error.cure) from None
