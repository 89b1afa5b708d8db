"""Spark's SQL for the closed subset of patterns."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import integer_argument, text_argument, text_literal, when
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.patterns import Pattern, PatternError, parse_pattern
from transhume.dialects.spark.builders import group_of, matches


def _pattern(node: op.Operation) -> Pattern:
    try:
        return parse_pattern(text_argument(node, "pattern"))
    except PatternError as error:
        raise LoweringError(str(error)) from error


def _regex_matches(node: op.Operation) -> exp.Expression:
    return matches(node.this, _pattern(node).text)


def _regex_capture(node: op.Operation) -> exp.Expression:
    """An empty text is what regexp_extract gives for no match and for a group left out."""
    pattern, group = _pattern(node), integer_argument(node, "group")
    if not 1 <= group <= len(pattern.group_widths):
        message = f"the pattern '{pattern.text}' has no group {group}"
        raise LoweringError(message)
    held = group_of(node.this, pattern.text, group)
    if pattern.group_widths[group - 1]:
        return exp.Nullif(this=held, expression=text_literal(""))
    if group in pattern.skippable:
        message = f"group {group} of '{pattern.text}' may be empty or left out, which Spark cannot tell apart"
        raise LoweringError(message)
    return when((_regex_matches(node), held))


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.RegexMatches: _regex_matches,
    op.RegexCapture: _regex_capture,
}
