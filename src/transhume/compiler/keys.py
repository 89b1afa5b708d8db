"""What is known of whole tables before and after their batches: duplicate keys, parents' keys, distinct values."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from transhume import operations as op
from transhume.compiler.asked_for import AskedKeys, keys_asked_for
from transhume.compiler.conversion import convert
from transhume.compiler.dedupe import DEDUPE_COLUMNS
from transhume.compiler.gathers import gather_columns
from transhume.compiler.joins import join_columns
from transhume.compiler.layers import Layers, select_from, sorted_by, with_columns
from transhume.compiler.scans import carried, parquet, scan
from transhume.compiler.scope import MappingScope, key_types, own_need, unbound
from transhume.compiler.transform import deduplicated, duplicates_need, filtered
from transhume.facts import Facts, Need
from transhume.plan.model import Plan, TableMapping
from transhume.rules.names import Names
from transhume.rules.rule import Sql
from transhume.rules.trees import every, is_present, negated, some
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
    return _repeated(compile_keys(plan, mapping, facts), [f"k{place}" for place in range(len(mapping.key))])


def compile_keys(plan: Plan, mapping: TableMapping, facts: Facts) -> exp.Select:
    """Return the SELECT of the keys (`k0`, `k1` ..) among which `compile_duplicates` looks, row by row."""
    scope = MappingScope(plan, mapping, facts, facts.extracts[mapping.from_].paths)
    keys = {f"k{place}": part.value for place, part in enumerate(scope.key())}
    conditions = [is_present(value) for value in keys.values()]
    left_out = filtered(scope)
    if left_out is not None:
        conditions.append(negated(left_out))
    lost = deduplicated(scope)
    if lost is not None:
        conditions.append(negated(lost))
    return scope.layers.select(keys, where=every(conditions))


def compile_duplicates_of_share(path: str, keys: Sequence[str], share: int, shares: int) -> exp.Select:
    """Return the SELECT of the keys that stand more than once in a file of `compile_keys`, of one share of them.

    `shares` divides the keys evenly, equal ones together: the results of all shares have no key in common and
    together are those of `compile_duplicates`. The engine holds the keys of one share.
    """
    columns = {name: exp.column(name, quoted=True) for name in keys}
    of = op.HashShare(expressions=list(columns.values()), shares=exp.Literal.number(shares))
    rows = select_from(parquet([path]), columns, "every")
    return _repeated(rows.where(of.eq(exp.Literal.number(share)), copy=False), keys)


def compile_together(paths: Sequence[str], columns: Mapping[str, LogicalType]) -> exp.Select:
    """Return the SELECT of the rows of all these files, which have these columns; there may be no file."""
    return select_from(scan(paths, columns), {name: exp.column(name, quoted=True) for name in columns}, "every")


def _repeated(rows: exp.Select, keys: Sequence[str]) -> exp.Select:
    names = [exp.column(name, quoted=True) for name in keys]
    query = select_from(rows, {name.name: name for name in names}, "keyed")
    several = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
    return query.group_by(*names, copy=False).having(several, copy=False)


def compile_parent_keys(
    plan: Plan, mapping: TableMapping, facts: Facts, fates_paths: Sequence[str], lost_paths: Sequence[str] = ()
) -> exp.Select:
    """Return the SELECT of one row per key of a mapping: `k0`, `k1` .., `uuid`, `fate`.

    `fates_paths` are the fates of all its batches, `lost_paths` the rows that `compile_fixpoint_step` found.
    Of several rows with one key, a loaded one wins over a rejected, a filtered and a deduplicated one, in this order.
    Keys that no reference of the plan asks for may be missing; they are where few are asked for.
    """
    kinds = key_types(mapping, facts)
    fates = Fates(fates_paths, kinds, lost_paths)
    keys = [f"k{place}" for place in range(len(kinds))]
    values: dict[str, exp.Expression] = {name: fates.key(place) for place, name in enumerate(keys)}
    known = every(is_present(value) for value in values.values())
    asked = keys_asked_for(plan, mapping, facts)
    columns = {name: exp.column(name, quoted=True) for name in keys}
    if asked is None and _is_known_unique(mapping, facts):
        same = [
            exp.If(this=fates.fate().eq(exp.Literal.string(fate)), true=exp.Literal.string(fate)) for fate in _RANKS
        ]
        alone = fates.layers.select({**values, "uuid": fates.uuid(), "fate": exp.Case(ifs=same)}, where=known)
        return sorted_by(alone, keys)
    ranks = [
        exp.If(this=fates.fate().eq(exp.Literal.string(fate)), true=exp.Literal.number(rank))
        for rank, fate in enumerate(_RANKS)
    ]
    rows = fates.layers.select({**values, "uuid": fates.uuid(), "rank": exp.Case(ifs=ranks)}, where=known)
    if asked is not None:
        rows = _only(rows, kinds, asked)
    best = exp.Min(this=exp.column("rank", quoted=True))
    names = [
        exp.If(this=best.copy().eq(exp.Literal.number(rank)), true=exp.Literal.string(fate))
        for rank, fate in enumerate(_RANKS)
    ]
    made = exp.Min(this=exp.column("uuid", quoted=True))
    query = select_from(rows, {**columns, "uuid": made, "fate": exp.Case(ifs=names)}, "keyed")
    query = query.group_by(*(column.copy() for column in columns.values()), copy=False)
    return sorted_by(query, keys)


def _is_known_unique(mapping: TableMapping, facts: Facts) -> bool:
    """Say whether no two rows have one key: none was found twice, and no row was left out of the search."""
    duplicates = facts.relations.get(str(duplicates_need(mapping)))
    is_whole = mapping.where is None and mapping.dedupe is None
    return is_whole and duplicates is not None and not duplicates.row_count


def _only(rows: exp.Select, kinds: Sequence[LogicalType], asked: Sequence[AskedKeys]) -> exp.Select:
    """Return the rows each of whose key parts (`k0`, `k1` ..) some row of one and the same reference asks for."""
    if not asked:
        return with_columns(rows, {}).where(exp.false(), copy=False)
    wanted: list[exp.Expression] = []
    texts: dict[str, exp.Expression] = {}
    for each in asked:
        parts: list[exp.Expression] = []
        for place, (kind, as_text) in enumerate(zip(kinds, each.reference.as_text, strict=True)):
            name = f"k{place}"
            own = exp.column(name, quoted=True)
            if as_text:
                texts[f"{name} as text"] = convert(Sql(own, kind), TEXT, "key", unbound).value
                own = exp.column(f"{name} as text", quoted=True)
            keys = select_from(each.keys.copy(), {"key": exp.column(name, quoted=True)}, "asked")
            parts.append(exp.In(this=own, query=exp.Subquery(this=keys)))
        wanted.append(every(parts))
    return with_columns(with_columns(rows, texts), {}).where(some(wanted), copy=False)


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
