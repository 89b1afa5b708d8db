"""The oracle over a published run: a sample or every row, in several processes, with what it covered."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow.parquet as pq

from transhume.batches import Event
from transhume.checks.keys import duplicate_keys as repeated
from transhume.dialects import DIALECTS
from transhume.oracle import Key
from transhume.plan.model import TableMapping
from transhume.rules.rule import Rule
from transhume.schema import physical_names
from transhume.stages.context import RunContext, WorkContext
from transhume.stages.links import staged_links
from transhume.stages.proof.compare import ShownRows, compare
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.lookups import FrozenEntries
from transhume.stages.proof.recompute import DIFFERENCES_MAX, Batch, Difference, Recomputed, Recomputer
from transhume.stages.proof.sample import Sample, choose
from transhume.stages.proof.surroundings import duplicate_keys, key_column_texts
from transhume.stages.proof.tasks import recompute_in_tasks, tasks_can_recompute
from transhume.stages.proof.worker import recompute_there
from transhume.stages.proof.worksheet import SheetRow, sheet_rows
from transhume.stages.transform import fates_path, whole_fates_path

_FOLDER = Path("proof")
Present = Callable[[str], str]
"""Gives for a mapping the file, in the work folder, with everything that readers of its target table see."""


@dataclass(slots=True)
class Proof:
    """What the oracle found for one table mapping.

    `rows` of `total` were recomputed, `values` compared with the target, in `busy_s` seconds of processor time.
    `ways` counts by target column and way of its rule the rows that took it; `rules` by verb, nested ones too, the
    values that were compared.
    """

    mapping: str
    total: int
    rows: int = 0
    values: int = 0
    shown_rows: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    ways: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    difference_count: int = 0
    busy_s: float = 0.0
    duration_s: float = 0.0
    processes: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether every row of the mapping was recomputed."""
        return self.rows == self.total

    @property
    def rate(self) -> float:
        """Rows per second of one processor."""
        return self.rows / self.busy_s if self.busy_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return what was covered as JSON values; differences are in the check's result."""
        ways: dict[str, dict[str, int]] = {}
        for (column, way), count in sorted(self.ways.items()):
            ways.setdefault(column, {})[way] = count
        return {
            "rows": self.rows,
            "of": self.total,
            "values": self.values,
            "fates": dict(sorted(self.fates.items())),
            "differences": self.difference_count,
            "rules": dict(sorted(self.rules.items())),
            "ways": ways,
            "rows_per_second_of_one_processor": round(self.rate),
            "processes": self.processes,
            "duration_s": round(self.duration_s, 3),
        }

    def take(self, part: Recomputed) -> None:
        """Add what one batch gave."""
        self.rows += part.rows
        self.values += part.values
        self.shown_rows += part.expected_rows
        self.fates += part.fates
        self.ways += part.branches
        self.difference_count += part.difference_count
        self.differences += part.differences[: DIFFERENCES_MAX - len(self.differences)]
        self.busy_s += part.busy_s


def gather_evidence(context: WorkContext) -> Evidence:
    """Return what the run left; `context.segments` and `context.lookups` are set. Reads no file."""
    fates = {
        name: [fates_path(context, mapping, each.index) for each in context.segments[mapping.from_]]
        for name, mapping in context.plan.tables.items()
    }
    return Evidence(
        plan=context.plan,
        sources=context.source_catalog.tables,
        targets=context.tables,
        segments=context.segments,
        lookups={
            **{name: table.entries for name, table in context.plan.origin.lookups.items()},
            **{name: FrozenEntries(context.folder.work / each.path) for name, each in context.lookups.items()},
        },
        work=context.folder.work,
        fates=fates,
        parent_fates={name: [_whole(context, path) for path in paths] for name, paths in fates.items()},
    )


def _whole(context: WorkContext, path: Path) -> Path:
    """Return the fates as they were before a run's part was cut out of them, where there is such a file."""
    whole = whole_fates_path(path)
    return whole if (context.folder.work / whole).exists() else path


