"""What a dialect for scripts is: the dialect, and what stands before it is lowered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.dialect import Dialect, LoweringError
from transhume.dialects.scripts.compared import Types, marked

_NUMBERS = (op.ParseDouble, op.ParseDecimal)
_CONTROL_MAX = 0x20


@dataclass(frozen=True, slots=True)
class ScriptDialect:
    """One dialect for scripts: `title` for people, `dialect` for the lowering.

    `booleans` says whether a condition is a value there; `refused` gives the reason why a text cannot be written
    as a literal, empty where it can; `unnamed` the characters that no quoted name may hold.
    """

    title: str
    dialect: Dialect
    booleans: bool = True
    refused: Callable[[str], str] = lambda _: ""
    unnamed: str = ""
    replaced: Mapping[str, str] | None = None
    """What comments must not hold, because the usual client reads it there too, and what stands instead."""

    def render(self, select: exp.Select, types: Types) -> str:
        """Return the SELECT as text, several lines.

        Raises: LoweringError, whose message says what this dialect cannot say exactly.
        """
        tree = marked(_with_numbers(select), types)
        if not self.booleans:
            tree = _without_booleans(tree, self.title)
        for name in tree.find_all(exp.Identifier):
            self._require_name(name.name)
        for literal in tree.find_all(exp.Literal):
            reason = self._refusal(literal.name) if literal.is_string else ""
            if reason:
                message = f"a text of the plan cannot be written as a literal: {reason}"
                raise LoweringError(message)
        return self.dialect.render(tree, pretty=True)

    def comment(self, text: str) -> str:
        """Return text as it may stand in a comment line: one line, nothing that ends it or that a client reads."""
        line = "".join(sign if sign.isprintable() else " " for sign in text)
        for found, instead in (self.replaced or {}).items():
            line = line.replace(found, instead)
        return line

    def _refusal(self, text: str) -> str:
        return "it holds U+0000" if "\0" in text else self.refused(text)

    def _require_name(self, name: str) -> None:
        strange = [sign for sign in name if ord(sign) < _CONTROL_MAX or sign in self.unnamed]
        if strange or not name:
            message = f"{self.title} has no way to write the name {name!r} in a script"
            raise LoweringError(message)


def _with_numbers(select: exp.Select) -> exp.Select:
    """Return the SELECT with number literals in digits, which every dialect compares with its numbers exactly."""

    def plain(node: exp.Expression) -> exp.Expression:
        if isinstance(node, _NUMBERS) and isinstance(node.this, exp.Literal):
            digits = node.this.name
            return exp.Neg(this=exp.Literal.number(digits[1:])) if digits[0] == "-" else exp.Literal.number(digits)
        return node

    return cast("exp.Select", select.transform(plain))


def _without_booleans(select: exp.Select, title: str) -> exp.Select:
    """Return the SELECT without conditions that are used as values."""

    def plain(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Coalesce) and [each.sql() for each in node.expressions] == ["FALSE"]:
            one, zero = exp.Literal.number(1), exp.Literal.number(0)
            chosen = exp.Case(ifs=[exp.If(this=node.this.transform(plain), true=one.copy())], default=zero)
            return exp.EQ(this=chosen, expression=one)
        return node

    made = cast("exp.Select", select.transform(plain))
    conditions = [node.this for node in made.find_all(exp.Not, exp.Where, exp.Having)]
    conditions += [side for node in made.find_all(exp.Connector) for side in (node.this, node.expression)]
    if made.find(exp.Boolean) or any(isinstance(each.unnest(), exp.Column | exp.Coalesce) for each in conditions):
        message = f"{title} has no conditions as values, and this check uses one"
        raise LoweringError(message)
    return made
