"""DuckDB's SQL for the operations on JSON texts, narrowed: DuckDB's own reading of JSON is wider than RFC 8259.

Measured on DuckDB 2.0: json_valid takes `[NaN]`, `[-inf]` and `[1,]`; it refuses lone surrogates, comments,
leading zeros and bare control characters.
"""

from sqlglot import exp

from transhume.dialects.builders import call
from transhume.dialects.dialect import Lowering
from transhume.operations import JsonKeepsValue, Operation, ParseJson

_TEXTS = r'"(?:[^"\\]|\\.)*"'
_NOT_JSON = r"[Nn][Aa][Nn]|[Ii][Nn][Ff]|,[ \t\r\n]*[\]}]"
_LONG_NUMBER = r"[0-9]{1000}|[eE][+-]?0*[1-9][0-9]{3}"
_NUL = r"\\u0000"


def _parse_json(node: Operation) -> exp.Expression:
    """Return the text where json_valid takes it and nothing outside its texts is DuckDB's own extension."""
    sound = exp.And(this=call("json_valid", node.this), expression=_not(_matches(_outside_texts(node.this), _NOT_JSON)))
    return exp.Case(ifs=[exp.If(this=sound, true=node.this.copy())])


def _json_keeps_value(node: Operation) -> exp.Expression:
    r"""Return whether no name is repeated (12 s per 1 M small objects), and neither \u0000 nor a long number is there.

    A pair of backslashes is one escaped backslash, so pairs go before \u0000 is looked for.
    """
    unescaped = call("regexp_replace", node.this, _text(r"\\\\"), _text(""), _text("g"))
    plain = exp.And(
        this=_not(_matches(unescaped, _NUL)),
        expression=_not(_matches(_outside_texts(node.this), _LONG_NUMBER)),
    )
    parsed = exp.Case(ifs=[exp.If(this=call("json_valid", node.this), true=node.this.copy())])
    nodes = exp.Table(this=call("json_tree", parsed), alias=exp.TableAlias(this=exp.to_identifier("j", quoted=True)))
    name, parent = (exp.column(each, "j", quoted=True) for each in ("key", "parent"))
    pairs = exp.Tuple(expressions=[parent, name.copy()])
    distinct = exp.Filter(
        this=exp.Count(this=exp.Distinct(expressions=[pairs])),
        expression=exp.Where(this=exp.Not(this=exp.Is(this=name.copy(), expression=exp.null()))),
    )
    unique = exp.Subquery(this=exp.select(exp.EQ(this=exp.Count(this=name), expression=distinct)).from_(nodes))
    return exp.Case(
        ifs=[exp.If(this=exp.Is(this=node.this.copy(), expression=exp.null()), true=exp.null())],
        default=exp.And(this=plain, expression=unique),
    )


def _outside_texts(value: exp.Expression) -> exp.Expression:
    return call("regexp_replace", value, _text(_TEXTS), _text('""'), _text("g"))


def _matches(value: exp.Expression, pattern: str) -> exp.Expression:
    return call("regexp_matches", value, _text(pattern))


def _not(value: exp.Expression) -> exp.Expression:
    return exp.Not(this=value)


def _text(value: str) -> exp.Expression:
    return exp.Literal.string(value)


LOWERINGS: dict[type[Operation], Lowering] = {ParseJson: _parse_json, JsonKeepsValue: _json_keeps_value}
