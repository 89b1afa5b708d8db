"""Which source columns a table mapping reads, and which relations it needs."""

from collections.abc import Iterator

from transhume.compiler.conditions import columns_of
from transhume.compiler.scope import join_need, own_need
from transhume.facts import Need
from transhume.plan.model import TableMapping


def columns_read(mapping: TableMapping) -> set[str]:
    """Return every source column, or alias.column, that the mapping reads: rules, key, `where`, joins, `dedupe`."""
    names = set(mapping.key)
    for rule in mapping.columns.values():
        names.update(rule.columns())
    for join in mapping.join.values():
        names.update(join.on.values())
    if mapping.dedupe is not None:
        names.update(mapping.dedupe.by, mapping.dedupe.first or {})
        names.update([mapping.dedupe.latest] if mapping.dedupe.latest is not None else [])
    if mapping.where is not None:
        names.update(columns_of(mapping.where))
    return names


def needs(mapping: TableMapping) -> Iterator[Need]:
    """Yield every relation that the mapping's SELECTs join, each once, in an order in which they can be built.

    Joins come first, because what follows may read joined columns; then what is deduplicated; duplicates come last.
    """
    seen: dict[Need, None] = {}
    for alias in mapping.join:
        seen[join_need(mapping, alias)] = None
    for rule in mapping.columns.values():
        for need in rule.needs():
            seen[own_need(mapping, need)] = None
    if mapping.dedupe is not None:
        seen[Need("dedupe", mapping.name)] = None
    if mapping.key:
        seen[Need("duplicates", mapping.name)] = None
    yield from seen
