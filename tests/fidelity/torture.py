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
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader
from ruamel.yaml import YAML

from tests.servers import MariadbServer
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
    """Values of one column of the source table, whose rows hold nothing else; `first` is the id of the first one.

    One wide table costs a run a tenth of what as many tables do, and each row still stands or falls by one value.
    """

    name: str
    first: int
    column: str
    into: str
    values: tuple[Value, ...]

    def rows(self) -> Iterator[tuple[int, Value]]:
        """Yield each value with the id of its row."""
        yield from enumerate(self.values, start=self.first)


def read_groups(name: str) -> list[Group]:
    """Return the groups of a data file, in order."""
    read = YAML(typ="safe").load((HERE / name).read_text(encoding="utf-8"))
    groups, first = [], 0
    for number, group in enumerate(read):
        own = f"c{number:02d}"
        values = tuple(_value(each, own) for each in group["values"])
        groups.append(Group(own, first, group["column"], group["into"] or "", values))
        first += len(values)
    return groups


def read_refused(name: str) -> list[tuple[Group, str]]:
    """Return the columns of one source that are refused, each as a group of one value, and what is told of it."""
    read = YAML(typ="safe").load((HERE / "refused.yaml").read_text(encoding="utf-8"))[name]
    found = []
    for number, each in enumerate(read):
        value = Value(each["told"], each["put"], {}, "")
        found.append((Group(f"c{number:02d}", number, each["column"], each.get("into", ""), (value,)), each["told"]))
    return found


def _value(each: Mapping[str, Any], column: str) -> Value:
    gives = each.get("gives")
    if "gives_repeated" in each:
        letter, count = each["gives_repeated"]
        gives = letter * count
    targets = {"postgres": gives, "iceberg": each.get("iceberg", gives)}
    return Value(each["is"], each["put"], targets, each.get("rejected", "").replace(":v", f":{column}"))


def write_plan(folder: Path, groups: Sequence[Group], source: str, target: str) -> Project:
    """Write the project that copies the table, whatever is rejected."""
    folder.mkdir(exist_ok=True)
    is_files = source.startswith("files:")
    types = ", ".join(
        [*(["id: bigint"] if is_files else []), *(f"{group.name}: '{group.into}'" for group in groups if group.into)]
    )
    columns = ", ".join(f"{group.name}: {group.name}" for group in groups)
    (folder / "transhume.yaml").write_text(
        "transhume: 1\nname: torture\nnamespace: torture\nsource: ${SOURCE_URL}\ntarget: ${TARGET_URL}\n"
        f"{'consistency: none' if is_files else ''}\n"
        "defaults: {max_rejects: 100%}\ntables:\n"
        f"  t: {{from: t, key: id, create: true, types: {{{types}}}, columns: {{id: id, {columns}}}}}\n"
    )
    (folder / ".env").write_text(f"SOURCE_URL={source}\nTARGET_URL={target}\n")
    return Project(folder)


def _statements(groups: Sequence[Group]) -> Iterator[str]:
    columns = ", ".join(f"{group.name} {group.column}" for group in groups)
    yield f"CREATE TABLE t (id integer PRIMARY KEY, {columns})"
    for group in groups:
        for number, value in group.rows():
            yield f"INSERT INTO t (id, {group.name}) VALUES ({number}, {value.put})"


def write_sqlite(path: Path, groups: Sequence[Group]) -> None:
    """Make a SQLite file with the table; its own evaluation of `put` is what stands there."""
    with sqlite3.connect(path) as source:
        for statement in _statements(groups):
            source.execute(statement)
    source.close()


def write_csv(path: Path, groups: Sequence[Group]) -> None:
    """Make a CSV file with the table: between two commas stands what `put` says, and nothing in the other columns."""
    header = ",".join(["id", *(group.name for group in groups)])
    with path.open("wb") as file:
        file.write(header.encode() + b"\r\n")
        for place, group in enumerate(groups):
            for number, value in group.rows():
                fields = [str(number).encode(), *(b"" for _ in groups)]
                fields[place + 1] = _put_bytes(value.put)
                file.write(b",".join(fields) + b"\r\n")


def write_jsonl(path: Path, groups: Sequence[Group]) -> None:
    """Make a JSON Lines file with the table: an object a row, of its id and the one value."""
    lines = [f'{{"id": {number}, "{group.name}": {value.put}}}' for group in groups for number, value in group.rows()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _put_bytes(put: str) -> bytes:
    kind, _, rest = put.partition(":")
    if kind == "hex":
        return bytes.fromhex(rest)
    if kind == "repeat":
        letter, _, count = rest.partition(":")
        return letter.encode() * int(count)
    return put.encode()


def write_postgres(url: str, schema: str, groups: Sequence[Group]) -> None:
    """Make a schema with the table."""
    with psycopg.connect(url, autocommit=True) as source:
        source.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        source.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
        source.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'Ünhappy ''x''')")
        source.execute("CREATE DOMAIN small AS integer CHECK (value < 100)")
        source.execute("CREATE TYPE pair AS (a integer, b text)")
        for statement in _statements(groups):
            source.execute(statement)


def write_mariadb(server: MariadbServer, database: str, groups: Sequence[Group]) -> None:
    """Make the table in a database; months may have a 31st day there that have none."""
    statements = list(_statements(groups))
    server.run("SET sql_mode = 'ALLOW_INVALID_DATES'", *statements, database=database)


def rejects(result: RunResult) -> dict[int, str]:
    """Return the reasons of the rejected rows by id."""
    found = {}
    for file in sorted((result.rejects / "m000").glob("*.parquet")):
        for row in pq.read_table(file, columns=["id", "_reasons"]).to_pylist():
            found[int(row["id"])] = row["_reasons"]
    return found


Rows = dict[int, dict[str, Any]]


def read_postgres(url: str, schema: str) -> Rows:
    """Return what psycopg reads of the table: values by column by id, as `plain` shows them."""
    with psycopg.connect(url) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        for name in ("json", "jsonb"):
            reader.adapters.register_loader(name, TextLoader)
        cursor = reader.cursor(row_factory=dict_row)
        return _by_id(cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, "t"))).fetchall())


def read_lake(catalog: Any, namespace: str) -> Iterator[Rows]:
    """Yield what pyiceberg reads of the table, and what DuckDB reads of its files, as `plain` shows it."""
    found = catalog.load_table((namespace, "t"))
    yield _by_id(found.scan().to_arrow().to_pylist())
    files = [task.file.file_path.removeprefix("file://") for task in found.scan().plan_files()]
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    yield _by_id(duck.sql("SELECT * FROM read_parquet($1)", params=[files]).to_arrow_table().to_pylist())


def _by_id(rows: Sequence[Mapping[str, Any]]) -> Rows:
    return {row["id"]: {name: plain(value) for name, value in row.items()} for row in rows}


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
