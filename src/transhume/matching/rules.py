"""From a pair of columns to a rule of the plan, by evidence. What no evidence decides stays open: the word TBD.

A rule is written as it stands in the plan. Whether it works is `check`'s to say; nothing here looks at rows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transhume.facts import ColumnProfile
from transhume.matching import units
from transhume.matching.codes import labels, spellings
from transhume.matching.paths import templates
from transhume.matching.views import View
from transhume.matching.writing import bare, key, text
from transhume.plan.open import OPEN
from transhume.schema import Kind, is_convertible

_CODE_LENGTH_MAX, _CODES_MAX, _NAMES_MAX = 10, 30, 200
_RARE = 0.02
_TRUE = frozenset({"y", "yes", "true", "t", "1", "on", "j", "ja", "si", "oui"})
_FALSE = frozenset({"n", "no", "false", "f", "0", "off", "nein", "non"})
_PEOPLE = frozenset({"user", "owner", "person", "employee", "author", "lead", "assignee", "member", "manager", "login"})
_DATE_PATTERN = re.compile(r"(9{2}|9{4})([./-])(9{2})\2(9{2}|9{4})\Z")
_MONTH_MAX = 12


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule as text of the plan, why, and the lookup that it asks for: (name, its text as lines or one scalar)."""

    rule: str
    why: str
    lookup: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule needs to know of the other tables: the mapping of each source table, and each mapping's key."""

    mappings: Mapping[str, str]
    keys: Mapping[str, tuple[str, ...]]
    uuids: frozenset[str]
    """Mappings whose key becomes a UUID."""


def propose(source: View, target: View, context: Context) -> Proposal:
    """Return the rule that fills a target column from a source column."""
    name = bare(source.name)
    if name is None:
        return Proposal(OPEN, f"'{source.name}' cannot stand in a rule without quotes; give it another name in a view")
    for attempt in (_identifier, _instant, _date, _boolean, _unit, _codes, _names, _path):
        found = attempt(name, source, target, context)
        if found is not None:
            return found
    ours, theirs = source.column.type, target.column.type
    if ours is None or theirs is None:
        return Proposal(OPEN, f"'{source.name}' is {source.column.native}, which cannot be carried exactly")
    if not is_convertible(ours, theirs):
        return Proposal(OPEN, f"'{source.name}' is {ours}, which cannot become {theirs} by itself")
    return Proposal(name, "copied")


def unfilled(target: View) -> Proposal | None:
    """Return what fills a target column that no source column was found for; None: it may stay empty."""
    column = target.column
    profile = target.profile
    if profile is not None and not profile.likely and not profile.null_count and target.family == "text":
        held = profile.values or ()
        if len(held) == 1:
            return Proposal(f"{{value: {text(held[0])}}}", "the one value that the target holds")
    if column.nullable or column.has_default or column.refused:
        return None
    return Proposal(OPEN, "NOT NULL, and no source column fits")


def _identifier(name: str, source: View, target: View, context: Context) -> Proposal | None:
    if target.family != "uuid" or source.family not in {"number", "text", "uuid"}:
        return None
    own = context.mappings.get(source.table, "")
    if context.keys.get(own) == (source.name,):
        return Proposal(f"{{uuid: {name}}}", "the key becomes a UUID")
    parent = context.mappings.get(source.refers_to, "")
    if parent in context.uuids and len(context.keys.get(parent, ())) == 1:
        return Proposal(f"{{ref: {name}, table: {key(parent)}}}", f"refers to {source.refers_to}")
    if source.family == "uuid":
        return None
    lookup = "identity" if _PEOPLE & {*source.words, *target.words} else f"{target.words[0]}_ids"
    return Proposal(f"{{lookup: {name}, in: {lookup}}}", "a number of its own to a UUID: by a list", (lookup, (OPEN,)))


