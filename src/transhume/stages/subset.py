"""A part of the source that holds together: rows chosen by a seed, with every row that they refer to.

The choice is made once, over the extract, and kept: a resumed run goes on with the same rows. Joins need nothing
here, because they read the whole extract. What is outside the part is counted as `outside` and nothing else.
"""

import hashlib
import heapq
import math
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.batches import Event
from transhume.checks.references import chosen_parents, references
from transhume.compiler import table_order
from transhume.dialects import DIALECTS
from transhume.errors import UsageError
from transhume.plan.model import NamesLookup, TableMapping
from transhume.schema import FATE, REASONS, ROW, WARNINGS, physical_names
from transhume.stages.context import RunContext
from transhume.stages.files import sha256_of, write_private_parquet
from transhume.stages.keys import group_keys, parent_keys
from transhume.stages.links import linked_columns
from transhume.stages.transform import OUTSIDE, fates_path, transform, whole_fates_path, write_fates

_FOLDER = Path("subset")
_PERCENT_MAX = 100


@dataclass(frozen=True, slots=True)
class Subset:
    """How many rows of each table mapping are chosen, before the rows that they refer to; `seed` chooses which.

    `covering`: beside them a row for every way that a row can go, as the oracle's sample has them: each branch, code
    and name, each reject reason, NULLs, the least and the greatest values.
    """

    rows: int | None = None
    percent: float | None = None
    seed: int = 1
    covering: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for a part that is no part."""
        if (self.rows is None) == (self.percent is None):
            message = "a subset needs one size: --rows N (of each table) or --percent P"
            raise UsageError(message)
        if self.rows is not None and self.rows < 1:
            message = f"a subset of {self.rows} rows holds nothing; give --rows 1 or more"
            raise UsageError(message)
        if self.percent is not None and not 0 < self.percent <= _PERCENT_MAX:
            message = f"a subset of {self.percent:g} percent is none; give --percent above 0, up to {_PERCENT_MAX}"
            raise UsageError(message)

    def __str__(self) -> str:
        """Return the part in words; runs with the same words choose the same rows of the same extract."""
        size = f"{self.rows} rows" if self.rows is not None else f"{self.percent:g} percent"
        covering = ", and a row for every way that a row can go" if self.covering else ""
        return f"{size} of each table, seed {self.seed}{covering}"

    def count(self, row_count: int) -> int:
        """Return how many rows of a table are chosen at first."""
        if self.rows is not None:
            return min(self.rows, row_count)
        return math.ceil(row_count * (self.percent or 0) / _PERCENT_MAX)


def choose(context: RunContext) -> Iterator[Event]:
    """Choose the rows of the run's part and what they refer to, or take the choice of an earlier process.

    Effects: `context.chosen` is set where the run has a part; files under work/subset; the relations of all mappings.
    Yields: relation_built and fixpoint_done as `keys` does, subset_covered and subset_chosen (one a mapping).
    """
    if context.subset is None or _recalled(context):
        return
    chosen: dict[str, set[int]] = {}
    (context.folder.work / _FOLDER).mkdir(exist_ok=True, mode=0o700)
    for group in table_order(context.plan):
        yield from group_keys(context, group)
        for name in group:
            mapping = context.plan.tables[name]
            chosen[name] = _look(context, mapping, context.subset)
            yield from parent_keys(context, mapping)
    if context.subset.covering:
        yield from _cover(context, chosen, context.subset.seed)
    _close(context, chosen)
    for name, rows in chosen.items():
        context.chosen[name] = pa.array(sorted(rows), pa.int64())
        digest = write_private_parquet(
            context.folder.work / _path(context, name), pa.table({ROW: context.chosen[name]}), durable=True
        )
        yield Event("subset_chosen", {"mapping": name, "rows": len(rows), "sha256": digest})


def within(context: RunContext, mapping: TableMapping, result: pa.Table) -> pa.Table:
    """Return transformed rows, those outside the run's part with that fate and no reason."""
    if context.subset is None:
        return result
    inside = pc.is_in(result[ROW], value_set=context.chosen[mapping.name])
    for name, outside in ((FATE, OUTSIDE), (REASONS, None), (WARNINGS, None)):
        if name in result.column_names:
            column = pc.if_else(inside, result[name], pa.scalar(outside, result[name].type))
            result = result.set_column(result.column_names.index(name), name, column)
    return result


def _recalled(context: RunContext) -> bool:
    """Take what an earlier process chose, if every file of it is as it was written."""
    begun = max((each.number for each in context.journal.entries if each.event.kind == "extract_started"), default=0)
    since = [each.event for each in context.journal.entries[begun:] if each.event.kind == "subset_chosen"]
    events = {event.fields["mapping"]: event for event in since}
    for name in context.plan.tables:
        event = events.get(name)
        path = context.folder.work / _path(context, name)
        if event is None or sha256_of(path) != event.fields["sha256"]:
            context.chosen.clear()
            return False
        context.chosen[name] = pq.read_table(path)[ROW].combine_chunks()
    return True


