"""The printed scripts beside `validate` itself: run by four databases' own drivers, they give the rows that it reports.

What is expected is what `validate` says on the same rows, before a run and after it; nothing is written down by hand.
"""

import re
import shutil
import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pymysql
import pytest
from psycopg import sql

from tests.servers import MariadbServer, PostgresServer
from transhume import Project
from transhume.checks import CheckResult
from transhume.demo import Sizes, generate, write_project
from transhume.project import SourceReport
from transhume.schema import FATE, REASONS
from transhume.stages.before import SourceValidation
from transhume.stages.scripts import ScriptFile
from transhume.stages.transform import fates_path

DIALECTS = ("sqlite", "postgres", "mariadb", "duckdb")
TABLES = ("datasets", "experiments", "models", "training_runs", "metrics")
SIZES = Sizes(models=2000, datasets=500, experiments=400, training_runs=999, metrics=1500)
"""As few rows as have every kind of defect that is looked for."""
REASON_OF = {
    "null_key": "null_key", "null": "null", "unmapped": "unmapped", "too_long": "too_long", "orphan": "orphan",
    "impossible_date": "bad_timestamp", "time_form": "bad_timestamp", "zero_date": "zero_date",
    "duplicate_key": "duplicate_key",
}  # fmt: skip
"""Script of a source to the reason for which `validate --before` says that its rows will be rejected."""
T = TypeVar("T")
UNSAID_AS = {"zero_date": "impossible_date"}
"""A column of times takes no zero date either: it is said once, of both."""
Rows = list[tuple[Any, ...]]
Ask = Callable[[str], tuple[list[str], Rows]]
Found = dict[tuple[str, str, str], Counter[str]]


