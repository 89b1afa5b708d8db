"""Every kind of reject reason: what it means for a row, and what the plan can say instead. No condition stands here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from transhume.errors import Finding
from transhume.plan.model import Plan, TableMapping
from transhume.plan.places import at, at_column, at_mapping
from transhume.rules.gather import Gather
from transhume.rules.rule import Rule, label
from transhume.words import counted


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a kind of reason says of a row (after `in N rows`), and how to let such rows pass."""

    what: str
    cure: str


_NO_CURE = "correct the rows in the source, or accept them as rejects by max_rejects"
_ELSE = "write 'else: null' or another 'else', or correct the rows in the source"

REASONS: Mapping[str, Meaning] = MappingProxyType(
    {
        "null": Meaning(
            "'{column}' is NULL, and '{target}' must not be", "give it a value by {{coalesce: [{column}, '...']}}"
        ),
        "null_key": Meaning("the key '{column}' is NULL: nothing identifies the row", _NO_CURE),
        "duplicate_key": Meaning(
            "the key '{column}' is not unique",
            "add a column to 'key', or correct the source",
        ),
        "unmapped": Meaning(
            "'{column}' holds a value that the rule does not know", "add it to the rule's list, or write 'else'"
        ),
        "orphan": Meaning(
            "'{column}' refers to a row that is not in the source", "write 'else: null', or correct the source"
        ),
        "parent_rejected": Meaning(
            "the row that '{column}' refers to is rejected itself", "see its own rejects, or write 'else: null'"
        ),
        "parent_filtered": Meaning(
            "the row that '{column}' refers to is left out by its 'where'",
            "write 'else: null', or filter these rows too",
        ),
        "parent_deduplicated": Meaning(
            "another row stands for the row that '{column}' refers to",
            "write 'else: null', or make these rows refer to the row that stays",
        ),
        "tied": Meaning(
            "several rows with the same '{column}' win equally by 'dedupe'",
            "write 'latest' or 'first' in dedupe so that one wins",
        ),
        "ambiguous": Meaning(
            "the join '{column}' finds several rows",
            "write 'first' or 'latest' in the join",
        ),
        "duplicate_name": Meaning(
            "the rows of '{column}' that would be gathered hold one name twice",
            "correct the rows, or make a table mapping of them",
        ),
        "not_gathered": Meaning(
            "a row of '{column}' cannot stand in the gathered object: its name is NULL, or name or value is no text",
            _NO_CURE,
        ),
        "no_match": Meaning("the join '{column}' finds no row", "write 'none: null' in the join"),
        "bad_encoding": Meaning("'{column}' holds text that is not UTF-8", _NO_CURE),
        "bad_line": Meaning(
            "their lines are no rows of '{column}' (fields, quotes, JSON); the rejects have numbers and texts",
            "correct these lines of the file, or accept them as rejects by max_rejects",
        ),
        "blob": Meaning("'{column}' holds bytes where its column has another type", _NO_CURE),
        "bad_value": Meaning("'{column}' holds a value of another class than its column", _NO_CURE),
        "bad_integer": Meaning("'{column}' holds a text that is no whole number of 64 bits", _NO_CURE),
        "bad_number": Meaning(
            "'{column}' holds a text that is no number which the target holds exactly",
            _NO_CURE,
        ),
        "bad_boolean": Meaning(
            "'{column}' holds a value that is neither true nor false",
            "write {{boolean: {column}, true: [...], false: [...]}}",
        ),
        "bad_uuid": Meaning("'{column}' holds a text that is no UUID", _NO_CURE),
        "bad_json": Meaning("'{column}' holds a text that is not one JSON value (RFC 8259)", _NO_CURE),
        "json_changed": Meaning(
            "'{column}' holds JSON that '{target}' would change: a repeated name, \\u0000, or a number of 1,000 digits",
            "let the target column keep the text (json), or correct the rows",
        ),
        "bad_date": Meaning(
            "'{column}' holds a text that is no date YYYY-MM-DD",
            "write {{parse: {column}, format: ...}}, or correct the rows",
        ),
        "bad_time": Meaning(
            "'{column}' holds a text that is no time HH:MM:SS",
            "write {{parse: {column}, format: ...}}, or correct the rows",
        ),
        "bad_timestamp": Meaning(
            "'{column}' holds a text that is no time stamp",
            "write {{parse: {column}, format: ...}}, or correct the rows",
        ),
        "bad_format": Meaning("'{column}' holds a text of another form than the rule's format", _ELSE),
        "zero_date": Meaning(
            "'{column}' holds a zero date (0000-00-00)", "write 'zero_date: null' or name a column to take instead"
        ),
        "dst_gap": Meaning(
            "'{column}' holds a local time that the clocks skipped", "write 'on_gap: shift', or correct the rows"
        ),
        "dst_overlap": Meaning(
            "'{column}' holds a local time that occurred twice", "write 'on_overlap: earlier' or 'later'"
        ),
        "bad_epoch": Meaning(
            "'{column}' holds a count that lies outside of the years 0001 to 9999",
            "look whether 'unit' is right: s, ms or us; or correct the rows in the source",
        ),
        "json_key_twice": Meaning(
            "'{column}' holds an object in which the pointer's key stands twice: which one is meant is not known",
            _NO_CURE,
        ),
        "json_missing": Meaning("'{column}' holds nothing where the rule's 'at' points", _ELSE),
        "json_kind": Meaning(
            "'{column}' holds an object or an array where '{target}' takes a single value",
            "point deeper by 'at', or give the target column the type json",
        ),
        "path_no_match": Meaning(
            "'{column}' has another form than the rule's 'like'",
            "add a pair of like and to under 'any', or write 'else'",
        ),
        "not_finite": Meaning("'{column}' holds NaN or an infinity", _NO_CURE),
        "out_of_range": Meaning(
            "'{column}' holds a number beyond what '{target}' takes", "make the target column wider"
        ),
        "overflow": Meaning(
            "'{column}' gives a number with more digits than '{target}' takes", "make the target column wider"
        ),
        "inexact": Meaning(
            "'{column}' holds a number that '{target}' would not hold exactly",
            "give the target column more digits, or another type",
        ),
        "too_long": Meaning(
            "'{column}' gives a text longer than '{target}' takes",
            "make the target column longer",
        ),
        "nul_character": Meaning(
            "'{column}' holds a text with the character U+0000",
            "take it out in the source: {{replace: ...}} is the rule for it",
        ),
        "check": Meaning(
            "the check '{column}' fails",
            "correct the rows, or write 'then: warn' in the check",
        ),
    }
)
"""By the kind before the colon. `{column}` is what stands behind it, `{target}` the target column, or the same."""


