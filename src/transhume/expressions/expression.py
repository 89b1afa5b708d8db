"""An expression of the portable language: read once, checked against types, then as SQL and as Python."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from transhume.expressions.checker import check_types, settle
from transhume.expressions.evaluation import evaluator
from transhume.expressions.lowering import misfits, to_tree
from transhume.expressions.parser import parse_nodes
from transhume.expressions.tree import Call, Column, ExpressionError, Node, Typed
from transhume.schema import BOOLEAN, TEXT, LogicalType


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression whose form is known to be of the language, and whose types are not known yet."""

    text: str
    root: Node

    def columns(self) -> tuple[str, ...]:
        """Return the columns (or alias.column) that it reads, each once, in the order of the text."""
        found: dict[str, None] = {}
        waiting: list[Node] = [self.root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Column):
                found.setdefault(node.name)
            elif isinstance(node, Call):
                waiting.extend(reversed(node.operands))
        return tuple(found)

    def check(
        self, types: Callable[[str], LogicalType | None], wanted: LogicalType | None = None
    ) -> "CheckedExpression":
        """Return the expression with its types; `types` gives a column's type, None where there is no such column.

        `wanted` only gives a type to an expression that is one literal; the result may have another type.
        Raises: ExpressionError for an unknown column and for kinds that do not go together.
        """
        return CheckedExpression(self, settle(check_types(self.root, types), wanted))

    def check_condition(self, types: Callable[[str], LogicalType | None]) -> "CheckedExpression":
        """Return the expression with its types. Raises: ExpressionError if it is not a condition, and as `check`."""
        checked = self.check(types, BOOLEAN)
        if checked.type != BOOLEAN:
            message = f"the expression gives {checked.type}, where a condition is needed"
            raise ExpressionError(message, "compare the value with something", self.root.offset)
        return checked


@dataclass(frozen=True, slots=True)
class CheckedExpression:
    """An expression with its types: two twins of one meaning.

    Arithmetic on integers is exact within 64 bits, on decimals always, on doubles as IEEE 754 says. A result
    outside 64 bits, a double that is not finite, or an integer beyond 2^53 beside a double does not fit: it
    counts as NULL, and `misfit` is true of the row, so that whoever uses the expression can reject it. A
    calculation with a NULL among what it starts from is NULL and no misfit.
    Texts are compared by code points, NaN equals NaN and is above all numbers.
    """

    expression: Expression
    root: Typed

    @property
    def type(self) -> LogicalType:
        """The type of the value."""
        return self.root.type or TEXT

    def to_sql(self, column: Callable[[str], exp.Expression]) -> exp.Expression:
        """Return the value as a tree of operations; `column` gives the value of a column, in the checked type."""
        return to_tree(self.root, column)

    def misfit_to_sql(self, column: Callable[[str], exp.Expression]) -> exp.Expression | None:
        """Return the condition, never NULL, that some number does not fit; None where all always fit."""
        found: exp.Expression | None = None
        for condition in misfits(self.root, column):
            found = condition if found is None else exp.Or(this=found, expression=condition)
        return found

    def evaluate(self, column: Callable[[str], Any]) -> Any:
        """Return the value for one row, None for NULL; `column` gives a column's value in the checked type."""
        return self.evaluator()(column)[0]

    def misfit(self, column: Callable[[str], Any]) -> bool:
        """Say whether some number of this row does not fit."""
        return self.evaluator()(column)[1]

    def evaluator(self) -> Callable[[Callable[[str], Any]], tuple[Any, bool]]:
        """Return the function that gives `evaluate` and `misfit` of a row at once; made once for many rows."""
        return evaluator(self.root)


def parse(text: str) -> Expression:
    """Return the expression that a text holds.

    Raises: ExpressionError with what is wrong, the cure and the place in the text.
    """
    return Expression(text, parse_nodes(text))