def _instant(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    if target.column.type is None or target.column.type.kind is not Kind.TIMESTAMPTZ or source.column.type is None:
        return None
    if source.column.type.kind in {Kind.TIMESTAMP, Kind.DATE} or _shaped(source.profile, "9999-99-99 99:99:99"):
        zero = source.profile.zero_dates if source.profile is not None else 0
        why = (
            f"local time to UTC; {zero} zero dates are rejects unless zero_date says otherwise"
            if zero
            else "local time to UTC"
        )
        return Proposal(f"{{utc: {name}}}", why)
    return None


def _date(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    kind = target.column.type.kind if target.column.type is not None else None
    if kind is not Kind.DATE or source.family != "text" or source.profile is None:
        return None
    for pattern, _ in source.profile.patterns[:1]:
        found = _DATE_PATTERN.match(pattern)
        if found and len(found[1]) + len(found[4]) == 6 and len(found[1]) == 2:  # noqa: PLR2004 - 99.99.9999
            order = _day_first(source.profile.examples, found[2])
            written = {True: f"%d{found[2]}%m{found[2]}%Y", False: f"%m{found[2]}%d{found[2]}%Y", None: OPEN}[order]
            why = "the order of day and month shows in the values" if order is not None else "day or month first?"
            return Proposal(f"{{parse: {name}, format: {text(written) if order is not None else OPEN}}}", why)
    return None


def _day_first(examples: Sequence[str], separator: str) -> bool | None:
    """Return whether the day stands first, None where no value tells."""
    parts = [example.strip().split(separator) for example in examples]
    firsts = {int(p[0]) for p in parts if len(p) == 3 and p[0].isdigit() and p[1].isdigit()}  # noqa: PLR2004
    seconds = {int(p[1]) for p in parts if len(p) == 3 and p[0].isdigit() and p[1].isdigit()}  # noqa: PLR2004
    day_first, month_first = max(firsts, default=0) > _MONTH_MAX, max(seconds, default=0) > _MONTH_MAX
    return day_first if day_first != month_first else None


def _boolean(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    if target.family != "boolean" or source.family != "text" or source.profile is None:
        return None
    known = {value.strip() for value in source.profile.values or () if value.strip()}
    true = sorted(value for value in known if value.lower() in _TRUE)
    false = sorted(value for value in known if value.lower() in _FALSE)
    if not true or not false:
        return None
    left = sorted(known - set(true) - set(false))
    why = f"words for yes and no{'; others are rejects' if left else ''}"
    listed = [", ".join(map(_quoted, values)) for values in (true, false)]
    return Proposal(f"{{boolean: {name}, true: [{listed[0]}], false: [{listed[1]}]}}", why)


def _unit(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    kinds = {Kind.INT, Kind.BIGINT, Kind.DECIMAL}
    if source.column.type is None or source.column.type.kind not in kinds or target.family != "number":
        return None
    found = units.factor(source.name, target.name)
    return Proposal(f"{{scale: {name}, times: {found[0]}}}", f"{found[1]}, by their names") if found else None


def _codes(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    profile = source.profile
    if profile is None or profile.values is None or target.family != "text" or source.family not in {"text", "number"}:
        return None
    domain = _domain(target)
    codes = [value for value in _frequent(profile) if value.strip()]
    is_short = codes and len(codes) <= _CODES_MAX and all(len(code.strip()) <= _CODE_LENGTH_MAX for code in codes)
    if profile.likely or not is_short or not domain or set(codes) <= set(domain):
        return None
    if _mean(codes) >= _mean(domain):
        return None
    found = labels(codes, domain)
    pairs = ", ".join(f"{text(code)}: {OPEN if label is None else text(label)}" for code, label in found.items())
    missing = [code for code, label in found.items() if label is None]
    why = "labels of the target that begin as the code does" + ("; " if missing else "")
    why += f"the target has: {', '.join(domain)}" if missing else ""
    return Proposal(f"{{codes: {name}, to: {{{pairs}}}}}", why)


def _names(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    profile, domain = source.profile, _domain(target)
    if (
        profile is None
        or profile.values is None
        or profile.likely
        or source.family != "text"
        or target.family != "text"
    ):
        return None
    values = set(profile.values)
    if not domain or len(values) > _NAMES_MAX or values <= set(domain) or not values & set(domain):
        return None
    found, unknown = spellings(sorted(values), domain)
    lookup = "_".join(name.lower().split()) + "_names" if not name.isidentifier() else f"{name}_names"
    lines = tuple(f"{key(each)}: [{', '.join(map(_quoted, others))}]" for each, others in found.items())
    why = "canonical names that the target holds" + (f"; unknown: {', '.join(unknown[:6])}" if unknown else "")
    return Proposal(f"{{names: {name}, in: {lookup}}}", why, (lookup, lines))


def _path(name: str, source: View, target: View, context: Context) -> Proposal | None:
    del context
    profile = source.profile
    if profile is None or source.family != "text" or target.family != "text" or not profile.examples:
        return None
    slashed = sum("/" in example for example in profile.examples)
    moves = {"uri", "url"} & set(target.words) - set(source.words)
    theirs = {p for p, _ in target.profile.patterns} if target.profile is not None else set()
    ours = {p for p, _ in profile.patterns}
    if slashed < 0.5 * len(profile.examples) or not (moves or (theirs and not theirs & ours)):
        return None
    forms = templates(profile.examples)
    if not forms:
        return None
    shown = f"; the target holds values like {min(theirs)}" if theirs else ""
    if len(forms) == 1:
        return Proposal(f"{{path: {name}, like: {_quoted(forms[0])}, to: {OPEN}}}", f"forms of the values{shown}")
    pairs = ", ".join(f"{{like: {_quoted(form)}, to: {OPEN}}}" for form in forms)
    return Proposal(f"{{path: {name}, any: [{pairs}]}}", f"forms of the values{shown}")


def _domain(target: View) -> list[str]:
    """Return the values that a target column may have: by a constraint, else those that it holds, where few."""
    if target.allowed:
        return list(target.allowed)
    profile = target.profile
    if profile is None or profile.values is None or profile.likely or len(profile.values) > _CODES_MAX:
        return []
    return list(profile.values)


def _frequent(profile: ColumnProfile) -> list[str]:
    """Return the values of a column but for rare ones, which are likely mistakes: rejects until a person says more."""
    counts = dict(profile.top)
    least = _RARE * sum(counts.values())
    return [value for value in profile.values or () if counts.get(value, 0) >= least] if counts else []


def _shaped(profile: ColumnProfile | None, pattern: str) -> bool:
    return (
        profile is not None and bool(profile.patterns) and profile.patterns[0][0].replace("T", " ").startswith(pattern)
    )


def _mean(values: Sequence[str]) -> float:
    return sum(map(len, values)) / len(values)


def _quoted(value: str) -> str:
    written = text(value)
    return written if not re.search(r"[\[\]{},:#]", value) or written.startswith('"') else f'"{value}"'


__all__ = ["Context", "Proposal", "propose", "unfilled"]
