"""The rule `sql`: an expression of the portable language."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from pydantic import Field
from sqlglot import exp

from transhume.expressions import CheckedExpression, ExpressionError
from transhume.rules import trees
from transhume.rules.expression_text import ExpressionText, parsed
from transhume.rules.rule import (
    Argument,
    ColumnRef,
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
from transhume.schema import LogicalType


class SqlRule(Rule):
    """The value of a portable expression over source columns; a number that does not fit is `overflow`."""

    verb: ClassVar[str] = "sql"
    expression: ExpressionText = Field(alias="sql")

    def arguments(self) -> Iterator[Argument]:
        """Yield the columns of the expression, each once, in its order."""
        for name in parsed(self.expression).columns():
            yield ColumnRef(name)

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return the expression's type. Raises: RuleProblem where the kinds do not go together."""
        return self._checked(lambda name: scope.argument(ColumnRef(name)), wanted).type

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return the expression's tree."""
        columns = {name: trees.named(scope, scope.argument(ColumnRef(name))) for name in self._names()}
        checked = self._checked(lambda name: columns[name].type, wanted)
        reasons = trees.reasons_of(columns.values())

        def column(name: str) -> exp.Expression:
            return columns[name].value.copy()

        value = trees.value_where_sound(reasons, checked.to_sql(column))
        misfit = checked.misfit_to_sql(column)
        if misfit is not None:
            reasons = (*reasons, Reason(trees.where_sound(reasons, misfit), f"overflow:{label(self)}"))
        return Sql(value, checked.type, reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return what the expression's own evaluation gives."""
        outcomes = {name: scope.argument(ColumnRef(name)) for name in self._names()}
        reasons = tuple(reason for outcome in outcomes.values() for reason in outcome.reasons)
        if reasons:
            return Outcome(None, reasons)

        def column(name: str) -> Any:
            return outcomes[name].value

        checked = self._checked(lambda name: scope.type_of(ColumnRef(name)), wanted)
        if checked.misfit(column):
            return Outcome(None, (f"overflow:{label(self)}",))
        return Outcome(checked.evaluate(column))

    def _names(self) -> tuple[str, ...]:
        return parsed(self.expression).columns()

    def _checked(self, types: Callable[[str], LogicalType | None], wanted: LogicalType | None) -> CheckedExpression:
        try:
            return parsed(self.expression).check(types, wanted)
        except ExpressionError as error:
            raise RuleProblem(error.message, error.cure) from None
