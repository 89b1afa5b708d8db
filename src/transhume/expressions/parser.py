"""From the text of an expression to its nodes: SQLGlot reads, a closed list of constructs lets through."""

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from transhume.expressions.tree import Call, Column, ExpressionError, Node, Null, Number, Quoted, Truth

CHARACTERS_MAX = 20_000
TOKENS_MAX = 4_000
JOINED_MAX = 100
PARENTHESES_MAX = 30
DEPTH_MAX = 40
"""Operators within operators; chains of AND, OR and `||` do not nest, of `+`, `-` and `*` they do."""

_CALLED = frozenset({"coalesce", "length"})
_BEFORE_PARENTHESIS = _CALLED | {"and", "or", "not", "in", "between", "like"}
_OTHER_NULLS = frozenset({"unknown", "isnull", "notnull"})
_LANGUAGE = "the language has = <> < <= > >=, and, or, not, is null, between, in, like, + - *, ||, coalesce and length"
_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")

_BINARY: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
}
_CHAINED: dict[type[exp.Expression], str] = {exp.And: "and", exp.Or: "or", exp.DPipe: "||"}
_ARGUMENTS: dict[type[exp.Expression], frozenset[str]] = {
    **dict.fromkeys(_BINARY, frozenset({"this", "expression"})),
    **dict.fromkeys(_CHAINED, frozenset({"this", "expression", "safe"})),
    exp.Column: frozenset({"this", "table"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Boolean: frozenset({"this"}),
    exp.Null: frozenset(),
    exp.Paren: frozenset({"this"}),
    exp.Not: frozenset({"this"}),
    exp.Neg: frozenset({"this"}),
    exp.Is: frozenset({"this", "expression"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.In: frozenset({"this", "expressions"}),
    exp.Like: frozenset({"this", "expression", "negate"}),
    exp.Coalesce: frozenset({"this", "expressions"}),
    exp.Length: frozenset({"this"}),
}
_REFUSED: dict[type[exp.Expression], tuple[str, str]] = {
    exp.Select: ("a subquery", "join the table under 'join:' and use alias.column"),
    exp.Subquery: ("a subquery", "join the table under 'join:' and use alias.column"),
    exp.Window: ("a window", ""),
    exp.Cast: ("a cast", "name the type under 'types:', or write the literal in quotes"),
    exp.Case: ("CASE", "use the rule 'case'"),
    exp.If: ("IF", "use the rule 'case'"),
    exp.Div: ("'/'", "use the rule 'scale', which is exact"),
    exp.Mod: ("'%'", ""),
    exp.Placeholder: ("a parameter", ""),
    exp.Parameter: ("a parameter", ""),
    exp.Star: ("'*' without operands", ""),
    exp.Alias: ("two expressions side by side", "put AND, OR or an operator between them"),
    exp.Tuple: ("a list outside IN", ""),
    exp.Concat: ("two literals side by side", "join texts with ||"),
    exp.NullSafeEQ: ("IS NOT DISTINCT FROM", "write: a = b or (a is null and b is null)"),
    exp.NullSafeNEQ: ("IS DISTINCT FROM", ""),
    exp.Escape: ("ESCAPE", "% and _ cannot be escaped"),
    exp.ILike: ("ILIKE", "LIKE is case-sensitive; name the spellings"),
    exp.Interval: ("INTERVAL", ""),
    exp.National: ("a national literal", "write it in plain single quotes"),
    exp.Array: ("a list in brackets", "put names in double quotes"),
    exp.Distinct: ("DISTINCT", ""),
}


def parse_nodes(text: str) -> Node:
    """Return the nodes of an expression. Raises: ExpressionError naming the construct and its place."""
    if len(text) > CHARACTERS_MAX:
        message = f"the expression has {len(text)} characters; at most {CHARACTERS_MAX} are read"
        raise ExpressionError(message, "put a long list into a lookup")
    found = _tokens(text)
    _check_tokens(text, found)
    try:
        trees = sqlglot.parse(text)
        if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
            raise ExpressionError("the expression holds more than one statement", "write one expression")
        return _Reader(text).node(trees[0], 0)
    except ParseError as error:
        raise _syntax_error(error, found) from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", "write it in simpler parts") from None


def _tokens(text: str) -> list[Token]:
    try:
        found = sqlglot.tokenize(text)
    except TokenError as error:
        message = f"the expression cannot be read: {str(error).splitlines()[0]}"
        raise ExpressionError(message, "close every quote") from None
    if not found:
        raise ExpressionError("the expression is empty", "write a condition, such as status = 'A'")
    if len(found) > TOKENS_MAX:
        message = f"the expression has {len(found)} words and signs; at most {TOKENS_MAX} are read"
        raise ExpressionError(message, "put a long list into a lookup")
    return found


def _check_tokens(text: str, found: list[Token]) -> None:
    """Refuse what SQLGlot's tree no longer shows: comments, aliases of functions, other spellings."""
    depth = 0
    for token, following in zip(found, [*found[1:], None], strict=True):
        written = text[token.start : token.end + 1]
        if token.comments:
            raise ExpressionError("the expression holds a comment", "write it beside the expression", token.start)
        depth += {"(": 1, ")": -1}.get(written, 0)
        if depth > PARENTHESES_MAX:
            raise ExpressionError("the expression is nested too deeply", "write it in simpler parts", token.start)
        if token.token_type is TokenType.SEMICOLON:
            raise ExpressionError("the expression holds ';'", "write one expression", token.start)
        if written == "==":
            raise ExpressionError("'==' is not an operator", "write =", token.start)
        word = written.lower() if written[:1].isalpha() or written[:1] == "_" else ""
        if word in _OTHER_NULLS:
            message = f"the word '{written}' stands for NULL tests elsewhere"
            raise ExpressionError(message, "write IS NULL; put a column of this name in double quotes", token.start)
        called = following is not None and text[following.start : following.end + 1] == "("
        if called and word and word not in _BEFORE_PARENTHESIS:
            message = f"'{written}(...)' is not in the language"
            raise ExpressionError(message, _LANGUAGE, token.start)


def _syntax_error(error: ParseError, found: list[Token]) -> ExpressionError:
    place = error.errors[0] if error.errors else {}
    at = next((t for t in found if (t.line, t.col) == (place.get("line"), place.get("col"))), found[-1])
    message = f"the expression cannot be read near '{at.text}'"
    return ExpressionError(message, _LANGUAGE, at.start)


class _Reader:
    """Turns SQLGlot's tree into ours; whatever is not listed is refused."""

    def __init__(self, text: str) -> None:
        self._text = text

    def node(self, tree: exp.Expression, depth: int) -> Node:
        self._check(tree, depth)
        if isinstance(tree, exp.Paren):
            return self.node(tree.this, depth)
        if type(tree) in _CHAINED:
            operands = tuple(self.node(operand, depth + 1) for operand in _chain(tree, type(tree)))
            if isinstance(tree, exp.DPipe) and len(operands) > JOINED_MAX:
                message = f"'||' joins {len(operands)} texts; at most {JOINED_MAX} are read"
                raise ExpressionError(message, "use the rule 'concat'", _offset(tree))
            return Call(_offset(tree), _CHAINED[type(tree)], operands)
        if type(tree) in _BINARY:
            return self._call(_BINARY[type(tree)], tree, depth, tree.this, tree.expression)
        reader = getattr(self, f"_read_{type(tree).__name__.lower()}")
        read: Node = reader(tree, depth)
        return read

    def _check(self, tree: exp.Expression, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise ExpressionError("the expression is nested too deeply", "write it in simpler parts", _offset(tree))
        allowed = _ARGUMENTS.get(type(tree))
        extra = set() if allowed is None else {name for name, value in tree.args.items() if value} - allowed
        if allowed is not None and not extra:
            return
        construct, cure = _REFUSED.get(type(tree), (_words(type(tree).__name__), _LANGUAGE))
        if extra & {"query", "field", "unnest"}:
            construct, cure = _REFUSED[exp.Subquery]
        elif extra:
            construct, cure = f"{construct} with {', '.join(sorted(extra))}", _LANGUAGE
        if extra and isinstance(tree, exp.Column):
            construct, cure = "a name of more than two parts", "write column, or alias.column of a join"
        message = f"{construct} is not in the language"
        raise ExpressionError(message, cure, _offset(tree))

    def _call(self, name: str, tree: exp.Expression, depth: int, *operands: exp.Expression) -> Call:
        return Call(_offset(tree), name, tuple(self.node(operand, depth + 1) for operand in operands))

    def _read_column(self, tree: exp.Column, depth: int) -> Node:  # noqa: ARG002
        parts = [part for part in (tree.args.get("table"), tree.this) if part is not None]
        for part in parts:
            if not isinstance(part, exp.Identifier):
                raise ExpressionError("'*' is not in the language", "name the columns", _offset(tree))
            if not part.args.get("quoted") and not part.name.isidentifier():
                message = f"'{part.name}' is neither a name nor a literal"
                raise ExpressionError(message, "put names in double quotes, texts in single quotes", _offset(tree))
        return Column(_offset(tree), ".".join(part.name for part in parts))

    def _read_literal(self, tree: exp.Literal, depth: int) -> Node:  # noqa: ARG002
        if tree.is_string:
            return Quoted(_offset(tree), tree.name)
        if not _DIGITS.fullmatch(tree.name):
            message = f"the number {tree.name} is not plain digits"
            raise ExpressionError(message, "write 1500 or 0.015", _offset(tree))
        return Number(_offset(tree), tree.name)

    def _read_boolean(self, tree: exp.Boolean, depth: int) -> Node:  # noqa: ARG002
        return Truth(_offset(tree), bool(tree.this))

    def _read_null(self, tree: exp.Null, depth: int) -> Node:  # noqa: ARG002
        return Null(_offset(tree))

    def _read_not(self, tree: exp.Not, depth: int) -> Node:
        return self._call("not", tree, depth, tree.this)

    def _read_neg(self, tree: exp.Neg, depth: int) -> Node:
        operand = self.node(tree.this, depth + 1)
        if isinstance(operand, Number) and not operand.digits.startswith("-"):
            return Number(_offset(tree), f"-{operand.digits}")
        return Call(_offset(tree), "neg", (operand,))

    def _read_is(self, tree: exp.Is, depth: int) -> Node:
        if type(tree.expression) is not exp.Null:
            raise ExpressionError("IS is only read before NULL", "write IS NULL, = true or = false", _offset(tree))
        return self._call("is null", tree, depth, tree.this)

    def _read_between(self, tree: exp.Between, depth: int) -> Node:
        return self._call("between", tree, depth, tree.this, tree.args["low"], tree.args["high"])

    def _read_in(self, tree: exp.In, depth: int) -> Node:
        call = self._call("in", tree, depth, tree.this, *tree.expressions)
        for member in call.operands[1:]:
            if not isinstance(member, Number | Quoted | Truth):
                cure = "compare columns with =; test NULL with IS NULL"
                raise ExpressionError("IN takes a list of literals", cure, member.offset)
        if len(call.operands) == 1:
            raise ExpressionError("IN takes a list of literals", "name at least one", call.offset)
        return call

    def _read_like(self, tree: exp.Like, depth: int) -> Node:
        call = self._call("like", tree, depth, tree.this, tree.expression)
        if not isinstance(call.operands[1], Quoted):
            raise ExpressionError("LIKE takes a literal in quotes", "write the pattern in single quotes", call.offset)
        return Call(call.offset, "not", (call,)) if tree.args.get("negate") else call

    def _read_coalesce(self, tree: exp.Coalesce, depth: int) -> Node:
        return self._call("coalesce", tree, depth, tree.this, *tree.expressions)

    def _read_length(self, tree: exp.Length, depth: int) -> Node:
        return self._call("length", tree, depth, tree.this)


def _chain(tree: exp.Expression, kind: type[exp.Expression]) -> Iterator[exp.Expression]:
    """Yield the operands of a chain of one operator from the left, however long it is."""
    waiting = [tree]
    while waiting:
        top = waiting.pop()
        if type(top) is kind:
            waiting += [top.expression, top.this]
        else:
            yield top


def _offset(tree: exp.Expression) -> int:
    starts = [node.meta["start"] for node in tree.walk() if node.meta.get("start") is not None]
    return min(starts, default=0)


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()
