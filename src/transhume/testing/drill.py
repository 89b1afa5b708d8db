"""The corruption drill: every kind planted in a published target, and `validate` must name table, key and column.

    python -m transhume.testing.drill lake [--seed N] [--kind NAME]
    python -m transhume.testing.drill postgresql://superuser@host/database [--seed N] [--kind NAME]

makes a small migration of its own (in a lake in a temporary folder, or in a new database of that server) and drills
it. Exit 1 where a corruption was missed, or where something was named that nobody had touched.
"""

import argparse
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from transhume.project import Project, ValidationResult
from transhume.testing.corruption import CORRUPTIONS, Corruption, Place, Planted, Rows, plant
from transhume.testing.drill_project import write_drill_project

_UUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one corruption: `planted` None where it does not apply; `missed` and `invented` are faults."""

    kind: str
    planted: Planted | None
    missed: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether everything planted was named, and nothing else."""
        return not self.missed and not self.invented


def drill(
    project: Project, place: Place, kinds: Sequence[Corruption] = CORRUPTIONS, seed: int = 0
) -> Iterator[Verdict]:
    """Plant each kind in the published target of a project, validate, and put the target back.

    Effects: the target is written, and is at the end what it was. Never point it at a target that matters.
    """
    plan = project.plan()
    with project._place.systems(plan) as systems:  # noqa: SLF001 - the kit stands beside the front door
        tables = dict(systems.tables)
    place.save()
    for kind in kinds:
        try:
            planted = plant(place, plan, tables, kind, seed)
            if planted is None:
                yield Verdict(kind.name, None)
                continue
            yield _judge(planted, project.validate())
        finally:
            place.restore()


def false_alarms(project: Project, seeds: Iterable[int]) -> list[str]:
    """Return the errors that `validate` finds in a target that nobody touched, over samples of these seeds."""
    return [
        f"seed {seed}: {check.name} on {check.table}: {check.detail}"
        for seed in seeds
        for check in project.validate(seed=seed).failed
    ]


def _judge(planted: Planted, found: ValidationResult) -> Verdict:
    named = {(name, each.key, each.column) for name, proof in found.proofs.items() for each in proof.differences} | {
        (check.table, key, "(row)")
        for check in found.checks
        for key in check.sample_keys
        if check.name in {"unique_key", "extra_rows"}
    }
    wanted = {(planted.mapping, key, column) for key, column in zip(planted.keys, planted.columns, strict=True)}
    failing = any(not check.passed and check.severity != "note" for check in found.checks)
    missed = [_text(one) for one in sorted(wanted - named)] + ([] if failing else ["no check failed"])
    return Verdict(planted.kind, planted, tuple(missed), tuple(_text(one) for one in sorted(named - wanted)))


def _text(named: tuple[str, str, str]) -> str:
    return f"{named[0]} {named[1]} {named[2]}"


