"""Segments of a source table into target columns, fates and reasons: the SELECT of the stage `load`.

Shape of `compile_transform`'s rows, one for each row of the segments:

| column                | holds                                                                                  |
|-----------------------|----------------------------------------------------------------------------------------|
| `_row`                | the row's position in the extract of its table                                         |
| `_k0`, `_k1` ..       | the key, part by part, in the types of `key_types`                                     |
| `_uuid`               | the UUID of the key; only if some mapping references this one                          |
| `_fate`               | `loaded`, `rejected`, `filtered`, `deduplicated`; the last two win over rejected       |
| `_reasons`            | of a rejected row: its reasons in the order below, each once, joined by line feeds     |
| `_warnings`           | only with such checks, of a loaded row: `stop:check` and `warn:check`, joined likewise |
| the target's columns  | by `schema.physical_names`, in the target table's order                                |

Order of reasons: columns of `where` that cannot be read; the key (bad value, `null_key`, `duplicate_key`); `tied`;
joins in the plan's order (bad value, `ambiguous:alias`, `no_match:alias`); columns in the plan's order (the rule's
reasons, the conversion's, `null`); checks (`check:name`).
A row whose `where` cannot be read is rejected, not filtered. `null` is not said of a value that has a reason
already. A row check sees NULL where a target value has a reason; NULL counts as passed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from transhume import operations as op
from transhume.batches import TargetTable
from transhume.compiler.conditions import condition
from transhume.compiler.conversion import for_target
from transhume.compiler.dedupe import LOST
from transhume.compiler.reasons import Reasons, none_of
from transhume.compiler.scope import MappingScope
from transhume.facts import Facts, Need
from transhume.plan.model import Plan, RowCheck, TableMapping
from transhume.plan.types import uuid_column
from transhume.rules import parse_rule
from transhume.rules.rule import ColumnRef, Reason, Sql, label
from transhume.rules.trees import every, is_null, is_present, is_true, negated, some
from transhume.schema import FATE, KEY_UUID, REASONS, ROW, UUID, WARNINGS, Column, Kind, physical_names


@dataclass(frozen=True, slots=True)
class TargetValue:
    """The value of one target column and the reasons that it gives a row, its NOT NULL among them."""

    sql: Sql
    null: Reason | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a row: conditions that are never NULL, and the reasons behind `bad`."""

    filtered: exp.Expression
    deduplicated: exp.Expression
    bad: exp.Expression
    reasons: Reasons


def compile_transform(
    plan: Plan, mapping: TableMapping, facts: Facts, target: TargetTable, paths: Sequence[str]
) -> exp.Select:
    """Return the SELECT that transforms these segment files of the mapping's source table; see the module.

    Shape: every row of the segments exactly once; each expression is evaluated once per row.
    Raises: RuleProblem where a rule does not fit the types; KeyError for a relation that `facts` lacks.
    """
    scope = MappingScope(plan, mapping, facts, paths)
    values = target_values(scope, target)
    fate = row_fate(scope, values)
    outputs = key_columns(scope)
    if is_referenced(plan, mapping):
        outputs[KEY_UUID] = key_uuid(scope, values)
    outputs[FATE] = fate_column(fate)
    outputs[REASONS] = _only_if(negated(_left_out(fate)), fate.reasons.text(fate.bad))
    warnings = _warnings(scope, values, fate)
    if warnings is not None:
        outputs[WARNINGS] = warnings
    names = physical_names(column.name for column in target.table.columns)
    for column in target.table.columns:
        outputs[names[column.name]] = values[column.name].sql.value
    return scope.layers.select(outputs)


def _left_out(fate: Fate) -> exp.Expression:
    """Return the condition that the row goes nowhere and for no fault: filtered, or another row stands for it."""
    return fate.filtered if fate.deduplicated == exp.false() else some([fate.filtered, fate.deduplicated])


def key_columns(scope: MappingScope) -> dict[str, exp.Expression]:
    """Return the columns with which every SELECT of fates starts: `_row` and the key."""
    keys = {f"_k{place}": part.value for place, part in enumerate(scope.key())}
    return {ROW: scope.row, **keys}


