"""Torture tables as a project: a source of nasty values, its plan, what readers of the target get. No expectations."""

import datetime as dt
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.types.string import TextLoader
from ruamel.yaml import YAML

from transhume import Project
from transhume.project import RunResult

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Value:
    """One nasty value: what it is, how it comes into the source, and what must become of it in each target."""

    name: str
    put: str
    gives: Mapping[str, Any]
    rejected: str


@dataclass(frozen=True)
class Group:
    """Values of one column of the source, which go into one table of their own."""

    table: str
    column: str
    into: str
    values: tuple[Value, ...]


def read_groups(name: str) -> list[Group]:
    """Return the groups of a data file, in order."""
    read = YAML(typ="safe").load((HERE / name).read_text(encoding="utf-8"))
    groups = []
    for number, group in enumerate(read):
        values = tuple(_value(each) for each in group["values"])
        groups.append(Group(f"t{number:02d}", group["column"], group["into"] or "", values))
    return groups


def read_refused(name: str) -> list[tuple[Group, str]]:
    """Return the columns of one source that are refused, each as a group of one value, and what is told of it."""
    read = YAML(typ="safe").load((HERE / "refused.yaml").read_text(encoding="utf-8"))[name]
    found = []
    for number, each in enumerate(read):
        value = Value(each["told"], each["put"], {}, "")
        found.append((Group(f"t{number:02d}", each["column"], each.get("into", ""), (value,)), each["told"]))
    return found


def _value(each: Mapping[str, Any]) -> Value:
    gives = each.get("gives")
    if "gives_repeated" in each:
        letter, count = each["gives_repeated"]
        gives = letter * count
    targets = {"postgres": gives, "iceberg": each.get("iceberg", gives)}
    return Value(each["is"], each["put"], targets, each.get("rejected", ""))


def write_plan(folder: Path, groups: Sequence[Group], source: str, target: str) -> Project:
    """Write the project that copies every group into a table of its own, whatever is rejected."""
    folder.mkdir(exist_ok=True)
    lines = ["transhume: 1", "name: torture", "namespace: torture", "source: ${SOURCE_URL}", "target: ${TARGET_URL}"]
    lines += ["defaults: {max_rejects: 100%}", "tables:"]
    for group in groups:
        lines += [f"  {group.table}:", f"    from: {group.table}", "    key: id", "    create: true"]
        lines += [f"    types: {{v: '{group.into}'}}"] if group.into else []
        lines += ["    columns: {id: id, v: v}"]
    (folder / "transhume.yaml").write_text("\n".join(lines) + "\n")
    (folder / ".env").write_text(f"SOURCE_URL={source}\nTARGET_URL={target}\n")
    return Project(folder)


def write_sqlite(path: Path, groups: Sequence[Group]) -> None:
    """Make a SQLite file with one table per group; its own evaluation of `put` is what stands there."""
    with sqlite3.connect(path) as source:
        for group in groups:
            source.execute(f"CREATE TABLE {group.table} (id INTEGER PRIMARY KEY, v {group.column})")
            for number, value in enumerate(group.values):
                source.execute(f"INSERT INTO {group.table} VALUES ({number}, {value.put})")
    source.close()


def write_postgres(url: str, schema: str, groups: Sequence[Group]) -> None:
    """Make a schema with one table per group."""
    with psycopg.connect(url, autocommit=True) as source:
        source.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        source.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
        source.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'Ünhappy ''x''')")
        source.execute("CREATE DOMAIN small AS integer CHECK (value < 100)")
        source.execute("CREATE TYPE pair AS (a integer, b text)")
        for group in groups:
            source.execute(f"CREATE TABLE {group.table} (id integer PRIMARY KEY, v {group.column})")
            for number, value in enumerate(group.values):
                source.execute(f"INSERT INTO {group.table} VALUES ({number}, {value.put})")


def rejects(result: RunResult, table: str, groups: Sequence[Group]) -> dict[int, str]:
    """Return the reasons of a mapping's rejected rows by id."""
    folder = result.rejects / f"m{[group.table for group in groups].index(table):03d}"
    found = {}
    for file in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            found[row["id"]] = row["_reasons"]
    return found


def read_postgres(url: str, schema: str, table: str) -> dict[int, Any]:
    """Return what psycopg reads of a table: value by id, as `plain` shows it."""
    with psycopg.connect(url) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        for name in ("json", "jsonb"):
            reader.adapters.register_loader(name, TextLoader)
        query = sql.SQL("SELECT id, v FROM {}").format(sql.Identifier(schema, table))
        return {number: plain(value) for number, value in reader.execute(query).fetchall()}


def read_lake(catalog: Any, namespace: str, table: str) -> Iterator[dict[int, Any]]:
    """Yield what pyiceberg reads of a table, and what DuckDB reads of its files: value by id, as `plain` shows it."""
    found = catalog.load_table((namespace, table))
    yield {row["id"]: plain(row["v"]) for row in found.scan().to_arrow().to_pylist()}
    files = [task.file.file_path.removeprefix("file://") for task in found.scan().plan_files()]
    if files:
        duck = duckdb.connect()
        duck.execute("SET TimeZone = 'UTC'")
        rows = duck.sql("SELECT id, v FROM read_parquet($1)", params=[files]).to_arrow_table()
        yield {row["id"]: plain(row["v"]) for row in rows.to_pylist()}


def plain(value: Any) -> Any:
    """Return a value as the data files write it: text, NULL as None, lists as lists."""
    match value:
        case None:
            text = None
        case list():
            text = [plain(each) for each in value]
        case bool():
            text = str(value).lower()
        case bytes():
            text = value.hex()
        case Decimal():
            text = format(value, "f")
        case dt.datetime() if value.tzinfo is not None:
            text = value.astimezone(dt.UTC).isoformat()
        case dt.date() | dt.time():
            text = value.isoformat()
        case float():
            text = repr(value)
        case _:
            text = str(value)
    return text
