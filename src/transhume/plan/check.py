"""What is wrong with a plan, as far as it can be seen without a database. Pure; what catalogs say is `checks`'s."""

from collections.abc import Iterator
from itertools import pairwise

from transhume.errors import Finding
from transhume.plan.artefacts import artefact_findings
from transhume.plan.check_columns import column_findings
from transhume.plan.check_expressions import condition_columns, expression_findings
from transhume.plan.check_joins import dedupe_columns, dedupe_findings, join_findings, take_findings
from transhume.plan.check_phases import phase_findings
from transhume.plan.check_tables import table_check_findings
from transhume.plan.model import FileLookup, NamesLookup, Plan, RejectLimit, TableMapping
from transhume.plan.places import at
from transhume.plan.reasons import REASONS
from transhume.plan.shared_targets import shared_target_findings
from transhume.plan.zones import zone_problem
from transhume.rules.names import conflicts
from transhume.words import hint

_NAME_BYTES_MAX = 63
"""Longer names are cut silently: https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS"""
_OWN_PREFIX = "transhume_"


def check_plan(plan: Plan) -> list[Finding]:
    """Return every finding about a plan that needs no database, in the file's order."""
    findings = [*_plan_findings(plan), *_lookup_findings(plan)]
    for mapping in plan.tables.values():
        findings += _mapping_findings(plan, mapping)
        findings += join_findings(plan, mapping)
        findings += take_findings(plan, mapping, used_columns(mapping))
        findings += dedupe_findings(plan, mapping)
        findings += column_findings(plan, mapping)
        findings += expression_findings(plan, mapping)
        findings += table_check_findings(plan, mapping)
        findings += artefact_findings(plan, mapping)
        findings += _limit_findings(plan, mapping)
    findings += shared_target_findings(plan)
    findings += phase_findings(plan)
    return sorted(dict.fromkeys(findings), key=lambda each: each.position.line if each.position else 0)


def _plan_findings(plan: Plan) -> Iterator[Finding]:
    if plan.source == plan.target and plan.source != "?":
        message = "source and target are the same; the source is never written"
        yield at(plan, ("target",), "same_system", message, "name another database or another schema")
    if plan.defaults.time_zone and (problem := zone_problem(plan.defaults.time_zone)):
        yield at(plan, ("defaults", "time_zone"), "zone", *problem)
    for key in ("name", "namespace"):
        if not str(getattr(plan, key)).strip():
            yield at(plan, (key,), "empty", f"'{key}' is empty", f"write a text behind '{key}:'")
    texts: list[tuple[tuple[str, ...], str]] = [(("source",), plan.source), (("target",), plan.target)]
    texts += [
        (("lookups", name, "system"), lookup.system)
        for name, lookup in plan.lookups.items()
        if isinstance(lookup, FileLookup) and lookup.system
    ]
    for path, text in texts:
        for missing in plan.origin.resolver.missing(text) if plan.origin.document else ():
            cure = "set it in the environment, or in the file '.env' beside the plan, before the database is needed"
            yield at(plan, path, "variable", missing, cure, "warning")
    mapped = {mapping.from_ for mapping in plan.tables.values()}
    for place, name in enumerate(plan.ignored_tables):
        if name in mapped:
            message = f"the source table '{name}' is ignored, and a mapping reads it"
            yield at(plan, ("ignored_tables", place), "ignored", message, "remove it from ignored_tables")


def _lookup_findings(plan: Plan) -> Iterator[Finding]:
    used = set()
    for mapping in plan.tables.values():
        for rule in mapping.columns.values():
            used |= {need.subject for need in rule.needs() if need.kind in {"lookup", "names"}}
    for name, lookup in plan.lookups.items():
        if name not in used:
            message, cure = f"no rule uses the lookup '{name}'", f"remove it, or write {{lookup: column, in: {name}}}"
            yield at(plan, ("lookups", name), "unused_lookup", message, cure, "warning")
        if isinstance(lookup, NamesLookup):
            for spelling, owner, other in conflicts(lookup.names):
                message = f"the spelling '{spelling}' stands for two names: '{owner}' and '{other}'"
                cure = "leave it with one of them; case, spaces and punctuation do not tell spellings apart"
                yield at(plan, ("lookups", name, other), "names_conflict", message, cure)
        elif lookup.system and not lookup.table:
            message = f"the lookup '{name}' names a system and no table"
            yield at(plan, ("lookups", name), "missing_key", message, "write 'table: NAME'")
        elif lookup.file and lookup.table:
            message = f"the lookup '{name}' names a file and a table"
            yield at(plan, ("lookups", name, "table"), "bad_value", message, "remove one of them")


