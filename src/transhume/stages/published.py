"""Validate what is published: what readers of the target see now, against the plan, the run and the oracle.

Each table is read once, into a file of the run's work folder; every check looks at that one reading.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow.parquet as pq

from transhume.batches import Event, TargetTable
from transhume.checks import CheckResult, counts
from transhume.checks.business import business_rules, wrong_rows
from transhume.checks.present_rows import claiming_rows, missing_rows, other_rows
from transhume.checks.types import column_types
from transhume.errors import Refused
from transhume.facts import Catalog
from transhume.plan.model import TableMapping
from transhume.rules.copy import Copy
from transhume.rules.rule import ColumnRef
from transhume.schema import physical_names
from transhume.stages.artefacts import artefacts
from transhume.stages.context import RunContext
from transhume.stages.extract import recall_segments
from transhume.stages.files import sha256_of
from transhume.stages.links import links_path, staged_links, unchanged_path
from transhume.stages.lookups import is_lookup_sound
from transhume.stages.mapped_profile import mapped_profile
from transhume.stages.proof.prove import Proof, Prover
from transhume.stages.proof.recompute import Difference
from transhume.stages.proof.sample import Sample
from transhume.stages.proof.worksheet import SheetRow
from transhume.stages.publish import verified
from transhume.stages.source_queries import unsound_answers
from transhume.stages.table_checks import table_checks
from transhume.stages.target_rows import TargetRows, write_rows
from transhume.stages.timing import performance
from transhume.stages.transform import BUCKET, fates_path
from transhume.stages.validate import keys_and_references, wrong_rows_result

_FOLDER = Path("present")
_SAMPLE_KEYS = 5
_DECIDED = ("loaded", "rejected", "filtered")


@dataclass(frozen=True, slots=True)
class Depth:
    """How much the oracle recomputes: `sample` rows a table by chance (`seed`) beside the strata, or `whole` tables."""

    sample: int = 10
    seed: int = 0
    whole: bool = False
    processes: int = 1
    shows_rows: bool = False
    """Whether the rows of the sample are kept side by side, for a worksheet."""
    shows_values: bool = False
    """Whether values of columns that look personal are shown in it."""


@dataclass(slots=True)
class PublishedValidation:
    """One look at what is published. After `events`, `results` holds every check and `proofs` what the oracle did."""

    context: RunContext
    catalog: Catalog
    depth: Depth = field(default_factory=Depth)
    results: list[CheckResult] = field(default_factory=list)
    proofs: dict[str, Proof] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    sheet: list[SheetRow] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    """Numbers of the linked fields; see `mapped_profile`."""

    def events(self) -> Iterator[Event]:
        """Run every check. Yields: check_passed or check_failed, one each; proof_progress."""
        self._require_run_files()
        with self._reading():
            prover = Prover(self.context, self._present_file, processes=self.depth.processes)
            for check in self._checks():
                yield self._take(check)
            for check in performance(self.context):
                yield self._take(check)
            for name, mapping in self.context.plan.tables.items():
                for event in self._prove(prover, mapping, self.context.tables[name]):
                    yield event if isinstance(event, Event) else self._take(event)

    def _take(self, check: CheckResult) -> Event:
        self.results.append(check)
        return Event("check_passed" if check.passed else "check_failed", check.to_dict())

    def _require_run_files(self) -> None:
        """Raise Refused if the extract or the fates are not what the journal says: nothing could be proved by them."""
        context = self.context
        recall_segments(context)
        damaged = [
            segment.path
            for segments in context.segments.values()
            for segment in segments
            if sha256_of(context.folder.work / segment.path) != segment.sha256
        ]
        damaged += [each.path for each in context.lookups.values() if not is_lookup_sound(context, each)]
        damaged += unsound_answers(context)
        for entry in context.journal.entries:
            fields = entry.event.fields
            if entry.event.kind == "batch_staged" and fields["mapping"] in context.plan.tables:
                mapping = context.plan.tables[fields["mapping"]]
                path = fates_path(context, mapping, fields["batch"])
                links = links_path(context, context.tables[mapping.name], fields["batch"])
                unchanged = unchanged_path(context, context.tables[mapping.name], fields["batch"])
                known = {str(path): fields["fates_sha256"], str(links): fields["links_sha256"]}
                known[str(unchanged)] = fields.get("unchanged_sha256", "")
                damaged += [name for name, sha256 in known.items() if sha256_of(context.folder.work / name) != sha256]
        if damaged:
            message = (
                f"{len(damaged)} files of run '{context.folder.root.name}' are gone or not what its journal says "
                f"(the first: '{damaged[0]}'); nothing can be proved by them. Restore the folder from a backup."
            )
            raise Refused(message)

    def _checks(self) -> Iterator[CheckResult]:
        context = self.context
        tallies = counts.tally((entry.event for entry in context.journal.entries), context.plan.tables)
        for table in context.tables.values():
            mapping = context.plan.tables[table.mapping]
            extracted = sum(segment.row_count for segment in context.segments[mapping.from_])
            yield counts.accounting(tallies[table.mapping], extracted, 0)
            yield from self._row_counts(mapping, table, tallies[table.mapping])
            yield column_types(table, self.catalog.tables.get(table.table.name))
            yield self._stored_types(table)
        yield from keys_and_references(context, self._present_rows, [], by_mapping=False)
        for table in context.tables.values():
            yield from self._business(context.plan.tables[table.mapping], table)
        rows = TargetRows(context, self._present_file)
        yield from table_checks(context, rows, shows=True)
        yield from artefacts(context, rows)
        self.profile = mapped_profile(context, rows)

    def _row_counts(self, mapping: TableMapping, table: TargetTable, tally: counts.TableTally) -> Iterator[CheckResult]:
        """Yield whether every row that the run loaded is there, and which other rows are."""
        present, names = self._present_file(mapping.name), self._names(table)
        if not table.key:
            shown = pq.read_metadata(self.context.folder.work / present).num_rows
            detail = f"{tally.staged} staged, readers see {shown} rows; there is no key to tell whose they are"
            missing = max(0, tally.staged - shown)
            yield CheckResult("row_counts", mapping.name, missing, "number of rows", detail=detail)
            return
        paths, own_names = staged_links(self.context, table)
        key = {own_names[name]: names[name] for name in table.key}
        shown = pq.read_metadata(self.context.folder.work / present).num_rows
        detail = f"{tally.staged} staged, {tally.unchanged} there before; readers see {shown} rows"
        yield wrong_rows_result(
            self.context, "row_counts", table, missing_rows(paths, present, key), "rows of this run", detail=detail
        )
        siblings = [each for each in self.context.tables.values() if each.table.name == table.table.name]
        everyone = [path for each in siblings for path in staged_links(self.context, each)[0]]
        if table is not siblings[0]:
            return
        before = sum(self._unchanged(each) for each in siblings)
        if before:
            number = shown - sum(self._links_count(each) for each in siblings) - before
            yield CheckResult("other_rows", mapping.name, max(number, 0), "rows of others", "note", _others(number))
            return
        copies = _key_copies(mapping)
        if copies and len(siblings) == 1:
            fates = [str(fates_path(self.context, mapping, s.index)) for s in self.context.segments[mapping.from_]]
            claiming = claiming_rows(everyone, present, key, fates, [names[name] for name in copies], _DECIDED, BUCKET)
            covered = f"rows that hold a source key of this run ({', '.join(copies)}) under another key"
            yield wrong_rows_result(self.context, "extra_rows", table, claiming, covered, severity="warning")
        found = wrong_rows_result(
            self.context, "other_rows", table, other_rows(everyone, present, key), "rows of others", severity="note"
        )
        yield found

    def _unchanged(self, table: TargetTable) -> int:
        tallies = counts.tally((entry.event for entry in self.context.journal.entries), self.context.plan.tables)
        found = tallies[table.mapping]
        return found.accounted - found.staged - found.rejected - found.filtered - found.deduplicated - found.conflict

    def _links_count(self, table: TargetTable) -> int:
        paths, _ = staged_links(self.context, table)
        return sum(int(pq.read_metadata(self.context.folder.work / path).num_rows) for path in paths)

    def _stored_types(self, table: TargetTable) -> CheckResult:
        found = self.context.target.stored_types(table)
        detail = "; ".join(f"column '{m.column}' is {m.found}, expected {m.expected}" for m in found[:_SAMPLE_KEYS])
        covered = "the types that storage itself holds"
        return CheckResult("stored_types", table.mapping, len(found), covered, detail=detail or "as the plan says")

    def _business(self, mapping: TableMapping, table: TargetTable) -> Iterator[CheckResult]:
        names = self._names(table)
        for rule in business_rules(self.context.plan, mapping, table, names):
            select = wrong_rows(rule, table, names, [self._present_file(mapping.name)])
            yield wrong_rows_result(self.context, rule.name, table, select, rule.covered, severity=rule.severity)

    def _prove(self, prover: Prover, mapping: TableMapping, table: TargetTable) -> Iterator[Event | CheckResult]:
        started = monotonic()
        mismatches = verified(self.context, table)
        verify_s = round(monotonic() - started, 3)
        sample = prover.sample(mapping, self.depth.sample, self.depth.seed)
        self.samples[mapping.name] = sample
        proof: Proof | None = None
        # What the server finds different is told key by key by recomputing the whole table.
        for found in prover.prove(mapping, None if self.depth.whole or mismatches else sample):
            if isinstance(found, Event):
                yield found
            else:
                proof = found
        assert proof is not None
        self.proofs[mapping.name] = proof
        if self.depth.shows_rows:
            self.sheet += prover.sheet_rows(mapping, sample, shows_values=self.depth.shows_values)
        covered = "every value of this run's rows against what was staged"
        shown = [f"row {m.row} column '{m.column}'" for m in mismatches[:_SAMPLE_KEYS]]
        if mismatches and proof.differences:
            shown = [difference_text(each) for each in proof.differences[:_SAMPLE_KEYS]]
        # Files may be written anew with the same rows, by whoever keeps a lake tidy; every row has been recomputed.
        only_files = all(each.column == "(data file)" for each in mismatches) and proof.is_whole
        is_tidied = bool(mismatches) and only_files and not proof.difference_count
        yield CheckResult(
            "published_rows",
            mapping.name,
            len(mismatches),
            covered,
            "warning" if is_tidied else "error",
            detail="; ".join(shown) or "every value is what was staged",
            sample_keys=tuple(each.key or each.source_key for each in proof.differences[:_SAMPLE_KEYS]),
            duration_s=verify_s,
        )
        yield oracle_result(proof)

    def _reading(self) -> "_Folder":
        return _Folder(self.context.folder.work / _FOLDER)

    def _names(self, table: TargetTable) -> dict[str, str]:
        return physical_names(column.name for column in table.table.columns)

    def _present_rows(self, table: TargetTable) -> tuple[list[str], dict[str, str]]:
        return [self._present_file(table.mapping)], self._names(table)

    def _present_file(self, mapping: str) -> str:
        """Return the file, in the work folder, with what readers of a mapping's target table see; read once."""
        table = self.context.tables[mapping]
        path = _FOLDER / f"{list(self.context.tables).index(mapping):03d}.parquet"
        full = self.context.folder.work / path
        if not full.exists():
            write_rows(full, table, self.context.target.read_present)
        return str(path)


