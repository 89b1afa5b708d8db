"""The faults that are planted: what may stand in the place of an expression or a statement. Nothing is run here."""

import ast
import builtins
import copy
import re
from collections.abc import Collection, Iterator

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_METHODS = {
    "strip": "lstrip",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
    "lower": "upper",
    "upper": "lower",
    "startswith": "endswith",
    "endswith": "startswith",
    "partition": "rpartition",
    "rpartition": "partition",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "ljust": "rjust",
    "rjust": "ljust",
    "find": "rfind",
    "rfind": "find",
    "fullmatch": "match",
    "setdefault": "get",
}
_NODES = {
    "EQ": "NEQ",
    "NEQ": "EQ",
    "GT": "GTE",
    "GTE": "GT",
    "LT": "LTE",
    "LTE": "LT",
    "And": "Or",
    "Or": "And",
    "Add": "Sub",
    "Sub": "Add",
}
"""Nodes of SQLGlot, as `exp.EQ`: the SQL that is built has another operator."""
_FUNCTIONS = {
    "any": "all",
    "all": "any",
    "min": "max",
    "max": "min",
    "sorted": "list",
    "every": "some",
    "some": "every",
    "is_null": "is_present",
    "is_present": "is_null",
}
SETS_OF_LETTERS = frozenset({"strip", "lstrip", "rstrip"})
"""Methods whose argument is a set of letters: one more in it is a fault that no value shows."""
_UNWRAPPED = {"negated": 0, "is_true": 0, "where_sound": 1, "value_where_sound": 1}
"""Builders of SQL whose argument, at this place, stands for their result."""
_PROSE = re.compile(r"\w\S* \S*\w")

_PATTERN = re.compile(r"\[[^\]]{2,}\]|\\[.sdw]|\(\?")
"""What shows that a text is a regular expression."""
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?|.", re.DOTALL)


def is_prose(text: str) -> bool:
    """Say whether a text has words with a blank between them: it is written for people, and is not mutated."""
    return _PROSE.search(text) is not None


def expressions_instead(node: ast.expr, known: Collection[str]) -> Iterator[ast.expr]:  # noqa: C901, PLR0912 - a table
    """Yield what may stand in the place of an expression; `known` are the names that its module binds."""
    match node:
        case ast.Constant():
            yield from _constants(node.value)
        case ast.JoinedStr(values=[*_]):
            yield ast.JoinedStr([ast.Constant("XX"), *node.values])
        case ast.Compare(ops=[_]):
            other = _COMPARED.get(type(node.ops[0]))
            if other is not None:
                yield ast.Compare(node.left, [other()], node.comparators)
        case ast.Compare():
            for place, each in enumerate(node.ops):
                if type(each) in _COMPARED:
                    changed = [*node.ops[:place], _COMPARED[type(each)](), *node.ops[place + 1 :]]
                    yield ast.Compare(node.left, changed, node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _COMPUTED and not _is_text(node.left) and not _is_text(node.right):
            yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
        case ast.Call():
            yield from _calls(node, known)
        case ast.Attribute(value=ast.Name(id="exp")) if node.attr in _NODES:
            yield ast.Attribute(node.value, _NODES[node.attr], ast.Load())
        case ast.Set() if len(node.elts) > 1:
            for place, each in enumerate(node.elts):
                if not isinstance(each, ast.Constant):
                    yield ast.Set([*node.elts[:place], *node.elts[place + 1 :]])
        case ast.Dict() if len(node.keys) > 1:
            for place, key in enumerate(node.keys):
                if not isinstance(key, ast.Constant):
                    keys, values = list(node.keys), list(node.values)
                    del keys[place], values[place]
                    yield ast.Dict(keys, values)


def negation(test: ast.expr) -> Iterator[ast.expr]:
    """Yield the contrary of a condition that no other fault turns around."""
    if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr | ast.Subscript):
        yield ast.UnaryOp(ast.Not(), test)


def statements_instead(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yield what may stand in the place of a statement."""
    match node:
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.Raise() | ast.Break():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Return(value=ast.expr() as value) if not (
            isinstance(value, ast.Constant) and value.value in {None, True, False}
        ):
            yield ast.Return(ast.Constant(None))
        case ast.AugAssign(op=ast.Add()):
            yield ast.Assign([node.target], node.value)
        case ast.AugAssign() if type(node.op) in _COMPUTED:
            yield ast.AugAssign(node.target, _COMPUTED[type(node.op)](), node.value)
        case ast.Match() if len(node.cases) > 1:
            for place in range(len(node.cases)):
                yield ast.Match(node.subject, [*node.cases[:place], *node.cases[place + 1 :]])


def _constants(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and _PATTERN.search(value):
        for place in _repeats(value):
            instead = {"+": "*", "*": "+", "?": ""}[value[place]]
            yield ast.Constant(value[:place] + instead + value[place + 1 :])
        yield ast.Constant("XX" + value)
    elif isinstance(value, str) and not is_prose(value):
        yield ast.Constant("XX" + value)
    elif isinstance(value, bytes):
        yield ast.Constant(b"XX" + value)


def _repeats(pattern: str) -> Iterator[int]:
    """Yield the places of `+`, `*` and `?` that repeat what stands before them."""
    for token in _TOKEN.finditer(pattern):
        if token[0] in {"+", "*", "?"} and token.start():
            yield token.start()


def _calls(node: ast.Call, known: Collection[str]) -> Iterator[ast.expr]:
    match node.func:
        case ast.Attribute(attr=name) if name in _METHODS:
            yield ast.Call(ast.Attribute(node.func.value, _METHODS[name], ast.Load()), node.args, node.keywords)
        case ast.Name(id=name) if name in _FUNCTIONS and (_FUNCTIONS[name] in known or hasattr(builtins, name)):
            yield ast.Call(ast.Name(_FUNCTIONS[name], ast.Load()), node.args, node.keywords)
        case ast.Name(id=name) if name in _UNWRAPPED and len(node.args) > _UNWRAPPED[name]:
            yield node.args[_UNWRAPPED[name]]


def _is_text(node: ast.expr) -> bool:
    """Say whether an operand holds a text: no other operator than `+` works on it."""
    return any(
        isinstance(each, ast.JoinedStr) or (isinstance(each, ast.Constant) and isinstance(each.value, str))
        for each in ast.walk(node)
    )


def changed(context: ast.AST, old: ast.AST, new: ast.AST) -> str:
    """Return the source of a context in which a new node stands in the place of an old one."""
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(context, {id(old): new})))
