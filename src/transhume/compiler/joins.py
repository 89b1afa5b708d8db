"""The relation of a join: for every key of the joined table, the one row that the plan chooses.

Columns of the relation: `_k0`, `_k1` .. the joined table's `on` columns in the plan's order, in the types of
`scope.key_type`; `_k_many`, TRUE where the choice is ambiguous; the columns that the mapping reads, by physical
name and as the extract holds them, NULL where it is ambiguous; `_odd` if one of them has odd values. One row per
key, none for a NULL key.

The choice: rows that pass `where`; of these, rows whose `first` column holds one of its values, the earliest in
the list (rows with another value are no candidates); of these, the greatest `latest` (NULL is the least).
Ambiguous: more than one row is left; or one whose `latest` cannot be read stands among several; or one whose
`where` cannot be read. With `pivot` the relation is that of `compiler.pivots`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from transhume.compiler.children import child_scope
from transhume.compiler.conditions import condition
from transhume.compiler.conversion import convert
from transhume.compiler.layers import select_from, sorted_by, with_columns
from transhume.compiler.pivots import compile_pivot
from transhume.compiler.reasons import none_of
from transhume.compiler.scope import LARGE_ROWS_MIN, MappingScope, key_type
from transhume.compiler.usage import columns_read
from transhume.facts import Facts
from transhume.plan.model import Join, Plan, TableMapping
from transhume.rules.rule import ColumnRef, Sql
from transhume.rules.trees import every, is_null, is_present, is_true, negated, some
from transhume.schema import BOOLEAN, ODD, ROW, TEXT, LogicalType, physical_names

_MANY = "_k_many"
_MUCH_SMALLER = 4
"""How many times the own table's rows a joined table must have, before looking for the needed rows is worth it."""
_PLACE = "_k_place"
_DOUBT, _FIRST, _BAD, _LATEST = "_k_doubt", "_k_first", "_k_bad", "_k_latest"


def compile_join(plan: Plan, mapping: TableMapping, alias: str, facts: Facts) -> exp.Select:
    """Return the SELECT over the joined table's whole extract that gives the join's relation; see the module."""
    join = mapping.join[alias]
    if join.pivot is not None:
        return compile_pivot(plan, mapping, alias, facts)
    scope = child_scope(plan, join.from_, tuple(join.on), facts)
    keys = {f"_k{place}": part for place, part in enumerate(scope.key())}
    kept = {name: scope.layers.column(name) for name in _carried(mapping, alias, facts)}
    usable = [is_present(part.value) for part in keys.values()]
    usable += [none_of(part.reasons) for part in keys.values() if part.reasons]
    order = _order(scope, join, usable)
    values: dict[str, exp.Expression] = {name: part.value for name, part in keys.items()}
    if _is_unique(join, facts):
        many = order.get(_DOUBT, exp.false())
        certain = {name: _unless(many, value) for name, value in kept.items()}
        unique = scope.layers.select({**values, _MANY: many, **certain}, where=every(usable))
        return sorted_by(_asked_for(unique, plan, mapping, alias, facts), list(keys))
    candidates = scope.layers.select({**values, **order, ROW: scope.row, **kept}, where=every(usable))
    candidates = _asked_for(candidates, plan, mapping, alias, facts)
    ranked = _ranked(candidates, list(keys), set(order), list(kept))
    found = {name: exp.column(name, quoted=True) for name in [*keys, _MANY, *kept]}
    certain = {name: _unless(found[_MANY], found[name]) for name in kept}
    chosen = select_from(ranked, {**found, **certain}, "ranked")
    chosen = chosen.where(exp.column(_PLACE, quoted=True).eq(exp.Literal.number(1)), copy=False)
    return sorted_by(chosen, list(keys))


def _unless(many: exp.Expression, value: exp.Expression) -> exp.Expression:
    if many == exp.false():
        return value
    return exp.Case(ifs=[exp.If(this=negated(is_true(many)), true=value.copy())])


def _asked_for(rows: exp.Select, plan: Plan, mapping: TableMapping, alias: str, facts: Facts) -> exp.Select:
    """Return only the rows whose keys occur in the mapping's own table, where that is much smaller.

    No row of the mapping asks for the others, so nothing that is seen of the relation changes.
    """
    join = mapping.join[alias]
    joined, own = facts.extracts[join.from_], facts.extracts[mapping.from_]
    if joined.row_count < max(LARGE_ROWS_MIN, _MUCH_SMALLER * own.row_count):
        return rows
    conditions = []
    for place, (name, other) in enumerate(join.on.items()):
        if "." in other:
            continue
        asking = child_scope(plan, mapping.from_, (other,), facts)
        sides = [Sql(exp.column(f"_k{place}", quoted=True), key_type(joined, name)), asking.key()[0]]
        if len({side.type.kind for side in sides}) > 1:
            sides = [convert(side, TEXT, name, asking.bind) for side in sides]
        keys = asking.layers.select({"key": sides[1].value})
        conditions.append(exp.In(this=sides[0].value, query=exp.Subquery(this=keys)))
    return with_columns(rows, {}).where(every(conditions), copy=False) if conditions else rows