class LakePlace:
    """A lake in a folder, written to by pyiceberg as another program does."""

    def __init__(self, folder: Path, namespace: str) -> None:
        """Take the lake's folder and namespace."""
        self._folder, self._namespace = folder, namespace
        self._saved = folder.with_name(folder.name + ".saved")

    def read(self, table: str) -> Rows:
        """Return all rows, with whatever columns the table has."""
        found = self._table(table).scan().to_arrow()
        columns = {name: _plain(found[name]) for name in found.column_names}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def write(self, table: str, rows: Rows) -> None:
        """Overwrite the table with these rows."""
        there = self._table(table)
        schema = there.schema().as_arrow()
        arrays = [_array([row[field.name] for row in rows], field.type) for field in schema]
        there.overwrite(pa.Table.from_arrays(arrays, schema=schema))

    def save(self) -> None:
        """Copy the folder."""
        shutil.rmtree(self._saved, ignore_errors=True)
        shutil.copytree(self._folder, self._saved)

    def restore(self) -> None:
        """Put the copy in the folder's place."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._saved, self._folder)

    def _table(self, name: str) -> Any:
        from pyiceberg.catalog.sql import SqlCatalog

        uri = f"sqlite:///{self._folder / 'catalog.db'}"
        return SqlCatalog("default", uri=uri, warehouse=f"file://{self._folder}").load_table((self._namespace, name))


class PostgresPlace:
    """A schema of a database, written to by a superuser who minds no constraint; saved as a copy of the database."""

    def __init__(self, url: str, schema: str) -> None:
        """Take the URL of the database and the schema."""
        self._url, self._schema = url, schema

    def read(self, table: str) -> Rows:
        """Return all rows."""
        import psycopg
        from psycopg import sql
        from psycopg.rows import dict_row

        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            return connection.execute(
                sql.SQL("SELECT * FROM {}").format(sql.Identifier(self._schema, table))
            ).fetchall()

    def write(self, table: str, rows: Rows) -> None:
        """Replace all rows; keys are dropped first, so that a row may stand twice."""
        import psycopg
        from psycopg import sql

        place = sql.Identifier(self._schema, table)
        names = list(rows[0])
        with psycopg.connect(self._url) as connection:
            connection.execute("SET session_replication_role = replica")
            keys = connection.execute(
                "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
                [place.as_string(connection)],
            ).fetchall()
            for (name,) in keys:
                drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE")
                connection.execute(drop.format(place, sql.Identifier(name)))
            connection.execute(sql.SQL("DELETE FROM {}").format(place))
            insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                place,
                sql.SQL(", ").join(sql.Identifier(name) for name in names),
                sql.SQL(", ").join(sql.Placeholder() for _ in names),
            )
            with connection.cursor() as cursor:
                cursor.executemany(insert, [[row[name] for name in names] for row in rows])

    def save(self) -> None:
        """Copy the database, on the server."""
        self._copy(self._database, f"{self._database}_saved")

    def restore(self) -> None:
        """Make the database the copy's copy."""
        self._copy(f"{self._database}_saved", self._database)

    @property
    def _database(self) -> str:
        from psycopg.conninfo import conninfo_to_dict

        return str(conninfo_to_dict(self._url)["dbname"])

    def _copy(self, source: str, target: str) -> None:
        import psycopg
        from psycopg import sql
        from psycopg.conninfo import make_conninfo

        with psycopg.connect(make_conninfo(self._url, dbname="postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(target)))
            copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(target), sql.Identifier(source))
            connection.execute(copy)


def _plain(column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    return [
        uuid.UUID(bytes=value) if isinstance(value, bytes) and len(value) == _UUID_BYTES else value for value in values
    ]


def _array(values: list[Any], held: pa.DataType) -> pa.Array:
    plain = [value.bytes if isinstance(value, uuid.UUID) else value for value in values]
    if isinstance(held, pa.UuidType):
        return pa.ExtensionArray.from_storage(held, pa.array(plain, held.storage_type))
    return pa.array(plain, held)


@contextmanager
def drilled_project(where: str, folder: Path) -> Iterator[tuple[Project, Place]]:
    """Give a small migrated project with the place to corrupt: `lake`, or the URL of a PostgreSQL superuser."""
    if where == "lake":
        write_drill_project(folder / "project", "iceberg:./lake?namespace=drill")
        project = Project(folder / "project")
        project.run()
        yield project, LakePlace(folder / "project" / "lake", "drill")
        return
    with _new_database(where) as url:
        write_drill_project(folder / "project", f"{url}{'&' if '?' in url else '?'}schema=drill")
        project = Project(folder / "project")
        project.run()
        yield project, PostgresPlace(url, "drill")


@contextmanager
def _new_database(url: str) -> Iterator[str]:
    import psycopg
    from psycopg import sql

    name = f"transhume_drill_{uuid.uuid4().hex[:8]}"
    base, mark, query = url.partition("?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield f"{base.rpartition('/')[0]}/{name}{mark}{query}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            for one in (name, f"{name}_saved"):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(one)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Drill a small migration of the kit's own; return the exit code."""
    parser = argparse.ArgumentParser(description="plant corruptions in a published target; validate must name each")
    parser.add_argument("where", help="'lake', or the URL of a PostgreSQL superuser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=[each.name for each in CORRUPTIONS])
    chosen = parser.parse_args(arguments)
    kinds = [each for each in CORRUPTIONS if not chosen.kind or each.name in chosen.kind]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, drilled_project(chosen.where, Path(folder)) as (project, place):
        for verdict in drill(project, place, kinds, chosen.seed):
            wrong += not verdict.is_right
            sys.stdout.write(f"{verdict_text(verdict)}\n")
    sys.stdout.write(f"{len(kinds)} kinds, {wrong} wrong\n")
    return 1 if wrong else 0


def verdict_text(verdict: Verdict) -> str:
    """Return one line about a corruption: what was planted and whether it was named."""
    if verdict.planted is None:
        return f"{verdict.kind}: does not apply"
    where = f"{verdict.planted.mapping} {', '.join(verdict.planted.keys)} ({', '.join(verdict.planted.columns)})"
    if verdict.is_right:
        return f"{verdict.kind}: found at {where}"
    faults = [f"missed {one}" for one in verdict.missed] + [f"invented {one}" for one in verdict.invented]
    return f"{verdict.kind}: {'; '.join(faults)}; planted at {where}"


if __name__ == "__main__":
    sys.exit(main())