def findings_from_reasons(
    plan: Plan, mapping: TableMapping, rows: Sequence[tuple[str, int, Sequence[str]]], *, severity: str = "warning"
) -> list[Finding]:
    """Turn what the transformation said of rows into findings that point to the rule, most frequent first.

    `rows` are (reason such as `unmapped:status`, number of rows, a few of their keys). A row with several reasons
    counts for each.
    """
    return [
        _finding(plan, mapping, reason, count, tuple(keys), severity)
        for reason, count, keys in sorted(rows, key=lambda row: (-row[1], row[0]))
        if count
    ]


def _finding(
    plan: Plan, mapping: TableMapping, reason: str, count: int, keys: tuple[str, ...], severity: str
) -> Finding:
    kind, _, column = reason.partition(":")
    meaning = REASONS.get(kind, Meaning("the reason '{kind}:{column}' holds", _NO_CURE))
    target = _target_of(mapping, kind, column)
    words = {"kind": kind, "column": column, "target": target or column}
    message = f"{counted(count, 'row')} of '{mapping.from_}' will be rejected: {meaning.what.format(**words)}"
    if keys:
        named = "line" if kind == "bad_line" else f"{', '.join(mapping.key)} =" if mapping.key else "row"
        message += f" (for example {named} {', '.join(keys)})"
    cure = meaning.cure.format(**words)
    if target is not None:
        finding = at_column(plan, mapping, target, kind, message, cure, severity)
    elif kind == "check":
        finding = at(plan, _check_path(mapping, column), kind, message, cure, severity)
    elif kind in {"ambiguous", "no_match"}:
        finding = at(plan, ("tables", mapping.name, "join", column), kind, message, cure, severity)
    else:
        finding = at_mapping(plan, mapping, "dedupe" if kind == "tied" else "key", kind, message, cure, severity)
    return Finding(
        finding.code, severity, message, cure, finding.position, mapping.name, target or column, count, keys
    )  # fmt: skip


def _target_of(mapping: TableMapping, kind: str, column: str) -> str | None:
    """Return the target column whose rule gives a reason: by the column it names, and what the rule can say."""
    if kind in {"check", "ambiguous", "no_match", "duplicate_key", "tied", "bad_line"} or (
        kind == "null_key" and column in mapping.key
    ):
        return None
    if kind in {"duplicate_name", "not_gathered"}:
        return next((name for name, rule in mapping.columns.items() if column in _gathered(rule)), None)
    named = [name for name, rule in mapping.columns.items() if column == label(rule) or column in rule.columns()]
    fitting = [name for name in named if _can_say(mapping, name, mapping.columns[name], kind)]
    return next(iter(fitting or named), None)


def _gathered(rule: Rule) -> Iterator[str]:
    """Yield table and name column of every gather in a rule, as its reasons name them."""
    if isinstance(rule, Gather):
        yield f"{rule.table}.{rule.name}"
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            yield from _gathered(argument)


def _can_say(mapping: TableMapping, name: str, rule: Rule, kind: str) -> bool:
    verbs = _VERBS.get(kind)
    if verbs is not None:
        return bool(verbs & _verbs_in(rule))
    spec = mapping.types.get(name)
    if kind == "null" and mapping.create:
        return spec is not None and (spec.not_null or spec.primary_key)
    if kind == "too_long" and mapping.create:
        return spec is not None and spec.type.length is not None
    return True


_VERBS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "unmapped": frozenset({"codes", "lookup", "names", "boolean"}),
        "orphan": frozenset({"ref"}),
        "parent_rejected": frozenset({"ref"}),
        "parent_filtered": frozenset({"ref"}),
        "parent_deduplicated": frozenset({"ref"}),
        "zero_date": frozenset({"utc"}),
        "dst_gap": frozenset({"utc"}),
        "dst_overlap": frozenset({"utc"}),
        "bad_timestamp": frozenset({"utc", "copy", "coalesce"}),
        "bad_format": frozenset({"parse"}),
        "path_no_match": frozenset({"path"}),
        "overflow": frozenset({"scale", "sql", "case"}),
        "bad_epoch": frozenset({"epoch"}),
        "json_key_twice": frozenset({"json_get"}),
        "json_missing": frozenset({"json_get"}),
        "json_kind": frozenset({"json_get"}),
    }
)
"""Which rules say what, where only some do."""


def _verbs_in(rule: Rule) -> set[str]:
    found = {rule.verb}
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            found |= _verbs_in(argument)
    return found


def _check_path(mapping: TableMapping, name: str) -> tuple[str | int, ...]:
    for place, check in enumerate(mapping.checks):
        if check.name == name:
            return ("tables", mapping.name, "checks", place)
    return ("tables", mapping.name)
