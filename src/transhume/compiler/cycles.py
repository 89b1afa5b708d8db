"""Fates of rows that reference each other in a cycle, or their own table: row by row first, then over keys.

`compile_row_fates` takes every row that is referenced inside the cycle for loaded. `compile_fixpoint_step` then
finds the rows that lose their parent; the stage repeats it until no row is found. The fates that result hold for
the keys; when `compile_transform` has run with them, any further loss (a rule that only rejects when two parents
are gone) shows in its fates, and the stage takes those for the next round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from transhume import operations as op
from transhume.batches import TargetTable
from transhume.compiler.conversion import convert
from transhume.compiler.keys import Fates
from transhume.compiler.scans import carried
from transhume.compiler.scope import DeferredReference, MappingScope, key_types
from transhume.compiler.transform import fate_column, is_referenced, key_columns, key_uuid, row_fate, target_values
from transhume.facts import Facts
from transhume.plan.model import Plan, TableMapping
from transhume.rules.rule import Sql
from transhume.rules.trees import every, is_null, is_present, negated, some
from transhume.schema import BOOLEAN, FATE, KEY_UUID, ROW, TEXT, Kind, LogicalType


@dataclass(frozen=True, slots=True)
class RowFates:
    """The SELECT of a mapping's row fates, and the references inside the cycle that its columns hold.

    Columns: `_row`, `_k0` .., `_uuid`, `_fate`; for reference i: `_d<i>_k0` .. the key that it points to and
    `_d<i>_lost`, TRUE if the row is rejected when that parent is not loaded. UUIDs are 16 bytes.
    """

    select: exp.Select
    references: tuple[DeferredReference, ...]


def compile_row_fates(
    plan: Plan, mapping: TableMapping, facts: Facts, target: TargetTable, paths: Sequence[str], deferred: frozenset[str]
) -> RowFates:
    """Return the row fates of a mapping over segment files, while the fates of `deferred` are not known."""
    scope = MappingScope(plan, mapping, facts, paths, deferred)
    values = target_values(scope, target)
    fate = row_fate(scope, values)
    outputs = key_columns(scope)
    for number, part in enumerate(scope.key()):
        outputs[f"_k{number}"] = _as_carried(part)
    if is_referenced(plan, mapping):
        outputs[KEY_UUID] = op.UuidBytes(this=key_uuid(scope, values))
    outputs[FATE] = fate_column(fate)
    for place in range(len(scope.references)):
        for number, key in enumerate(scope.references[place][1]):
            outputs[f"_d{place}_k{number}"] = _as_carried(Sql(key, scope.type_of(key)))
        scope.assumed_lost = {place}
        outputs[f"_d{place}_lost"] = row_fate(scope, target_values(scope, target)).bad
        scope.assumed_lost = set()
    return RowFates(scope.layers.select(outputs), tuple(reference for reference, _ in scope.references))


def compile_fixpoint_step(
    plan: Plan,
    mapping: TableMapping,
    facts: Facts,
    references: Sequence[DeferredReference],
    fates: Mapping[str, Sequence[str]],
    lost: Mapping[str, Sequence[str]],
    newly: Mapping[str, Sequence[str]] | None,
) -> exp.Select:
    """Return the SELECT of the mapping's rows (`_row`, `_k0` ..) that lose a parent in this step.

    By mapping of the cycle: `fates` are the files of `compile_row_fates`, `lost` the files of all steps so far,
    `newly` those of the last step, None in the first one. A row is lost once.
    """
    further: dict[str, LogicalType] = {}
    for place, reference in enumerate(references):
        kinds = key_types(plan.tables[reference.parent], facts)
        for part, (as_text, kind) in enumerate(zip(reference.as_text, kinds, strict=True)):
            further[f"_d{place}_k{part}"] = TEXT if as_text else carried(kind)
        further[f"_d{place}_lost"] = BOOLEAN
    own = Fates(fates[mapping.name], key_types(mapping, facts), lost.get(mapping.name, ()), further)
    orphaned: list[exp.Expression] = []
    for place, reference in enumerate(references):
        gone = _is_gone(plan, facts, own, place, reference, fates, newly)
        if gone is not None:
            rejects = own.layers.column(f"_d{place}_lost")
            orphaned.append(every([rejects, gone]))
    outputs: dict[str, exp.Expression] = {ROW: own.layers.column(ROW)}
    for place in range(len(mapping.key)):
        outputs[f"_k{place}"] = own.layers.column(f"_k{place}")
    loaded = own.layers.column(FATE).eq(exp.Literal.string("loaded"))
    conditions = [loaded, some(orphaned)]
    if lost.get(mapping.name):
        conditions.append(negated(own.is_lost()))
    return own.layers.select(outputs, where=every(conditions))


def _is_gone(
    plan: Plan,
    facts: Facts,
    own: Fates,
    place: int,
    reference: DeferredReference,
    fates: Mapping[str, Sequence[str]],
    newly: Mapping[str, Sequence[str]] | None,
) -> exp.Expression | None:
    """Return the condition that the row of this reference is not loaded, or is so no longer; None for never."""
    keys = [own.layers.column(f"_d{place}_k{part}") for part in range(len(reference.as_text))]
    parent = plan.tables[reference.parent]
    files = fates[reference.parent] if newly is None else newly.get(reference.parent, ())
    if not files:
        return None
    rows = Fates(files, key_types(parent, facts))
    columns: dict[str, exp.Expression] = {}
    for part, as_text in enumerate(reference.as_text):
        value: exp.Expression = rows.layers.column(f"_k{part}")
        if as_text:
            kind = key_types(parent, facts)[part]
            value = convert(Sql(rows.key(part), kind), TEXT, "key", rows.layers.bind).value
        columns[f"k{part}"] = value
    where = rows.layers.column(FATE).eq(exp.Literal.string("loaded")) if newly is None else None
    found = own.layers.join(rows.layers.select(columns, where), dict(zip(columns, keys, strict=True)))
    if newly is not None:
        return is_present(found("k0"))
    # Without a key there is no reference, and `_lost` is FALSE of such a row.
    return is_null(found("k0"))


def _as_carried(sql: Sql) -> exp.Expression:
    return op.UuidBytes(this=sql.value) if sql.type.kind is Kind.UUID else sql.value
