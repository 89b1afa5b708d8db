"""Each rule in words for people who do not read plans: a title, what it does with these parameters, what it is for.

The words say what RULES' docstrings promise, shortened. No SQL and no data value is made here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from transhume.plan.model import NamesLookup, Plan
from transhume.rules.rule import ColumnRef, Constant, Otherwise, Rule

_SHOWN_MAX = 16


@dataclass(frozen=True, slots=True)
class RuleWords:
    """The title of a kind of rule and its impact."""

    title: str
    impact: str


WORDS: Mapping[str, RuleWords] = MappingProxyType(
    {
        "copy": RuleWords(
            "Direct copies and renamed fields",
            "Aligns with the target's terms; a value that the target type cannot hold exactly rejects its row.",
        ),
        "uuid": RuleWords(
            "Primary keys",
            "Ensures uniqueness across merged sources; the same row gets the same key in every run, so that a run can "
            "be repeated, and the old key stays beside it for traceability.",
        ),
        "ref": RuleWords(
            "Foreign keys", "References keep pointing to the same rows under their new keys; none dangles."
        ),
        "lookup": RuleWords("Mapping by a lookup table", "Standardizes identification across systems."),
        "names": RuleWords(
            "Canonical names",
            "Improves consistency and queries in the target; a spelling that nobody decided about is never guessed.",
        ),
        "codes": RuleWords(
            "Status and other codes", "Provides clear, readable labels; an unknown code is a reject, not a surprise."
        ),
        "utc": RuleWords(
            "Dates and times",
            "Ensures one time zone and simplifies queries by time; hours that the clocks skipped or repeated are "
            "decided, not shifted by chance.",
        ),
        "path": RuleWords("Storage paths", "Artefacts are correctly referenced in the new environment."),
        "prefix": RuleWords("Standard prefixes", "Provides context for migrated texts."),
        "value": RuleWords("Constants", "Says the same of every row, such as the system that it came from."),
        "coalesce": RuleWords(
            "Primary value among several", "Selects the one value that the target asks for, by a stated order."
        ),
        "case": RuleWords("Conditional values", "One stated branch for each kind of row."),
        "concat": RuleWords("Joined texts", "One readable value out of several fields."),
        "split": RuleWords("Lists out of texts", "Single values can be queried."),
        "replace": RuleWords("Replaced texts", "Old words give way to the target's."),
        "parse": RuleWords("Dates out of texts", "Real dates that sort and compare; what is none is a reject."),
        "epoch": RuleWords("Instants out of counts", "Readable instants in UTC."),
        "boolean": RuleWords("Yes and no", "One spelling of a truth value."),
        "scale": RuleWords("Units", "One unit in the target, by exact decimal arithmetic."),
        "json": RuleWords("Fields as one object", "Keeps what has no column of its own, without loss."),
        "json_get": RuleWords("A field out of an object", "Buried values become columns."),
        "gather": RuleWords("Child rows as one object", "Keeps a table of names and values beside its row."),
        "mask": RuleWords("Masked values", "Personal data do not reach the target, and equal values stay equal."),
        "sql": RuleWords("Computed values", "Computed once, by a portable expression, and checked."),
    }
)


def statement(rule: Rule, plan: Plan) -> str:
    """Return what a rule does, as one sentence without a full stop."""
    made = _SAYINGS.get(rule.verb)
    return made(rule, plan) if made is not None else f"{rule.verb}: {', '.join(rule.columns())}"


def named(argument: Any, plan: Plan) -> str:
    """Return a column's name, a literal in quotes, or what a nested rule does."""
    if isinstance(argument, ColumnRef):
        return argument.name
    if isinstance(argument, Constant):
        return "NULL" if argument.text is None else f"'{argument.text}'"
    return f"({statement(argument, plan)})"


def _otherwise(otherwise: Otherwise, what: str) -> str:
    done = {"reject": "the row is rejected", "null": "NULL", "keep": "the value as it is"}
    return f"{what}: {done.get(otherwise.action, repr(otherwise.text))}"


def _listed(texts: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(texts) - _SHOWN_MAX} more" if len(texts) > _SHOWN_MAX else ""
    return separator.join(texts[:_SHOWN_MAX]) + more


