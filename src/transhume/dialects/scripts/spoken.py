"""The dialects of scripts, each lowering given as a template in the dialect's own SQL, where `x` is the operand.

A template is read and printed by one and the same dialect of SQLGlot, so that nothing is translated.
"""

import re
from collections.abc import Callable, Mapping

import sqlglot
from sqlglot import exp

from transhume import operations as op
from transhume.dialects.dialect import Dialect, Lowering, LoweringError
from transhume.dialects.duckdb import DUCKDB
from transhume.dialects.patterns import PatternError, parse_pattern
from transhume.dialects.scripts.compared import OrderedText, SameText
from transhume.dialects.scripts.script_dialect import ScriptDialect
from transhume.schema import LogicalType

_MYSQL_TEXT = "CAST(x AS CHAR CHARACTER SET utf8mb4)"
_SIGNS = "CONCAT(CHR(9), CHR(10), CHR(11), CHR(12), CHR(13), ' ')"
_ORACLE_SIGNS = "CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || ' '"
_TSQL_SIGNS = "CONCAT(NCHAR(9), NCHAR(10), NCHAR(11), NCHAR(12), NCHAR(13), N' ')"
_CAST_TEXT = {"sqlite": "TEXT", "postgres": "TEXT", "mysql": "CHAR", "spark": "STRING", "tsql": "NVARCHAR(40)"}

_SAME: Mapping[str, str] = {
    "sqlite": "x COLLATE BINARY",
    "postgres": 'CAST(x AS TEXT) COLLATE "C"',
    "mysql": f"CAST({_MYSQL_TEXT} AS BINARY)",
    "duckdb": "ENCODE(x)",
    "spark": "x",
    "tsql": "CAST(CAST(x AS NVARCHAR(MAX)) AS VARBINARY(MAX))",
    "oracle": "x COLLATE BINARY",
    "snowflake": "COLLATE(x, '')",
    "bigquery": "COLLATE(x, '')",
}
_TRIMMED: Mapping[str, str] = {
    "sqlite": "TRIM(x, CHAR(9, 10, 11, 12, 13, 32))",
    "postgres": f"BTRIM(x, {_SIGNS})",
    "mysql": r"REGEXP_REPLACE(x, '^[\\x09-\\x0D ]+|[\\x09-\\x0D ]+$', '')",
    "spark": f"BTRIM(x, {_SIGNS})",
    "tsql": f"TRIM({_TSQL_SIGNS} FROM CAST(x AS NVARCHAR(MAX)) COLLATE Latin1_General_BIN2)",
    # a text of blanks stays one blank: '' is NULL there
    "oracle": (f"COALESCE(RTRIM(LTRIM(x, {_ORACLE_SIGNS}), {_ORACLE_SIGNS}), CASE WHEN NOT x IS NULL THEN ' ' END)"),
    "snowflake": f"TRIM(x, {_SIGNS})",
    "bigquery": f"TRIM(x, {_SIGNS})",
}
_LENGTH: Mapping[str, str] = {
    "sqlite": "LENGTH(x)",
    "postgres": "LENGTH(x)",
    "mysql": "CHAR_LENGTH(x)",
    "spark": "LENGTH(x)",
    "oracle": "LENGTH4(x)",
    "snowflake": "LENGTH(x)",
    "bigquery": "LENGTH(x)",
}
_MATCHED: Mapping[str, tuple[str, str]] = {
    "postgres": ("CAST(x AS TEXT) COLLATE \"C\" ~ 'pattern'", "^(?:{})$"),
    "mysql": (f"REGEXP_INSTR({_MYSQL_TEXT} COLLATE utf8mb4_bin, 'pattern') = 1", r"\A(?:{})\z"),
    "spark": ("x RLIKE 'pattern'", r"\A(?:{})\z"),
    "snowflake": ("REGEXP_LIKE(x, 'pattern')", "{}"),
    "bigquery": ("REGEXP_CONTAINS(x, 'pattern')", r"\A(?:{})\z"),
}
"""The template, and how a pattern is written so that the whole text must match."""
_LIKE: Mapping[str, str] = {
    "postgres": "CAST(x AS TEXT) COLLATE \"C\" LIKE 'pattern'",
    "mysql": f"{_MYSQL_TEXT} COLLATE utf8mb4_bin LIKE 'pattern'",
    "spark": "x LIKE 'pattern'",
    "snowflake": "COLLATE(x, '') LIKE 'pattern'",
    "bigquery": "COLLATE(x, '') LIKE 'pattern'",
}
_UNSAID: Mapping[type[op.Operation], Mapping[str, str]] = {
    OrderedText: {"tsql": "T-SQL has no order of texts by code points"},
    op.CodePoints: {"tsql": "LEN counts UTF-16 units and leaves blanks at the end out"},
    op.RegexMatches: {
        "tsql": "T-SQL has no regular expressions before SQL Server 2025",
        "oracle": "Oracle's bracket expressions read a backslash as a character",
    },
    op.TextLike: {"tsql": "LIKE pads and reads brackets", "oracle": "Oracle reads '' as NULL"},
}
"""What a dialect cannot say exactly, and why."""


