"""Which rows the oracle recomputes: some by chance, and by design at least one for every way that a row can go."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.batches import Segment
from transhume.oracle import Oracle, Rows
from transhume.oracle.reading import Field, RowScope
from transhume.plan.model import NamesLookup, TableMapping
from transhume.schema import BOOKKEEPING, ODD, REASONS, WARNINGS, physical_names
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.lookups import prepare_lookups
from transhume.stages.proof.surroundings import joined_rows
from transhume.stages.transform import BUCKET

WHOLE_MAX = 5_000
"""Tables of so many rows are recomputed whole: that costs less than choosing."""
_SCATTERED = 2_000
_WAYS_LOOKED_AT_MAX = 50_000
"""Distinct values of a column whose way is looked at, in the order of the extract."""
_JOINED_LOOKED_AT_MAX = 20_000
"""Rows whose joined rows are looked up for the ways of rules that read these, in the order of the extract."""
_JOINED_AT_A_TIME = 2_000


@dataclass(slots=True)
class Sample:
    """Rows of one mapping: by segment the places to recompute, and by position in the extract why a row is shown."""

    mapping: str
    rows: int
    is_whole: bool
    places: dict[int, set[int]] = field(default_factory=dict)
    why: dict[int, list[str]] = field(default_factory=dict)

    def add(self, segment: Segment, place: int, why: str) -> None:
        """Take one row, to be recomputed and to be shown."""
        self.places.setdefault(segment.index, set()).add(place)
        self.why.setdefault(segment.first_row + place, []).append(why)


def choose(evidence: Evidence, mapping: TableMapping, count: int, seed: int) -> Sample:
    """Return `count` rows by chance and the strata: NULLs, least and greatest, odd values, reasons, ways of rules.

    The same seed gives the same rows. A table of few rows is recomputed whole; what is shown is chosen alike.
    """
    segments = evidence.segments[mapping.from_]
    total = sum(segment.row_count for segment in segments)
    dice = random.Random(f"{seed}:{mapping.name}")  # noqa: S311 - a draw that can be repeated, no secret
    sample = Sample(mapping.name, total, total <= WHOLE_MAX)
    for position in sorted(dice.sample(range(total), min(count, total))):
        segment = _segment_of(segments, position)
        sample.add(segment, position - segment.first_row, "by chance")
    seen: set[str] = set()
    looked_at: dict[str, int] = defaultdict(int)
    oracle = evidence.oracle(mapping)
    for segment in segments:
        read = pq.read_table(evidence.work / segment.path, memory_map=True)
        for place, why in _strata(evidence, oracle, segment, read, looked_at):
            if why not in seen:
                seen.add(why)
                sample.add(segment, place, why)
    for segment, place, why in _joined_ways(evidence, oracle, segments):
        sample.add(segment, place, why)
    _least_and_greatest(evidence, oracle, sample)
    for segment in segments:
        if sample.is_whole:
            sample.places[segment.index] = set(range(segment.row_count))
        elif segment.row_count:
            share = min(segment.row_count, -(-_SCATTERED * segment.row_count // total))
            sample.places.setdefault(segment.index, set()).update(dice.sample(range(segment.row_count), share))
    return sample


def _segment_of(segments: Sequence[Segment], position: int) -> Segment:
    return next(each for each in segments if each.first_row <= position < each.first_row + each.row_count)


def _strata(
    evidence: Evidence, oracle: Oracle, segment: Segment, read: pa.Table, looked_at: dict[str, int]
) -> Iterator[tuple[int, str]]:
    """Yield places of a segment with what they stand for; the first of each kind counts."""
    yield from _fates(evidence.fate_rows(oracle.mapping.name, segment.index))
    names = _read_columns(evidence, oracle)
    for name, physical in names.items():
        if read[physical].null_count:
            yield pc.index(pc.is_null(read[physical]), True).as_py(), f"NULL in {name}"
    if read[ODD].null_count < read.num_rows:
        for place in pc.indices_nonzero(pc.is_valid(read[ODD])).to_pylist():
            for entry in read[ODD][place].as_py():
                yield place, f"{entry['class']} in {entry['name']}"
    for each in oracle.fields():
        yield from _ways(oracle, each, read, names, looked_at)


def _fates(said: pa.Table) -> Iterator[tuple[int, str]]:
    for column in (BUCKET, REASONS, WARNINGS):
        if column in said.column_names:
            for value in pc.unique(said[column].drop_null()).to_pylist():
                place = pc.index(said[column], value).as_py()
                for line in value.split("\n"):
                    yield place, line


def _ways(
    oracle: Oracle, each: Field, read: pa.Table, names: Mapping[str, str], looked_at: dict[str, int]
) -> Iterator[tuple[int, str]]:
    columns = list(dict.fromkeys(each.rule.columns()))
    if not each.has_ways or not columns or not set(columns) <= names.keys():
        return
    values = read.select([names[name] for name in columns]).rename_columns([str(n) for n in range(len(columns))])
    places = values.append_column("place", pa.array(range(read.num_rows), pa.int64()))
    if any(pa.types.is_nested(column.type) for column in values.columns):
        return
    first = places.group_by(values.column_names, use_threads=False).aggregate([("place", "min")])
    found: set[str] = set()
    combined = list(zip(*(first[name].to_pylist() for name in (*values.column_names, "place_min")), strict=True))
    asked = combined[: max(0, _WAYS_LOOKED_AT_MAX - looked_at[each.name])]
    rows = [dict(zip(columns, parts, strict=True)) for *parts, _ in asked]
    prepare_lookups(Rows(oracle, rows), [each.rule])
    for *parts, place in combined:
        if looked_at[each.name] >= _WAYS_LOOKED_AT_MAX:
            return
        looked_at[each.name] += 1
        way = each.way(RowScope(oracle, dict(zip(columns, parts, strict=True)), {}))
        if way and way not in found:
            found.add(way)
            yield place, f"{way} of {each.name}"


def _joined_ways(evidence: Evidence, oracle: Oracle, segments: Sequence[Segment]) -> Iterator[tuple[Segment, int, str]]:
    """Yield a row for every way that rules over joined columns go, until each way of theirs was met."""
    own = {column.name for column in evidence.sources[oracle.mapping.from_].columns}
    fields = [each for each in oracle.fields() if each.has_ways and not set(each.rule.columns()) <= own]
    names = {name: each.names for name, each in evidence.plan.lookups.items() if isinstance(each, NamesLookup)}
    open_ways = {f"{way} of {each.name}" for each in fields for way in each.rule.ways(names)}
    found: set[str] = set()
    left = _JOINED_LOOKED_AT_MAX
    for segment in segments if fields else ():
        rows_at = evidence.segment_rows(segment)
        for first in range(0, min(left, segment.row_count), _JOINED_AT_A_TIME):
            if not open_ways:
                return
            places = range(first, min(first + _JOINED_AT_A_TIME, segment.row_count))
            rows = joined_rows(evidence, Rows(oracle, rows_at(places)))
            prepare_lookups(rows, [each.rule for each in fields])
            for each in fields:
                for place, scope in zip(places, rows.scopes, strict=True):
                    way = f"{each.way(scope)} of {each.name}"
                    if not way.startswith(" ") and way not in found:
                        found.add(way)
                        # A name is met by any of its spellings.
                        open_ways.discard(way.replace(" (folded) of ", " of "))
                        yield segment, place, way
        left -= segment.row_count


def _least_and_greatest(evidence: Evidence, oracle: Oracle, sample: Sample) -> None:
    """Take for each column that rules read the row of its least, its greatest and its longest value."""
    segments = evidence.segments[oracle.mapping.from_]
    best: dict[tuple[str, str], tuple[Any, Segment, int]] = {}
    for segment in segments:
        read = pq.read_table(evidence.work / segment.path, memory_map=True)
        for name, physical in _read_columns(evidence, oracle).items():
            column = read[physical]
            if column.null_count == len(column) or not _is_ordered(column.type):
                continue
            limits = pc.min_max(column).as_py()
            for word, value in (("least", limits["min"]), ("greatest", limits["max"])):
                known = best.get((word, name))
                if known is None or (value < known[0] if word == "least" else value > known[0]):
                    best[word, name] = (value, segment, pc.index(column, value).as_py())
            if pa.types.is_string(column.type):
                lengths = pc.utf8_length(column)
                longest = pc.max(lengths).as_py()
                known = best.get(("longest", name))
                if known is None or longest > known[0]:
                    best["longest", name] = (longest, segment, pc.index(lengths, longest).as_py())
    for (word, name), (_, segment, place) in best.items():
        if place >= 0:
            sample.add(segment, place, f"{word} {name}")


def _is_ordered(held: pa.DataType) -> bool:
    return not (pa.types.is_list(held) or pa.types.is_boolean(held) or pa.types.is_fixed_size_binary(held))


def _read_columns(evidence: Evidence, oracle: Oracle) -> dict[str, str]:
    """Return the own columns that a mapping's rules read, with their names in the extract."""
    mapping = oracle.mapping
    names = physical_names(column.name for column in evidence.sources[mapping.from_].columns)
    read = {name for rule in mapping.columns.values() for name in rule.columns()} | set(mapping.key)
    typed = {column.name for column in evidence.sources[mapping.from_].columns if column.type is not None}
    return {name: names[name] for name in names if name in read & typed and names[name] not in BOOKKEEPING}
