"""What is wrong with the rules and types of a mapping's columns, as far as the plan alone tells."""

from collections.abc import Callable, Iterator

from transhume.errors import Finding
from transhume.plan.check_joins import alias_problem
from transhume.plan.model import FileLookup, NamesLookup, Plan, TableMapping
from transhume.plan.places import at, at_column, at_mapping
from transhume.plan.types import key_columns, uuid_column
from transhume.plan.zones import zone_problem
from transhume.rules.lookup import Lookup
from transhume.rules.mask import Mask
from transhume.rules.names import Names
from transhume.rules.ref import Ref
from transhume.rules.rule import Rule
from transhume.rules.utc import Utc
from transhume.rules.uuid import Uuid
from transhume.words import counted, hint

Problems = Iterator[tuple[str, str, str, str]]
"""(code, what is wrong, cure, severity)"""


def column_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what is wrong with the rules of a mapping, its types and its key."""
    for name, rule in mapping.columns.items():
        for column in dict.fromkeys(rule.columns()):
            if problem := alias_problem(mapping, column):
                yield at_column(plan, mapping, name, "alias", *problem)
        for each in _nested(rule):
            for kind, check in _CHECKS.items():
                if isinstance(each, kind):
                    for code, message, cure, severity in check(plan, mapping, each):
                        yield at_column(plan, mapping, name, code, message, cure, severity)
    yield from _type_findings(plan, mapping)
    yield from _key_findings(plan, mapping)


def _key_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    for place, column in enumerate(mapping.key):
        if problem := alias_problem(mapping, column):
            yield at(plan, ("tables", mapping.name, "key", place), "alias", *problem)
    if not mapping.key:
        yield from _keyless_findings(plan, mapping)
    elif mapping.create and not key_columns(mapping):
        listed = mapping.key[0] if len(mapping.key) == 1 else f"[{', '.join(mapping.key)}]"
        message = f"nothing that '{mapping.name}' fills identifies a row of '{mapping.target_table}'"
        cure = f"write 'primary key' behind a type, or fill a column by {{uuid: {listed}}}"
        yield at_mapping(plan, mapping, "columns", "primary_key", message, cure)


def _keyless_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what a mapping whose rows nothing identifies (`key: []`) cannot have."""
    for name, spec in mapping.types.items():
        if spec.primary_key:
            message = (
                f"'{name}' is a primary key, and 'key: []' says that nothing identifies a row of '{mapping.from_}'"
            )
            cure = f"name the source columns that '{name}' is made of under 'key', or leave 'primary key' out"
            yield at(plan, ("tables", mapping.name, "types", name), "keyless", message, cure)
    if mapping.on_conflict != "error":
        message = f"'on_conflict: {mapping.on_conflict}' finds the row of an earlier run by its key, and there is none"
        cure = "name key columns, or leave 'on_conflict' out"
        yield at(plan, ("tables", mapping.name, "on_conflict"), "keyless", message, cure)


def _type_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    for name, spec in mapping.types.items():
        here = ("tables", mapping.name, "types", name)
        if name not in mapping.columns:
            message = f"'{name}' has a type, and no rule fills it"
            free = [column for column in mapping.columns if column not in mapping.types]
            yield at(plan, here, "type_unfilled", message, hint(name, free, "columns without a type are"))
        if spec.references is None:
            continue
        parent = plan.tables.get(spec.references)
        if parent is None:
            message = f"'{name}' references '{spec.references}', which is no table mapping of this plan"
            yield at(plan, here, "unknown_mapping", message, hint(spec.references, plan.tables, "the mappings are"))
        elif not parent.key:
            message = f"'{name}' references '{spec.references}', whose rows nothing identifies ('key: []')"
            yield at(plan, here, "keyless", message, "name key columns there, or leave 'references' out")
        elif len(key_columns(parent)) > 1:
            message = f"'{name}' references '{spec.references}', whose key has {len(key_columns(parent))} columns"
            yield at(plan, here, "references", message, "leave 'references' out: a reference here is to one column")