def is_referenced(plan: Plan, mapping: TableMapping) -> bool:
    """Say whether any mapping, this one included, references rows of this one."""
    return any(mapping.name in other.parents() for other in plan.tables.values())


def key_uuid(scope: MappingScope, values: Mapping[str, TargetValue]) -> exp.Expression:
    """Return the UUID of the mapping's key: what its column holds that has it, else made by the same rule."""
    made = uuid_column(scope.mapping)
    if made is not None and made in values and values[made].sql.type.kind is UUID.kind:
        return values[made].sql.value
    rule = parse_rule({"uuid": list(scope.mapping.key)}, {"parse_rule": parse_rule})
    return scope.bind(rule.to_sql(scope, UUID).value)


def target_values(scope: MappingScope, target: TargetTable) -> dict[str, TargetValue]:
    """Return value and reasons of every target column, in the order of the plan's columns."""
    values = {}
    for name, rule in scope.mapping.columns.items():
        column = target.table.column(name)
        if column is None:
            continue
        assert column.type is not None
        source = label(rule)
        sql = for_target(rule.to_sql(scope, column.type), column.type, source, scope.bind, scope.layers.origin)
        value = sql.value if isinstance(sql.value, exp.Column) else scope.bind(sql.value)
        own = (Reason(scope.bind(condition), f"{kind}:{source}") for condition, kind in _limits(column, value))
        sql = Sql(value, sql.type, (*sql.reasons, *own))
        null = None
        if not column.nullable:
            null = Reason(_unless(sql.reasons, is_null(value)), f"null:{source}")
        values[name] = TargetValue(sql, null)
    return values


def _limits(column: Column, value: exp.Expression) -> Iterator[tuple[exp.Expression, str]]:
    """Yield what a standing column refuses or changes of its type's values, as conditions with the reasons' kinds."""
    if column.type is not None and column.type.kind is Kind.JSON and not column.keeps_text:
        yield is_true(negated(op.JsonKeepsValue(this=value.copy()))), "json_changed"
    if column.bits_max is not None:
        low, high = (exp.Literal.number(2 ** (column.bits_max - 1) - less) for less in (0, 1))
        below = exp.LT(this=value.copy(), expression=exp.Neg(this=low))
        yield is_true(some([below, exp.GT(this=value.copy(), expression=high)])), "out_of_range"


def row_fate(scope: MappingScope, values: Mapping[str, TargetValue]) -> Fate:
    """Return what becomes of a row, all reasons in the module's order."""
    reasons = Reasons()
    if scope.mapping.where is not None:
        reasons.add(_where(scope, scope.mapping.where).reasons)
    _add_key_reasons(scope, reasons)
    reasons.add(_tied(scope))
    for alias in scope.mapping.join:
        reasons.add(_join_reasons(scope, alias))
    for value in values.values():
        reasons.add(value.sql.reasons)
        if value.null is not None:
            reasons.add_guarded(value.null, is_null(value.sql.value))
    for check in scope.mapping.row_checks:
        if check.then == "reject":
            reasons.add([Reason(_violated(scope, values, check), f"check:{check.name}")])
    left_out = filtered(scope)
    lost = deduplicated(scope)
    return Fate(
        scope.bind(left_out) if left_out is not None else exp.false(),
        scope.bind(lost) if lost is not None else exp.false(),
        scope.bind(reasons.bad()),
        reasons,
    )


def fate_column(fate: Fate) -> exp.Expression:
    """Return `filtered`, `deduplicated`, `rejected` or `loaded`."""
    branches = [(fate.filtered, "filtered"), (fate.deduplicated, "deduplicated"), (fate.bad, "rejected")]
    ifs = [
        exp.If(this=condition.copy(), true=exp.Literal.string(text))
        for condition, text in branches
        if condition != exp.false()
    ]
    return exp.Case(ifs=ifs, default=exp.Literal.string("loaded"))