def _template(printer: str, template: str, pattern: str = "") -> Lowering:
    def lower(node: op.Operation) -> exp.Expression:
        whole = sqlglot.parse_one(f"SELECT {template}", dialect=printer).expressions[0]

        def filled(part: exp.Expression) -> exp.Expression:
            if isinstance(part, exp.Column) and part.name == "x":
                operand: exp.Expression = node.this.copy()
                return exp.Paren(this=operand) if isinstance(operand, exp.Binary) else operand
            if isinstance(part, exp.Literal) and part.is_string and part.name == "pattern":
                return exp.Literal.string(pattern)
            return part

        return whole.transform(filled)  # type: ignore[no-any-return]

    return lower


def _same(printer: str) -> Lowering:
    """A literal has no collation of its own: beside a marked column it is compared as the column is."""
    marked = _template(printer, _SAME[printer])
    if printer == "sqlite":  # and what a function gives has none either
        return lambda node: marked(node) if isinstance(node.this, exp.Column) else node.this.copy()
    plain = printer not in {"tsql", "duckdb"}  # a binary value is compared with binary values only there
    return lambda node: node.this.copy() if plain and isinstance(node.this, _LITERALS) else marked(node)


def _text_of(literal: exp.Expression) -> str:
    return str(literal.expression.name if isinstance(literal, exp.Introducer) else literal.name)


def _matches(printer: str) -> Lowering:
    template, form = _MATCHED[printer]

    def lower(node: op.Operation) -> exp.Expression:
        try:
            pattern = parse_pattern(_text_of(node.args["pattern"]))
        except PatternError as problem:
            raise LoweringError(str(problem)) from problem
        return _template(printer, template, form.format(pattern.text))(node)

    return lower


def _like(printer: str) -> Lowering:
    def lower(node: op.Operation) -> exp.Expression:
        pattern = _text_of(node.args["pattern"])
        if "\\" in pattern:
            message = "LIKE reads a backslash as an escape"
            raise LoweringError(message)
        return _template(printer, _LIKE[printer], pattern)(node)

    return lower


_LITERALS = (exp.Literal, exp.National, exp.Introducer)
_GLOB = re.compile(r"(\[[^\]\\^]+\]|\\?[^\[\](){}*+?])(?:\{(\d+)\})?", re.DOTALL)


def _matches_by_glob(node: op.Operation) -> exp.Expression:
    """Patterns of one width, which GLOB can say; SQLite's library has no regular expressions."""
    pattern = parse_pattern(_text_of(node.args["pattern"])).text
    parts = list(_GLOB.finditer(pattern))
    if "".join(part[0] for part in parts) != pattern:
        message = "SQLite's library has no regular expressions"
        raise LoweringError(message)
    glob = "".join((part[1] if part[1][0] == "[" else _globbed(part[1][-1])) * int(part[2] or 1) for part in parts)
    return exp.Glob(this=node.this, expression=exp.Literal.string(glob))


def _globbed(sign: str) -> str:
    return f"[{sign}]" if sign in "*?[" else sign


def _glob(node: op.Operation) -> exp.Expression:
    """SQLite's LIKE ignores case, GLOB does not."""
    pattern = "".join({"%": "*", "_": "?"}.get(sign) or _globbed(sign) for sign in node.args["pattern"].name)
    return exp.Glob(this=node.this, expression=exp.Literal.string(pattern))


