"""Keys: what must be known of whole tables before a batch is transformed: relations, fates of parents."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pyarrow as pa
from sqlglot import exp

from transhume.batches import Event, arrow_type
from transhume.compiler import (
    compile_dedupe,
    compile_distinct,
    compile_duplicates,
    compile_duplicates_of_share,
    compile_fixpoint_step,
    compile_gather,
    compile_join,
    compile_keys,
    compile_parent_keys,
    compile_row_fates,
    compile_together,
    is_cyclic,
    needs,
    relation_columns,
)
from transhume.compiler.transform import duplicates_need, is_referenced
from transhume.dialects import DIALECTS
from transhume.facts import Facts, Need, Relation
from transhume.plan.model import NamesLookup, TableMapping
from transhume.rules.names import resolve
from transhume.rules.utc import zone_columns, zone_years
from transhume.schema import TEXT, LogicalType
from transhume.stages.context import WorkContext
from transhume.stages.files import write_private_parquet
from transhume.stages.lookups import lookup_relation
from transhume.stages.transform import fates_path, whole_fates_path

_FOLDER = Path("relations")
_SHARE_ROWS = 1_000_000
"""Rows whose keys are searched for duplicates at one time, so that memory does not grow with a table's rows."""


class RelationsAhead:
    """Builds what the mappings need of the extract alone while other tables are staged, and the engine has time.

    To be used in a `with`. What cannot be built here is left to whoever needs it, who then hears why.
    """

    def __init__(self, context: WorkContext, groups: Sequence[tuple[str, ...]]) -> None:
        """Begin with the first group's relations."""
        self._context = context
        self._thread = ThreadPoolExecutor(1, "relations")
        self._futures: dict[str, Future[Relation]] = {}
        for mapping in (context.plan.tables[name] for group in groups for name in group):
            for need in needs(mapping):
                if need.kind != "parents" and str(need) not in self._futures | context.relations:
                    self._futures[str(need)] = self._thread.submit(self._built, mapping, need)

    def __enter__(self) -> Self:
        """Do nothing: it has begun."""
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        """End it; where something went wrong, with the statement under way."""
        self._thread.shutdown(wait=problem is None, cancel_futures=True)
        if problem is not None:
            self._context.engine.cancel()
            self._thread.shutdown()

    def taken(self, need: Need) -> Relation | None:
        """Return a relation the first time it is asked for, once it is built; None where it is not built here."""
        future = self._futures.pop(str(need), None)
        return None if future is None or future.exception() is not None else future.result()

    def _built(self, mapping: TableMapping, need: Need) -> Relation:
        relation = _build(self._context, mapping, need)
        # Those after it may be made of it.
        self._context.relations[str(need)] = relation
        return relation


def group_keys(context: WorkContext, group: tuple[str, ...], ahead: RelationsAhead | None = None) -> Iterator[Event]:
    """Build every relation that the mappings of one group need; in a cycle of references, the fates of its keys too.

    `ahead` may have built some of them.
    Effects: files under work/relations; `context.relations` grows.
    Yields: relation_built, one each; fixpoint_done for a cycle.
    """
    deferred = frozenset(group) if is_cyclic(context.plan, group) else frozenset()
    mappings = [context.plan.tables[name] for name in group]
    for mapping in mappings:
        for need in needs(mapping):
            relation = ahead.taken(need) if ahead is not None else None
            if relation is None:
                if str(need) in context.relations or (need.kind == "parents" and need.subject in deferred):
                    continue
                relation = _build(context, mapping, need)
            context.relations[str(need)] = relation
            yield Event("relation_built", {"need": f"{need.kind}:{need.subject}", "rows": relation.row_count})
    if deferred:
        yield from _fixpoint(context, mappings, deferred)


def parent_keys(context: WorkContext, mapping: TableMapping) -> Iterator[Event]:
    """Build the relation of a loaded mapping's keys, UUIDs and fates, if any mapping references it."""
    need = Need("parents", mapping.name)
    if not is_referenced(context.plan, mapping) or str(need) in context.relations:
        return
    own = [fates_path(context, mapping, segment.index) for segment in context.segments[mapping.from_]]
    # Of a part the fates of all rows: a parent outside of it is no orphan's, whatever process asks.
    whole = [whole_fates_path(path) for path in own]
    is_part = bool(whole) and (context.folder.work / whole[0]).exists()
    paths = [str(path) for path in (whole if is_part else own)]
    relation = _parents(context, mapping, paths, ())
    yield Event("relation_built", {"need": str(need), "rows": relation.row_count})