@dataclass(frozen=True)
class Demo:
    """The demo's project over rows that every database can hold, and what validation says of its source."""

    project: Project
    source: Path
    schema: str
    url: str
    report: SourceReport
    rejected: Found
    """By reason, source table and column: the keys of the rows."""
    filtered: Mapping[str, set[str]]
    """By source table the keys of the rows that the plan leaves out."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    write_project(folder)
    plan = folder / "transhume.yaml"
    # Rows that only SQLite can hold are gone, and with them parents of others: no limit is meant for that.
    plan.write_text(re.sub(r"\b\d+%", "100%", plan.read_text().replace("backup: required", "backup: warn")))
    generate(folder / "legacy.db", sizes=SIZES)
    _remove_what_only_sqlite_holds(folder / "legacy.db")
    schema = f"ai_{uuid.uuid4().hex[:8]}"
    with postgres_server.database() as name:
        url = f"{postgres_server.url(name)}&schema={schema}"
        environment = {"LEGACY_URL": f"sqlite:///{folder / 'legacy.db'}", "PLATFORM_URL": url}
        project = Project(folder, environment=environment)
        report, rejected, filtered = _before(project)
        project.run()
        yield Demo(project, folder / "legacy.db", schema, postgres_server.url(name), report, rejected, filtered)


def _remove_what_only_sqlite_holds(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.text_factory = bytes
        for table in TABLES:
            declared = [(str(name, "utf-8"), str(kind, "utf-8")) for _, name, kind, *_ in _info(database, table)]
            classes = ", ".join(f"typeof({name})" for name, _ in declared)
            odd = []
            for rowid, *cells in database.execute(f"SELECT rowid, {classes}, * FROM {table}").fetchall():
                storages, values = cells[: len(declared)], cells[len(declared) :]
                triples = zip(declared, storages, values, strict=True)
                if not all(_is_held(kind, str(storage, "utf-8"), value) for (_, kind), storage, value in triples):
                    odd.append((rowid,))
            database.executemany(f"DELETE FROM {table} WHERE rowid = ?", odd)
        database.commit()


def _info(database: sqlite3.Connection, table: str) -> Rows:
    return database.execute(f"PRAGMA table_info({table})").fetchall()


def _is_held(kind: str, storage: str, value: Any) -> bool:
    if storage == "null":
        return True
    if kind.startswith("INT"):
        return storage == "integer"
    if kind.startswith(("FLOAT", "DECIMAL")):
        return storage == "integer" or (storage == "real" and value - value == 0)
    try:
        return storage == "text" and "\0" not in str(value, "utf-8")
    except UnicodeDecodeError:
        return False


def _before(project: Project) -> tuple[SourceReport, Found, dict[str, set[str]]]:
    """Return what validation says of the source, and row by row what it says it of."""
    with project._place.systems() as systems, project._place.scratch(systems) as context:
        for _ in SourceValidation(context).events():
            pass
        found: Found = defaultdict(Counter)
        filtered: dict[str, set[str]] = defaultdict(set)
        for mapping in context.plan.tables.values():
            for segment in context.segments[mapping.from_]:
                rows = pq.read_table(context.folder.work / fates_path(context, mapping, segment.index))
                left_out = rows.filter(pc.equal(rows[FATE], "filtered"))["_k0"]
                filtered[mapping.from_].update(_text(key) for key in left_out.to_pylist())
                for key, reasons in zip(rows["_k0"].to_pylist(), rows[REASONS].to_pylist(), strict=True):
                    for reason in (reasons or "").split("\n"):
                        kind, _, column = reason.partition(":")
                        found[kind, mapping.from_, column][_text(key)] += 1
    return project.validate_source(), found, filtered


def _text(value: Any) -> str:
    return "NULL" if value is None else str(value)


@pytest.fixture(params=DIALECTS)
def source(request: pytest.FixtureRequest, demo: Demo, postgres_server: PostgresServer) -> Iterator[tuple[str, Ask]]:
    """The dialect, and what asks a database of it that holds the demo's source."""
    with ExitStack() as stack, closing(sqlite3.connect(demo.source)) as legacy:
        if request.param == "sqlite":
            yield "sqlite", lambda text: _asked(legacy.execute(text))
            return
        place = _database(request, stack, request.param, postgres_server)
        for table in TABLES:
            columns = [(str(name), _kind(request.param, str(kind))) for _, name, kind, *_ in _info(legacy, table)]
            place.fill(table, columns, legacy.execute(f"SELECT * FROM {table}").fetchall())
        yield request.param, place.ask


def _kind(dialect: str, declared: str) -> str:
    if declared.startswith("INT"):
        return "BIGINT"
    if declared.startswith(("FLOAT", "DECIMAL")):
        return "DOUBLE" if dialect != "postgres" else "DOUBLE PRECISION"
    return "LONGTEXT" if dialect == "mariadb" else "TEXT"


@dataclass(frozen=True)
class Database:
    """A database of one dialect, by its driver."""

    execute: Callable[[str, Sequence[Any]], Any]
    many: Callable[[str, Rows], Any]
    ask: Ask
    mark: str
    quote: str

    def fill(self, table: str, columns: list[tuple[str, str]], rows: Rows) -> None:
        """Make a table and its rows; `table` may be qualified."""
        made = ", ".join(f"{self.quote}{name}{self.quote} {kind}" for name, kind in columns)
        self.execute(f"CREATE TABLE {table} ({made})", ())
        if rows:
            self.many(f"INSERT INTO {table} VALUES ({', '.join([self.mark] * len(columns))})", rows)


