"""Check: what is wrong with a plan once both systems are looked at, and which rows a run would reject."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.batches import Event, Segment
from transhume.checks.counts import TableTally, reject_limit
from transhume.compiler import table_order
from transhume.errors import Finding
from transhume.plan.model import TableMapping
from transhume.plan.near_names import unknown_name_findings
from transhume.plan.reasons import findings_from_reasons
from transhume.schema import FATE, LINE, REASONS, ROW
from transhume.stages.context import WorkContext
from transhume.stages.extract import extract
from transhume.stages.keys import group_keys, parent_keys
from transhume.stages.lookups import settle_repeated_keys
from transhume.stages.preconditions import data_findings
from transhume.stages.transform import transform, write_fates

_SAMPLE_KEYS = 3


class Prediction:
    """What a run would do with every row: rejects by reason, counted, with a few keys."""

    def __init__(self, context: WorkContext) -> None:
        """Begin with nothing read."""
        self._context = context
        self.tallies = {name: TableTally(name) for name in context.plan.tables}
        self._said: list[Finding] = []
        self._samples: dict[tuple[str, str], list[str]] = {}

    def events(self) -> Iterator[Event]:
        """Extract and transform every table as a run would, and stage nothing.

        Yields: the events of extract and keys, table_predicted (one a mapping).
        """
        yield from extract(self._context)
        self._said = data_findings(self._context)
        settle_repeated_keys(self._context, self._said)
        for group in table_order(self._context.plan):
            yield from group_keys(self._context, group)
            for name in group:
                self._look(self._context.plan.tables[name])
                yield from parent_keys(self._context, self._context.plan.tables[name])
                yield Event("table_predicted", self.tallies[name].to_dict())

    def findings(self) -> list[Finding]:
        """Return the rejects as findings at the plan's rules, and an error where they are over the plan's limit."""
        plan = self._context.plan
        found: list[Finding] = list(self._said)
        for mapping in plan.tables.values():
            table = self.tallies[mapping.name]
            rows = [
                (reason, count, self._samples.get((mapping.name, reason), []))
                for reason, count in table.reasons.items()
            ]
            found += findings_from_reasons(plan, mapping, rows)
            for (name, lookup), unknown in self._context.unknown_names.items():
                found += unknown_name_findings(plan, mapping, lookup, unknown) if name == mapping.name else []
            limit = reject_limit(table, mapping.max_rejects or plan.defaults.max_rejects)
            if not limit.passed:
                message = f"a run of '{mapping.name}' would stop before publishing: {limit.detail}"
                cure = "correct the rows or the rules, or raise max_rejects"
                place = plan.position("tables", mapping.name)
                found.append(Finding("reject_limit", "error", message, cure, place, mapping.name, count=limit.count))
        return found

    def _look(self, mapping: TableMapping) -> None:
        context = self._context
        table = self.tallies[mapping.name]
        for transformed in transform(context, mapping, context.segments[mapping.from_]):
            with transformed.open() as result:
                fates = result[FATE].combine_chunks()
                write_fates(context, mapping, transformed.segment, result, fates)
                table.read += result.num_rows
                for pair in pc.value_counts(fates).to_pylist():
                    setattr(table, pair["values"], getattr(table, pair["values"]) + pair["counts"])
                rejected = result.filter(pc.is_valid(result[REASONS]))
                self._count(mapping, rejected, transformed.segment)

    def _count(self, mapping: TableMapping, rejected: pa.Table, segment: Segment) -> None:
        keys = [name for name in rejected.column_names if name.startswith("_k")] or [ROW]
        counts: Counter[str] = Counter()
        for row in rejected.select(list(dict.fromkeys([ROW, *keys, REASONS]))).to_pylist():
            for reason in row[REASONS].split("\n"):
                counts[reason] += 1
                sample = self._samples.setdefault((mapping.name, reason), [])
                if len(sample) < _SAMPLE_KEYS:
                    # A bad line has no key; its number is what a person looks for.
                    is_line = reason.startswith("bad_line:")
                    sample.append(self._line(segment, row) if is_line else ", ".join(str(row[key]) for key in keys))
        self.tallies[mapping.name].reasons.update(counts)

    def _line(self, segment: Segment, row: Mapping[str, Any]) -> str:
        read = pq.read_table(self._context.folder.work / segment.path, columns=[LINE], memory_map=True)
        return str(read[LINE][row[ROW] - segment.first_row].as_py())