class Prover:
    """Recomputes rows of a published run and compares them with what readers of its target see."""

    def __init__(self, context: RunContext, present: Present, *, processes: int = 1) -> None:
        """Take the run, what gives the target's rows, and how many processes may compute."""
        self._context, self._present = context, present
        self._evidence = gather_evidence(context)
        self._processes = processes
        self._duplicates: dict[str, frozenset[Key]] = {}

    def sample(self, mapping: TableMapping, count: int, seed: int) -> Sample:
        """Return the rows that a sample takes; see `proof.sample`."""
        return choose(self._evidence, mapping, count, seed)

    def prove(self, mapping: TableMapping, sample: Sample | None) -> Iterator[Event | Proof]:
        """Recompute the rows of a sample, or all rows; yields proof_progress events and, last, the Proof.

        Effects: files below work/proof, removed again.
        """
        started = monotonic()
        total = sum(segment.row_count for segment in self._evidence.segments[mapping.from_])
        proof = Proof(mapping.name, total)
        batches = self._batches(mapping, sample)
        proof.rules.update(dict.fromkeys(_verbs(mapping), 0))
        if not batches:
            yield proof
            return
        with _folder(self._context.folder.work):
            duplicates = self._duplicate_keys(mapping)
            processes = min(self._processes, len(batches))
            proof.processes = processes
            target, shown = self._context.tables[mapping.name], self._shown(mapping)
            for part in self._recomputed(batches, duplicates, processes):
                compare(shown, self._evidence.work, mapping, target, part)
                if part.expected:
                    (self._evidence.work / part.expected).unlink()
                proof.take(part)
                proof.duration_s = monotonic() - started
                yield Event("proof_progress", {"mapping": mapping.name, "rows": proof.rows, "of": total})
        proof.rules.update({verb: columns * proof.shown_rows for verb, columns in _verbs(mapping).items()})
        proof.duration_s = round(monotonic() - started, 3)
        yield proof

    def sheet_rows(self, mapping: TableMapping, sample: Sample, *, shows_values: bool) -> list[SheetRow]:
        """Return the rows of a sample side by side; see `proof.worksheet`."""
        duplicates, present = self._duplicate_keys(mapping), self._present(mapping.name)
        made = sheet_rows(self._context, self._evidence, mapping, sample, present, duplicates, show_values=shows_values)
        return list(made)

    def _shown(self, mapping: TableMapping) -> ShownRows:
        target, work = self._context.tables[mapping.name], self._evidence.work
        links = [work / path for path in staged_links(self._context, target)[0]]
        sizes = [int(pq.read_metadata(path).num_rows) if path.exists() else 0 for path in links]
        return ShownRows(self._context.engine, work, target, self._present(mapping.name), sizes)

    def _batches(self, mapping: TableMapping, sample: Sample | None) -> list[Batch]:
        batches = []
        for segment in self._evidence.segments[mapping.from_]:
            output = str(_FOLDER / f"{segment.index:06d}.parquet")
            if sample is None:
                if segment.row_count:
                    batches.append(Batch(mapping.name, segment.index, output, None, counts_ways=False))
            elif places := sample.places.get(segment.index):
                batches.append(Batch(mapping.name, segment.index, output, tuple(sorted(places))))
        return batches

    def _recomputed(self, batches: list[Batch], duplicates: frozenset[Key], processes: int) -> Iterator[Recomputed]:
        is_whole = len(batches) > 1 and not batches[0].counts_ways
        if is_whole and tasks_can_recompute(self._context.engine, self._evidence):
            yield from recompute_in_tasks(self._context.engine, self._evidence, batches, duplicates)
            return
        if processes == 1:
            recomputer = Recomputer(self._evidence, duplicates)
            for batch in batches:
                yield recomputer.recompute(batch)
            return
        yield from recompute_there(self._evidence, batches, duplicates, processes)

    def _duplicate_keys(self, mapping: TableMapping) -> frozenset[Key]:
        """Return the keys that stand more than once: raw values by the engine, which of them are keys by the oracle."""
        if mapping.name not in self._duplicates:
            suspects = self._repeated_texts(mapping) if mapping.key else {}
            found: frozenset[Key] = frozenset()
            if mapping.key and all(suspects.values()):
                found = duplicate_keys(self._evidence, self._evidence.oracle(mapping), suspects)
            self._duplicates[mapping.name] = found
        return self._duplicates[mapping.name]

    def _repeated_texts(self, mapping: TableMapping) -> Mapping[str, list[str]]:
        extract = self._context.extracted(mapping.from_)
        names = physical_names(column.name for column in extract.table.columns)
        dialect = DIALECTS[self._context.engine.dialect]
        if set(mapping.key) & extract.odd_columns or not set(mapping.key) <= set(names):
            # A key of another class may have the text of one that is not: every fate's key is looked at.
            columns = [f"_k{place}" for place in range(len(mapping.key))]
            paths = [str(path) for path in self._evidence.fates[mapping.name]]
        else:
            columns, paths = [names[name] for name in mapping.key], list(extract.paths)
        found = self._context.engine.query(dialect.render(repeated(paths, columns)))
        return {name: key_column_texts(found[column]) for name, column in zip(mapping.key, columns, strict=True)}


def _verbs(mapping: TableMapping) -> Counter[str]:
    """Return in how many columns of a mapping each rule is used, nested ones counted with their column."""
    return Counter(verb for rule in mapping.columns.values() for verb in set(_verbs_in(rule)))


def _verbs_in(rule: Rule) -> Iterator[str]:
    yield rule.verb
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            yield from _verbs_in(argument)


@contextmanager
def _folder(work: Path) -> Iterator[None]:
    folder = work / _FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Proof", "Prover", "gather_evidence"]
