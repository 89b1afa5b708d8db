"""Measuring: what the engine counts of the tables of a profile, put together column by column."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transhume.checks.personal import suspicion
from transhume.compiler.profile import (
    COLUMNS_MAX,
    compile_distinct_rows,
    compile_frequencies,
    compile_measures,
    compile_orphans,
    profiled_columns,
)
from transhume.dialects import DIALECTS
from transhume.engines.engine import Engine
from transhume.facts import Catalog, ColumnProfile, ExtractedTable, ReferenceProfile, TableProfile
from transhume.matching.names import refers
from transhume.matching.shapes import shape
from transhume.schema import Carrier, Column, Kind, Table, physical_names

_FEW = 5_000
"""A column of so many different values or fewer is counted value by value."""
_SET_MAX = 300
_SHOWN = 10
_EXAMPLES = 100
_TEXT_MAX = 400
_UNIQUE_MIN = 0.9
"""From this share of different values on, by the estimate, it is worth counting whether a column is a key."""
_PAIRS_MAX = 15
_INCLUDED_MIN = 0.9
_ESTIMATE_MARGIN = 1.1
_PARENTS_MAX = 3
_KEY_KINDS = frozenset({Kind.TEXT, Kind.INT, Kind.BIGINT, Kind.UUID})
_INTEGERS = frozenset({Kind.INT, Kind.BIGINT})


@dataclass(slots=True)
class _Read:
    """One table that was read: its rows in files, a sample of them, odd values by column and class."""

    extracted: ExtractedTable
    sample: pa.Table | None
    odd: Mapping[tuple[str, str], int]
    row_count: int
    complete: bool
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    keys: tuple[tuple[str, ...], ...] = ()
    duplicates: int = 0
    names: dict[str, str] = field(default_factory=dict)
    """Column names as the files have them."""

    def __post_init__(self) -> None:
        self.names = physical_names(column.name for column in self.extracted.table.columns)

    @property
    def sampled(self) -> bool:
        return self.extracted.row_count < self.row_count


class Measuring:
    """Collects the tables that were read, and measures them one by one; references need them all."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        """Take the engine in whose folder the files lie."""
        self._engine, self._catalog = engine, catalog
        self._tables: dict[str, _Read] = {}

    def add(
        self,
        extracted: ExtractedTable,
        sample: pa.Table | None,
        odd: Mapping[tuple[str, str], int],
        *,
        row_count: int,
        complete: bool,
    ) -> None:
        """Take a table's files and sample; `complete` says that the sample is the whole table."""
        read = _Read(extracted, sample, odd, row_count, complete)
        self._tables[extracted.table.name] = read
        for column, measured in self._measured(extracted):
            read.columns[column.name] = self._column(read, column, measured)
        read.keys, read.duplicates = self._keys(read)

    def table(self, name: str) -> TableProfile:
        """Return the profile of a table; all tables have been added."""
        read = self._tables[name]
        return TableProfile(
            name,
            read.row_count,
            read.extracted.row_count,
            read.columns,
            keys=read.keys,
            key=read.extracted.table.primary_key,
            duplicates=read.duplicates,
            references=tuple(self._references(read)),
        )

    def _measured(self, extracted: ExtractedTable) -> Iterable[tuple[Column, dict[str, Any]]]:
        columns = profiled_columns(extracted)
        if not extracted.row_count:
            yield from ((column, dict.fromkeys("ndazslob", None) | {"rows": 0}) for column in columns)
            return
        for start in range(0, len(columns), COLUMNS_MAX):
            part = columns[start : start + COLUMNS_MAX]
            row = self._ask(compile_measures(extracted, part)).to_pylist()[0]
            for place, column in enumerate(part):
                yield column, {letter: row.get(f"{letter}{place}") for letter in "ndazslob"} | {"rows": row["rows"]}

    def _column(self, read: _Read, column: Column, measured: Mapping[str, Any]) -> ColumnProfile:
        classes = {kind: count for (name, kind), count in read.odd.items() if name == column.name}
        present, distinct = int(measured["n"] or 0), int(measured["d"] or 0)
        counted = self._frequencies(read, column, distinct, int(measured["l"] or 0))
        sampled = counted if counted is not None else _sampled(read, column)
        shapes: Counter[str] = Counter()
        for value, count in sampled.items():
            shapes[shape(value)] += count
        found = suspicion(column.name, list(sampled)[:_FEW])
        is_text = column.type is not None and column.type.kind not in {Kind.INT, Kind.BIGINT, Kind.DOUBLE, Kind.BOOLEAN}
        few = counted is not None and len(counted) <= _SET_MAX
        return ColumnProfile(
            column.name,
            column.native or str(column.type),
            null_count=int(measured["rows"]) - present - sum(classes.values()),
            distinct=len(counted) if counted is not None else min(distinct, present),
            distinct_exact=counted is not None,
            minimum=_text(measured["a"]),
            maximum=_text(measured["z"]),
            length_min=measured["s"],
            length_max=measured["l"],
            top=tuple(
                (value, count) for value, count in sampled.most_common(_SHOWN) if counted is not None or count > 1
            ),
            patterns=tuple(shapes.most_common(_SHOWN)) if is_text else (),
            values=tuple(sorted(counted)) if counted is not None and few else None,
            examples=tuple(sampled)[:_EXAMPLES],
            rows_looked_at=sum(sampled.values()),
            classes=classes,
            zero_dates=int(measured["o"] or 0),
            bad_dates=int(measured["b"] or 0),
            likely=str(found) if found else "",
        )

    def _frequencies(self, read: _Read, column: Column, distinct: int, length_max: int) -> Counter[str] | None:
        """Return every value with its number of rows, None where there are too many or they are too long."""
        if distinct > _FEW or length_max > _TEXT_MAX or (column.type is not None and column.type.kind is Kind.BYTES):
            return None
        if read.complete:
            return _sampled(read, column)
        found = self._ask(compile_frequencies(read.extracted, column))
        return Counter(dict(zip(map(_shown, found["value"].to_pylist()), found["count"].to_pylist(), strict=True)))

    def _keys(self, read: _Read) -> tuple[tuple[tuple[str, ...], ...], int]:
        table, rows = read.extracted.table, read.extracted.row_count
        if not rows:
            return (), 0
        whole = {n: c for n, c in read.columns.items() if not c.null_count and not c.classes and _is_key_kind(table, n)}
        keys: list[tuple[str, ...]] = []
        for name, column in whole.items():
            enough = column.distinct == rows if column.distinct_exact else column.distinct >= _UNIQUE_MIN * rows
            if enough and (column.distinct_exact or self._distinct(read, (name,)) == rows):
                keys.append((name,))
        wide = [key for key in (table.primary_key, *table.unique) if len(key) > 1 and set(key) <= set(whole)]
        keys += [key for key in wide if self._distinct(read, key) == rows]
        if not keys:
            pairs = [
                pair
                for pair in combinations(list(whole)[:_SHOWN], 2)
                if read.columns[pair[0]].distinct * read.columns[pair[1]].distinct >= rows
            ]
            keys += [pair for pair in pairs[:_PAIRS_MAX] if self._distinct(read, pair) == rows][:_PARENTS_MAX]
        duplicates = 0
        key = table.primary_key
        if key and key not in keys and set(key) <= set(read.columns):
            nulls = max(read.columns[part].null_count + sum(read.columns[part].classes.values()) for part in key)
            duplicates = max(0, rows - nulls - self._distinct(read, key))
        return tuple(dict.fromkeys(keys)), duplicates

    def _distinct(self, read: _Read, columns: tuple[str, ...]) -> int:
        return int(self._ask(compile_distinct_rows(read.extracted, columns))["count"][0].as_py())

    def _references(self, read: _Read) -> Iterable[ReferenceProfile]:
        table = read.extracted.table
        declared = {key.columns for key in table.foreign_keys}
        for key in table.foreign_keys:
            parent = self._tables.get(key.table)
            known = parent is not None and set(key.target_columns) <= set(parent.columns)
            if parent is not None and known and set(key.columns) <= set(read.columns):
                yield from self._inclusion(read, key.columns, parent, key.target_columns, declared=True)
        for column in read.columns.values():
            if (column.name,) in declared or not column.distinct or not _is_key_kind(table, column.name):
                continue
            for other, name in self._parents(read, column)[:_PARENTS_MAX]:
                found = list(self._inclusion(read, (column.name,), other, (name,), declared=False))
                if found and found[0].rows and found[0].orphans <= (1 - _INCLUDED_MIN) * found[0].rows:
                    yield found[0]
                    break

    def _parents(self, read: _Read, column: ColumnProfile) -> list[tuple[_Read, str]]:
        """Return tables and keys that a column may refer to: the name points there, and it has no more values."""
        found: list[tuple[_Read, str]] = []
        ours = read.extracted.table.column(column.name)
        for parent in self._tables.values():
            table = parent.extracted.table
            if parent is read and (column.name,) in parent.keys:
                continue
            for key in parent.keys:
                if (
                    len(key) > 1
                    or not refers(column.name, table.name, key[0])
                    or (parent is read and key[0] == column.name)
                ):
                    continue
                own = table.column(key[0])
                fits = column.distinct <= _ESTIMATE_MARGIN * parent.columns[key[0]].distinct
                if fits and own is not None and ours is not None and _comparable(ours, own):
                    found.append((parent, key[0]))
        return found

    def _inclusion(
        self, child: _Read, columns: tuple[str, ...], parent: _Read, keys: tuple[str, ...], *, declared: bool
    ) -> Iterable[ReferenceProfile]:
        ours, theirs = ([t.extracted.table.column(n) for n in names] for t, names in ((child, columns), (parent, keys)))
        pairs = list(zip(ours, theirs, strict=False))
        if child.sampled or parent.sampled or any(a is None or b is None or not _comparable(a, b) for a, b in pairs):
            return
        row = self._ask(compile_orphans(child.extracted, columns, parent.extracted, keys)).to_pylist()[0]
        yield ReferenceProfile(
            tuple(columns), parent.extracted.table.name, tuple(keys), declared, row["rows"], int(row["orphans"] or 0)
        )

    def _ask(self, select: Any) -> pa.Table:
        return self._engine.query(DIALECTS[self._engine.dialect].render(select))


def _is_key_kind(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.type is not None and column.type.kind in _KEY_KINDS


def _comparable(one: Column, other: Column) -> bool:
    if one.type is None or other.type is None:
        return False
    if one.type.kind in _INTEGERS or other.type.kind in _INTEGERS:
        both = one.type.kind in _INTEGERS and other.type.kind in _INTEGERS
        return both and one.carrier is other.carrier is Carrier.NATIVE
    return one.type.kind is other.type.kind and one.carrier is other.carrier


def _sampled(read: _Read, column: Column) -> Counter[str]:
    """Return the values of a column in the sample, with their number of rows there."""
    physical = read.names[column.name]
    if read.sample is None or physical not in read.sample.column_names:
        return Counter()
    counts = pc.value_counts(read.sample[physical])
    values, numbers = counts.field("values").to_pylist(), counts.field("counts").to_pylist()
    return Counter({_shown(value): number for value, number in zip(values, numbers, strict=True) if value is not None})


def _text(value: Any) -> str | None:
    return None if value is None else _shown(value)


def _shown(value: Any) -> str:
    return str(value)[:_TEXT_MAX]
