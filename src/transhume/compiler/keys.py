"""What is known of whole tables before and after their batches: duplicate keys, parents' keys, distinct values."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from transhume import operations as op
from transhume.compiler.dedupe import DEDUPE_COLUMNS
from transhume.compiler.gathers import gather_columns
from transhume.compiler.joins import join_columns
from transhume.compiler.layers import Layers, select_from, sorted_by
from transhume.compiler.scans import carried, parquet, scan
from transhume.compiler.scope import MappingScope, key_types, own_need
from transhume.compiler.transform import deduplicated, filtered
from transhume.facts import Facts, Need
from transhume.plan.model import Plan, TableMapping
from transhume.rules.names import Names
from transhume.rules.trees import every, is_present, negated
from transhume.schema import BIGINT, BYTES, FATE, KEY_UUID, ROW, TEXT, UUID, Kind, LogicalType

_RANKS = ("loaded", "rejected", "filtered", "deduplicated")
"""Of several rows with one key the first of these fates is the key's."""


def relation_columns(mapping: TableMapping, need: Need, facts: Facts) -> dict[str, LogicalType]:
    """Return the columns of a relation that a SELECT of this package makes, `parents` among them.

    Of a join's relation only the columns that other code names; the rest stands there as in the extract.
    For parents, `mapping` is the referenced mapping.
    """
    if need.kind == "join":
        return join_columns(mapping, need.subject, facts)
    if need.kind == "dedupe":
        return DEDUPE_COLUMNS
    if need.kind == "gather":
        return gather_columns(need, facts)
    keys = {f"k{place}": kind for place, kind in enumerate(key_types(mapping, facts))}
    if need.kind == "parents":
        return {**keys, "uuid": UUID, "fate": TEXT}
    assert need.kind == "duplicates", need
    return keys


def compile_duplicates(plan: Plan, mapping: TableMapping, facts: Facts) -> exp.Select:
    """Return the SELECT of the keys (`k0`, `k1` ..) that more than one of the rows has that are not left out.

    A key with a NULL or a value that cannot be read is left out: such a row has another reason.
    """
    scope = MappingScope(plan, mapping, facts, facts.extracts[mapping.from_].paths)
    keys = {f"k{place}": part.value for place, part in enumerate(scope.key())}
    conditions = [is_present(value) for value in keys.values()]
    left_out = filtered(scope)
    if left_out is not None:
        conditions.append(negated(left_out))
    lost = deduplicated(scope)
    if lost is not None:
        conditions.append(negated(lost))
    rows = scope.layers.select(keys, where=every(conditions))
    names = [exp.column(name, quoted=True) for name in keys]
    query = select_from(rows, {name.name: name for name in names}, "keyed")
    several = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
    return query.group_by(*names, copy=False).having(several, copy=False)


def compile_parent_keys(
    mapping: TableMapping, facts: Facts, fates_paths: Sequence[str], lost_paths: Sequence[str] = ()
) -> exp.Select:
    """Return the SELECT of one row per key of a mapping: `k0`, `k1` .., `uuid`, `fate`.

    `fates_paths` are the fates of all its batches, `lost_paths` the rows that `compile_fixpoint_step` found.
    Of several rows with one key, a loaded one wins over a rejected, a filtered and a deduplicated one, in this order.
    """
    kinds = key_types(mapping, facts)
    fates = Fates(fates_paths, kinds, lost_paths)
    keys = [f"k{place}" for place in range(len(kinds))]
    ranks = [
        exp.If(this=fates.fate().eq(exp.Literal.string(fate)), true=exp.Literal.number(rank))
        for rank, fate in enumerate(_RANKS)
    ]
    values: dict[str, exp.Expression] = {name: fates.key(place) for place, name in enumerate(keys)}
    known = every(is_present(value) for value in values.values())
    rows = fates.layers.select({**values, "uuid": fates.uuid(), "rank": exp.Case(ifs=ranks)}, where=known)
    columns = {name: exp.column(name, quoted=True) for name in keys}
    best = exp.Min(this=exp.column("rank", quoted=True))
    names = [
        exp.If(this=best.copy().eq(exp.Literal.number(rank)), true=exp.Literal.string(fate))
        for rank, fate in enumerate(_RANKS)
    ]
    made = exp.Min(this=exp.column("uuid", quoted=True))
    query = select_from(rows, {**columns, "uuid": made, "fate": exp.Case(ifs=names)}, "keyed")
    query = query.group_by(*(column.copy() for column in columns.values()), copy=False)
    return sorted_by(query, keys)


def compile_distinct(plan: Plan, mapping: TableMapping, need: Need, facts: Facts) -> exp.Select:
    """Return the SELECT of the distinct texts (`raw`) that the `names` rules behind this need will see; no NULL.

    `row_count` is the number of rows that hold each text, filtered ones included.
    """
    rule = next(rule for rule in mapping.rules() if isinstance(rule, Names) and own_need(mapping, rule.need()) == need)
    scope = MappingScope(plan, mapping, facts, facts.extracts[mapping.from_].paths)
    raw = scope.as_text(rule.column).value
    rows = scope.layers.select({"raw": raw}, where=is_present(raw))
    text = exp.column("raw", quoted=True)
    counted = select_from(rows, {"raw": text, "row_count": exp.Count(this=exp.Star())}, "texts")
    return counted.group_by(text.copy(), copy=False)


class Fates:
    """The fates of a mapping's batches as layers: its keys typed, rows that a fixpoint lost counted as rejected.

    Files of fates hold UUIDs as 16 bytes, as everything that leaves the engine.
    """

    def __init__(
        self,
        paths: Sequence[str],
        kinds: Sequence[LogicalType],
        lost_paths: Sequence[str] = (),
        further: Mapping[str, LogicalType] | None = None,
    ) -> None:
        """Start from files whose columns are those of `compile_transform`, and `further` ones."""
        self._kinds = kinds
        keys = {f"_k{place}": carried(kind) for place, kind in enumerate(kinds)}
        columns = {ROW: BIGINT, **keys, KEY_UUID: BYTES, FATE: TEXT, **(further or {})}
        self.layers = Layers(scan(paths, columns), columns)
        self._lost = lost_paths

    def fate(self) -> exp.Expression:
        """Return the row's fate."""
        fate = self.layers.column(FATE)
        if not self._lost:
            return fate
        lost = exp.Case(ifs=[exp.If(this=self.is_lost(), true=exp.Literal.string("rejected"))], default=fate)
        return self.layers.bind(lost)

    def is_lost(self) -> exp.Expression:
        """Return the condition that an earlier step of the fixpoint rejected the row."""
        if not self._lost:
            return exp.false()
        row = self.layers.join(parquet(self._lost), {ROW: self.layers.column(ROW)})
        return is_present(row(ROW))

    def key(self, place: int) -> exp.Expression:
        """Return a part of the row's key."""
        value = self.layers.column(f"_k{place}")
        return typed(value, self._kinds[place])

    def uuid(self) -> exp.Expression:
        """Return the UUID of the row's key."""
        return op.UuidFromBytes(this=self.layers.column(KEY_UUID))


def typed(value: exp.Expression, kind: LogicalType) -> exp.Expression:
    """Return a column of a fates file as a value of its logical type."""
    return op.UuidFromBytes(this=value) if kind.kind is Kind.UUID else value
