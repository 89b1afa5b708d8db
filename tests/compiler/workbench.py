"""A source of Parquet extracts and everything that a run would build of it, so that compiled SELECTs can be executed.

Rows are written by hand as Python values; a value that is not of its column's class becomes an odd value, as a
source with dynamic types would hand it over.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from transhume.batches import TargetTable, extract_schema
from transhume.compiler import (
    compile_dedupe,
    compile_distinct,
    compile_duplicates,
    compile_duplicates_of_share,
    compile_fixpoint_step,
    compile_gather,
    compile_join,
    compile_keys,
    compile_parent_keys,
    compile_row_fates,
    compile_together,
    compile_transform,
    is_cyclic,
    needs,
    relation_columns,
    table_order,
)
from transhume.dialects import DIALECTS
from transhume.facts import Catalog, ExtractedTable, Facts, Need, Relation
from transhume.plan.document import parse_document
from transhume.plan.model import NamesLookup, Plan, TableMapping
from transhume.plan.types import mapping_types
from transhume.rules import parse_rule
from transhume.rules.names import resolve
from transhume.rules.zone_years import zone_columns, zone_years
from transhume.schema import FATE, ODD, REASONS, ROW, TEXT, Carrier, Column, Kind, Table, parse_type, physical_names

Row = Mapping[str, Any]

_CLASSES: dict[Kind, type | tuple[type, ...]] = {
    Kind.UUID: uuid.UUID,
    Kind.INT: int,
    Kind.BIGINT: int,
    Kind.DECIMAL: Decimal,
    Kind.DOUBLE: float,
    Kind.BOOLEAN: bool,
    Kind.TEXT: str,
    Kind.DATE: dt.date,
    Kind.TIMESTAMP: dt.datetime,
    Kind.TIMESTAMPTZ: dt.datetime,
    Kind.TIME: dt.time,
    Kind.BYTES: bytes,
    Kind.JSON: str,
}


class Broken(bytes):
    """Text of the source that is not UTF-8."""


def plan_of(text: str) -> Plan:
    """Return the plan that the `tables:` and other keys of a YAML text make."""
    head = "transhume: 1\nname: a plan\nnamespace: AI_Research_DB_Legacy\nsource: sqlite:///x\ntarget: iceberg:x\n"
    document = parse_document(head + text, "transhume.yaml")
    assert not document.findings, document.findings
    content = {**document.content, "transhume": "1"}
    defaults = content.get("defaults") or {}
    context = {"parse_rule": parse_rule, "time_zone": defaults.get("time_zone")}
    return Plan.model_validate(content, context=context, by_alias=True, by_name=False)


def column(name: str, kind: str, *, carrier: Carrier = Carrier.NATIVE, nullable: bool = True) -> Column:
    """Return a source column of a type written as in a plan."""
    return Column(name, parse_type(kind), nullable, kind, carrier)


class Workbench:
    """A folder with extracts and relations, and an engine over it."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        lookups: Mapping[str, Mapping[str, str | None]] | None = None,
        *,
        shares: int = 1,
    ) -> None:
        """Work in this folder with this plan and these lookups; look for duplicate keys in so many shares."""
        self.folder, self.plan, self.lookups, self.shares = folder, plan, lookups or {}, shares
        self.extracts: dict[str, ExtractedTable] = {}
        self.relations: dict[str, Relation] = {}
        self.written: dict[str, list[Row]] = {}

    def table(
        self,
        name: str,
        columns: Sequence[Column],
        rows: Iterable[Row],
        *,
        primary_key: tuple[str, ...] = (),
        segment_rows: int = 1000,
    ) -> None:
        """Write a source table's extract, in segments of so many rows."""
        table = Table(name, tuple(columns), primary_key)
        written: list[str] = []
        odd_columns: set[str] = set()
        listed = self.written[name] = list(rows)
        for first in range(0, len(listed), segment_rows):
            path = self.folder / f"extract_{len(self.extracts)}_{len(written)}.parquet"
            odd_columns |= _write_segment(path, table, first, listed[first : first + segment_rows])
            written.append(str(path))
        self.extracts[name] = ExtractedTable(table, tuple(written), len(listed), frozenset(odd_columns))

    @property
    def facts(self) -> Facts:
        """What is known now."""
        return Facts(self.extracts, self.relations)

    @property
    def catalog(self) -> Catalog:
        """The source's tables."""
        return Catalog("source", {name: extract.table for name, extract in self.extracts.items()})

    def target(self, mapping: str) -> TargetTable:
        """Return what the target must hold for a mapping."""
        return mapping_types(self.plan, self.plan.tables[mapping], self.catalog, None)

    def sql(self, tree: Any) -> str:
        """Return the SQL of a tree in the engine's dialect."""
        return DIALECTS["duckdb"].render(tree)

    def query(self, tree: Any) -> list[dict[str, Any]]:
        """Return the rows of a tree, UUIDs as UUIDs and instants in UTC."""
        connection = _connect()
        found = connection.sql(self.sql(tree))
        return found.to_arrow_table().to_pylist()

    def query_plan(self, tree: Any) -> str:
        """Return the engine's own plan of a tree."""
        return str(_connect().execute(f"EXPLAIN {self.sql(tree)}").fetchall()[0][1])

    def write(self, name: str, tree: Any) -> Path:
        """Write the rows of a tree as a relation's file."""
        path = self.folder / f"{name.replace('/', '_').replace(':', '_')}.parquet"
        _connect().sql(self.sql(tree)).write_parquet(str(path))
        return path

    def build(self, mapping: str) -> None:
        """Build every relation that a mapping needs and that is not there yet, as the stage of keys does."""
        for need in needs(self.plan.tables[mapping]):
            if str(need) not in self.relations:
                self._build(self.plan.tables[mapping], need)

    def build_relation(self, mapping: str, kind: str) -> None:
        """Build the relations of one kind that a mapping needs."""
        for need in needs(self.plan.tables[mapping]):
            if need.kind == kind:
                self._build_once(self.plan.tables[mapping], need)

    def tree(self, mapping: str) -> Any:
        """Return the SELECT of a mapping's first segment."""
        plan, target = self.plan.tables[mapping], self.target(mapping)
        return compile_transform(self.plan, plan, self.facts, target, self.extracts[plan.from_].paths[:1])

    def fates_file(self, rows: Sequence[tuple[int, Any, str]]) -> str:
        """Write a fates file of rows, integer keys and fates, each with some UUID."""
        some = uuid.UUID(int=7).bytes
        columns = {ROW: [row for row, _, _ in rows], "_k0": [key for _, key, _ in rows]}
        fields = [pa.field(ROW, pa.int64()), pa.field("_k0", pa.int64())]
        table = pa.table({**columns}, schema=pa.schema(fields))
        table = table.append_column("_uuid", pa.array([some] * len(rows), pa.binary(16)))
        table = table.append_column(FATE, pa.array([fate for _, _, fate in rows], pa.string()))
        path = self.folder / f"fates_{len(list(self.folder.iterdir()))}.parquet"
        pq.write_table(table, path)
        return str(path)

    def transform(self, mapping: str) -> list[dict[str, Any]]:
        """Build what a mapping needs and return its rows, in the extract's order."""
        self.build(mapping)
        rows: list[dict[str, Any]] = []
        for path in self.extracts[self.plan.tables[mapping].from_].paths:
            target = self.target(mapping)
            rows += self.query(compile_transform(self.plan, self.plan.tables[mapping], self.facts, target, [path]))
        return sorted(rows, key=lambda row: row[ROW])

    def run(self) -> dict[str, list[dict[str, Any]]]:
        """Transform all mappings in the order of their references and return their rows."""
        result = {}
        for group in table_order(self.plan):
            if is_cyclic(self.plan, group):
                self.settle(group)
            for mapping in group:
                result[mapping] = self.transform(mapping)
        return result

    def settle(self, group: tuple[str, ...]) -> int:
        """Find the fates of the rows of a cycle by the fixpoint; return the number of its steps."""
        fates, lost, references = {}, {name: [] for name in group}, {}
        for name in group:
            mapping = self.plan.tables[name]
            for need in needs(mapping):
                if need.kind != "parents" or need.subject not in group:
                    self._build_once(mapping, need)
            paths = self.extracts[mapping.from_].paths
            made = compile_row_fates(self.plan, mapping, self.facts, self.target(name), paths, frozenset(group))
            fates[name], references[name] = [str(self.write(f"fates_{name}", made.select))], made.references
        newly: dict[str, list[str]] | None = None
        for step in range(1000):
            found: dict[str, list[str]] = {}
            for name in group:
                tree = compile_fixpoint_step(
                    self.plan, self.plan.tables[name], self.facts, references[name], fates, lost, newly
                )
                path = self.write(f"lost_{name}_{step}", tree)
                if pq.read_metadata(path).num_rows:
                    found[name] = [str(path)]
            if not found:
                break
            for name, paths in found.items():
                lost[name] += paths
            newly = found
        for name in group:
            tree = compile_parent_keys(self.plan, self.plan.tables[name], self.facts, fates[name], lost[name])
            self._keep(self.plan.tables[name], Need("parents", name), self.write(f"parents_{name}", tree))
        return step

    def _build_once(self, mapping: TableMapping, need: Need) -> None:
        if str(need) not in self.relations:
            self._build(mapping, need)

    def _build(self, mapping: TableMapping, need: Need) -> None:
        match need.kind:
            case "join":
                self._keep(
                    mapping, need, self.write(str(need), compile_join(self.plan, mapping, need.subject, self.facts))
                )
            case "dedupe":
                self._keep(mapping, need, self.write(str(need), compile_dedupe(self.plan, mapping, self.facts)))
            case "gather":
                self._keep(mapping, need, self.write("gather", compile_gather(self.plan, need, self.facts)))
            case "duplicates":
                self._keep(mapping, need, self.write(str(need), self._duplicates(mapping, need)))
            case "parents":
                parent = self.plan.tables[need.subject]
                fates = self._fates(need.subject)
                tree = compile_parent_keys(self.plan, parent, self.facts, fates)
                self._keep(parent, need, self.write(str(need), tree))
            case "zone":
                columns = zone_years(need.subject, range(1990, 2040))
                schema = pa.schema([pa.field(name, pa.int64()) for name in zone_columns()])
                self._keep_table(need, pa.table(columns, schema=schema), zone_columns())
            case "lookup":
                pairs = self.lookups[need.subject]
                self._keep_pairs(need, ("key", "value"), pairs)
            case "names":
                lookup = self.plan.lookups[need.subject]
                assert isinstance(lookup, NamesLookup)
                tree = compile_distinct(self.plan, mapping, need, self.facts)
                values = [row["raw"] for row in self.query(tree)]
                self._keep_pairs(need, ("raw", "canonical"), resolve(values, lookup.names))

    def rows_of(self, need: str) -> list[dict[str, Any]]:
        """Return the rows of a relation that was built."""
        return pq.read_table(self.relations[need].path).to_pylist()

    def _duplicates(self, mapping: TableMapping, need: Need) -> Any:
        if self.shares == 1:
            return compile_duplicates(self.plan, mapping, self.facts)
        columns = relation_columns(mapping, need, self.facts)
        keys = str(self.write(f"keys_{mapping.name}", compile_keys(self.plan, mapping, self.facts)))
        trees = [compile_duplicates_of_share(keys, list(columns), share, self.shares) for share in range(self.shares)]
        found = [str(self.write(f"share_{share}_{mapping.name}", tree)) for share, tree in enumerate(trees)]
        return compile_together(found, columns)

    def _fates(self, mapping: str) -> list[str]:
        """Write the fates of a mapping as a run does: what left the engine, with UUIDs as bytes."""
        rows = self.transform(mapping)
        kept = [name for name in rows[0] if name.startswith("_")] if rows else []
        table = pa.Table.from_pylist([{name: _carried(row[name]) for name in kept} for row in rows])
        path = self.folder / f"fates_{mapping}.parquet"
        pq.write_table(table, path)
        return [str(path)] if rows else []

    def _keep(self, mapping: TableMapping, need: Need, path: Path) -> None:
        columns = relation_columns(mapping, need, self.facts)
        self.relations[str(need)] = Relation(str(path), columns, pq.read_metadata(path).num_rows)

    def _keep_pairs(self, need: Need, names: tuple[str, str], pairs: Mapping[str, str | None]) -> None:
        schema = pa.schema([pa.field(name, pa.string()) for name in names])
        columns = [pa.array(list(pairs), pa.string()), pa.array(list(pairs.values()), pa.string())]
        self._keep_table(need, pa.table(columns, schema=schema), dict.fromkeys(names, TEXT))

    def _keep_table(self, need: Need, table: pa.Table, columns: Mapping[str, Any]) -> None:
        path = self.folder / f"{str(need).replace('/', '_').replace(':', '_')}.parquet"
        pq.write_table(table, path)
        self.relations[str(need)] = Relation(str(path), columns, table.num_rows)


