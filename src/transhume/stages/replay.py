"""Replay: rejects of an earlier run, repaired by people, go into a copy of its extract; a new run goes on from there.

So a repaired row meets the same rules, keys, checks, ledger and rollback as if the source had been corrected, and rows
that were rejected because of it come along. Neither the source nor the earlier run is changed.
"""

import hashlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transhume.batches import Event, FrozenLookup, Segment
from transhume.errors import Refused, SystemUnavailable, UsageError
from transhume.facts import Catalog
from transhume.journal import Entry
from transhume.plan.model import Plan, TableMapping
from transhume.schema import LINE_CLASS, ODD, ROW, Column, Table, physical_names
from transhume.stages.cells import is_same, value_of
from transhume.stages.context import RunContext, RunFolder
from transhume.stages.extract import journalled_extract, reused
from transhume.stages.files import sha256_of, write_private_parquet
from transhume.stages.rejects import MARK, carried, cells_of, header_of, mark_of, rejects_place
from transhume.stages.repaired_files import RepairedFile, read_repaired
from transhume.stages.segments import odd_columns, segment_event

_PROBLEMS_MAX = 50
_NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Replay:
    """What a run goes on from: the extract of run `base`, and new values by source table, `_row` and column."""

    base: RunFolder
    instant: str
    segments: Mapping[str, Sequence[Segment]]
    lookups: Mapping[str, FrozenLookup]
    repairs: Mapping[str, Mapping[int, Mapping[str, Any]]]
    sha256: str
    """Over the content of the files that the repairs come from."""

    @property
    def row_count(self) -> int:
        """Source rows that are repaired."""
        return sum(len(rows) for rows in self.repairs.values())

    def __str__(self) -> str:
        """Return what is replayed in words; the same words are the same repairs."""
        return f"repaired rejects of run {self.base.root.name}, files {self.sha256[:16]}"


def run_of(paths: Sequence[Path]) -> tuple[str, list[RepairedFile]]:
    """Return the run whose rejects these files hold, and the files. Raises: UsageError."""
    files = [read_repaired(path) for path in paths]
    runs = {row[0].split(".")[0] for file in files for _, row in file.rows}
    if len(runs) != 1:
        found = (
            "no row" if not runs else f"rows of {len(runs)} runs ({', '.join(sorted(map(repr, runs))[:_NAMED_MAX])})"
        )
        message = f"the files hold {found}; replay the rejects of one run at a time"
        raise UsageError(message)
    return runs.pop(), files


def read_replay(
    base: RunFolder, entries: Sequence[Entry], files: Sequence[RepairedFile], plan: Plan, catalog: Catalog
) -> Replay:
    """Return what the files repair of the rejects of run `base`, whose journal `entries` are.

    Raises: UsageError with everything that is wrong in the files; Refused where the run's own files are gone.
    """
    names = dict.fromkeys(each for mapping in plan.tables.values() for each in (mapping.from_, *mapping.feeding()))
    instant, segments, lookups = journalled_extract(entries, names)
    if instant is None or not (base.work / "extract").is_dir():
        message = (
            f"run '{base.root.name}' has no extract (any more), so its rejects cannot be replayed; nothing was "
            "changed. Correct the rows in the source and run again."
        )
        raise Refused(message)
    reading = _Reading(base, entries, plan, catalog)
    for file in files:
        reading.take(file)
    reading.finish()
    digest = hashlib.sha256()
    for each in sorted(sha256_of(file.path) for file in files):
        digest.update(each.encode())
    return Replay(base, instant, segments, lookups, reading.repairs, digest.hexdigest())