def _part(node: op.Operation) -> exp.Expression:
    return exp.Substring(this=node.this, start=node.args["start"], length=node.args["length"])


def _unsaid(reason: str) -> Lowering:
    def lower(node: op.Operation) -> exp.Expression:
        del node
        raise LoweringError(reason)

    return lower


def _lowerings(printer: str) -> dict[type[op.Operation], Lowering]:
    same = _same(printer)
    found: dict[type[op.Operation], Lowering] = {SameText: same, OrderedText: same}
    if printer == "duckdb":
        return {**DUCKDB.lowerings, **found}
    digits = "TO_CHAR(x)" if printer == "oracle" else f"CAST(x AS {_CAST_TEXT.get(printer, 'STRING')})"
    found |= {
        op.TextPart: _part,
        op.TrimAscii: _template(printer, _TRIMMED[printer]),
        op.IntegerText: _template(printer, digits),
        op.Total: lambda node: exp.Sum(this=node.this),
    }
    if printer in _LENGTH:
        found[op.CodePoints] = _template(printer, _LENGTH[printer])
    if printer in _MATCHED:
        found[op.RegexMatches] = _matches(printer)
    if printer in _LIKE:
        found[op.TextLike] = _like(printer)
    if printer == "sqlite":
        found |= {op.TextLike: _glob, op.RegexMatches: _matches_by_glob}
    for operation, reasons in _UNSAID.items():
        if printer in reasons:
            found[operation] = _unsaid(reasons[printer])
    return found


def _literal(printer: str) -> Callable[[str], exp.Expression]:
    if printer in {"tsql", "oracle"}:
        return lambda text: exp.National(this=text)
    if printer == "mysql":
        return lambda text: exp.Introducer(this=exp.Var(this="_utf8mb4"), expression=exp.Literal.string(text))
    return exp.Literal.string


def _no_type(logical: LogicalType) -> exp.DataType:
    message = f"a value of type {logical} is not written in scripts"
    raise LoweringError(message)


def _dialect(name: str, printer: str) -> Dialect:
    return Dialect(
        name=name,
        printer=printer,
        lowerings=_lowerings(printer),
        types=DUCKDB.types if printer == "duckdb" else _no_type,
        literal=_literal(printer),
        secret_variables=lambda _, __: {},
    )


def _tsql_refuses(text: str) -> str:
    return "sqlcmd reads lines and '$(' inside of literals too" if "\n" in text or "\r" in text or "$(" in text else ""


def _oracle_refuses(text: str) -> str:
    if not text:
        return "Oracle reads '' as NULL"
    return "SQL*Plus reads '&' and empty lines inside of literals too" if "&" in text or "\n" in text else ""


SCRIPT_DIALECTS: dict[str, ScriptDialect] = {
    "sqlite": ScriptDialect("SQLite", _dialect("sqlite", "sqlite")),
    "postgres": ScriptDialect("PostgreSQL", _dialect("postgres", "postgres")),
    "mysql": ScriptDialect("MySQL and MariaDB", _dialect("mysql", "mysql")),
    "duckdb": ScriptDialect("DuckDB", _dialect("duckdb", "duckdb")),
    "spark": ScriptDialect("Spark SQL", _dialect("spark", "spark")),
    "tsql": ScriptDialect(
        "T-SQL", _dialect("tsql", "tsql"), booleans=False, refused=_tsql_refuses, replaced={"$(": "$ ("}
    ),
    "oracle": ScriptDialect(
        "Oracle",
        _dialect("oracle", "oracle"),
        booleans=False,
        refused=_oracle_refuses,
        unnamed='"&',
        replaced={"&": "and"},
    ),
    "snowflake": ScriptDialect("Snowflake", _dialect("snowflake", "snowflake")),
    "bigquery": ScriptDialect("BigQuery", _dialect("bigquery", "bigquery"), unnamed="`\\"),
}
SCRIPT_DIALECTS["mariadb"] = SCRIPT_DIALECTS["mysql"]
"""Name on the command line to dialect."""
