"""A scope over another table than the mapping's own: the rows that joins, pivots, gathers and lookups are made of."""

from collections.abc import Sequence

from transhume.compiler.scope import MappingScope
from transhume.facts import Facts
from transhume.plan.model import Plan, TableMapping
from transhume.rules.copy import Copy
from transhume.rules.rule import ColumnRef


def child_scope(plan: Plan, table: str, key: Sequence[str], facts: Facts, where: str | None = None) -> MappingScope:
    """Return a scope whose own table is this one, whole, and whose key are these columns; it has no joins."""
    child = TableMapping.model_construct(
        name=table,
        from_=table,
        key=tuple(key),
        where=where,
        join={},
        columns={name: Copy(column=ColumnRef(name)) for name in key},
    )
    return MappingScope(plan, child, facts, facts.extracts[table].paths)
