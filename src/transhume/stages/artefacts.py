"""Artefacts: whether what rewritten references lead to is there, where the plan asks for it."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from uuid import UUID

import pyarrow.parquet as pq
from sqlglot import exp

from transhume.checks import CheckResult
from transhume.checks.rows import rows_of
from transhume.dialects import DIALECTS
from transhume.plan.artefacts import ArtefactColumn, artefact_columns, verified
from transhume.plan.model import TableMapping
from transhume.rules.trees import every, is_present, negated
from transhume.schema import physical_names
from transhume.stages.cells import readable
from transhume.stages.context import RunContext
from transhume.stages.rejects import file_word
from transhume.stages.target_rows import TargetRows
from transhume.systems.artefacts import Artefacts
from transhume.words import counted

_SAMPLE_KEYS = 5
_ROWS_AT_ONCE = 2_000
_UUID_BYTES = 16


def artefacts(context: RunContext, rows: TargetRows) -> Iterator[CheckResult]:
    """Yield for each column of references, where the plan says `verify_artifacts`, what is not there.

    Effects: a CSV of the run's folder with every missing one, its key, column and reference.
    """
    places = Artefacts()
    for mapping in context.plan.tables.values():
        then = verified(context.plan, mapping)
        for column in artefact_columns(mapping) if then else ():
            yield _looked_at(context, rows, mapping, column, places, "warning" if then == "warn" else "error")


def _looked_at(
    context: RunContext,
    rows: TargetRows,
    mapping: TableMapping,
    column: ArtefactColumn,
    places: Artefacts,
    severity: str,
) -> CheckResult:
    started = monotonic()
    final = context.folder.keys / f"missing-artefacts-{file_word(mapping.name)}-{file_word(column.name)}.csv"
    final.parent.mkdir(exist_ok=True, mode=0o700)
    partial = final.with_suffix(".partial")
    keys: list[str] = []
    asked = missing = unknown = 0
    reason = ""
    opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*context.tables[mapping.name].key, "column", "reference", "said"])
        for found in _references(context, rows, mapping, column):
            asked += len(found)
            for (key, reference), said in _lacking(places, found):
                missing, unknown = missing + (not said), unknown + bool(said)
                reason = reason or said
                writer.writerow([readable(each) for each in (*key, column.name, reference, said or "not there")])
                keys += [", ".join(key)] if len(keys) < _SAMPLE_KEYS else []
    if missing or unknown:
        partial.rename(final)
    else:
        partial.unlink()
        final.unlink(missing_ok=True)
    detail = f"{counted(asked, 'reference')} looked at, {missing:,} not there"
    detail += f", {unknown:,} could not be looked at ({reason})" if unknown else ""
    detail += f"; all of them: {final.parent.name}/{final.name}" if missing or unknown else ""
    covered = f"what {column.name} refers to is there"
    took = round(monotonic() - started, 3)
    return CheckResult(
        "artefact_exists", mapping.name, missing + unknown, covered, severity, detail, tuple(keys), duration_s=took
    )


def _lacking(
    places: Artefacts, found: list[tuple[tuple[str, ...], str]]
) -> Iterator[tuple[tuple[tuple[str, ...], str], str]]:
    """Yield each row whose reference leads to nothing, with why nobody could look, if so."""
    said = dict(places.missing(dict.fromkeys(reference for _, reference in found)))
    yield from ((each, said[each[1]]) for each in found if each[1] in said)


def _references(
    context: RunContext, rows: TargetRows, mapping: TableMapping, column: ArtefactColumn
) -> Iterator[list[tuple[tuple[str, ...], str]]]:
    """Yield (key, reference) of the mapping's rows in parts."""
    table = context.tables[mapping.name]
    names = physical_names(each.name for each in table.table.columns)
    value = exp.column(names[column.name], "p", quoted=True)
    wanted = [is_present(value)]
    if column.plain is not None:
        wanted.append(negated(exp.EQ(this=value.copy(), expression=exp.Literal.string(column.plain))))
    shown = [exp.column(names[part], "p", quoted=True) for part in table.key]
    columns = [exp.alias_(each, f"c{place}", quoted=True) for place, each in enumerate([*shown, value])]
    select = exp.select(*columns).from_(rows_of(rows.kept(mapping.name), "p")).where(every(wanted))
    output = Path("references.parquet")
    context.engine.to_parquet(DIALECTS[context.engine.dialect].render(select), output)
    path = context.folder.work / output
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                *key, references = [each.to_pylist() for each in batch.columns]
                keys = [tuple(_text(part) for part in parts) for parts in zip(*key, strict=True)] if key else None
                yield list(zip(keys or [()] * len(references), references, strict=True))
    finally:
        path.unlink(missing_ok=True)


def _text(part: object) -> str:
    """Return a part of a key as text; UUIDs travel as 16 bytes."""
    return str(UUID(bytes=part)) if isinstance(part, bytes) and len(part) == _UUID_BYTES else str(part)
