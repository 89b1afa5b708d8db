"""Lookups from tables of other systems: read once, as exact texts, and frozen with the extract."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from transhume.batches import Event, FrozenLookup
from transhume.checks.lookups import duplicate_finding, null_key_finding, unreadable_finding
from transhume.compiler import compile_one_entry_a_key, compile_repeated_keys
from transhume.dialects import DIALECTS
from transhume.errors import Finding, SystemUnavailable
from transhume.facts import Need, Relation
from transhume.plan.model import FileLookup
from transhume.schema import ODD, TEXT, Carrier, Column, Kind, Table, physical_names
from transhume.stages.context import WorkContext
from transhume.stages.files import sha256_of, write_private_batches
from transhume.systems.system import Snapshot

FOLDER = Path("extract") / "lookups"
_SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string())])
_SHOWN_MAX = 3
_READABLE = frozenset({"text", "integer", "real"})
"""Classes of odd values whose bytes are their text; the others are bytes, or text that is not UTF-8."""


def freeze_lookups(context: WorkContext) -> Iterator[Event]:
    """Read every lookup that is a table of another system, each system's under one snapshot of its own.

    Effects: files under work/extract/lookups; `context.lookups` is set. Memory: one batch, however many entries.
    Yields: lookup_frozen, one each.
    Raises: PlanError if a system's tables are not what the plan says; SystemUnavailable, SystemRefused.
    """
    context.lookups = {}
    for system in context.lookup_systems.by_system:
        tables = context.lookup_systems.tables(system)
        with context.lookup_systems.source(system).snapshot() as snapshot:
            for name, table in tables.items():
                frozen = _frozen(context, name, table, snapshot)
                context.lookups[name] = frozen
                yield Event("lookup_frozen", asdict(frozen))


def journalled_lookup(event: Mapping[str, Any]) -> FrozenLookup:
    """Return the lookup that a journalled event tells of."""
    return FrozenLookup(**{each.name: event[each.name] for each in fields(FrozenLookup)})


def is_lookup_sound(context: WorkContext, frozen: FrozenLookup) -> bool:
    """Say whether the file of a lookup is there and as it was written."""
    return sha256_of(context.folder.work / frozen.path) == frozen.sha256


def lookup_relation(frozen: FrozenLookup) -> Relation:
    """Return the relation of a lookup: the frozen file itself."""
    return Relation(frozen.path, {"key": TEXT, "value": TEXT}, frozen.row_count)


def lookup_data_findings(context: WorkContext) -> list[Finding]:
    """Return what the frozen rows say against the lookups: repeated keys and what has no text; rows without a key."""
    findings = []
    for name, frozen in context.lookups.items():
        if frozen.unreadable:
            findings.append(unreadable_finding(context.plan, name, frozen.unreadable))
        select = compile_repeated_keys(frozen.path, _SHOWN_MAX)
        found = context.engine.query(DIALECTS[context.engine.dialect].render(select)).to_pylist()
        if found:
            copies = {row["key"]: row["row_count"] for row in found}
            findings.append(duplicate_finding(context.plan, name, copies, found[0]["key_count"]))
        if frozen.null_keys:
            findings.append(null_key_finding(context.plan, name, frozen.null_keys))
    return findings


def settle_repeated_keys(context: WorkContext, findings: Sequence[Finding]) -> None:
    """Give the relation of each lookup that has repeated keys one entry a key, so that the rest can be looked at.

    Nothing is staged by such a relation: a run stops at the finding.
    """
    for finding in findings:
        if finding.code == "lookup_duplicate" and finding.table is not None:
            frozen = context.lookups[finding.table]
            path = Path(frozen.path).with_suffix(".settled.parquet")
            select = DIALECTS[context.engine.dialect].render(compile_one_entry_a_key(frozen.path))
            rows = context.engine.to_parquet(select, path)
            need = Need("lookup", finding.table)
            context.relations[str(need)] = Relation(str(path), {"key": TEXT, "value": TEXT}, rows)


def _frozen(context: WorkContext, name: str, table: Table, snapshot: Snapshot) -> FrozenLookup:
    path = FOLDER / f"l{len(context.lookups):03d}.parquet"
    lookup = context.plan.system_lookups()[name]
    counts: Counter[str] = Counter()
    batches = snapshot.read(table, context.limits.segment_rows_max, context.limits.segment_bytes_max)
    final = context.folder.work / path
    try:
        digest = write_private_batches(final, _SCHEMA, (_entries(batch, table, lookup, counts) for batch in batches))
    except OSError as error:
        message = (
            f"the lookup '{name}' not written to '{final}' ({error.strerror}); its system, the source and the target "
            "are untouched. Make room, then run the same command again."
        )
        raise SystemUnavailable(message) from error
    size = final.stat().st_size
    known = (counts["rows"], size, digest, snapshot.instant, counts["null_keys"], counts["unreadable"])
    return FrozenLookup(name, str(path), *known)


def _entries(batch: pa.RecordBatch, table: Table, lookup: FileLookup, counts: Counter[str]) -> pa.RecordBatch:
    """Return the entries of a batch as texts, and count them and what is left out."""
    names = physical_names(column.name for column in table.columns)
    odd = _odd_texts(batch)
    texts: dict[str, pa.Array] = {}
    unreadable: set[int] = set()
    for word in ("key", "value"):
        column = table.column(getattr(lookup, word))
        assert column is not None
        own = exact_texts(batch.column(names[column.name]), column)
        strange = odd.get(column.name, {})
        unreadable |= {place for place, text in strange.items() if text is None}
        texts[word] = _with_odd(own, strange) if strange else own
    is_bad = pc.is_in(pa.array(range(batch.num_rows)), value_set=pa.array(sorted(unreadable), pa.int64()))
    has_key = pc.is_valid(texts["key"])
    kept = pc.and_not(has_key, is_bad)
    counts["unreadable"] += len(unreadable)
    counts["null_keys"] += pc.sum(pc.and_not(pc.invert(has_key), is_bad)).as_py() or 0
    entries = pa.RecordBatch.from_arrays([texts["key"].filter(kept), texts["value"].filter(kept)], schema=_SCHEMA)
    counts["rows"] += entries.num_rows
    return entries


def exact_texts(values: pa.Array, column: Column) -> pa.Array:
    """Return values as their texts: as they stand, integers in decimal, UUIDs with hyphens, decimals at their scale."""
    kind = column.type.kind if column.type else None
    if column.carrier is Carrier.TEXT or kind in {Kind.TEXT, Kind.JSON}:
        return values
    if kind is Kind.UUID:
        return pa.array([None if each is None else str(UUID(bytes=each)) for each in values.to_pylist()], pa.string())
    if kind is Kind.DECIMAL:
        # Arrow's own cast writes small ones with an exponent.
        return pa.array([None if each is None else f"{each:f}" for each in values.to_pylist()], pa.string())
    assert kind in {Kind.INT, Kind.BIGINT}, kind
    return values.cast(pa.string())


def _odd_texts(batch: pa.RecordBatch) -> dict[str, dict[int, str | None]]:
    """Return the texts of values of another class by column and place, None for those that have none."""
    odd = batch.column(ODD)
    found: dict[str, dict[int, str | None]] = {}
    if odd.null_count < len(odd):
        for place, entries in enumerate(odd.to_pylist()):
            for each in entries or ():
                text = each["value"].decode() if each["class"] in _READABLE else None
                found.setdefault(each["name"], {})[place] = text
    return found


def _with_odd(texts: pa.Array, strange: Mapping[int, str | None]) -> pa.Array:
    return pa.array([strange.get(place, text) for place, text in enumerate(texts.to_pylist())], pa.string())