def _database(request: pytest.FixtureRequest, stack: ExitStack, dialect: str, server: PostgresServer) -> Database:
    if dialect == "sqlite":
        memory = stack.enter_context(closing(sqlite3.connect(":memory:")))
        return Database(memory.execute, memory.executemany, lambda text: _asked(memory.execute(text)), "?", '"')
    if dialect == "duckdb":
        duck = stack.enter_context(closing(duckdb.connect()))

        def many(text: str, rows: Rows) -> None:
            # One row a statement would take minutes.
            duck.register("rows", pa.table([list(values) for values in zip(*rows, strict=True)],
                                           names=[str(place) for place in range(len(rows[0]))]))  # fmt: skip
            duck.execute(f"{text.partition(' VALUES ')[0]} SELECT * FROM rows")
            duck.unregister("rows")

        return Database(duck.execute, many, lambda text: _asked(duck.execute(text)), "?", '"')
    if dialect == "postgres":
        name = stack.enter_context(server.database())
        connection = stack.enter_context(psycopg.connect(server.url(name), autocommit=True))
        cursor = connection.cursor()
        return Database(
            lambda text, values: cursor.execute(text, values or None), cursor.executemany,
            lambda text: _asked(cursor.execute(text)), "%s", '"',
        )  # fmt: skip
    if shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
        pytest.skip("no MariaDB on this machine: apt-get install mariadb-server-core")
    maria: MariadbServer = request.getfixturevalue("mariadb_server")
    own = stack.enter_context(maria.database())
    opened = pymysql.connect(unix_socket=str(maria.socket), user="root", database=own, charset="utf8mb4",
                             autocommit=True)  # fmt: skip
    found = stack.enter_context(closing(opened)).cursor()

    def ask(text: str) -> tuple[list[str], Rows]:
        found.execute(text)
        return _asked(found)

    return Database(lambda text, values: found.execute(text, values or None), found.executemany, ask, "%s", "`")


def _asked(cursor: Any) -> tuple[list[str], Rows]:
    return [column[0] for column in cursor.description], [tuple(row) for row in cursor.fetchall()]


def _head(file: ScriptFile) -> tuple[str, str, str]:
    """Return a script's check, table and severity."""
    lines = file.text.splitlines()
    found = re.fullmatch(r"-- check: (.+) \(\w+, table '(.+)'\)", lines[0])
    assert found, lines[0]
    severity = next(line for line in lines if line.startswith("-- severity: "))
    return found[1], found[2], severity.removeprefix("-- severity: ")


def test_scripts_of_the_source_give_the_rows_that_validate_before_reports(demo: Demo, source: tuple[str, Ask]) -> None:
    """By check, table and column the keys of the same rows; what a dialect cannot say its README names."""
    dialect, ask = source
    *files, index = demo.project.scripts(dialect)
    told: Found = defaultdict(Counter)
    for file in files:
        name, table, severity = _head(file)
        if file.side == "source" and name in REASON_OF:
            columns, rows = ask(file.text)
            place = (REASON_OF[name], table, columns[-1])
            if severity == "error" or place in demo.rejected:  # else the plan keeps such rows: `else: null`
                # A `where` through a join is beyond a script: it says on top that it looks at all rows.
                left_out = demo.filtered[table] if "leaves out are looked at too" in file.text else set()
                told[place].update(_text(row[0]) for row in rows if _text(row[0]) not in left_out)
    wanted: Found = {
        place: Counter(dict.fromkeys(keys, 1)) if place[0] == "duplicate_key" else keys
        for place, keys in demo.rejected.items()
        if place[0] in REASON_OF.values()
    }
    keys = {mapping.from_: mapping.key[0] for mapping in demo.project.plan().tables.values()}
    for (kind, table, column), rows in wanted.items():
        if (kind, table, column) in told or (kind == "null" and column == keys[table]):
            continue
        names = [*(name for name, reason in REASON_OF.items() if reason == kind), UNSAID_AS.get(kind, kind)]
        unsaid = [f"- source: {name}, table '{table}', {column}" in index.text for name in names]
        assert any(unsaid), (dialect, kind, table, column, rows)
    assert {place: rows for place, rows in told.items() if rows} == {
        place: rows for place, rows in wanted.items() if place in told
    }
    kinds = {place[0] for place, rows in told.items() if rows}
    assert kinds >= {"null_key", "null", "unmapped", "too_long", "orphan", "duplicate_key"}
    assert ("bad_timestamp" in kinds) == (dialect in {"sqlite", "mariadb"})
    counts = {
        (mapping.from_, reason): count
        for mapping in demo.project.plan().tables.values()
        for reason, count in demo.report.reasons[mapping.name].items()
    }
    for (kind, table, column), rows in told.items():
        if kind != "duplicate_key" and rows:
            assert rows.total() == counts[table, f"{kind}:{column}"]


