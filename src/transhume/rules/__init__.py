"""The rules by verb: one file each. `RULES` is the whole list; a new rule is one file and one line here."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from transhume.rules.boolean import Boolean
from transhume.rules.case import Case
from transhume.rules.coalesce import Coalesce
from transhume.rules.codes import Codes
from transhume.rules.concat import Concat
from transhume.rules.copy import Copy
from transhume.rules.epoch import Epoch
from transhume.rules.gather import Gather
from transhume.rules.json import JsonObject
from transhume.rules.json_get import JsonGet
from transhume.rules.lookup import Lookup
from transhume.rules.mask import Mask
from transhume.rules.names import Names
from transhume.rules.parse import Parse
from transhume.rules.path import Path
from transhume.rules.prefix import Prefix
from transhume.rules.ref import Ref
from transhume.rules.replace import Replace
from transhume.rules.rule import ColumnRef, Constant, Rule, RuleInvalid, is_quoted
from transhume.rules.scale import Scale
from transhume.rules.split import Split
from transhume.rules.sql import SqlRule
from transhume.rules.utc import Utc
from transhume.rules.uuid import Uuid
from transhume.rules.value import Value
from transhume.words import kind_of, shape_problem

RULES: dict[str, type[Rule]] = {
    rule.verb: rule
    for rule in (
        Copy,
        Uuid,
        Ref,
        Lookup,
        Names,
        Codes,
        Utc,
        Path,
        Prefix,
        Value,
        Coalesce,
        Case,
        Concat,
        Gather,
        Split,
        Replace,
        Parse,
        Epoch,
        Boolean,
        Scale,
        JsonObject,
        JsonGet,
        Mask,
        SqlRule,
    )
}


def parse_rule(node: Any, context: Mapping[str, Any]) -> Rule:
    """Turn a node of the plan into a rule: a bare word copies a column, a mapping's verb names the rule.

    `context["time_zone"]` may hold the plan's default zone, for rules that name none.
    Raises: RuleInvalid with every problem below this node and the path to each.
    """
    if isinstance(node, Rule):
        return node
    if isinstance(node, str):
        if is_quoted(node):
            return Value(value=Constant(str(node)))
        if node == "null":
            return Value(value=Constant(None))
        return Copy(column=ColumnRef(str(node)))
    if not isinstance(node, Mapping):
        hint = "; several columns go in by {coalesce: [a, b]} or {concat: [a, b]}" if isinstance(node, list) else ""
        raise RuleInvalid([((), f"expected a column, a quoted text or a rule, found {kind_of(node)}{hint}")])
    rule = RULES[_verb(node)]
    problems = [((str(key),), _unknown_key(rule, str(key))) for key in node if str(key) not in _keys(rule)]
    if problems:
        raise RuleInvalid(problems)
    try:
        return rule.model_validate(dict(node), context={**context, "parse_rule": parse_rule})
    except ValidationError as error:
        raise RuleInvalid(list(_problems(rule, error))) from None


def _verb(node: Mapping[Any, Any]) -> str:
    named = [str(key) for key in node if str(key) in RULES]
    # A verb may be a parameter of another rule: `value` of `gather`.
    verbs = [verb for verb in named if not any(verb in _keys(RULES[other]) for other in named if other != verb)]
    if len(verbs) == 1:
        return verbs[0]
    if verbs:
        message = f"'{verbs[0]}' and '{verbs[1]}' are both rules, and a column takes one; nest one in the other"
        raise RuleInvalid([((verbs[1],), message)])
    if not node:
        raise RuleInvalid([((), f"an empty mapping names no rule; the rules are {', '.join(RULES)}")])
    first = str(next(iter(node)))
    hint = _did_you_mean(first, RULES) or f"; the rules are {', '.join(RULES)}"
    raise RuleInvalid([((first,), f"'{first}' is not a rule{hint}")])


def _keys(rule: type[Rule]) -> list[str]:
    return [field.alias or name for name, field in rule.model_fields.items()]


def _unknown_key(rule: type[Rule], key: str) -> str:
    keys = _keys(rule)
    hint = _did_you_mean(key, keys) or f"; it takes {', '.join(keys)}"
    return f"the rule '{rule.verb}' has no '{key}'{hint}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def _problems(rule: type[Rule], error: ValidationError) -> Iterable[tuple[tuple[str | int, ...], str]]:
    for entry in error.errors(include_url=False):
        place = entry["loc"]
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, RuleInvalid):
            yield from (((*place, *path), message) for path, message in cause.problems)
        elif entry["type"] == "missing":
            *outside, name = place
            if outside:
                taken = _ENTRIES.get(str(outside[0]), "")
                yield tuple(outside), f"an entry of '{outside[0]}' needs '{name}'; it takes {taken}"
            else:
                yield (), f"the rule '{rule.verb}' needs '{name}'"
        elif isinstance(cause, Exception):
            yield place, str(cause)
        elif entry["type"] == "extra_forbidden":
            yield place, f"an entry of '{place[0]}' has no '{place[-1]}'; it takes {_ENTRIES.get(str(place[0]), '')}"
        else:
            key = f"'{place[0]}' of the rule '{rule.verb}'" if place else f"the rule '{rule.verb}'"
            what, cure = shape_problem(key, entry["type"], entry.get("ctx", {}), entry["input"])
            yield place, f"{what}; {cure}"


_ENTRIES = {"case": "when and then", "any": "like and to"}
"""What an entry of such a list takes."""
