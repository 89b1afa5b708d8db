"""Sail's SQL: Spark's, but for what Sail 0.7 has not or does otherwise.

Control characters of JSON strings come in lower case there, `try_add` and its like take no decimals, sessions have no
variables, a condition on a list's elements is lost on its way down to the scan, a function gets the list of another row
where a join moved the rows, and a file's name is escaped as that of a URL. All but the last are functions of the
session (FUNCTIONS_NEEDED).
"""

from urllib.parse import quote

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import call, integer_argument, text_argument, text_literal, when
from transhume.dialects.dialect import Dialect, Lowering
from transhume.dialects.spark import SPARK
from transhume.dialects.spark.builders import cast, try_cast
from transhume.dialects.spark.hashes import hmac
from transhume.dialects.spark.rows import gathered_object, parquet_files
from transhume.dialects.spark.types import decimal_type
from transhume.schema import Kind

FUNCTIONS_NEEDED = (
    "transhume_json_quoted",
    "transhume_decimal_sum",
    "transhume_decimal_difference",
    "transhume_decimal_product",
    "transhume_variable",
    "transhume_odd_class",
    "transhume_odd_text",
)
_QUOTED, _SUM, _DIFFERENCE, _PRODUCT, _VARIABLE, _ODD_CLASS, _ODD_TEXT = FUNCTIONS_NEEDED


def _decimal_arithmetic(function: str) -> Lowering:
    def lowered(node: op.Operation) -> exp.Expression:
        precision, scale = integer_argument(node, "precision"), integer_argument(node, "scale")
        result = call(function, cast(node.this, "STRING"), cast(node.expression, "STRING"))
        return try_cast(result, decimal_type(precision, scale))

    return lowered


def _quoted(value: exp.Expression) -> exp.Expression:
    return call(_QUOTED, value)


def _approximate_distinct(node: op.Operation) -> exp.Expression:
    """By way of a hash: Sail estimates for few types, and has a hash for all but TIME, which goes as text."""
    is_there = exp.Not(this=exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null()))
    value = cast(node.this, "STRING") if text_argument(node, "kind") == Kind.TIME.value else node.this
    return call("approx_count_distinct", when((is_there, call("xxhash64", value))))


def _odd(function: str) -> Lowering:
    """As JSON, which loses none: a list that reaches a function is taken for another row's once a join has moved it.

    Only of rows that have such values, which few have: a function in Python costs more than the rest of the statement.
    """

    def lowered(node: op.Operation) -> exp.Expression:
        has_some = exp.Not(this=exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null()))
        text = call(function, call("to_json", node.this), text_literal(text_argument(node, "name")))
        return when((has_some, text))

    return lowered


def _with_nullable_lists(tree: exp.Expression) -> exp.Expression:
    """Put a NULL behind each value that stands in a list of one for `named`.

    Sail takes a value that it finds is never NULL, as a constant, for another type than the lambda was made for.
    """
    for function in tree.find_all(exp.Anonymous):
        first = function.expressions[0] if function.expressions else None
        if function.name == "transform" and isinstance(first, exp.Anonymous) and first.name == "array":
            first.append("expressions", exp.Null())
    return tree


SAIL = Dialect(
    name="sail",
    printer=SPARK.printer,
    types=SPARK.types,
    literal=SPARK.literal,
    secret_variables=SPARK.secret_variables,
    finish=_with_nullable_lists,
    lowerings={
        **SPARK.lowerings,
        op.JsonQuoted: lambda node: _quoted(node.this),
        op.GatheredObject: gathered_object(_quoted),
        op.DecimalSum: _decimal_arithmetic(_SUM),
        op.DecimalDifference: _decimal_arithmetic(_DIFFERENCE),
        op.DecimalProduct: _decimal_arithmetic(_PRODUCT),
        op.ApproximateDistinct: _approximate_distinct,
        op.OddClass: _odd(_ODD_CLASS),
        op.OddText: _odd(_ODD_TEXT),
        op.HmacSha256: hmac(lambda name: call(_VARIABLE, text_literal(name))),
        op.ParquetFiles: parquet_files(quote),
    },
)
