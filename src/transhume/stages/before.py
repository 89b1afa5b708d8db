"""Validate the source before a run: the state of its rows, by count, with keys, the plan's line and the cure.

What a run would reject is predicted by the very transformation of a run (`check.Prediction`); what the plan decides
without a reject, and what is worth a look beside, is counted here over the same extract.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.batches import Event
from transhume.checks.personal import suspicion
from transhume.checks.tables import rows_found
from transhume.errors import Finding
from transhume.oracle import Oracle, Rows
from transhume.oracle.reading import Field, RowScope
from transhume.plan.model import TableCheck, TableMapping
from transhume.plan.places import at, at_column, at_mapping
from transhume.schema import LINE_CLASS, ODD, physical_names
from transhume.stages.check import Prediction
from transhume.stages.context import WorkContext
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.lookups import prepare_lookups
from transhume.stages.proof.prove import gather_evidence
from transhume.stages.source_queries import source_answer
from transhume.words import counted

_SPELLINGS_MAX = 500
_DISTINCT_MAX = 200_000
_LOOKED_AT_MAX = 2_000
_SAMPLE_KEYS = 3
_SPELLED = frozenset({"names", "codes", "boolean"})
_DECIDED = {
    "zero date": ("zero_date", "hold a zero date"),
    "repeated time": ("dst_overlap", "hold a local time that occurred twice"),
    "skipped time": ("dst_gap", "hold a local time that the clocks skipped"),
}


class SourceValidation:
    """One look at the source. After `events`, `findings` holds everything found, errors first."""

    def __init__(self, context: WorkContext) -> None:
        """Begin with nothing read."""
        self._context = context
        self.prediction = Prediction(context)
        self.findings: list[Finding] = []

    def events(self) -> Iterator[Event]:
        """Read every table at one instant and look at every row. Yields: the events of a prediction."""
        yield from self.prediction.events()
        evidence = gather_evidence(self._context)
        found = [*self.prediction.findings(), *self._volumes(), *self._classes(evidence)]
        for mapping in self._context.plan.tables.values():
            found += self._fields(evidence, mapping)
            found += self._near_keys(evidence, mapping)
            found += self._queries(mapping)
        found += self._suspicions(evidence)
        rank = {"error": 0, "warning": 1, "note": 2}
        self.findings = sorted(found, key=lambda finding: rank[finding.severity])

    def _volumes(self) -> Iterator[Finding]:
        """Yield the number of rows of every table of the source, whether anything reads it or not."""
        plan = self._context.plan
        for name, table in self._context.source_catalog.tables.items():
            segments = self._context.segments.get(name)
            rows = table.row_count if segments is None else sum(segment.row_count for segment in segments)
            mapping = next((each for each in plan.tables.values() if each.from_ == name), None)
            path: tuple[str | int, ...] = ("ignored_tables",) if mapping is None else ("tables", mapping.name, "from")
            said = "an unknown number of rows" if rows is None else counted(rows, "row")
            message = f"the source table '{name}' has {said}"
            finding = at(plan, path, "volume", message, severity="note")
            yield Finding("volume", "note", message, "", finding.position, name, None, rows)

    def _classes(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the columns that hold values of another storage class than their own (SQLite)."""
        for name, segments in evidence.segments.items():
            counts: Counter[tuple[str, str]] = Counter()
            for segment in segments:
                if segment.odd_columns:
                    odd = pq.read_table(evidence.work / segment.path, columns=[ODD])[ODD].drop_null()
                    entries = [each for row in odd.to_pylist() for each in row if each["class"] != LINE_CLASS]
                    counts.update((each["name"], each["class"]) for each in entries)
            for (column, storage), count in sorted(counts.items()):
                message = (
                    f"{counted(count, 'value')} of '{name}.{column}' are of the class '{storage}', not the column's"
                )
                cure = "each is read as its text where a rule can; see what is rejected of this column"
                yield Finding("mixed_classes", "warning", message, cure, None, name, column, count)

    def _fields(self, evidence: Evidence, mapping: TableMapping) -> Iterator[Finding]:
        """Yield every spelling with what it becomes, and the values that the plan decides about without a reject."""
        oracle = evidence.oracle(mapping)
        names = _own_columns(evidence, mapping)
        for field in oracle.fields():
            columns = list(dict.fromkeys(field.rule.columns()))
            if len(columns) != 1 or columns[0] not in names or not (field.has_ways or field.rule.verb in _SPELLED):
                continue
            counts = _value_counts(evidence, mapping, names[columns[0]])
            if field.rule.verb in _SPELLED:
                yield from self._spellings(oracle, mapping, field, columns[0], counts)
            if field.rule.verb in {"utc", "lookup"}:
                yield from self._ways(oracle, mapping, field, columns[0], counts)

    def _spellings(
        self, oracle: Oracle, mapping: TableMapping, field: Field, column: str, counts: Mapping[object, int]
    ) -> Iterator[Finding]:
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
        for raw, count in ranked[:_SPELLINGS_MAX]:
            value, reasons = field.of(RowScope(oracle, {column: raw}, {}))
            becomes = f"is rejected ({', '.join(reasons)})" if reasons else f"becomes {value!r}"
            message = f"{raw!r} stands {counted(count, 'time')} in '{mapping.from_}.{column}' and {becomes}"
            yield self._at_field(mapping, field, "spelling", message, "note", count)
        if len(ranked) > _SPELLINGS_MAX:
            message = f"'{mapping.from_}.{column}' has {len(ranked) - _SPELLINGS_MAX:,} further spellings, not listed"
            yield self._at_field(mapping, field, "spelling", message, "warning", None)

    def _ways(
        self, oracle: Oracle, mapping: TableMapping, field: Field, column: str, counts: Mapping[object, int]
    ) -> Iterator[Finding]:
        ways: Counter[str] = Counter()
        asked = list(counts.items())[:_DISTINCT_MAX]
        prepare_lookups(Rows(oracle, [{column: raw} for raw, _ in asked]), [field.rule])
        for raw, count in asked:
            ways[field.way(RowScope(oracle, {column: raw}, {}))] += count
        if len(counts) > _DISTINCT_MAX:
            message = (
                f"of {len(counts):,} distinct values of '{mapping.from_}.{column}' {_DISTINCT_MAX:,} were looked at"
            )
            yield self._at_field(mapping, field, "not_looked_at", message, "warning", None)
        rejected = {reason.partition(":")[0] for reason in self.prediction.tallies[mapping.name].reasons}
        for way, (code, said) in _DECIDED.items():
            if ways[way]:
                decides = "is what its rule rejects" if code in rejected else "is decided by its rule"
                message = f"{counted(ways[way], 'value')} of '{mapping.from_}.{column}' {said}; it {decides}"
                yield self._at_field(mapping, field, code, message, "note", ways[way])
        if field.rule.verb == "lookup" and ways["else"]:
            message = (
                f"{counted(ways['else'], 'row')} of '{mapping.from_}' have a '{column}' that the lookup does not know"
            )
            yield self._at_field(mapping, field, "defaulted", message, "note", ways["else"])

    def _at_field(
        self, mapping: TableMapping, field: Field, code: str, message: str, severity: str, count: int | None
    ) -> Finding:
        made = at_column(self._context.plan, mapping, field.name, code, message, severity=severity)
        return Finding(code, severity, made.message, "", made.position, mapping.name, field.name, count)

    def _near_keys(self, evidence: Evidence, mapping: TableMapping) -> Iterator[Finding]:
        """Yield keys that differ only in case or in blanks around them: two rows here, one for many a reader."""
        names = _own_columns(evidence, mapping)
        for part in mapping.key:
            if part not in names:
                continue
            seen: dict[str, set[str]] = defaultdict(set)
            for segment in evidence.segments[mapping.from_]:
                column = pq.read_table(evidence.work / segment.path, columns=[names[part]])[names[part]]
                if not pa.types.is_string(column.type):
                    break
                for text in pc.unique(column.drop_null()).to_pylist():
                    seen[text.strip().casefold()].add(text)
            near = sorted(sorted(each) for each in seen.values() if len(each) > 1)
            if near:
                message = f"{counted(len(near), 'key')} of '{mapping.from_}.{part}' differ only in case or blanks"
                cure = "they stay apart here; a reader that ignores case takes them for one"
                made = at_mapping(self._context.plan, mapping, "key", "near_keys", message, cure, "warning")
                keys = tuple(" / ".join(each) for each in near[:_SAMPLE_KEYS])
                yield Finding("near_keys", "warning", message, cure, made.position, mapping.name, part, len(near), keys)

    def _queries(self, mapping: TableMapping) -> Iterator[Finding]:
        """Yield the wrong rows that the plan's queries to the source found, at the instant of the extract."""
        for place, check in enumerate(mapping.checks):
            if not isinstance(check, TableCheck) or check.query is None or check.sides != ("source",):
                continue
            answer = source_answer(self._context, mapping, check)
            rows = sum(segment.row_count for segment in self._context.segments[mapping.from_])
            keys = [", ".join(map(str, row)) for row in answer.rows]
            result = rows_found(check, mapping.name, answer.count or 0, rows, keys, "")
            if result.passed:
                continue
            path = ("tables", mapping.name, "checks", place)
            message = f"the query of the check '{check.name}' found {counted(result.count, 'row')}: {result.detail}"
            cure = "correct the rows, or write 'most:' or 'then: warn'; a run would stop"
            made = at(self._context.plan, path, "table_check", message, cure, result.severity)
            yield Finding(
                "table_check", made.severity, made.message, made.cure, made.position, mapping.name, None,
                result.count, result.sample_keys,
            )  # fmt: skip

    def _suspicions(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the columns that seem to hold secrets or personal data; values are not shown."""
        for name, segments in evidence.segments.items():
            table = evidence.sources[name]
            names = physical_names(column.name for column in table.columns)
            for column in table.columns:
                values: list[str] = []
                for segment in segments:
                    if len(values) >= _LOOKED_AT_MAX or column.type is None:
                        break
                    held = pq.read_table(evidence.work / segment.path, columns=[names[column.name]]).column(0)
                    if not pa.types.is_string(held.type):
                        break
                    values += pc.unique(held.drop_null()).to_pylist()[: _LOOKED_AT_MAX - len(values)]
                found = suspicion(column.name, values)
                if found is not None:
                    severity = "warning" if found.kind == "secret" else "note"
                    message = f"'{name}.{column.name}' seems to hold {found}"
                    cure = "leave it out, or write {mask: ...}; a person decides"
                    yield Finding(f"likely_{found.kind}", severity, message, cure, None, name, column.name)


def _own_columns(evidence: Evidence, mapping: TableMapping) -> dict[str, str]:
    columns = evidence.sources[mapping.from_].columns
    names = physical_names(column.name for column in columns)
    return {column.name: names[column.name] for column in columns if column.type is not None}


def _value_counts(evidence: Evidence, mapping: TableMapping, physical: str) -> Counter[object]:
    counts: Counter[object] = Counter()
    for segment in evidence.segments[mapping.from_]:
        column = pq.read_table(evidence.work / segment.path, columns=[physical], memory_map=True).column(0)
        for pair in pc.value_counts(column.drop_null()).to_pylist():
            counts[pair["values"]] += pair["counts"]
    return counts
