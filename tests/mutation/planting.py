"""A module with all its faults planted, of which none or one is awake. Nothing is run here.

Inside a function each fault stands beside what it replaces, `(fault if _MUTANT == 7 else original)`: one compiled
module serves all of them. What is computed when a module is imported (tables, patterns, defaults) cannot be switched
afterwards; such a fault is written into the source of its own.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.mutation.operators import (
    SETS_OF_LETTERS,
    changed,
    expressions_instead,
    is_prose,
    negation,
    statements_instead,
)

SWITCH = "_MUTANT"
_SHOWN_MAX = 110
_DISPLAYS = ast.List | ast.Tuple | ast.Set | ast.Dict | ast.JoinedStr
_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Mutant:
    """One fault: its number in its file, where it stands, and its key, which does not move with lines.

    Of a fault at import: the `names` that are made there, the `place` of what it replaces, and the `fault`.
    """

    file: str
    number: int
    function: str
    line: int
    key: str
    names: frozenset[str] = frozenset()
    place: tuple[Any, ...] = ()
    fault: ast.expr | None = None


@dataclass
class Planted:
    """A file's module with its switched faults, and all faults."""

    source: str
    tree: ast.Module
    mutants: list[Mutant] = field(default_factory=list)
    mentions: dict[str, set[str]] = field(default_factory=dict)
    """Which names each function reads."""


def plant(source: str, file: str) -> Planted:
    """Return the module of a source with every fault."""
    tree = ast.parse(source)
    planter = _Planter(file, tree, ast.parse(source))
    made = planter.module()
    return Planted(source, ast.fix_missing_locations(made), planter.mutants, planter.mentions)


def statements_of_fault(source: str, mutant: Mutant) -> list[ast.stmt]:
    """Return the statements of a module that a fault at import changes: the one it is in, and those that use its names.

    Run again in the module, in this order, they give what an import with the fault would have given.
    """
    assert mutant.fault is not None
    tree = ast.parse(source)
    old = next(node for node in ast.walk(tree) if isinstance(node, ast.expr) and _place(node) == mutant.place)
    tree = ast.fix_missing_locations(copy.deepcopy(tree, {id(old): mutant.fault}))
    names, chosen = set(mutant.names), []
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and getattr(statement, "value", None) is not None:
            own = assigned_names(statement)
            if own & mutant.names or names & mentioned(statement):
                names |= own
                chosen.append(statement)
    return chosen