def _ref_problems(plan: Plan, mapping: TableMapping, rule: Ref) -> Problems:  # noqa: ARG001
    parent = plan.tables.get(rule.table)
    if parent is None:
        message = f"'{rule.table}' is no table mapping of this plan"
        yield "unknown_mapping", message, hint(rule.table, plan.tables, "the mappings are"), "error"
        return
    if not parent.key:
        message = f"the rule refers to rows of '{rule.table}', and 'key: []' says that nothing identifies them"
        yield "keyless", message, f"name key columns of '{rule.table}', or copy the value", "error"
        return
    if len(parent.key) != len(rule.key):
        parts = f"{counted(len(rule.key), 'column')} ({', '.join(rule.columns())})"
        message = f"the reference names {parts}, and the key of '{rule.table}' is {', '.join(parent.key)}"
        yield "ref_arity", message, "name one column for each part of the key, in its order", "error"
    if uuid_column(parent) is None:
        listed = parent.key[0] if len(parent.key) == 1 else f"[{', '.join(parent.key)}]"
        message = f"the reference gives the UUID of a row of '{rule.table}', which has no column that holds it"
        yield "ref_without_uuid", message, f"fill a column of '{rule.table}' by {{uuid: {listed}}}", "error"


def _uuid_problems(plan: Plan, mapping: TableMapping, rule: Uuid) -> Problems:
    columns = tuple(rule.columns())
    if columns == mapping.key:
        return
    if not mapping.key:
        message = f"'key: []' says that nothing identifies a row, and a UUID of {', '.join(columns)} claims to"
        yield "keyless", message, "name these columns under 'key'", "warning"
        return
    shown = ", ".join(columns)
    message = f"the UUID of {shown} is not that of the key {', '.join(mapping.key)}: no reference will find it"
    parents = [other.name for other in plan.tables.values() if len(other.key) == len(columns)]
    wanted = f"{{ref: {shown}, table: ...}}" if parents else f"{{uuid: {', '.join(mapping.key)}}}"
    yield "uuid_not_key", message, f"write {wanted} if it refers to a row of another mapping", "warning"


def _lookup_problems(plan: Plan, mapping: TableMapping, rule: Lookup) -> Problems:  # noqa: ARG001
    found = plan.lookups.get(rule.name)
    if found is None:
        values = [name for name, lookup in plan.lookups.items() if isinstance(lookup, FileLookup)]
        yield "unknown_lookup", f"there is no lookup '{rule.name}'", hint(rule.name, values, "the lookups are"), "error"
    elif isinstance(found, NamesLookup):
        message = f"'{rule.name}' is a list of names and spellings, not of keys and values"
        yield "lookup_kind", message, f"write {{names: column, in: {rule.name}}}", "error"


def _names_problems(plan: Plan, mapping: TableMapping, rule: Names) -> Problems:  # noqa: ARG001
    found = plan.lookups.get(rule.name)
    if found is None:
        lists = [name for name, lookup in plan.lookups.items() if isinstance(lookup, NamesLookup)]
        yield "unknown_lookup", f"there is no lookup '{rule.name}'", hint(rule.name, lists, "the lists are"), "error"
    elif isinstance(found, FileLookup):
        message = f"'{rule.name}' is a lookup of keys and values, not a list of names and spellings"
        yield "lookup_kind", message, f"write {{lookup: column, in: {rule.name}}}", "error"


def _zone_problems(plan: Plan, mapping: TableMapping, rule: Utc) -> Problems:  # noqa: ARG001
    problem = zone_problem(rule.zone)
    if problem is not None and rule.zone != plan.defaults.time_zone:
        yield "zone", *problem, "error"


def _mask_problems(plan: Plan, mapping: TableMapping, rule: Mask) -> Problems:  # noqa: ARG001
    for missing in plan.origin.resolver.missing(rule.key) if plan.origin.document else ():
        cure = "set it in the environment, or in the file '.env' beside the plan, before values are computed"
        yield "variable", missing, cure, "warning"


_CHECKS: dict[type[Rule], Callable[..., Problems]] = {
    Ref: _ref_problems,
    Uuid: _uuid_problems,
    Lookup: _lookup_problems,
    Names: _names_problems,
    Utc: _zone_problems,
    Mask: _mask_problems,
}
"""What is checked of a rule beyond its own parameters: how it fits the rest of the plan."""


def _nested(rule: Rule) -> Iterator[Rule]:
    yield rule
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            yield from _nested(argument)