@dataclass(slots=True)
class _Reading:
    """The files under way: every problem is kept, so that all are told at once. No value is told."""

    base: RunFolder
    entries: Sequence[Entry]
    plan: Plan
    catalog: Catalog
    repairs: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _seen: dict[str, str] = field(default_factory=dict)

    def take(self, file: RepairedFile) -> None:
        """Take the repairs of one file, all of one mapping."""
        run = self.base.root.name
        ordinals = {f"{run}.m{number:03d}": name for number, name in enumerate(self.plan.tables)}
        by_mapping: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
        for number, row in file.rows:
            mapping = ordinals.get(row[0].rpartition(".")[0])
            if mapping is None or not row[0].rpartition(".")[2].isdecimal():
                self._wrong(file, number, f"'{MARK}' is not what transhume wrote; put it back, or delete the row")
            else:
                by_mapping[mapping].append((number, row))
        if len(by_mapping) > 1:
            named = ", ".join(f"'{name}'" for name in by_mapping)
            self.problems.append(f"{file.path}: rows of several mappings ({named}): each has its own file")
            return
        for name, rows in by_mapping.items():
            self._take_rows(file, self.plan.tables[name], rows)

    def finish(self) -> None:
        """Raise UsageError if anything was wrong, or nothing was changed."""
        if not self.problems and not self.repairs:
            self.problems.append("no cell was changed, so there is nothing to replay")
        if not self.problems:
            return
        more = len(self.problems) - _PROBLEMS_MAX
        listed = [*self.problems[:_PROBLEMS_MAX], *([f".. and {more} more"] if more > 0 else [])]
        message = "\n".join([f"the repaired rejects cannot be replayed ({len(self.problems)} problems):", *listed])
        raise UsageError(message)

    def _wrong(self, file: RepairedFile, number: int, told: str) -> None:
        self.problems.append(f"{file.path}: row {number}: {told}")

    def _take_rows(
        self, file: RepairedFile, mapping: TableMapping, rows: Sequence[tuple[int, tuple[str, ...]]]
    ) -> None:
        source = self.catalog.tables[mapping.from_]
        places = self._places(file, source)
        if places is None:
            return
        originals = self._originals(mapping, {row[0] for _, row in rows})
        for number, row in rows:
            mark = row[0]
            original = originals.get(mark)
            if original is None:
                self._wrong(file, number, f"'{mark}' is no reject of that run; put '{MARK}' back, or delete the row")
            elif mark in self._seen:
                self._wrong(file, number, f"the row stands twice; {self._seen[mark]} has it already")
            elif len(row) > len(file.header):
                self._wrong(
                    file, number, "has more cells than the header; a delimiter in a text needs quotes around it"
                )
            else:
                self._seen[mark] = f"{file.path}: row {number}"
                cells = [row[places[column.name]] for column in carried(source)]
                self._take_row(file, number, mapping, original, cells)

    def _places(self, file: RepairedFile, source: Table) -> dict[str, int] | None:
        """Return where each source column stands in the file, None if the header is wrong."""
        expected = header_of(source)
        found = list(file.header)
        missing = [name for name in expected if name not in found]
        unknown = [name for name in found if name not in expected]
        for names, says in ((missing, "is missing"), (unknown, "is no column of the rejects")):
            self.problems += [f"{file.path}: column '{name}' {says}; keep the header as it was" for name in names]
        if missing or unknown:
            return None
        if len(found) != len(expected):
            self.problems.append(f"{file.path}: a column stands twice in the header; keep the header as it was")
            return None
        ours = len(expected) - len(carried(source))
        if found == expected:
            return {name: place for place, name in enumerate(expected) if place >= ours}
        if len(set(expected)) != len(expected):
            self.problems.append(
                f"{file.path}: the columns were moved, and two have one name; keep the header as it was"
            )
            return None
        return {name: found.index(name) for name in expected[ours:]}

    def _originals(self, mapping: TableMapping, marks: set[str]) -> dict[str, dict[str, Any]]:
        """Return these rejects of a mapping as the run kept them, by mark. Raises: Refused if a file is not that."""
        hashes = {
            entry.event.fields["batch"]: entry.event.fields["rejects_sha256"]
            for entry in self.entries
            if entry.event.kind == "batch_staged" and entry.event.fields["mapping"] == mapping.name
        }
        found = {}
        for batch, sha256 in hashes.items():
            path = self.base.rejects / rejects_place(self.plan, mapping.name, batch)
            if sha256_of(path) != sha256:
                message = f"'{path}' is not what the run wrote; nothing was changed. Restore it, or run again."
                raise Refused(message)
            with pq.ParquetFile(path) as kept:
                for row in (row for rows in kept.iter_batches(1000) for row in rows.to_pylist()):
                    mark = mark_of(self.base.root.name, self.plan, mapping.name, row[ROW])
                    if mark in marks:
                        found[mark] = row
        return found

    def _take_row(
        self,
        file: RepairedFile,
        number: int,
        mapping: TableMapping,
        original: Mapping[str, Any],
        cells: Sequence[str],
    ) -> None:
        source = self.catalog.tables[mapping.from_]
        columns = carried(source)
        before = cells_of(source)(original)
        edited = [not is_same(cell, was) for cell, was in zip(cells, before, strict=True)]
        if not any(edited):
            return
        entries = original[ODD] or ()
        is_line = any(each["class"] == LINE_CLASS for each in entries)
        # A column may be the key of another mapping that reads the same rows.
        keys = {name for each in self.plan.tables.values() if each.from_ == mapping.from_ for name in each.key}
        values: dict[str, Any] = {}
        for column, cell, is_edited in zip(columns, cells, edited, strict=True):
            if is_edited and column.name in keys and not is_line:
                told = f"column '{column.name}' is part of the key and was edited; correct keys in the source"
                self._wrong(file, number, told)
            elif is_line and not is_edited and any(each["name"] == column.name and each["value"] for each in entries):
                told = f"column '{column.name}' still holds the whole line; write into each column what belongs there"
                self._wrong(file, number, told)
            elif is_edited or is_line:
                self._take_cell(file, number, column, cell, values)
        table = self.repairs.setdefault(mapping.from_, {})
        row = original[ROW]
        if row in table and table[row] != values:
            told = f"two mappings read this row of '{mapping.from_}', and it is repaired in two ways"
            self._wrong(file, number, told)
        table[row] = values

    def _take_cell(self, file: RepairedFile, number: int, column: Column, cell: str, values: dict[str, Any]) -> None:
        try:
            values[column.name] = value_of(cell, column)
        except ValueError as problem:
            self._wrong(file, number, f"column '{column.name}' {problem}")