def mentioned(node: ast.AST) -> set[str]:
    """Return the names that a piece of source reads, attributes among them."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return names | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


class _Planter(ast.NodeTransformer):
    def __init__(self, file: str, tree: ast.Module, untouched: ast.Module) -> None:
        self.file, self.tree = file, tree
        self.untouched = {id(node): other for node, other in zip(ast.walk(tree), ast.walk(untouched), strict=True)}
        self.mutants: list[Mutant] = []
        self.keys: Counter[str] = Counter()
        self.mentions: dict[str, set[str]] = {}
        self.scope: list[str] = []
        self.inside = 0
        self.parents: dict[int, ast.AST] = {
            id(child): parent for parent in ast.walk(untouched) for child in ast.iter_child_nodes(parent)
        }
        self.known = {node.asname or node.name for node in ast.walk(tree) if isinstance(node, ast.alias)} | {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }

    def module(self) -> ast.Module:
        body = []
        for place, statement in enumerate(self.tree.body):
            if place and not body[1:]:
                body.append(ast.parse(f"{SWITCH} = -1").body[0])
            body.append(self.visit(statement))
        return ast.Module(body, [])

    # What is not mutated: annotations, decorators, assertions (they tell the type checker what a check made sure of),
    # protocols, and texts for people with what stands in them.

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any(isinstance(each, ast.Name) and each.id == "Protocol" for each in node.bases):
            return node
        self.scope.append(node.name)
        node.body = [self.visit(each) if isinstance(each, ast.FunctionDef) else each for each in node.body]
        self.scope.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.scope.append(node.name)
        self.mentions[".".join(self.scope)] = mentioned(self.untouched[id(node)])
        self.inside += 1
        body = node.body
        first = body[:1] if ast.get_docstring(node, clean=False) is not None else []
        node.body = [*first, *self._block(body[len(first) :])]
        self.inside -= 1
        self.scope.pop()
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        # zip's `strict` is an assertion too
        return node if node.arg == "strict" else self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        shown = "".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.values)
        if is_prose(shown):
            return node
        made = self._faults(node, expressions_instead) if self.inside else []
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                each.value = self.visit(each.value)
        return self._switched(node, made, node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value) if self.inside else self._assigned(node, node.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if self.inside:
            return self.generic_visit(node)
        node.value = self._assigned(node, node.value)
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        if node.guard is not None:
            node.guard = self._tested(node.guard)
        node.body = self._block(node.body)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        node.test = self._tested(node.test)
        node.body, node.orelse = self._block(node.body), self._block(node.orelse)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        return self.visit_If(node)  # type: ignore[arg-type]

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        node.iter = self.visit(node.iter)
        node.ifs = [self._tested(each) for each in node.ifs]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self._tested(node.test)
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, ast.expr):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if self.inside and isinstance(block, list):
                    setattr(node, name, self._block(block))
            if isinstance(node, ast.For | ast.With | ast.Try):
                self._heads(node)
                return node
            return super().generic_visit(node)
        if not self.inside or isinstance(node, ast.Starred | ast.Slice):
            return super().generic_visit(node)
        made = self._faults(node, expressions_instead)
        return self._switched(node, made, super().generic_visit(node))

    def _heads(self, node: ast.For | ast.With | ast.Try) -> None:
        if isinstance(node, ast.For):
            node.iter = self.visit(node.iter)
        elif isinstance(node, ast.With):
            for item in node.items:
                item.context_expr = self.visit(item.context_expr)
        else:
            for handler in node.handlers:
                handler.body = self._block(handler.body)

    def _tested(self, test: ast.expr) -> ast.expr:
        if not self.inside:
            return self.visit(test)
        made = self._faults(test, negation)
        return self._switched(test, made, self.visit(test))

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        block: list[ast.stmt] = []
        for statement in statements:
            made = self._faults(statement, statements_instead)
            visited = self.visit(statement)
            for fault, before, after in made:
                mutant = self._mutant(statement, before, after)
                visited = ast.copy_location(ast.If(_is_awake(mutant.number), [fault], [visited]), statement)
            block.append(visited)
        return block

    def _faults(self, node: Any, instead: Callable[..., Iterator[Any]]) -> list[tuple[Any, str, str]]:
        """Return what may stand in a node's place, none of it with a switch inside, and how each is shown."""
        untouched = self.untouched[id(node)]
        parent = self.parents.get(id(untouched))
        if isinstance(parent, ast.Call) and untouched in parent.args and _is_of_letters(parent.func):
            return []
        faults = instead(untouched, self.known) if instead is expressions_instead else instead(untouched)
        return [(copy.deepcopy(fault), *self._shown(untouched, fault)) for fault in faults]

    def _switched(self, node: ast.expr, made: list[tuple[Any, str, str]], visited: Any) -> Any:
        for fault, before, after in made:
            mutant = self._mutant(node, before, after)
            visited = ast.copy_location(ast.IfExp(_is_awake(mutant.number), fault, visited), node)
        return visited

    def _mutant(self, node: ast.AST, before: str, after: str, **more: Any) -> Mutant:
        function = ".".join(self.scope)
        key = f"{self.file} {function or 'module'}: {before} -> {after}"
        self.keys[key] += 1
        if self.keys[key] > 1:
            key += f" #{self.keys[key]}"
        mutant = Mutant(self.file, len(self.mutants), function, getattr(node, "lineno", 0), key, **more)
        self.mutants.append(mutant)
        return mutant

    def _shown(self, node: ast.AST, fault: ast.AST) -> tuple[str, str]:
        """Return a fault as a reader knows it again: with what stands around it where that is short."""
        context, parent = node, self.parents.get(id(node))
        while isinstance(parent, ast.keyword | ast.FormattedValue):
            context, parent = parent, self.parents.get(id(parent))
        if isinstance(parent, ast.expr | ast.Return | ast.Assign) and not isinstance(parent, _DISPLAYS):
            wide = ast.unparse(parent)
            if len(wide) <= _SHOWN_MAX:
                return " ".join(wide.split()), " ".join(changed(parent, node, fault).split())
        if isinstance(context, ast.FormattedValue):
            context = node
        before, after = (" ".join(text.split()) for text in (ast.unparse(context), changed(context, node, fault)))
        return before[:_SHOWN_MAX], _from_difference(before, after)

    def _assigned(self, statement: ast.Assign | ast.AnnAssign, value: ast.expr) -> ast.expr:
        names = assigned_names(statement)
        if names & {"__slots__", "__all__"} or isinstance(value, ast.Subscript):
            return value  # an alias of a type
        for node in _of_import(value):
            for fault, before, after in self._faults(node, expressions_instead):
                self._mutant(node, before, after, names=frozenset(names), place=_place(node), fault=fault)
        return value


def assigned_names(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)}


def _of_import(value: ast.expr) -> Iterator[ast.expr]:
    """Yield the nodes that are computed at import, without the inside of functions and of texts for people."""
    if isinstance(value, ast.JoinedStr | ast.Lambda):
        return
    yield value
    for child in ast.iter_child_nodes(value):
        for node in [child] if isinstance(child, ast.expr) else ast.iter_child_nodes(child):
            if isinstance(node, ast.expr):
                yield from _of_import(node)


def _place(node: ast.expr) -> tuple[Any, ...]:
    return type(node).__name__, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _is_of_letters(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr in SETS_OF_LETTERS


def _is_awake(number: int) -> ast.Compare:
    return ast.Compare(ast.Name(SWITCH, ast.Load()), [ast.Eq()], [ast.Constant(number)])


def _from_difference(before: str, after: str) -> str:
    """Return the part of a long text that differs from another, with a little around it."""
    if len(after) <= _SHOWN_MAX:
        return after
    start = next((place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    return f"...{after[max(0, start - 40) : start + 40]}..."
