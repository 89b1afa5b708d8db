"""Validate: the checks on what is staged, before anyone sees it. What is published: `published.py`."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from transhume.batches import Event, Segment, TargetTable, row_numbers
from transhume.checks import CheckResult, counts
from transhume.checks.keys import duplicate_keys, keyless
from transhume.checks.references import orphans, references
from transhume.compiler import compile_accounting
from transhume.dialects import DIALECTS
from transhume.errors import CheckFailed, Finding
from transhume.plan.artefacts import verified
from transhume.plan.model import TableMapping
from transhume.schema import ROW
from transhume.stages.artefacts import artefacts
from transhume.stages.context import RunContext
from transhume.stages.files import private_file
from transhume.stages.links import linked_columns, staged_links
from transhume.stages.table_checks import table_checks, waits_for_publishing
from transhume.stages.target_rows import rows_seen, rows_to_be_seen
from transhume.stages.transform import fates_path

_FOLDER = Path("check")
_SAMPLE_KEYS = 5
_UUID_BYTES = 16
Rows = Callable[[TargetTable], tuple[list[str], dict[str, str]]]
"""Gives files with the key and reference columns of a table's rows, and the names of these columns in them."""


def validate_staged(context: RunContext) -> Iterator[Event]:
    """Check everything that is staged and not yet visible: accounting, limits, all rows, keys, references.

    Yields: check_passed or check_failed, one a check and table.
    Raises: CheckFailed after the last check if one of severity error failed; nothing was published.
    """
    tallies = counts.tally((entry.event for entry in context.journal.entries), context.plan.tables)
    failed = []
    for mapping in context.plan.tables.values():
        table = tallies[mapping.name]
        extracted = sum(segment.row_count for segment in context.segments[mapping.from_])
        staged = sum(line.row_count for line in context.target.staged(context.tables[mapping.name]).values())
        results = [
            counts.accounting(table, extracted, _unaccounted(context, mapping.name)),
            counts.staged_count(table, staged),
            counts.all_rows(table),
            counts.conflicts(table),
            counts.stopped(table),
            counts.reject_limit(table, mapping.max_rejects or context.plan.defaults.max_rejects),
        ]
        for result in results:
            yield _event(result)
            failed += [result] if not result.passed else []
    with _present(context) as present:
        for result in keys_and_references(context, partial(staged_links, context), [present]):
            yield _event(result)
            failed += [result] if not result.passed else []
    plan = context.plan
    if any(mapping.table_checks or verified(plan, mapping) for mapping in plan.tables.values()):
        with rows_to_be_seen(context) as rows:
            for result in (*table_checks(context, rows, shows=False), *artefacts(context, rows)):
                yield _event(result)
                failed += [result] if not result.passed else []
    _raise_if(failed, "nothing was published; the staged rows stay for a look")


def ask_published(context: RunContext) -> Iterator[Event]:
    """Ask the target the plan's queries that only what its readers see can answer.

    Yields: check_passed or check_failed, one a check. Raises: CheckFailed after the last one; the run is published.
    """
    if not waits_for_publishing(context):
        return
    failed = []
    with rows_seen(context) as rows:
        for result in table_checks(context, rows, shows=False, only_queries=True):
            yield _event(result)
            failed += [result] if not result.passed else []
    _raise_if(failed, "they ask the target itself, which could answer only after publishing: readers see the rows")


def keys_and_references(
    context: RunContext, own: Rows, others: Sequence[Rows], *, by_mapping: bool = True
) -> Iterator[CheckResult]:
    """Yield whether keys are unique and references resolve among the rows of `own` (references: and of `others`).

    `by_mapping`: `own` gives the rows of each mapping, else all rows of its target table.
    """
    for group in _by_target(context).values():
        if not group[0].key:
            yield from (keyless(table) for table in group)
            continue
        # Several mappings may fill one table: their keys must not collide either.
        paths = [path for table in (group if by_mapping else group[:1]) for path in own(table)[0]]
        names = own(group[0])[1]
        select = duplicate_keys(paths, [names[name] for name in group[0].key])
        mappings = "" if len(group) == 1 else f", of {' and '.join(table.mapping for table in group)}"
        yield wrong_rows_result(context, "unique_key", group[0], select, f"key ({', '.join(group[0].key)}){mappings}")
    for reference in references(context.plan, context.tables):
        table, parent = context.tables[reference.child], context.tables[reference.parent]
        children, names = own(table)
        group = _by_target(context)[parent.table.name]
        parents = [rows(each) for each in group for rows in (own, *others)]
        select = orphans(
            children,
            [names[name] for name in reference.columns],
            [path for paths, _ in parents for path in paths],
            [parents[0][1][name] for name in reference.keys],
        )
        covered = f"{', '.join(reference.columns)} -> {parent.table.name} ({', '.join(reference.keys)})"
        yield wrong_rows_result(context, "references", table, select, covered)