FAULTS = (
    (
        "UPDATE ml_models SET deployment_status = 'draft' WHERE original_source_id = (SELECT min(original_source_id)"
        " FROM ml_models WHERE deployment_status = 'Draft')"
    ),
    (
        "UPDATE training_jobs SET job_status = 'Failed ' WHERE original_source_id = (SELECT min(original_source_id)"
        " FROM training_jobs WHERE job_status = 'Failed')"
    ),
    (
        "UPDATE ml_models SET algorithm_type = 'XGBoost!' WHERE original_source_id IN (SELECT original_source_id"
        " FROM ml_models WHERE algorithm_type = 'XGBoost' ORDER BY 1 LIMIT 2)"
    ),
    (
        "UPDATE ml_models SET model_artifact_uri = 's3:/' || model_artifact_uri WHERE original_source_id IN"
        " (SELECT original_source_id FROM ml_models WHERE model_artifact_uri IS NOT NULL ORDER BY 1 DESC LIMIT 3)"
    ),
    (
        "UPDATE ml_models SET primary_metric_value = 1.5 WHERE original_source_id IN (SELECT original_source_id"
        " FROM ml_models WHERE primary_metric_name = 'accuracy' ORDER BY 1 LIMIT 2)"
    ),
    (
        "UPDATE training_jobs SET finished_at = started_at - interval '1 microsecond' WHERE original_source_id IN"
        " (SELECT original_source_id FROM training_jobs ORDER BY 1 LIMIT 4)"
    ),
    (
        "UPDATE experiment_logs SET budget_usd = -0.01 WHERE original_source_id = (SELECT max(original_source_id)"
        " FROM experiment_logs)"
    ),
    (
        "INSERT INTO experiment_logs SELECT * FROM experiment_logs WHERE original_source_id = (SELECT"
        " min(original_source_id) FROM experiment_logs)"
    ),
    (
        "DELETE FROM data_sources WHERE dataset_uuid = (SELECT training_dataset_uuid FROM ml_models WHERE"
        " training_dataset_uuid IS NOT NULL GROUP BY 1 ORDER BY count(*), 1 LIMIT 1)"
    ),
)
"""What somebody does to the published tables: labels, forms, ranges, a time, a row twice, a parent lost."""
COMPARED = ("unique_key", "references", "domain", "artefact_form")


@dataclass(frozen=True)
class Spoilt:
    """What validation says of a spoilt target, and the target's tables: columns with PostgreSQL's types, and rows."""

    checks: tuple[CheckResult, ...]
    tables: Mapping[str, tuple[list[tuple[str, str]], Rows]]


@pytest.fixture(scope="module")
def spoilt(demo: Demo) -> Spoilt:
    tables = {}
    with psycopg.connect(demo.url, autocommit=True) as other:
        other.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(demo.schema)))
        for table in ("experiment_logs", "data_sources"):
            other.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey CASCADE")
        for fault in FAULTS:
            assert other.execute(fault).rowcount > 0, fault
        for table in demo.project.plan().tables:
            kinds = other.execute(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass"
                " AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [table],
            ).fetchall()
            tables[table] = (kinds, other.execute(f"SELECT * FROM {table}").fetchall())
    return Spoilt(demo.project.validate().checks, tables)