def _label(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"


def _names(rule: Any, plan: Plan) -> str:
    lookup = plan.lookups.get(rule.name)
    known = ""
    if isinstance(lookup, NamesLookup):
        pairs = [f"{', '.join(spellings) or 'itself'} becomes {name}" for name, spellings in lookup.names.items()]
        known = f": {_listed(pairs, '; ')}"
    unknown = _otherwise(rule.otherwise, "another spelling")
    return f"the canonical name of {named(rule.column, plan)} by the list '{rule.name}'{known}; {unknown}"


def _codes(rule: Any, plan: Plan) -> str:
    pairs = [f"'{code}' becomes {_label(meaning)}" for code, meaning in rule.to.items()]
    return f"{named(rule.column, plan)}: {_listed(pairs)}; {_otherwise(rule.otherwise, 'another code')}"


def _utc(rule: Any, plan: Plan) -> str:
    gap = {"reject": "the row is rejected", "shift": "moved forward by the gap"}[rule.on_gap]
    overlap = {"reject": "the row is rejected"}.get(rule.on_overlap, f"the {rule.on_overlap} instant")
    zero = {"reject": "the row is rejected", "null": "NULL"}
    zero_date = zero.get(rule.zero_date) if isinstance(rule.zero_date, str) else named(rule.zero_date, plan)
    return (
        f"{named(rule.column, plan)} is local time in {rule.zone} and becomes UTC (YYYY-MM-DDTHH:MM:SSZ); "
        f"a time that occurred twice: {overlap}; a time that was skipped: {gap}; 0000-00-00: {zero_date}"
    )


def _path(rule: Any, plan: Plan) -> str:
    forms = "; ".join(f"{form.like} becomes {form.to}" for form in rule.forms())
    return f"{named(rule.column, plan)}: {forms}; {_otherwise(rule.otherwise, 'another form')}"


def _prefix(rule: Any, plan: Plan) -> str:
    done = {"null": "NULL", "prefix": "the prefix alone", "reject": "the row is rejected"}
    null = done.get(rule.when_null.action, repr(rule.when_null.text))
    return f"'{rule.text}' before {named(rule.column, plan)}; NULL gives {null}"


def _case(rule: Any, plan: Plan) -> str:
    branches = "; ".join(f"{named(branch.then, plan)} where {branch.when}" for branch in rule.branches)
    return f"{branches}; otherwise {named(rule.otherwise, plan)}"


def _each(arguments: Any, plan: Plan) -> str:
    return ", ".join(named(argument, plan) for argument in arguments)


_SAYINGS: Mapping[str, Callable[[Any, Plan], str]] = MappingProxyType(
    {
        "copy": lambda rule, plan: f"{named(rule.column, plan)}, copied as it is",
        "uuid": lambda rule, plan: (
            f"a new UUID (RFC 9562, version 5) made from the source table and {_each(rule.key, plan)}"
        ),
        "ref": lambda rule, plan: (
            f"the UUID that '{rule.table}' gives the row {_each(rule.key, plan)}; "
            f"{_otherwise(rule.otherwise, 'no such row, or it is rejected or left out')}"
        ),
        "lookup": lambda rule, plan: (
            f"the value beside {named(rule.column, plan)} in the lookup '{rule.name}'; "
            f"{_otherwise(rule.otherwise, 'no entry')}"
        ),
        "names": _names,
        "codes": _codes,
        "utc": _utc,
        "path": _path,
        "prefix": _prefix,
        "value": lambda rule, _: f"always {_label(rule.value.text)}",
        "coalesce": lambda rule, plan: f"the first of {_each(rule.choices, plan)} that is there",
        "case": _case,
        "concat": lambda rule, plan: (
            f"{_each(rule.parts, plan)}, joined by '{rule.separator}'"
            f"{'; NULL parts are left out' if rule.skip_null else ''}"
        ),
        "split": lambda rule, plan: f"the parts of {named(rule.column, plan)} between '{rule.separator}'",
        "replace": lambda rule, plan: f"{named(rule.column, plan)} with '{rule.by}' for every '{rule.find}'",
        "parse": lambda rule, plan: (
            f"{named(rule.column, plan)} read as {rule.format}; {_otherwise(rule.otherwise, 'another text')}"
        ),
        "epoch": lambda rule, plan: (
            f"the instant that lies {named(rule.column, plan)} {rule.unit} after 1970-01-01T00:00:00Z"
        ),
        "boolean": lambda rule, plan: (
            f"{named(rule.column, plan)}: true for {', '.join(rule.true_texts)}; false for "
            f"{', '.join(rule.false_texts)}; {_otherwise(rule.otherwise, 'another text')}"
        ),
        "scale": lambda rule, plan: f"{named(rule.column, plan)} times {rule.times}, exactly",
        "json": lambda rule, plan: (
            f"one JSON object of {', '.join(f'{key}: {named(each, plan)}' for key, each in rule.members.items())}"
        ),
        "json_get": lambda rule, plan: (
            f"what stands at '{rule.pointer}' in {named(rule.column, plan)}; "
            f"{_otherwise(rule.otherwise, 'nothing there')}"
        ),
        "gather": lambda rule, _: f"one JSON object of {rule.name}: {rule.value} of the rows of '{rule.table}'",
        "mask": lambda rule, plan: f"a keyed hash (HMAC-SHA256) of {named(rule.column, plan)}",
        "sql": lambda rule, _: f"{rule.expression}",
    }
)
