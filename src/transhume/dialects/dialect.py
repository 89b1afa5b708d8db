"""How a tree of portable operations becomes one dialect's SQL text; no dialect's own SQL stands here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from transhume.errors import TranshumeError
from transhume.operations import Operation
from transhume.schema import LogicalType

Lowering = Callable[[Operation], exp.Expression]
"""Turns one operation, whose arguments are lowered already, into the dialect's own nodes."""

_SAME_EVERYWHERE = (
    exp.And,
    exp.Or,
    exp.Case,
    exp.If,
    exp.Coalesce,
    exp.Nullif,
    exp.Cast,
    exp.Exists,
    exp.Count,
    exp.CountIf,
    exp.Min,
    exp.Max,
    exp.RowNumber,
    exp.Lead,
)
"""The functions of SQLGlot that mean the same in every engine; any other must be an operation."""

_DIFFERENT = (exp.Div, exp.IntDiv, exp.Mod, exp.ILike, exp.RegexpLike, exp.SimilarTo, exp.Collate, exp.AtTimeZone)
"""Operators whose meaning depends on the engine."""

_WIDTH = 110
"""Characters of a line for people, before a list is broken."""
_OPERATORS = (exp.Binary, exp.Unary, exp.Between, exp.In)
_GROUPED = (*_OPERATORS, exp.Lambda)
_WITHOUT_GROUPS = (exp.Paren, exp.Dot)


class LoweringError(TranshumeError):
    """A tree holds something that has no one meaning in this dialect: a bug of whoever built the tree."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect: its name, what SQLGlot calls it, and how it lowers each operation.

    `types` gives the type in which a logical type is computed; `literal` a text literal with any characters;
    `secret_variables` the session variables by which statements know a secret of this name and value; `finish` changes
    a whole tree of the dialect's own nodes before it is printed.
    """

    name: str
    printer: str
    lowerings: Mapping[type[Operation], Lowering]
    types: Callable[[LogicalType], exp.DataType]
    literal: Callable[[str], exp.Expression]
    secret_variables: Callable[[str, bytes], Mapping[str, bytes]]
    finish: Callable[[exp.Expression], exp.Expression] = lambda tree: tree

    def render(self, tree: exp.Expression, *, pretty: bool = False) -> str:
        """Return the SQL text of a tree, with every name quoted and every operand in parentheses.

        `pretty` breaks lines for people.

        Effects: none; the tree is not changed.
        Raises: LoweringError for an operation without a lowering, and for functions and operators
        that engines understand differently.
        """
        try:
            return self.finish(self.lower(tree)).sql(
                dialect=self.printer,
                identify=True,
                comments=False,
                pretty=pretty,
                max_text_width=_WIDTH,
                copy=False,  # the lowered tree is nobody else's
                unsupported_level=ErrorLevel.RAISE,
            )
        except UnsupportedError as error:
            message = f"'{self.name}' cannot print a tree: {error}"
            raise LoweringError(message) from error

    def lower(self, tree: exp.Expression) -> exp.Expression:
        """Return a new tree in which every operation is replaced by the dialect's own nodes."""
        if isinstance(tree, exp.Literal):
            return self.literal(tree.name) if tree.is_string else tree.copy()
        _refuse_ambiguous(tree)
        if isinstance(tree, exp.DataType | exp.Identifier):
            return tree.copy()
        lowered = self._with_lowered_arguments(tree)
        if isinstance(tree, Operation):
            lowering = self.lowerings.get(type(tree))
            if lowering is None:
                message = f"'{self.name}' has no lowering for the operation {type(tree).__name__}"
                raise LoweringError(message)
            return lowering(lowered)  # type: ignore[arg-type]
        return _grouped(lowered)

    def data_type(self, logical: LogicalType) -> exp.DataType:
        """Return the type in which values of this logical type are computed, as for `exp.cast`."""
        return self.types(logical)

    def null(self, logical: LogicalType) -> exp.Expression:
        """Return a NULL of this type."""
        return exp.Cast(this=exp.Null(), to=self.types(logical))

    def _with_lowered_arguments(self, tree: exp.Expression) -> exp.Expression:
        arguments: dict[str, object] = {}
        for name, value in tree.args.items():
            if isinstance(value, list):
                arguments[name] = [self.lower(item) if isinstance(item, exp.Expression) else item for item in value]
            else:
                arguments[name] = self.lower(value) if isinstance(value, exp.Expression) else value
        return type(tree)(**arguments)


def _refuse_ambiguous(tree: exp.Expression) -> None:
    known = isinstance(tree, Operation) or type(tree) in _SAME_EVERYWHERE
    if (isinstance(tree, exp.Func) and not known) or isinstance(tree, _DIFFERENT):
        message = f"{type(tree).__name__} means different things in different engines; use an operation instead"
        raise LoweringError(message)


def _grouped(tree: exp.Expression) -> exp.Expression:
    """Put operands that are operators themselves into parentheses: SQLGlot's printer adds none."""
    if not isinstance(tree, _GROUPED) or isinstance(tree, _WITHOUT_GROUPS):
        return tree
    chain = type(tree) if isinstance(tree, exp.Connector | exp.DPipe) else None
    for name, value in list(tree.args.items()):
        if isinstance(value, exp.Expression) and _needs_group(value) and type(value) is not chain:
            tree.set(name, exp.Paren(this=value))
        elif isinstance(value, list):
            tree.set(name, [exp.Paren(this=item) if _needs_group(item) else item for item in value])
    return tree


def _needs_group(value: object) -> bool:
    return isinstance(value, _OPERATORS) and not isinstance(value, _WITHOUT_GROUPS)