def _look(context: RunContext, mapping: TableMapping, subset: Subset) -> set[int]:
    """Transform all rows of a mapping as a run does; keep fates and links; return the rows with the lowest lots."""
    table = context.tables[mapping.name]
    names = linked_columns(context, table)
    segments = context.segments[mapping.from_]
    count = subset.count(sum(segment.row_count for segment in segments))

    def lots() -> Iterator[tuple[bytes, int]]:
        for transformed in transform(context, mapping, segments):
            with transformed.open() as result:
                write_fates(context, mapping, transformed.segment, result, result[FATE].combine_chunks())
                _keep_fates(context, mapping, transformed.segment.index)
                loaded = result.filter(pc.equal(result[FATE], "loaded"))
                physical = physical_names(column.name for column in table.table.columns)
                links = loaded.select([ROW, *(physical[name] for name in names)])
                links = links.rename_columns([ROW, *names.values()])
                write_private_parquet(context.folder.work / _links(context, mapping, transformed.segment.index), links)
                yield from _lots(mapping, subset, result)

    drawn = lots()
    lowest = heapq.nsmallest(count, drawn)
    # Of no row one would have asked for none; what is kept of each segment is needed all the same.
    deque(drawn, 0)
    return {row for _, row in lowest}


def _keep_fates(context: RunContext, mapping: TableMapping, index: int) -> None:
    """Keep what became of all rows: the load writes the part's own fates over it."""
    path = fates_path(context, mapping, index)
    kept = context.folder.work / whole_fates_path(path)
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(context.folder.work / path, kept)
    kept.chmod(0o600)


def _lots(mapping: TableMapping, subset: Subset, result: pa.Table) -> Iterator[tuple[bytes, int]]:
    """Yield each row with its lot: a hash of seed, source table and key, so that other rows change nothing."""
    keys = [result[name].to_pylist() for name in result.column_names if name.startswith("_k")]
    for row, *key in zip(result[ROW].to_pylist(), *keys, strict=True):
        text = repr((subset.seed, mapping.from_, row if None in key else tuple(map(str, key))))
        yield hashlib.blake2b(text.encode(), digest_size=16).digest(), row


def _cover(context: RunContext, chosen: dict[str, set[int]], seed: int) -> Iterator[Event]:
    """Choose a row for every way that a row can go; say which ways are covered, and which of the plan's no row goes."""
    # Only a rehearsal's part covers, and no run waits for what proves rows.
    from transhume.stages.proof.prove import gather_evidence  # noqa: PLC0415
    from transhume.stages.proof.sample import choose as sampled  # noqa: PLC0415

    evidence = gather_evidence(context)
    names = {name: each.names for name, each in context.plan.lookups.items() if isinstance(each, NamesLookup)}
    for name, mapping in context.plan.tables.items():
        why = sampled(evidence, mapping, 0, seed).why
        chosen[name] |= why.keys()
        covered = sorted({each for lines in why.values() for each in lines})
        planned = {f"{way} of {column}": None for column, rule in mapping.columns.items() for way in rule.ways(names)}
        # A name is covered by any of its spellings.
        found = {each.replace(" (folded) of ", " of ") for each in covered}
        missing = [each for each in planned if each not in found]
        yield Event("subset_covered", {"mapping": name, "covered": covered, "missing": missing})


def _close(context: RunContext, chosen: dict[str, set[int]]) -> None:
    """Add the rows that chosen ones refer to, and what those refer to, until there is no more."""
    dialect = DIALECTS[context.engine.dialect]
    links = {name: _all_links(context, context.plan.tables[name]) for name in chosen}
    names = {name: linked_columns(context, context.tables[name]) for name in chosen}
    found = list(references(context.plan, context.tables))
    new: Mapping[str, set[int]] = {name: set(rows) for name, rows in chosen.items()}
    while any(new.values()):
        grown: dict[str, set[int]] = {name: set() for name in chosen}
        for reference in found:
            if not new[reference.child]:
                continue
            path = _FOLDER / "new.parquet"
            rows = pa.table({ROW: pa.array(sorted(new[reference.child]), pa.int64())})
            write_private_parquet(context.folder.work / path, rows)
            select = chosen_parents(
                links[reference.child],
                [names[reference.child][column] for column in reference.columns],
                links[reference.parent],
                [names[reference.parent][column] for column in reference.keys],
                str(path),
            )
            parents = context.engine.query(dialect.render(select)).column(0).to_pylist()
            grown[reference.parent] |= set(parents) - chosen[reference.parent]
        for name, rows_of in grown.items():
            chosen[name] |= rows_of
        new = grown


def _path(context: RunContext, mapping: str) -> Path:
    return _FOLDER / f"m{list(context.plan.tables).index(mapping):03d}.parquet"


def _links(context: RunContext, mapping: TableMapping, index: int) -> Path:
    return _FOLDER / f"links-m{list(context.plan.tables).index(mapping.name):03d}-{index:06d}.parquet"


def _all_links(context: RunContext, mapping: TableMapping) -> Sequence[str]:
    return [str(_links(context, mapping, segment.index)) for segment in context.segments[mapping.from_]]
