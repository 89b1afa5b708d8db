"""Runs one rule over rows in both forms: as SQL in DuckDB, and in plain Python by the oracle.

Nothing here knows a rule; the rows, the plan around the rule and the relations it joins are made by hand.
"""

import datetime as dt
import itertools
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from transhume import operations as op
from transhume.batches import TargetTable, arrow_type, extract_schema
from transhume.compiler import (
    compile_distinct,
    compile_gather,
    compile_join,
    compile_transform,
    needs,
    relation_columns,
)
from transhume.dialects import DIALECTS
from transhume.engines.engine import Engine
from transhume.facts import ExtractedTable, Facts, Need, Relation
from transhume.oracle import Odd, Oracle, Relatives
from transhume.plan.credentials import Resolver
from transhume.plan.model import Plan, TableMapping
from transhume.plan.origin import Origin
from transhume.rules import parse_rule
from transhume.rules.names import resolve
from transhume.rules.utc import zone_columns, zone_years
from transhume.schema import BIGINT, TEXT, UUID, Carrier, Column, Kind, LogicalType, Table, parse_type, physical_names

NAMESPACE = "AI_Research_DB_Legacy"
ZONE = "America/New_York"
SECRETS = {"MASK_KEY": "Jefe", "OTHER_KEY": "0123456789abcdef" * 8}
"""What `${...}` stands for; the first is the key of RFC 4231's second test case."""
_numbers = itertools.count()