def replayed_extract(context: RunContext, replay: Replay) -> Iterator[Event]:
    """Make the run's extract of the earlier run's, with the repaired values; or take what an earlier process made.

    Effects: files under work/extract; `context.segments` and `context.lookups` are set.
    Yields: extract_started, lookup_frozen, segment_written, rejects_replayed, extract_finished - or extract_reused.
    Raises: Refused if a file of the earlier run's extract is not what it was.
    """
    if (event := reused(context)) is not None:
        yield event
        return
    started = time.monotonic()
    work = context.folder.work
    shutil.rmtree(work / "extract", ignore_errors=True)
    one_instant = context.source_catalog.are_of_one_instant(context.source_tables())
    fields = {"instant": replay.instant, "tables": list(replay.segments), "one_instant": one_instant}
    yield Event("extract_started", {**fields, "replay_of": replay.base.root.name})
    context.lookups = dict(replay.lookups)
    for lookup in replay.lookups.values():
        _copy(replay.base.work, work, lookup.path, lookup.sha256)
        yield Event("lookup_frozen", asdict(lookup))
    for name, segments in replay.segments.items():
        context.segments[name] = []
        for segment in segments:
            made = _repaired(context, replay, segment)
            context.segments[name].append(made)
            yield segment_event(made)
    yield Event("rejects_replayed", {"run": replay.base.root.name, "rows": replay.row_count, "sha256": replay.sha256})
    rows = {name: sum(segment.row_count for segment in segments) for name, segments in context.segments.items()}
    took = round(time.monotonic() - started, 3)
    yield Event("extract_finished", {"instant": replay.instant, "rows": rows, "duration_s": took})


def _repaired(context: RunContext, replay: Replay, segment: Segment) -> Segment:
    """Bring one segment over, as it is or with its repaired rows."""
    work = context.folder.work
    here = range(segment.first_row, segment.first_row + segment.row_count)
    repairs = {row: values for row, values in replay.repairs.get(segment.table, {}).items() if row in here}
    _copy(replay.base.work, work, segment.path, segment.sha256)
    if not repairs:
        return segment
    table = context.source_catalog.tables[segment.table]
    names = physical_names(column.name for column in table.columns)
    whole = pq.read_table(work / segment.path)
    order = list(range(segment.row_count))
    rows = []
    for number, (row, values) in enumerate(sorted(repairs.items())):
        place = row - segment.first_row
        old = whole.slice(place, 1).to_pylist()[0]
        odd = [each for each in old[ODD] or () if each["name"] not in values]
        rows.append({**old, **{names[name]: value for name, value in values.items()}, ODD: odd or None})
        order[place] = segment.row_count + number
    changed = pa.concat_tables([whole, pa.Table.from_pylist(rows, whole.schema)]).take(pa.array(order))
    changed = changed.combine_chunks()
    path = work / segment.path
    path.unlink()
    digest = write_private_parquet(path, changed, durable=True)
    odd_now = odd_columns(changed.to_batches()[0])
    return replace(segment, sha256=digest, size_bytes=path.stat().st_size, odd_columns=odd_now)


def _copy(base: Path, work: Path, path: str, sha256: str) -> None:
    """Bring a file of the earlier extract over. It is a copy: the engine may write below this run's folder."""
    final = work / path
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = final.with_suffix(".partial")
    try:
        shutil.copyfile(base / path, partial)
        partial.chmod(0o600)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as problem:
        message = f"'{base / path}' could not be copied ({problem.strerror}); nothing was staged"
        raise SystemUnavailable(message) from problem
    if sha256_of(partial) != sha256:
        message = (
            f"'{base / path}' is not what the earlier run extracted; nothing was staged. Run again without replay."
        )
        raise Refused(message)
    partial.rename(final)