def fates(rows: Iterable[Row]) -> list[tuple[str, str | None]]:
    """Return fate and reasons of each row."""
    return [(row[FATE], row[REASONS]) for row in rows]


def values(rows: Iterable[Row], *names: str) -> list[tuple[Any, ...]]:
    """Return these columns of the loaded rows."""
    return [tuple(row[name] for name in names) for row in rows if row[FATE] == "loaded"]


def _write_segment(path: Path, table: Table, first: int, rows: Sequence[Row]) -> set[str]:
    names = physical_names(each.name for each in table.columns)
    columns: dict[str, list[Any]] = {ROW: list(range(first, first + len(rows)))}
    odd: list[list[dict[str, Any]]] = [[] for _ in rows]
    for each in table.columns:
        cells = []
        for place, row in enumerate(rows):
            value = row.get(each.name)
            entry = odd_entry(each, value)
            if entry is not None:
                odd[place].append(entry)
            cells.append(None if entry is not None else _carried(value))
        columns[names[each.name]] = cells
    columns[ODD] = [entries or None for entries in odd]
    pq.write_table(pa.table(columns, schema=extract_schema(table)), path)
    return {entry["name"] for entries in odd for entry in entries}


def odd_entry(of: Column, value: Any) -> dict[str, Any] | None:
    """Return the entry of `_odd` for a value that is not of its column's class, None for one that is."""
    assert of.type is not None
    expected = str if of.carrier is Carrier.TEXT else _CLASSES[of.type.kind]
    if value is None or (isinstance(value, expected) and not isinstance(value, Broken)):
        return None
    if isinstance(value, Broken):
        return {"name": of.name, "class": "invalid", "value": bytes(value)}
    if isinstance(value, bytes):
        return {"name": of.name, "class": "blob", "value": value}
    kinds = {int: "integer", float: "real", str: "text"}
    return {
        "name": of.name,
        "class": kinds[type(value)],
        "value": (value if isinstance(value, str) else repr(value)).encode(),
    }


def _carried(value: Any) -> Any:
    return value.bytes if isinstance(value, uuid.UUID) else value


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET arrow_lossless_conversion = true")
    return connection
