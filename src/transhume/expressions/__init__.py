"""The portable expressions of `where`, `checks`, `case` and `sql`: one small language with two twins."""

from transhume.expressions.expression import CheckedExpression, Expression, parse
from transhume.expressions.tree import ExpressionError

__all__ = ["CheckedExpression", "Expression", "ExpressionError", "parse"]
