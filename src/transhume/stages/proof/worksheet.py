"""The rows of a sample side by side: source values, rule, what the oracle expects, what the target shows, verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from transhume.checks.personal import masked, suspicion
from transhume.dialects import DIALECTS
from transhume.oracle import ExpectedRows as OracleRows
from transhume.oracle import Key, Odd, Rows
from transhume.oracle.reading import JoinedRow
from transhume.plan.model import TableMapping
from transhume.rules.rule import ColumnRef
from transhume.schema import FATE, REASONS, physical_names
from transhume.stages.context import RunContext
from transhume.stages.files import write_private_parquet
from transhume.stages.proof.compare import different, rows_by_key, value_text
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.recompute import POSITION, ExpectedRows
from transhume.stages.proof.sample import Sample
from transhume.stages.proof.surroundings import ParentFates, deduplicated, with_surroundings

ROWS_MAX = 200
"""Rows of one table that a worksheet shows: those by chance, then one for each stratum."""
Row = Mapping[str, Any]
Joined = Mapping[str, JoinedRow]
_FILE = Path("present") / "sheet.parquet"


@dataclass(frozen=True, slots=True)
class SheetCell:
    """One target column of a row; `source` holds the source columns that its rule reads, as texts."""

    column: str
    rule: str
    source: tuple[tuple[str, str], ...]
    expected: str
    found: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row of a sample: why it was taken, what must become of it, what did, and every column of a loaded one."""

    mapping: str
    row: int
    key: str
    why: tuple[str, ...]
    expected: str
    said: str
    cells: tuple[SheetCell, ...]

    @property
    def is_right(self) -> bool:
        """Whether the row's fate and all of its values are what the oracle says."""
        return self.expected == self.said and all(cell.is_right for cell in self.cells)


def sheet_rows(
    context: RunContext,
    evidence: Evidence,
    mapping: TableMapping,
    sample: Sample,
    present: str,
    duplicates: frozenset[Key],
    *,
    show_values: bool,
) -> Iterator[SheetRow]:
    """Yield the rows of a sample that are shown, in the order of the extract; values that look personal are masked."""
    fates = ParentFates(evidence)
    oracle = evidence.oracle(mapping, fates)
    by_chance = [row for row in sorted(sample.why) if "by chance" in sample.why[row]]
    strata = [row for row in sorted(sample.why) if "by chance" not in sample.why[row]]
    chosen = sorted([*by_chance, *strata][:ROWS_MAX])
    said_of = deduplicated(evidence, mapping) if mapping.dedupe is not None else None
    parts = [ColumnRef(name) for name in mapping.key]
    for segment in evidence.segments[mapping.from_]:
        places = [row - segment.first_row for row in chosen if 0 <= row - segment.first_row < segment.row_count]
        if not places:
            continue
        positions = [segment.first_row + place for place in places]
        rows = with_surroundings(evidence, Rows(oracle, evidence.segment_rows(segment)(places)), fates)
        keys = rows.keys(parts)
        lost = None if said_of is None else [said_of[position] for position in positions]
        expected = oracle.expected_rows(rows, [key in duplicates for key in keys], lost)
        told = evidence.fate_rows(mapping.name, segment.index).take(pa.array(places, pa.int64()))
        found = _found(context, mapping, positions, keys, expected, present)
        hidden = set() if show_values else _hidden(mapping, rows.rows)
        for place, position in enumerate(positions):
            reasons = told[REASONS][place].as_py() or ""
            yield SheetRow(
                mapping.name,
                position,
                ", ".join(keys[place] or ()),
                tuple(dict.fromkeys(sample.why[position])),
                _fate_text(expected.fates[place], expected.reasons.get(place, ())),
                _fate_text(told[FATE][place].as_py(), tuple(reasons.split("\n")) if reasons else ()),
                tuple(_cells(mapping, rows.rows[place], rows.joined[place], found.get(position), hidden)),
            )


def _found(
    context: RunContext,
    mapping: TableMapping,
    positions: list[int],
    keys: Sequence[Key | None],
    expected: OracleRows,
    present: str,
) -> dict[int, dict[str, tuple[Any, Any, bool]]]:
    """Return by position and column what is expected, what the target shows, and whether they are the same bits."""
    target = context.tables[mapping.name]
    if not target.key:
        return {}
    writer = ExpectedRows(target)
    writer.add(positions, keys, expected, [True] * len(keys))
    if not writer.row_count:
        return {}
    wanted = writer.table()
    write_private_parquet(context.folder.work / _FILE, wanted)
    dialect = DIALECTS[context.engine.dialect]
    shown = context.engine.query(dialect.render(rows_by_key(target, str(_FILE), present)))
    (context.folder.work / _FILE).unlink()
    names = physical_names(column.name for column in target.table.columns)
    place_of = {row: place for place, row in enumerate(shown[POSITION].to_pylist())}
    aligned = shown.take(pa.array([place_of[row] for row in wanted[POSITION].to_pylist()], pa.int64()))
    result: dict[int, dict[str, tuple[Any, Any, bool]]] = {row: {} for row in wanted[POSITION].to_pylist()}
    for column in target.table.columns:
        assert column.type is not None
        ours = wanted[names[column.name]]
        theirs = aligned[names[column.name]].cast(ours.type)
        wrong = set(different(ours, theirs, column.type.kind))
        lines = zip(wanted[POSITION].to_pylist(), ours.to_pylist(), theirs.to_pylist(), strict=True)
        for place, (row, one, other) in enumerate(lines):
            result[row][column.name] = (one, other, place not in wrong)
    return result


def _cells(
    mapping: TableMapping,
    row: Row,
    joined: Joined,
    found: Mapping[str, tuple[Any, Any, bool]] | None,
    hidden: set[str],
) -> Iterator[SheetCell]:
    for name, rule in mapping.columns.items():
        columns = list(dict.fromkeys(rule.columns()))
        is_hidden = name in hidden or bool(hidden & set(columns))
        source = tuple((column, _shown(_source_text(row, joined, column), is_hidden=is_hidden)) for column in columns)
        if found is None or name not in found:
            yield SheetCell(name, rule.verb, source, "", "", is_right=True)
            continue
        expected, there, is_right = found[name]
        texts = [_shown(value_text(value), is_hidden=is_hidden) for value in (expected, there)]
        yield SheetCell(name, rule.verb, source, texts[0], texts[1], is_right)


def _source_text(row: Row, joined: Joined, name: str) -> str:
    alias, _, column = name.partition(".")
    value: Any = row.get(name)
    if name not in row:
        other = joined.get(alias)
        value = other.get(column) if isinstance(other, Mapping) else None
    if isinstance(value, Odd):
        return f"{value.content.decode(errors='backslashreplace')[:200]!r} ({value.storage})"
    return value_text(value)


def _hidden(mapping: TableMapping, rows: Sequence[Row]) -> set[str]:
    """Return the source and target columns that look personal or secret, by name and by the values of these rows."""
    hidden = {name for name in mapping.columns if suspicion(name, ()) is not None}
    for name in {column for rule in mapping.columns.values() for column in rule.columns()}:
        texts = [row[name] for row in rows if isinstance(row.get(name), str)]
        if suspicion(name.rpartition(".")[2], texts) is not None:
            hidden.add(name)
    return hidden


def _shown(text: str, *, is_hidden: bool) -> str:
    return masked(text) if is_hidden and text != "NULL" else text


def _fate_text(fate: str, reasons: tuple[str, ...]) -> str:
    return f"{fate}: {', '.join(reasons)}" if reasons else fate
