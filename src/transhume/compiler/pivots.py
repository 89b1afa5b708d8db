"""The relation of a join with `pivot`: one row per key, whose columns are the values beside the keys that it takes.

Columns of the relation: `_k0`, `_k1` .. and `_k_many` as in `compiler.joins`; for each column that the mapping
reads, by `pivot_columns`, the value as the extract holds it, and the row's odd values where the value column has any.
One row per key of the joined table; `_k_many` is TRUE, and all values are NULL, where a taken key stands twice for
one row, or beside a taken key stands a row whose `where` cannot be read. Keys are compared as exact texts.
"""

from collections.abc import Sequence

from sqlglot import exp

from transhume.compiler.children import child_scope
from transhume.compiler.conditions import condition
from transhume.compiler.layers import select_from, sorted_by
from transhume.compiler.reasons import none_of
from transhume.compiler.scope import MappingScope, pivot_columns
from transhume.compiler.usage import columns_read
from transhume.facts import Facts
from transhume.plan.model import Join, Pivot, Plan, TableMapping
from transhume.rules.rule import ColumnRef
from transhume.rules.trees import among, every, is_null, is_present, is_true, negated, some
from transhume.schema import ODD, physical_names

_MANY, _NAME, _VALUE, _DOUBT, _RAW, _COUNT = "_k_many", "_k_name", "_k_value", "_k_doubt", "raw", "row_count"


def compile_pivot(plan: Plan, mapping: TableMapping, alias: str, facts: Facts) -> exp.Select:
    """Return the SELECT over the joined table's whole extract that gives the pivot's relation; see the module."""
    join, pivot = mapping.join[alias], _pivot(mapping, alias)
    scope, doubt, usable = _rows(plan, join, facts, tuple(join.on))
    keys = {f"_k{place}": part.value for place, part in enumerate(scope.key())}
    usable += [is_present(part.value) for part in scope.key()]
    usable += [none_of(part.reasons) for part in scope.key() if part.reasons]
    name = scope.bind(scope.as_text(ColumnRef(pivot.name)).value)
    if join.none == "null":
        usable.append(among(name, pivot.take.values()))
    extract = facts.extracts[join.from_]
    physical = physical_names(column.name for column in extract.table.columns)
    values: dict[str, exp.Expression] = {**keys, _NAME: name, _VALUE: scope.layers.column(physical[pivot.value])}
    if doubt is not None:
        values[_DOUBT] = doubt
    if pivot.value in extract.odd_columns:
        values[ODD] = scope.layers.column(ODD)
    rows = scope.layers.select(values, where=every(usable))
    read = {column.removeprefix(f"{alias}.") for column in columns_read(mapping)} & set(pivot.take)
    kept: dict[str, exp.Expression] = {}
    for column, (value, odd) in pivot_columns(pivot).items():
        if column in read:
            kept[value] = _beside(pivot.take[column], _VALUE)
            if pivot.value in extract.odd_columns:
                kept[odd] = _beside(pivot.take[column], ODD)
    grouped = select_from(rows, {**_named(keys), _MANY: _many(pivot, doubt is not None), **kept}, "pairs")
    grouped = grouped.group_by(*_named(keys).values(), copy=False)
    sure = negated(exp.column(_MANY, quoted=True))
    certain = {each: exp.Case(ifs=[exp.If(this=sure.copy(), true=exp.column(each, quoted=True))]) for each in kept}
    outer = select_from(grouped, {**_named([*keys, _MANY]), **certain}, "pivoted")
    return sorted_by(outer, list(keys))


def compile_pivot_leftovers(plan: Plan, mapping: TableMapping, alias: str, facts: Facts) -> exp.Select:
    """Return the SELECT of the keys (`raw`, `row_count`) that a pivot neither takes nor ignores; NULL is no key.

    A key that is no text, and one of a row whose `where` cannot be read, count too.
    """
    join, pivot = mapping.join[alias], _pivot(mapping, alias)
    scope, _, usable = _rows(plan, join, facts, (pivot.name,))
    raw = scope.bind(scope.as_text(ColumnRef(pivot.name)).value)
    known = among(raw, dict.fromkeys([*pivot.take.values(), *join.ignore]))
    rows = scope.layers.select({_RAW: raw}, where=every([*usable, some([is_null(raw), negated(known)])]))
    text = exp.column(_RAW, quoted=True)
    counted = select_from(rows, {_RAW: text, _COUNT: exp.Count(this=exp.Star())}, "keys")
    return counted.group_by(text.copy(), copy=False)


def _pivot(mapping: TableMapping, alias: str) -> Pivot:
    pivot = mapping.join[alias].pivot
    assert pivot is not None
    return pivot


def _rows(
    plan: Plan, join: Join, facts: Facts, key: Sequence[str]
) -> tuple[MappingScope, exp.Expression | None, list[exp.Expression]]:
    """Return a scope over the joined table, the condition that `where` cannot be read, and that a row may count."""
    scope = child_scope(plan, join.from_, key, facts)
    if join.where is None:
        return scope, None, []
    passed = condition(join.where, lambda name: scope.argument(ColumnRef(name)))
    unreadable = negated(none_of(passed.reasons))
    usable = [some([is_true(passed.value), unreadable])]
    return scope, unreadable if passed.reasons else None, usable


def _many(pivot: Pivot, has_doubt: bool) -> exp.Expression:
    several = [
        exp.GT(this=exp.Count(this=_beside(key, exp.Literal.number(1))), expression=exp.Literal.number(1))
        for key in dict.fromkeys(pivot.take.values())
    ]
    if has_doubt:
        taken = every([exp.column(_DOUBT, quoted=True), among(exp.column(_NAME, quoted=True), pivot.take.values())])
        doubtful = exp.Count(this=exp.Case(ifs=[exp.If(this=taken, true=exp.Literal.number(1))]))
        several.append(exp.GT(this=doubtful, expression=exp.Literal.number(0)))
    return some(several)


def _beside(key: str, value: str | exp.Expression) -> exp.Expression:
    """Return the value of a row whose key is this one; of a column, the least of the group, which holds one."""
    is_key = exp.column(_NAME, quoted=True).eq(exp.Literal.string(key))
    of_row = exp.column(value, quoted=True) if isinstance(value, str) else value
    chosen = exp.Case(ifs=[exp.If(this=is_key, true=of_row)])
    return exp.Min(this=chosen) if isinstance(value, str) else chosen


def _named(names: Sequence[str] | dict[str, exp.Expression]) -> dict[str, exp.Expression]:
    return {name: exp.column(name, quoted=True) for name in names}