def _mapping_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    names = [(("into",), mapping.target_table), *((("columns", name), name) for name in mapping.columns)]
    for path, name in names:
        if message := _name_problem(name):
            cure = "choose another name for it in the target"
            yield at(plan, ("tables", mapping.name, *path), "name", message, cure)
    for one, other in pairwise(sorted(mapping.columns, key=str.casefold)):
        if one.casefold() == other.casefold():
            message = f"'{one}' and '{other}' differ only in case, which databases and engines do not tell apart"
            yield at(plan, ("tables", mapping.name, "columns", other), "name", message, "rename one of them")
    seen: dict[str, int] = {}
    for place, check in enumerate(mapping.checks):
        if check.name in seen:
            message = f"two checks of '{mapping.name}' are called '{check.name}'; rejects are named after them"
            yield at(plan, ("tables", mapping.name, "checks", place), "name", message, "rename one of them")
        seen[check.name] = place
    # A column that only decides (where, key, join) reaches no target column: `drop` may say so, and needs not.
    filling = {column: name for name, rule in mapping.columns.items() for column in rule.columns()}
    for place, name in enumerate(mapping.drop):
        if name in filling:
            message = f"the source column '{name}' is dropped, and '{filling[name]}' is made of it"
            cure = "remove it from drop; a column that fills another needs no word there"
            yield at(plan, ("tables", mapping.name, "drop", place), "drop_used", message, cure)


def used_columns(mapping: TableMapping) -> dict[str, str]:
    """Return the source columns (or alias.column) that a mapping's rules, key and joins use, and what uses each."""
    used: dict[str, str] = {}
    for name, rule in mapping.columns.items():
        for column in rule.columns():
            used.setdefault(column, f"'{name}'")
    for column in mapping.key:
        used.setdefault(column, "the key")
    for alias, join in mapping.join.items():
        for column in join.on.values():
            used.setdefault(column, f"the join '{alias}'")
    for column in dedupe_columns(mapping):
        used.setdefault(column, "'dedupe'")
    for column in condition_columns(mapping.where) if mapping.where is not None else ():
        used.setdefault(column, "'where'")
    return used


def _name_problem(name: str) -> str:
    if not name.strip() or name != name.strip():
        return f"'{name}' is no name: it is empty or begins or ends with a space"
    if any(ord(letter) < ord(" ") or letter == "\x7f" for letter in name):
        return "a name holds a control character"
    if len(name.encode("utf-8", "surrogatepass")) > _NAME_BYTES_MAX:
        return f"'{name}' is longer than {_NAME_BYTES_MAX} bytes, where databases cut names"
    if name.casefold().startswith(_OWN_PREFIX):
        return f"'{name}' begins with '{_OWN_PREFIX}', which is kept for what transhume itself writes"
    return ""


def _limit_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    pairs: list[tuple[tuple[str, ...], RejectLimit | None]] = [(("tables", mapping.name), mapping.max_rejects)]
    pairs.append((("defaults",), plan.defaults.max_rejects))
    for path, limit in pairs:
        for reason in limit.by_reason if limit and limit.by_reason else {}:
            kind, _, rest = reason.partition(":")
            known = kind in REASONS
            checks = {check.name for each in plan.tables.values() for check in each.row_checks}
            if known and (kind != "check" or not rest or rest in checks):
                continue
            message = f"'{reason}' is no reason of a reject" if not known else f"there is no check '{rest}'"
            cure = hint(kind, REASONS, "the reasons are") if not known else hint(rest, checks, "the checks are")
            yield at(plan, (*path, "max_rejects", reason), "reason", message, cure)
