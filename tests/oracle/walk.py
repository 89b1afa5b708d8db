"""Takes a whole SQLite database through the oracle, row by row, without SQL of ours: what a run must account for.

Joins, duplicate keys and the fates of parents are found here by plain loops.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transhume.expressions import parse
from transhume.oracle import AMBIGUOUS, Expected, Odd, Oracle
from transhume.plan.load import load
from transhume.plan.model import Join, Plan, TableMapping
from transhume.plan.types import mapping_types
from transhume.schema import BOOKKEEPING, ODD, Table, physical_names
from transhume.systems.sqlite.source import SqliteSource

Row = dict[str, Any]


@dataclass
class Walk:
    """A plan with the rows of its source, and what the oracle says of each row of each mapping."""

    plan: Plan
    tables: Mapping[str, Table]
    rows: Mapping[str, list[Row]]
    expected: dict[str, list[Expected]]

    def fates(self, mapping: TableMapping) -> dict[tuple[str, ...], str]:
        """Return the fate of each key as it is known so far; of several rows the luckiest."""
        found: dict[tuple[str, ...], str] = {}
        rank = ("loaded", "rejected", "filtered")
        for row, expected in zip(self.rows[mapping.from_], self.expected[mapping.name], strict=True):
            key = _key(row, mapping.key)
            if key is not None and (key not in found or rank.index(expected.fate) < rank.index(found[key])):
                found[key] = expected.fate
        return found


def walk(project: Path, environment: Mapping[str, str], database: Path) -> Walk:
    """Return what the oracle says of every row; parents first, again and again until no fate changes."""
    plan = load(project / "transhume.yaml", environment)
    source = SqliteSource(database)
    catalog = source.catalog()
    with source.snapshot() as snapshot:
        rows = {
            name: [row for batch in snapshot.read(catalog.tables[name], 10_000, 10**9) for row in _rows(batch, table)]
            for name, table in catalog.tables.items()
            if name not in plan.ignored_tables
        }
    source.close()
    lookups = {name: table.entries for name, table in plan.origin.lookups.items()}
    result = Walk(plan, catalog.tables, rows, {})
    for name, mapping in plan.tables.items():
        result.expected[name] = [Expected("loaded")] * len(rows[mapping.from_])
    changed = True
    while changed:
        changed = False
        for name, mapping in plan.tables.items():
            fates = {parent: result.fates(plan.tables[parent]) for parent in {*mapping.parents()}}
            target = mapping_types(plan, mapping, catalog, None)

            def fate(parent: str, key: tuple[str, ...], known: Mapping[str, Any] = fates) -> str | None:
                return known[parent].get(key)

            oracle = Oracle(plan, mapping, target, catalog.tables, lookups=lookups, parent_fate=fate)
            found = list(_expected(oracle, result))
            changed = changed or found != result.expected[name]
            result.expected[name] = found
    return result


def _expected(oracle: Oracle, known: Walk) -> Iterator[Expected]:
    mapping = oracle.mapping
    rows = known.rows[mapping.from_]
    joined = [{} for _ in rows] if not mapping.join else list(_joined(mapping, known))
    first = [oracle.expected_row(row, others) for row, others in zip(rows, joined, strict=True)]
    keys = Counter(_key(row, mapping.key) for row, one in zip(rows, first, strict=True) if one.fate != "filtered")
    for row, others, one in zip(rows, joined, first, strict=True):
        key = _key(row, mapping.key)
        again = key is not None and one.fate != "filtered" and keys[key] > 1
        yield oracle.expected_row(row, others, duplicate=True) if again else one


def _joined(mapping: TableMapping, known: Walk) -> Iterator[dict[str, Any]]:
    candidates = {alias: _candidates(join, known) for alias, join in mapping.join.items()}
    for row in known.rows[mapping.from_]:
        found: dict[str, Any] = {}
        for alias, join in mapping.join.items():
            key = _key(row, tuple(join.on.values()))
            found[alias] = _chosen(join, candidates[alias].get(key, [])) if key is not None else None
        yield found


def _candidates(join: Join, known: Walk) -> dict[tuple[str, ...], list[Row]]:
    result: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    table = known.tables[join.from_]
    types = {column.name: column.type for column in table.columns}
    where = parse(join.where).check_condition(types.get) if join.where else None
    for row in known.rows[join.from_]:
        key = _key(row, tuple(join.on))
        if key is not None and (where is None or where.evaluate(row.__getitem__) is True):
            result[key].append(row)
    return result


def _chosen(join: Join, rows: list[Row]) -> Any:
    for name, values in (join.first or {}).items():
        rows = [row for row in rows if row[name] in values]
        best = min((values.index(row[name]) for row in rows), default=0)
        rows = [row for row in rows if row[name] == values[best]]
    if join.latest and rows:
        latest = max(str(row[join.latest]) for row in rows)
        rows = [row for row in rows if str(row[join.latest]) == latest]
    if not rows:
        return None
    return rows[0] if len(rows) == 1 else AMBIGUOUS


def _key(row: Row, names: tuple[str, ...]) -> tuple[str, ...] | None:
    parts = []
    for name in names:
        value = row[name]
        if value is None or (isinstance(value, Odd) and value.storage in {"blob", "invalid", "refused"}):
            return None
        parts.append(value.content.decode() if isinstance(value, Odd) else str(value))
    return tuple(parts)


def _rows(batch: Any, table: Table) -> Iterator[Row]:
    names = physical_names(column.name for column in table.columns)
    for line in batch.to_pylist():
        row = {name: line[physical] for name, physical in names.items() if physical not in BOOKKEEPING}
        for odd in line[ODD] or []:
            row[odd["name"]] = Odd(odd["class"], odd["value"])
        yield row