@pytest.fixture(params=DIALECTS)
def target(
    request: pytest.FixtureRequest, demo: Demo, spoilt: Spoilt, postgres_server: PostgresServer
) -> Iterator[tuple[str, Ask]]:
    """The dialect, and what asks a database of it that holds the spoilt tables."""
    dialect = request.param
    with ExitStack() as stack:
        if dialect == "postgres":
            reader = stack.enter_context(psycopg.connect(demo.url))
            yield dialect, lambda text: _asked(reader.execute(text))
            return
        place = _database(request, stack, dialect, postgres_server)
        if dialect != "sqlite":
            place.execute(f"CREATE SCHEMA {demo.schema}", ())
            if dialect == "mariadb":
                stack.callback(place.execute, f"DROP SCHEMA {demo.schema}", ())
        for table, (columns, rows) in spoilt.tables.items():
            made = [(name, _stored(dialect, kind)) for name, kind in columns]
            held = [tuple(_held(dialect, value) for value in row) for row in rows]
            place.fill(table if dialect == "sqlite" else f"{demo.schema}.{table}", made, held)
        yield dialect, place.ask


def _stored(dialect: str, kind: str) -> str:
    if dialect == "duckdb":
        return kind.upper()
    if kind in {"bigint", "integer", "double precision"}:
        return kind.replace(" precision", "").upper() if dialect == "mariadb" else kind.upper()
    if kind == "timestamp with time zone" and dialect == "mariadb":
        return "DATETIME(6)"
    if kind in {"boolean", "date"} or kind == "numeric":
        return {"numeric": "DECIMAL(10,2)"}.get(kind, kind.upper())
    return "VARCHAR(800)" if dialect == "mariadb" else "TEXT"


def _held(dialect: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dialect == "duckdb":
        return str(value) if isinstance(value, uuid.UUID) else value
    if hasattr(value, "hour"):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    return str(value)


def _grouped(pairs: Iterable[tuple[tuple[str, str], T]]) -> dict[tuple[str, str], list[T]]:
    found: dict[tuple[str, str], list[T]] = {}
    for key, each in pairs:
        found.setdefault(key, []).append(each)
    return found


def test_scripts_of_the_target_give_the_rows_that_validate_after_reports(
    demo: Demo, spoilt: Spoilt, target: tuple[str, Ask]
) -> None:
    """Check by check the number of rows and, as few were spoilt of each, every key; what is not said is named."""
    dialect, ask = target
    *files, index = demo.project.scripts(dialect)
    checks = _grouped(
        ((check.name, check.table), check)
        for check in spoilt.checks
        if check.name in COMPARED or check.name.startswith("check:")
    )
    scripts = _grouped((_head(file)[:2], file) for file in files if file.side == "target")
    compared: Counter[str] = Counter()
    for (name, table), results in checks.items():
        if len(scripts.get((name, table), ())) < len(results):
            assert f"- target: {name}, table '{table}'" in index.text, (dialect, name, table)
            continue
        for check, file in zip(results, scripts[name, table], strict=True):
            _, rows = ask(file.text)
            # A script shows the keys of a row before what it refers to; `validate` shows the reference.
            place = -1 if name == "references" else 0
            keys = {str(row[place]) for row in rows}
            assert len(rows) == check.count, (dialect, name, check.covered)
            assert keys >= set(check.sample_keys), (dialect, name, check.covered)
            if len(rows) <= len(check.sample_keys):
                assert keys == set(check.sample_keys)
            compared[name] += len(rows)
    found = {name for name, count in compared.items() if count}
    assert found >= {
        "unique_key", "references", "domain", "check:accuracy_range", "check:finished_after_started",
        "check:budget_not_negative",
    }  # fmt: skip
    assert ("artefact_form" in found) == (dialect != "sqlite")
    for check in spoilt.checks:
        if check.name == "row_counts":
            (numbers,) = ask(scripts["row_counts", check.table][0].text)[1]
            assert f"readers see {numbers[0]} rows" in check.detail