@dataclass(frozen=True)
class Parent:
    """A mapping that rows refer to: its source table and key, and the fate of each of its rows by key texts."""

    source: str
    key: Mapping[str, LogicalType]
    fates: Mapping[tuple[str, ...], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A rule with everything around it: columns by name, the target type, lookups, parents, joined tables."""

    rule: Any
    columns: Mapping[str, Column]
    into: LogicalType
    lookups: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    parents: Mapping[str, Parent] = field(default_factory=dict)
    joins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    joined_columns: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    joined_rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    source: str = "t"

    def plan(self) -> Plan:
        """Return a plan with this rule as the column `out` of the mapping `m`."""
        mapping = {"from": self.source, "key": ["id"], "columns": {"id": "id", "out": self.rule}, "join": self.joins}
        tables = {"m": mapping}
        for name, parent in self.parents.items():
            columns = {"u": {"uuid": list(parent.key)}}
            tables[name] = {"from": parent.source, "key": list(parent.key), "columns": columns}
        lookups: dict[str, Any] = {name: {"file": "x.csv", "key": "k", "value": "v"} for name in self.lookups}
        lookups |= {name: {key: list(rest) for key, rest in known.items()} for name, known in self.names.items()}
        content = {
            "transhume": "1",
            "name": "twins",
            "namespace": NAMESPACE,
            "source": "sqlite:///x.db",
            "target": "iceberg:./lake",
            "lookups": lookups,
            "tables": tables,
        }
        plan = Plan.model_validate(content, context={"parse_rule": parse_rule, "time_zone": ZONE})
        plan._origin = Origin(resolver=Resolver(Path(), SECRETS))
        return plan


@dataclass(frozen=True)
class Result:
    """What one row gives: its value, or the reasons why it has none."""

    value: Any
    reasons: tuple[str, ...] = ()

    def key(self) -> Any:
        """Return what tells results apart: doubles by their bits, booleans from numbers."""
        return *_told_apart(self.value), self.reasons


def _told_apart(value: Any) -> tuple[str, Any]:
    if isinstance(value, list):
        return "list", [_told_apart(each) for each in value]
    return type(value).__name__, struct.pack(">d", value) if isinstance(value, float) else value


class Bench:
    """Runs settings over rows; one engine for all of them."""

    def __init__(self, engine: Engine, work: Path) -> None:
        """Use this engine, whose work folder is `work`."""
        self.engine, self.work = engine, work

    def python(self, setting: Setting, rows: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Return what the oracle says of each row."""
        plan = setting.plan()
        mapping = plan.tables["m"]
        fates = {name: parent.fates for name, parent in setting.parents.items()}
        oracle = Oracle(
            plan,
            mapping,
            _target(setting.into),
            _tables(setting),
            lookups=setting.lookups,
            parent_fate=lambda name, key: fates[name].get(key),
            children=Relatives(plan, _tables(setting), setting.joined_rows).children,
        )
        results = []
        for number, row in enumerate(rows):
            joined = {alias: _joined(setting, mapping, alias, row) for alias in mapping.join}
            expected = oracle.expected_row({"id": number, **row}, joined)
            results.append(Result(expected.values.get("out"), expected.reasons))
        return results

    def sql(self, setting: Setting, rows: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Return what the engine says of each row."""
        plan = setting.plan()
        mapping = plan.tables["m"]
        tables = _tables(setting)
        extracts = {setting.source: self._extract(tables[setting.source], [{"id": n, **r} for n, r in enumerate(rows)])}
        for name, joined in setting.joined_rows.items():
            extracts[name] = self._extract(tables[name], joined)
        for parent in setting.parents.values():
            if parent.source not in extracts:
                extracts[parent.source] = ExtractedTable(tables[parent.source], (), 0)
        relations: dict[str, Relation] = {}
        for need in needs(mapping):
            facts = Facts(extracts, dict(relations))
            relations[str(need)] = self._relation(setting, plan, mapping, need, facts)
        facts = Facts(extracts, relations)
        (path,) = extracts[setting.source].paths
        select = compile_transform(plan, mapping, facts, _target(setting.into), [path])
        found = self.engine.query(DIALECTS[self.engine.dialect].render(select))
        by_row = sorted(found.to_pylist(), key=lambda row: row["_row"])
        assert [row["_row"] for row in by_row] == list(range(len(rows)))
        return [_result(row, setting.into) for row in by_row]

    def _extract(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> ExtractedTable:
        names = physical_names(column.name for column in table.columns)
        content: list[dict[str, Any]] = []
        odd_columns: set[str] = set()
        for number, row in enumerate(rows):
            line: dict[str, Any] = {"_row": number, "_odd": []}
            for name, value in row.items():
                if isinstance(value, Odd):
                    line["_odd"].append({"name": name, "class": value.storage, "value": value.content})
                    odd_columns.add(name)
                else:
                    line[names[name]] = value.bytes if isinstance(value, uuid.UUID) else value
            line["_odd"] = line["_odd"] or None
            content.append(line)
        path = self._path()
        pq.write_table(pa.Table.from_pylist(content, extract_schema(table)), self.work / path)
        return ExtractedTable(table, (path,), len(rows), frozenset(odd_columns))

    def _relation(self, setting: Setting, plan: Plan, mapping: TableMapping, need: Need, facts: Facts) -> Relation:
        if need.kind == "lookup":
            entries = setting.lookups[need.subject]
            return self._written({"key": list(entries), "value": list(entries.values())}, {"key": TEXT, "value": TEXT})
        if need.kind == "names":
            select = DIALECTS[self.engine.dialect].render(compile_distinct(plan, mapping, need, facts))
            raw = self.engine.query(select).column("raw").to_pylist()
            known = {name: tuple(others) for name, others in setting.names[need.subject].items()}
            found = resolve(raw, known)
            rows = {"raw": list(found), "canonical": list(found.values())}
            return self._written(rows, {"raw": TEXT, "canonical": TEXT})
        if need.kind == "zone":
            return self._written(_zone_rows(need.subject), zone_columns())
        if need.kind == "parents":
            return self._parents(setting.parents[need.subject])
        if need.kind in {"join", "gather"}:
            is_join = need.kind == "join"
            select = compile_join(plan, mapping, need.subject, facts) if is_join else compile_gather(plan, need, facts)
            path = self._path()
            count = self.engine.to_parquet(DIALECTS[self.engine.dialect].render(select), Path(path))
            return Relation(path, relation_columns(mapping, need, facts), count)
        return Relation("none.parquet", {"k0": BIGINT}, 0)

    def _parents(self, parent: Parent) -> Relation:
        columns = {f"k{place}": LogicalType(kind.kind) for place, kind in enumerate(parent.key.values())}
        rows: dict[str, list[Any]] = {name: [] for name in (*columns, "uuid", "fate")}
        for key, fate in parent.fates.items():
            for name, part, kind in zip(columns, key, columns.values(), strict=True):
                rows[name].append(int(part) if kind.kind is not Kind.TEXT else part)
            name = parent.source + "".join(f"|{len(part)}:{part}" for part in key)
            space = uuid.uuid5(uuid.NAMESPACE_URL, f"transhume:{NAMESPACE}")
            rows["uuid"].append(str(uuid.uuid5(space, name)))
            rows["fate"].append(fate)
        written = self._written(rows, {**columns, "uuid": TEXT, "fate": TEXT})
        # A relation of parents comes from the engine, which writes UUIDs as such.
        kept = [exp.column(name, quoted=True) for name in (*columns, "fate")]
        made = exp.alias_(op.ParseUuid(this=exp.column("uuid", quoted=True)), "uuid", quoted=True)
        files = exp.Table(this=op.ParquetFiles(expressions=[exp.Literal.string(written.path)]))
        select = exp.select(*kept, made).from_(exp.alias_(files, "t", table=True))
        path = self._path()
        count = self.engine.to_parquet(DIALECTS[self.engine.dialect].render(select), Path(path))
        return Relation(path, {**columns, "uuid": UUID, "fate": TEXT}, count)

    def _written(self, rows: Mapping[str, Sequence[Any]], columns: Mapping[str, LogicalType]) -> Relation:
        arrays = [pa.array(rows[name], arrow_type(kind)) for name, kind in columns.items()]
        path = self._path()
        pq.write_table(pa.table(arrays, names=list(columns)), self.work / path)
        return Relation(path, columns, len(arrays[0]))

    def _path(self) -> str:
        return f"f{next(_numbers)}.parquet"


_zones: dict[str, dict[str, list[int | None]]] = {}


def _zone_rows(zone: str) -> dict[str, list[int | None]]:
    if zone not in _zones:
        _zones[zone] = zone_years(zone)
    return _zones[zone]


def _tables(setting: Setting) -> dict[str, Table]:
    own = (Column("id", BIGINT), *setting.columns.values())
    tables = {setting.source: Table(setting.source, own)}
    for name, columns in setting.joined_columns.items():
        tables[name] = Table(name, tuple(columns.values()))
    for parent in setting.parents.values():
        key = tuple(Column(name, kind) for name, kind in parent.key.items())
        tables.setdefault(parent.source, Table(parent.source, key))
    return tables


def _target(into: LogicalType) -> TargetTable:
    columns = (Column("id", BIGINT, nullable=False), Column("out", into))
    return TargetTable("m", Table("target", columns), ("id",), create=True)


def _joined(setting: Setting, mapping: TableMapping, alias: str, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    join = mapping.join[alias]
    for other in setting.joined_rows[join.from_]:
        if all(other[theirs] is not None and other[theirs] == row[own] for theirs, own in join.on.items()):
            return other
    return None


def _result(row: Mapping[str, Any], into: LogicalType) -> Result:
    reasons = tuple(row["_reasons"].split("\n")) if row["_reasons"] is not None else ()
    assert (row["_fate"] == "rejected") == bool(reasons), row
    value = row["out"]
    if reasons:
        return Result(None, reasons)
    return Result(_plain(value, into))


def _plain(value: Any, into: LogicalType) -> Any:
    if isinstance(value, list) and into.element is not None:
        return [_plain(each, into.element) for each in value]
    if into.kind is Kind.UUID and isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    return value


def column(name: str, words: str) -> Column:
    """Return a column from words such as `bigint` or `timestamp via text`."""
    kind, _, carried = words.partition(" via ")
    carrier = Carrier.TEXT if carried == "text" else Carrier.NATIVE
    return Column(name, parse_type(kind), carrier=carrier)


def python_value(text: Any, kind: LogicalType, *, carrier: Carrier = Carrier.NATIVE) -> Any:
    """Return the value that a case's text (of a list: a list of such texts) stands for."""
    if isinstance(text, list) and kind.element is not None:
        return [python_value(each, kind.element) for each in text]
    if text is None or carrier is Carrier.TEXT:
        return text
    readers = {
        Kind.INT: int,
        Kind.BIGINT: int,
        Kind.DECIMAL: Decimal,
        Kind.DOUBLE: float,
        Kind.BOOLEAN: {"true": True, "false": False}.__getitem__,
        Kind.UUID: uuid.UUID,
        Kind.DATE: dt.date.fromisoformat,
        Kind.TIME: dt.time.fromisoformat,
        Kind.TIMESTAMP: dt.datetime.fromisoformat,
        Kind.TIMESTAMPTZ: dt.datetime.fromisoformat,
        Kind.BYTES: bytes.fromhex,
    }
    read = readers.get(kind.kind, str)
    return read(text)