def join_columns(mapping: TableMapping, alias: str, facts: Facts) -> dict[str, LogicalType]:
    """Return the columns of a join's relation that other code may name: its key and whether it is ambiguous."""
    join = mapping.join[alias]
    extract = facts.extracts[join.from_]
    keys = {f"_k{place}": key_type(extract, name) for place, name in enumerate(join.on)}
    return {**keys, _MANY: BOOLEAN}


def _carried(mapping: TableMapping, alias: str, facts: Facts) -> list[str]:
    extract = facts.extracts[mapping.join[alias].from_]
    physical = physical_names(column.name for column in extract.table.columns)
    prefix = f"{alias}."
    own = {name.removeprefix(prefix) for name in columns_read(mapping) if name.startswith(prefix)}
    names = [physical[column.name] for column in extract.table.columns if column.name in own and column.type]
    return [*names, ODD] if own & extract.odd_columns else names


def _is_unique(join: Join, facts: Facts) -> bool:
    """Say whether the source itself keeps the join's key unique, so that there is nothing to choose."""
    extract = facts.extracts[join.from_]
    on = set(join.on)
    keys = [extract.table.primary_key, *extract.table.unique]
    # Values of two classes may differ in the source and have the same key text here.
    return join.first is None and not on & extract.odd_columns and any(key and set(key) <= on for key in keys)


def _order(scope: MappingScope, join: Join, usable: list[exp.Expression]) -> dict[str, exp.Expression]:
    """Return the columns that rank candidates, most important first; adds to `usable` what makes one."""
    order: dict[str, exp.Expression] = {}
    if join.where is not None:
        passed = condition(join.where, lambda name: scope.argument(ColumnRef(name)))
        readable = none_of(passed.reasons)
        unreadable = negated(readable)
        usable.append(some([is_true(passed.value), unreadable]))
        if passed.reasons:
            order[_DOUBT] = unreadable
    for column, texts in (join.first or {}).items():
        text = scope.bind(scope.as_text(ColumnRef(column)).value)
        ranks = [
            exp.If(this=text.copy().eq(exp.Literal.string(value)), true=exp.Literal.number(rank))
            for rank, value in enumerate(texts)
        ]
        order[_FIRST] = scope.bind(exp.Case(ifs=ranks))
        usable.append(is_present(order[_FIRST]))
    if join.latest is not None:
        latest = scope.argument(ColumnRef(join.latest))
        if latest.reasons:
            order[_BAD] = negated(none_of(latest.reasons))
        order[_LATEST] = scope.bind(latest.value)
    return order


@dataclass(frozen=True, slots=True)
class _Window:
    partition: list[str]
    order: list[tuple[str, bool]]

    def over(self, function: exp.Expression) -> exp.Expression:
        ordered = [
            exp.Ordered(this=exp.column(name, quoted=True), desc=descending, nulls_first=False)
            for name, descending in self.order
        ]
        partition = [exp.column(name, quoted=True) for name in self.partition]
        return exp.Window(this=function, partition_by=partition, order=exp.Order(expressions=ordered))

    def next(self, name: str) -> exp.Expression:
        return self.over(exp.Lead(this=exp.column(name, quoted=True)))


def _ranked(candidates: exp.Select, keys: list[str], order: set[str], kept: list[str]) -> exp.Select:
    """Return the candidates with their place among those of the same key, and whether the next is as good."""
    descending = {_DOUBT: True, _FIRST: False, _BAD: True, _LATEST: True}
    ranks = [(name, falls) for name, falls in descending.items() if name in order]
    window = _Window(keys, [*ranks, (ROW, False)])
    same = [is_present(window.next(ROW))]
    if _FIRST in order:
        same.append(window.next(_FIRST).eq(exp.column(_FIRST, quoted=True)))
    if _LATEST in order:
        latest = exp.column(_LATEST, quoted=True)
        both_null = every([is_null(latest), is_null(window.next(_LATEST))])
        ties = [is_true(window.next(_LATEST).eq(latest)), both_null]
        if _BAD in order:
            ties.append(exp.column(_BAD, quoted=True))
        same.append(some(ties))
    many: exp.Expression = every(same)
    if _DOUBT in order:
        many = some([exp.column(_DOUBT, quoted=True), many])
    values: Mapping[str, exp.Expression] = {name: exp.column(name, quoted=True) for name in [*keys, *kept]}
    place = window.over(exp.RowNumber())
    return select_from(candidates, {**values, _PLACE: place, _MANY: many}, "candidates")