class _Folder:
    """A private folder that is gone afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(parents=True, mode=0o700)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def oracle_result(proof: Proof) -> CheckResult:
    """Return what the oracle found, with what it covered and its rate."""
    first = proof.differences[:_SAMPLE_KEYS]
    text = "; ".join(difference_text(each) for each in first)
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(proof.fates.items()))
    said = f"{proof.rows} of {proof.total} rows recomputed ({fates or 'none'}), {proof.values} values compared"
    if proof.busy_s:
        said += f", {proof.rate:,.0f} rows a second of one processor"
    return CheckResult(
        "oracle",
        proof.mapping,
        proof.difference_count,
        "every row" if proof.is_whole else f"{proof.rows} of {proof.total} rows",
        detail=f"{text}; {said}" if text else said,
        sample_keys=tuple(each.key or each.source_key for each in first),
        duration_s=proof.duration_s,
    )


def difference_text(difference: Difference) -> str:
    """Return a difference in words: the source row, the target key, column, both values."""
    key = f", key {difference.key}" if difference.key else ""
    return (
        f"source row {difference.source_key or difference.row}{key}, column '{difference.column}': "
        f"expected {difference.expected}, found {difference.found}"
    )


def _key_copies(mapping: TableMapping) -> list[str]:
    """Return the target columns that hold the source key as it is, one for each part; none if one is not kept."""
    copies: dict[str, str] = {}
    for name, rule in mapping.columns.items():
        if isinstance(rule, Copy) and isinstance(rule.column, ColumnRef):
            copies.setdefault(rule.column.name, name)
    return [copies[part] for part in mapping.key] if set(mapping.key) <= set(copies) else []


def _others(number: int) -> str:
    return f"{number} rows that neither this run nor an earlier one of this plan loaded"