def _add_key_reasons(scope: MappingScope, reasons: Reasons) -> None:
    if not scope.mapping.key:
        return
    key = scope.key()
    for name, part in zip(scope.mapping.key, key, strict=True):
        reasons.add(part.reasons)
        null = Reason(_unless(part.reasons, is_null(part.value)), f"null_key:{name}")
        reasons.add_guarded(null, is_null(part.value))
    need = duplicates_need(scope.mapping)
    relation = scope.facts.relations.get(str(need))
    if relation is None or relation.row_count:
        duplicate = scope.join(need, {f"k{place}": part.value for place, part in enumerate(key)})
        reasons.add([Reason(is_present(duplicate("k0")), f"duplicate_key:{','.join(scope.mapping.key)}")])


def filtered(scope: MappingScope) -> exp.Expression | None:
    """Return the condition that the row is filtered, never NULL; None where the mapping has no `where`."""
    if scope.mapping.where is None:
        return None
    where = _where(scope, scope.mapping.where)
    passed = negated(is_true(where.value))
    return every([passed, none_of(where.reasons)]) if where.reasons else passed


def deduplicated(scope: MappingScope) -> exp.Expression | None:
    """Return the condition that another row stands for the row, never NULL; None where that cannot be."""
    found = _dedupe(scope)
    return is_true(found(LOST)) if found is not None else None


def _dedupe(scope: MappingScope) -> Callable[[str], exp.Column] | None:
    """Return the columns of the relation of rows that do not stand for their group; None for no such row."""
    need = Need("dedupe", scope.mapping.name)
    relation = scope.facts.relations.get(str(need))
    if scope.mapping.dedupe is None or (relation is not None and not relation.row_count):
        return None
    return scope.join(need, {ROW: scope.row})


def _tied(scope: MappingScope) -> Iterator[Reason]:
    found = _dedupe(scope)
    if found is not None and scope.mapping.dedupe is not None:
        tied = every([is_present(found(ROW)), negated(is_true(found(LOST)))])
        yield Reason(tied, f"tied:{','.join(scope.mapping.dedupe.by)}")


def _where(scope: MappingScope, text: str) -> Sql:
    return condition(text, lambda name: scope.argument(ColumnRef(name)))


def duplicates_need(mapping: TableMapping) -> Need:
    """Return what names the relation of a mapping's duplicate keys."""
    return Need("duplicates", mapping.name)


def _join_reasons(scope: MappingScope, alias: str) -> Iterator[Reason]:
    join = scope.mapping.join[alias]
    parts = [scope.key_value(own) for own in join.on.values()]
    for part in parts:
        yield from part.reasons
    joined = scope.joined(alias)
    many = is_true(joined("_k_many"))
    yield Reason(many, f"ambiguous:{alias}")
    if join.none == "reject":
        bad_keys = [reason for part in parts for reason in part.reasons]
        yield Reason(_unless(bad_keys, is_null(joined("_k0"))), f"no_match:{alias}")


def _violated(scope: MappingScope, values: Mapping[str, TargetValue], check: RowCheck) -> exp.Expression:
    """Return the condition that the check is FALSE for the row's target values; never NULL."""

    def column(name: str) -> Sql:
        sql = values[name].sql
        if not sql.reasons:
            return sql
        sound = exp.Case(ifs=[exp.If(this=none_of(sql.reasons), true=sql.value.copy())])
        return Sql(scope.bind(sound), sql.type)

    holds = condition(check.sql, column)
    # A number that does not fit leaves the condition unknown, and unknown would count as passed.
    return some([is_true(negated(holds.value)), *(reason.condition for reason in holds.reasons)])


def _warnings(scope: MappingScope, values: Mapping[str, TargetValue], fate: Fate) -> exp.Expression | None:
    texts: list[exp.Expression] = []
    for check in scope.mapping.row_checks:
        if check.then != "reject":
            text = exp.Literal.string(f"{check.then}:{check.name}")
            texts.append(exp.Case(ifs=[exp.If(this=_violated(scope, values, check), true=text)]))
    if not texts:
        return None
    loaded = negated(some([_left_out(fate), fate.bad]))
    return _only_if(loaded, op.JoinReasons(expressions=texts))


def _unless(reasons: Sequence[Reason], condition: exp.Expression) -> exp.Expression:
    return every([condition, none_of(reasons)]) if reasons else condition


def _only_if(condition: exp.Expression, value: exp.Expression) -> exp.Expression:
    return exp.Case(ifs=[exp.If(this=condition, true=value)])
