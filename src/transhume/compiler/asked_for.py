"""Which keys of a table mapping the rows that reference it ask for, where they are few beside its own rows.

Only keys that the extract itself holds: a reference that reads a joined column or another rule's value is not
looked into, and every key counts as asked for then.
"""

from dataclasses import dataclass

from sqlglot import exp

from transhume.compiler.scope import LARGE_ROWS_MIN, DeferredReference, MappingScope
from transhume.facts import Facts, Need
from transhume.plan.model import Plan, TableMapping
from transhume.plan.types import resolve
from transhume.rules.ref import Ref
from transhume.rules.trees import every, is_present
from transhume.schema import UUID

MUCH_SMALLER = 4
"""How many times the rows that ask a table must have, before looking for what is asked for is worth it."""


@dataclass(frozen=True, slots=True)
class AskedKeys:
    """The keys that one reference asks for: a SELECT of `k0`, `k1` .. over the whole table that references."""

    reference: DeferredReference
    keys: exp.Select


def keys_asked_for(plan: Plan, mapping: TableMapping, facts: Facts) -> tuple[AskedKeys, ...] | None:
    """Return the keys of `mapping` that any row of the extract references, one SELECT a reference.

    None: any key may be asked for, or those who ask have too many rows for a look at them to be worth it.
    """
    children = [child for child in plan.tables.values() if mapping.name in child.parents()]
    if any(child.from_ not in facts.extracts for child in children):
        return None
    asking = sum(facts.extracts[child.from_].row_count for child in children)
    if facts.extracts[mapping.from_].row_count < max(LARGE_ROWS_MIN, MUCH_SMALLER * asking):
        return None
    found: list[AskedKeys] = []
    for child in children:
        rules = [rule for rule in child.rules() if isinstance(rule, Ref) and rule.table == mapping.name]
        if not all(_is_plain(child, rule) for rule in rules):
            return None
        # Before the fates of the parents are known a reference gives its key and joins nothing.
        deferred = frozenset({mapping.name})
        scope = MappingScope(plan, child, facts, facts.extracts[child.from_].paths, deferred)
        for rule in rules:
            rule.to_sql(scope, UUID)
        for reference, keys in scope.references:
            named = {f"k{place}": key for place, key in enumerate(keys)}
            found.append(AskedKeys(reference, scope.layers.select(named, where=every(map(is_present, keys)))))
    return tuple(found)


def _is_plain(child: TableMapping, rule: Ref) -> bool:
    """Say whether the reference reads columns of the child's own table, and needs nothing but the parents."""
    own = all(resolve(child, name) == (child.from_, name) for name in rule.columns())
    return own and set(rule.needs()) == {Need("parents", rule.table)}
