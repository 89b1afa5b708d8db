"""Full disks at each side: nothing that was acknowledged is lost, and with room again the same command ends the run."""

import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from tests.reliability import figures
from tests.reliability.disks import SmallDisk, small_disk
from tests.reliability.places import LakeTarget, PostgresTarget, Target, keys
from tests.stages import forked, small_project
from transhume import Project
from transhume.batches import Event
from transhume.stages.context import Limits

LIMITS = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
KIB, MIB = 1024, 1024 * 1024
KNOWN = ("Interrupted", "SystemUnavailable", "EngineCrashed")
"""The errors that say what is full and what to do; the last line of what a person sees begins with one of them."""


def _run(folder: Path, disk: SmallDisk | None = None, fill_at: str = "", left_bytes: int = 0) -> None:
    """Run; a disk is filled, but for so much, when an event of this kind is told."""

    def listen(event: Event) -> None:
        if disk is not None and event.kind == fill_at:
            disk.fill(left_bytes)

    Project(folder).run(limits=LIMITS, listener=listen)


def _acknowledged(folder: Path) -> dict[tuple[str, int], int]:
    """Return the rows of each batch that the journal calls staged."""
    found = {}
    for journal in folder.glob(".transhume/runs/*/journal.jsonl"):
        for line in journal.read_bytes().split(b"\n")[:-1]:
            entry = json.loads(line)
            if entry["kind"] == "batch_staged":
                fields = entry["fields"]
                found[fields["mapping"], fields["batch"]] = fields["loaded"]
    return found


def _held(target: Target) -> dict[tuple[str, int], int]:
    """Return the rows of each batch that the target really holds, staged or published."""
    if isinstance(target, PostgresTarget):
        found = {}
        with psycopg.connect(target.database_url) as reader:
            if reader.execute("SELECT to_regclass('transhume.batches') IS NULL").fetchone() == (True,):
                return {}
            query = "SELECT run, mapping, batch, stage_table FROM transhume.batches"
            for run, mapping, batch, name in reader.execute(query).fetchall():
                place = sql.Identifier(f"transhume_stage_{run}", name)
                row = reader.execute(sql.SQL("SELECT count(*) FROM {}").format(place)).fetchone()
                found[mapping, batch] = row[0] if row else 0
        return found
    catalog = target.folder / "lake" / "catalog.db"
    if not catalog.exists():
        return {}
    with sqlite3.connect(catalog) as reader:
        if not reader.execute("SELECT name FROM sqlite_master WHERE name = 'transhume_batches'").fetchall():
            return {}
        rows = reader.execute("SELECT mapping, batch, path FROM transhume_batches").fetchall()
    reader.close()
    return {
        (mapping, batch): pq.read_metadata(path.removeprefix("file://")).num_rows if path else 0
        for mapping, batch, path in rows
    }


def _stops_and_ends(
    folder: Path, target: Target, side: str, run: Callable[[], forked.Started], make_room: Callable[[], None]
) -> None:
    """Have a run meet a full disk, look at what it leaves, make room, and see it end."""
    stopped = run().ended()
    acknowledged, held = _acknowledged(folder), _held(target)
    lost = sum(rows for batch, rows in acknowledged.items() if held.get(batch) != rows)
    seen = keys(target.rows()).total()
    whole = sum(table["loaded"] for table in small_project.expected_buckets().values())
    make_room()
    ended = forked.run(_run, folder)
    if stopped.returncode:
        figures.count(disk_full=1, **{f"disk_full_{side}": 1}, acknowledged_lost=lost)
        last = stopped.stderr.strip().splitlines()[-1]
        assert last.startswith(tuple(f"transhume.errors.{name}:" for name in KNOWN)), stopped.stderr
    assert lost == 0
    assert seen in {0, whole}
    assert ended.returncode == 0, ended.stderr
    found = keys(target.rows())
    assert (found.total(), max(found.values())) == (whole, 1)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A project with a lake."""
    small_project.write(tmp_path / "p", LakeTarget.url)
    return tmp_path / "p"


SIZES = [8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256]


@pytest.mark.parametrize(
    "size", [size if size == 24 else pytest.param(size, marks=pytest.mark.sweep) for size in SIZES]
)
def test_a_full_disk_under_the_extract_stops_the_run(size: int, folder):
    """A disk of so many KiB for extract, journal, relations and rejects."""
    with small_disk(folder / ".transhume", size * KIB) as disk:
        _stops_and_ends(
            folder,
            LakeTarget(folder),
            "extract",
            lambda: forked.Started(_run, (folder,), {}),
            lambda: _grow(disk),
        )


def _grow(disk: SmallDisk) -> None:
    disk.make_room()
    code = os.system(f"mount -o remount,size={32 * MIB} {disk.folder}")
    assert code == 0


JOURNALLED = ["extract_finished", "batch_staged", "batch_compared", "table_staged", "publish_started", "published"]


@pytest.mark.parametrize(
    "kind", [kind if kind == "batch_compared" else pytest.param(kind, marks=pytest.mark.sweep) for kind in JOURNALLED]
)
def test_a_full_disk_under_the_journal_stops_the_run(kind: str, folder):
    """The disk fills up when an event of this kind is told: the next line of the journal finds no room."""
    with small_disk(folder / ".transhume", 32 * MIB) as disk:
        _stops_and_ends(
            folder,
            LakeTarget(folder),
            "journal",
            lambda: forked.Started(_run, (folder, disk, kind), {}),
            disk.make_room,
        )


LAKE_LEFT = [(kind, left) for kind in ("extract_finished", "table_staged") for left in (0, 4, 8, 16, 24, 32, 48, 64)]


@pytest.mark.parametrize(
    ("kind", "left"),
    [one if one == ("extract_finished", 16) else pytest.param(*one, marks=pytest.mark.sweep) for one in LAKE_LEFT],
)
def test_a_full_disk_under_a_lake_stops_the_run(kind: str, left: int, folder):
    """So many KiB are left, from an event on, for files, metadata and the catalog's database."""
    with small_disk(folder / "lake", 128 * MIB) as disk:
        _stops_and_ends(
            folder,
            LakeTarget(folder),
            "target",
            lambda: forked.Started(_run, (folder, disk, kind, left * KIB), {}),
            disk.make_room,
        )


POSTGRES_LEFT = [0, 64, 128, 256, 384, 512, 640]


@pytest.mark.sweep
@pytest.mark.parametrize("left", POSTGRES_LEFT)
def test_a_full_disk_under_postgres_stops_the_run(left: int, postgres_server, tmp_path):
    """So many KiB are left in the tablespace of the target's database."""
    folder, name = tmp_path / "p", f"small_{uuid.uuid4().hex[:8]}"
    place = Path("/tmp") / name  # the server's user reaches no folder of the test's
    owner = postgres_server.folder.stat()
    with (
        small_disk(place, 64 * MIB) as disk,
        psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin,
    ):
        space = place / "space"
        space.mkdir()
        os.chown(space, owner.st_uid, owner.st_gid)
        admin.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), sql.Literal(str(space))))
        admin.execute(sql.SQL("CREATE DATABASE {0} TABLESPACE {0}").format(sql.Identifier(name)))
        try:
            target = PostgresTarget(postgres_server.url(name), "ai")
            small_project.write(folder, target.url)
            psycopg.connect(target.database_url).close()
            disk.fill(left * KIB)
            _stops_and_ends(folder, target, "target", lambda: forked.Started(_run, (folder,), {}), disk.make_room)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))
    shutil.rmtree(place, ignore_errors=True)