def _by_target(context: RunContext) -> dict[str, list[TargetTable]]:
    """Return the mappings that fill each target table."""
    groups: dict[str, list[TargetTable]] = {}
    for table in context.tables.values():
        groups.setdefault(table.table.name, []).append(table)
    return groups


def wrong_rows_result(
    context: RunContext,
    name: str,
    table: TargetTable,
    select: exp.Select,
    covered: str,
    *,
    severity: str = "error",
    detail: str = "",
) -> CheckResult:
    """Run the SELECT of a check's wrong rows and return their number with a few of them."""
    started = monotonic()
    limited = select.limit(_SAMPLE_KEYS)
    dialect = DIALECTS[context.engine.dialect]
    sample = context.engine.query(dialect.render(limited)).to_pylist()
    count = 0
    if sample:
        total = exp.select(exp.Count(this=exp.Star())).from_(select.subquery("wrong"))
        count = int(context.engine.query(dialect.render(total)).column(0)[0].as_py())
    keys = tuple(", ".join(_shown(value) for value in row.values()) for row in sample)
    return CheckResult(
        name,
        table.mapping,
        count,
        covered,
        severity=severity,
        detail=detail,
        sample_keys=keys,
        duration_s=round(monotonic() - started, 3),
    )


def _shown(value: object) -> str:
    """Return a key's part as text; UUIDs travel as 16 bytes."""
    return str(UUID(bytes=value)) if isinstance(value, bytes) and len(value) == _UUID_BYTES else str(value)


@contextmanager
def _present(context: RunContext) -> Iterator[Rows]:
    """Give the key and reference columns of what readers of the target see, each table read once into a file."""
    folder = context.folder.work / _FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)

    def rows(table: TargetTable) -> tuple[list[str], dict[str, str]]:
        names = linked_columns(context, table)
        path = _FOLDER / f"{list(context.tables).index(table.mapping):03d}.parquet"
        full = context.folder.work / path
        if not full.exists():
            fields = [table.arrow_schema.field(name).with_name(names[name]).with_nullable(True) for name in names]
            partial = private_file(full.with_suffix(".partial"))
            with pq.ParquetWriter(partial, pa.schema(fields), compression="lz4") as writer:
                for batch in context.target.read_present(table, list(names)):
                    writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields)))
            full.with_suffix(".partial").rename(full)
        return [str(path)], names

    try:
        yield rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unaccounted(context: RunContext, mapping: str) -> int:
    """Count, row by row, what is in the extract and in no bucket, or in a bucket and not in the extract, or twice.

    Both sides are read. Where each file has the rows of its segment, each once and in order, nothing is left to count.
    """
    table = context.plan.tables[mapping]
    if all(_is_accounted(context, table, segment) for segment in _in_a_row(context.segments[table.from_])):
        return 0
    fates = [str(fates_path(context, table, segment.index)) for segment in context.segments[table.from_]]
    select = compile_accounting(table, context.facts(), fates)
    found = context.engine.query(DIALECTS[context.engine.dialect].render(select))
    return int(found.column(0)[0].as_py())


def _in_a_row(segments: Sequence[Segment]) -> Iterator[Segment | None]:
    """Yield segments whose row numbers follow one another from 0, None where one does not."""
    first_row = 0
    for segment in segments:
        yield segment if segment.first_row == first_row else None
        first_row += segment.row_count


def _is_accounted(context: RunContext, mapping: TableMapping, segment: Segment | None) -> bool:
    """Say whether the extract's file and the fates' file of a segment both have its rows, each once and in order."""
    if segment is None:
        return False
    expected = pa.chunked_array([row_numbers(segment.first_row, segment.row_count)])
    for path in (Path(segment.path), fates_path(context, mapping, segment.index)):
        with pq.ParquetFile(context.folder.work / path) as file:
            if file.read([ROW], use_threads=False)[ROW] != expected:
                return False
    return True


def _event(result: CheckResult) -> Event:
    # Sample keys stay out of the journal: it holds no data value.
    fields = {name: value for name, value in result.to_dict().items() if name not in {"sample_keys", "sql"}}
    return Event("check_passed" if result.passed else "check_failed", fields)


def _raise_if(failed: list[CheckResult], meaning: str) -> None:
    errors = [result for result in failed if result.severity == "error"]
    if not errors:
        return
    findings = [
        Finding(
            code=result.name,
            severity="error",
            message=f"check '{result.name}' on '{result.table}': {result.detail or result.covered}",
            table=result.table,
            count=result.count,
            sample_keys=result.sample_keys,
        )
        for result in errors
    ]
    message = f"{len(errors)} check(s) failed; {meaning}"
    raise CheckFailed(message, findings)