def _build(context: WorkContext, mapping: TableMapping, need: Need) -> Relation:
    facts = context.facts()
    match need.kind:
        case "lookup":
            if need.subject in context.lookups:
                return lookup_relation(context.lookups[need.subject])
            entries = context.plan.origin.lookups[need.subject].entries
            rows: dict[str, Sequence[object]] = {"key": list(entries), "value": list(entries.values())}
            return _write(context, need, rows, dict.fromkeys(rows, TEXT))
        case "names":
            lookup = context.plan.lookups[need.subject]
            assert isinstance(lookup, NamesLookup)
            found = context.engine.query(_render(context, compile_distinct(context.plan, mapping, need, facts)))
            spellings = dict(zip(found["raw"].to_pylist(), found["row_count"].to_pylist(), strict=True))
            names = resolve(spellings, lookup.names)
            unknown = {raw: count for raw, count in spellings.items() if raw not in names}
            context.unknown_names[mapping.name, need.subject] = unknown
            pairs: dict[str, Sequence[object]] = {"raw": list(names), "canonical": list(names.values())}
            return _write(context, need, pairs, dict.fromkeys(pairs, TEXT))
        case "zone":
            return _write(context, need, zone_years(need.subject), zone_columns())
        case "join":
            select = compile_join(context.plan, mapping, need.subject, facts)
        case "dedupe":
            select = compile_dedupe(context.plan, mapping, facts)
        case "gather":
            select = compile_gather(context.plan, need, facts)
        case _:
            assert need.kind == "duplicates", need
            select = _duplicates(context, mapping, facts)
    columns = relation_columns(mapping, need, facts)
    path = _path(context, need)
    return Relation(str(path), columns, context.engine.to_parquet(_render(context, select), path))


def _duplicates(context: WorkContext, mapping: TableMapping, facts: Facts) -> exp.Select:
    """Return the SELECT of the keys that stand more than once; of many rows, one share of the keys after another."""
    shares = -(-facts.extracts[mapping.from_].row_count // _SHARE_ROWS)
    if shares <= 1:
        return compile_duplicates(context.plan, mapping, facts)
    columns = relation_columns(mapping, duplicates_need(mapping), facts)
    keys = _numbered(context, "keys", mapping)
    # Written once, because making keys of what the extract holds costs more than reading them again.
    context.engine.to_parquet(_render(context, compile_keys(context.plan, mapping, facts)), keys)
    found = []
    for share in range(shares):
        path = _numbered(context, f"duplicates-{share:04d}", mapping)
        select = compile_duplicates_of_share(str(keys), list(columns), share, shares)
        if context.engine.to_parquet(_render(context, select), path):
            found.append(str(path))
    (context.folder.work / keys).unlink()
    return compile_together(found, columns)


def _fixpoint(context: WorkContext, group: Sequence[TableMapping], deferred: frozenset[str]) -> Iterator[Event]:
    """Find which rows of a cycle lose their parent, until no more do; then the fates of the keys are known."""
    facts = context.facts()
    fates: dict[str, list[str]] = {}
    references = {}
    for mapping in group:
        paths = [segment.path for segment in context.segments[mapping.from_]]
        made = compile_row_fates(context.plan, mapping, facts, context.tables[mapping.name], paths, deferred)
        path = _numbered(context, "row-fates", mapping)
        context.engine.to_parquet(_render(context, made.select), path)
        fates[mapping.name] = [str(path)]
        references[mapping.name] = made.references
    lost: dict[str, list[str]] = {mapping.name: [] for mapping in group}
    newly: dict[str, list[str]] | None = None
    steps = 0
    while newly is None or any(newly.values()):
        found: dict[str, list[str]] = {}
        for mapping in group:
            select = compile_fixpoint_step(context.plan, mapping, facts, references[mapping.name], fates, lost, newly)
            path = _numbered(context, f"lost-{steps:04d}", mapping)
            rows = context.engine.to_parquet(_render(context, select), path)
            found[mapping.name] = [str(path)] if rows else []
        for name, paths in found.items():
            lost[name] += paths
        newly = found
        steps += 1
    for mapping in group:
        _parents(context, mapping, fates[mapping.name], lost[mapping.name])
    yield Event("fixpoint_done", {"mappings": sorted(deferred), "steps": steps})


def _parents(context: WorkContext, mapping: TableMapping, fates: Sequence[str], lost: Sequence[str]) -> Relation:
    need = Need("parents", mapping.name)
    facts = context.facts()
    select = compile_parent_keys(context.plan, mapping, facts, fates, lost)
    columns = relation_columns(mapping, need, facts)
    path = _path(context, need)
    relation = Relation(str(path), columns, context.engine.to_parquet(_render(context, select), path))
    context.relations[str(need)] = relation
    return relation


def _write(
    context: WorkContext, need: Need, rows: Mapping[str, Sequence[object]], columns: Mapping[str, LogicalType]
) -> Relation:
    arrays = [pa.array(rows[name], arrow_type(kind)) for name, kind in columns.items()]
    table = pa.table(arrays, names=list(columns))
    path = _path(context, need)
    write_private_parquet(context.folder.work / path, table)
    return Relation(str(path), columns, table.num_rows)


def _path(context: WorkContext, need: Need) -> Path:
    """Return a file name that holds no text of the plan."""
    return _FOLDER / f"{need.kind}-{next(context.file_numbers):04d}.parquet"


def _numbered(context: WorkContext, kind: str, mapping: TableMapping) -> Path:
    return _FOLDER / f"{kind}-m{list(context.plan.tables).index(mapping.name):03d}.parquet"


def _render(context: WorkContext, select: exp.Select) -> str:
    return DIALECTS[context.engine.dialect].render(select)
