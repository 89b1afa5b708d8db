"""What the stages of one run share: the plan, the systems, the folder, what an earlier process has done."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from transhume.batches import Event, FrozenLookup, Segment, TargetTable
from transhume.engines.engine import Engine
from transhume.facts import Catalog, ExtractedTable, Facts, Relation
from transhume.journal import Journal
from transhume.plan.model import Plan
from transhume.stages.lookup_systems import LookupSystems
from transhume.systems.system import Source, TargetRun

if TYPE_CHECKING:
    from transhume.stages.replay import Replay
    from transhume.stages.subset import Subset


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The places of one run. The engine may write anywhere below `work` and nowhere else."""

    root: Path

    @property
    def journal(self) -> Path:
        """The hash-chained event log."""
        return self.root / "journal.jsonl"

    @property
    def work(self) -> Path:
        """Extract, relations and transformed batches: everything that the engine reads or writes."""
        return self.root / "work"

    @property
    def copies(self) -> tuple[Path, ...]:
        """Folders that hold rows of the source: extracts, and what did not fit into memory."""
        return self.work, self.root / "spill"

    @property
    def rejects(self) -> Path:
        """Rejected rows, whole, with their reasons."""
        return self.root / "rejects"

    @property
    def keys(self) -> Path:
        """Lists of keys for people: rows that were skipped, rows that vanished from the source."""
        return self.root / "keys"

    def make(self) -> None:
        """Create the folders, readable by the owner only."""
        for folder in (self.root, self.work, self.rejects):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is in memory at once: rows and Arrow bytes of one segment.

    Twice as many rows took 100 to 200 MB more at the peak and were no faster.
    """

    segment_rows_max: int = 65_536
    segment_bytes_max: int = 24 * 2**20


@dataclass(slots=True, kw_only=True)
class BatchContext:
    """What one batch needs to be written down, here or in a task of the engine: nothing of it is an open system."""

    plan: Plan
    source_catalog: Catalog
    tables: Mapping[str, TargetTable]
    folder: RunFolder
    earlier: dict[str, int] = field(default_factory=dict)
    """By mapping: rows that earlier runs brought, whose keys may have vanished from the source."""


@dataclass(slots=True, kw_only=True)
class WorkContext(BatchContext):
    """What extracting and transforming needs; stages add what they made: `segments`, `lookups`, `relations`."""

    source: Source
    lookup_systems: LookupSystems
    engine: Engine
    journal: Journal
    limits: Limits = field(default_factory=Limits)
    segments: dict[str, list[Segment]] = field(default_factory=dict)
    lookups: dict[str, FrozenLookup] = field(default_factory=dict)
    """By name: the lookups from tables of other systems, as they were frozen with the extract."""
    relations: dict[str, Relation] = field(default_factory=dict)
    file_numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of relations' files, which may be made in two threads."""
    unknown_names: dict[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    """By mapping and names lookup: spellings that the lookup does not know, with their number of rows."""

    def facts(self) -> Facts:
        """Return what the compiler needs to know now."""
        return Facts(
            extracts={name: self.extracted(name) for name in self.segments},
            relations=dict(self.relations),
        )

    def extracted(self, source_table: str) -> ExtractedTable:
        """Return one source table as the extract holds it."""
        segments = self.segments[source_table]
        return ExtractedTable(
            table=self.source_catalog.tables[source_table],
            paths=tuple(segment.path for segment in segments),
            row_count=sum(segment.row_count for segment in segments),
            odd_columns=frozenset(name for segment in segments for name in segment.odd_columns),
        )

    def source_tables(self) -> list[str]:
        """Return the source tables that any mapping reads, joins or gathers, each once, in plan order."""
        names: dict[str, None] = {}
        for mapping in self.plan.tables.values():
            names[mapping.from_] = None
            names.update(dict.fromkeys(mapping.feeding()))
        return list(names)

    def fed_tables(self) -> list[str]:
        """Return the source tables that no mapping is made from: they only feed joins and gathers."""
        mapped = {mapping.from_ for mapping in self.plan.tables.values()}
        return [name for name in self.source_tables() if name not in mapped]


@dataclass(slots=True, kw_only=True)
class RunContext(WorkContext):
    """What a run needs beside: its hold on the target."""

    target: TargetRun
    subset: "Subset | None" = None
    """The part of the source that the run brings; None: all of it."""
    replay: "Replay | None" = None
    """The earlier run whose extract, with repaired rejects, this run goes on from; None: the source is read."""
    tasks_reach_target: bool | None = None
    """Whether the engine's tasks do; None: not tried yet."""
    chosen: dict[str, pa.Array] = field(default_factory=dict)
    """By mapping: `_row` of the rows of the part."""


def happened(journal: Journal, kind: str, **fields: object) -> Event | None:
    """Return the newest journalled event of this kind whose fields have these values, or None."""
    for entry in reversed(journal.entries):
        event = entry.event
        if event.kind == kind and all(event.fields.get(name) == value for name, value in fields.items()):
            return event
    return None
