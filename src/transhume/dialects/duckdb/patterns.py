"""DuckDB's SQL for the closed subset of patterns."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import call, integer_argument, text_argument, when
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.duckdb.builders import matches
from transhume.dialects.patterns import Pattern, PatternError, parse_pattern


def _pattern(node: op.Operation) -> Pattern:
    try:
        return parse_pattern(text_argument(node, "pattern"))
    except PatternError as error:
        raise LoweringError(str(error)) from error


def _regex_matches(node: op.Operation) -> exp.Expression:
    return matches(node.this, _pattern(node).text)


def _regex_capture(node: op.Operation) -> exp.Expression:
    """All groups at once, as a struct: several captures of one pattern then cost one search (0.7 s)."""
    pattern, group = _pattern(node), integer_argument(node, "group")
    if not 1 <= group <= len(pattern.group_widths):
        message = f"the pattern '{pattern.text}' has no group {group}"
        raise LoweringError(message)
    names = [f"g{number}" for number in range(1, len(pattern.group_widths) + 1)]
    found = call(
        "regexp_extract",
        node.this,
        exp.Literal.string(rf"\A{pattern.text}\z"),
        exp.Array(expressions=[exp.Literal.string(name) for name in names]),
    )
    held = call("struct_extract", found, exp.Literal.string(names[group - 1]))
    if pattern.group_widths[group - 1]:
        return exp.Nullif(this=held, expression=exp.Literal.string(""))
    if group in pattern.skippable:
        message = f"group {group} of '{pattern.text}' may be empty or left out, which DuckDB cannot tell apart"
        raise LoweringError(message)
    return when((_regex_matches(node), held))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.RegexMatches: _regex_matches,
    op.RegexCapture: _regex_capture,
}
