"""How much of the machine a command may use, from its options down to the source, the engine and the batches."""

import os
from types import SimpleNamespace

import click
import psutil
import pytest
from click.testing import CliRunner
from tests.stages import small_project

from transhume import Project
from transhume.capacity import MEMORY_BYTES_MIN, Capacity
from transhume.cli.capacity import uses_capacity
from transhume.engines.duckdb import DuckDBProcess
from transhume.errors import PlanError
from transhume.project.scratch_place import ScratchPlace
from transhume.project.workplace import Workplace, open_engine
from transhume.stages.context import Limits, RunFolder
from transhume.systems import open_source

_CAPACITY = Capacity(3, 300 * 2**20)


@pytest.fixture
def folder(tmp_path):
    """The small project, into a lake."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    return tmp_path / "p"


def test_it_reaches_whoever_uses_it(folder, monkeypatch):
    """Source, engine and batches have what was said; so has a rehearsal beside the target."""
    place = Workplace(folder, dict(os.environ), capacity=_CAPACITY)
    with place.systems() as systems, place.scratch(systems) as context:
        assert systems.source.jobs == 3
        assert context.limits == Limits(25_600, int(9.375 * 2**20))
    started = []
    monkeypatch.setattr("transhume.project.workplace.DuckDBEngine", _Recorded(started))
    open_engine(RunFolder(folder), place.capacity)
    assert started == [(150 * 2**20, 3)]
    assert ScratchPlace(place, "1", SimpleNamespace(url="iceberg:./x", name="x")).capacity == _CAPACITY


def test_a_run_has_its_engine_started_once_and_before_the_systems_are_opened(folder, monkeypatch):
    """The process that waits while both sides are looked at is the one that computes; it is gone when the run is."""
    told = []

    class Told(DuckDBProcess):
        def __init__(self, *limits):
            super().__init__(*limits)
            told.append(self)

    def opened(*arguments):
        assert len(told) == 1
        return open_source(*arguments)

    monkeypatch.setattr("transhume.project.workplace.DuckDBProcess", Told)
    monkeypatch.setattr("transhume.engines.duckdb.DuckDBProcess", Told)
    monkeypatch.setattr("transhume.project.workplace.open_source", opened)
    Project(folder).run()
    assert [psutil.pid_exists(process.pid) for process in told] == [False]


def test_a_refused_run_leaves_no_engine(folder, monkeypatch):
    """What the catalogs say ends the process that waited for the run."""
    told = []
    monkeypatch.setattr(
        "transhume.project.workplace.DuckDBProcess", lambda *limits: told.append(DuckDBProcess(*limits)) or told[-1]
    )
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("from: plant\n", "from: plantz\n", 1))
    with pytest.raises(PlanError):
        Project(folder).run()
    assert [psutil.pid_exists(process.pid) for process in told] == [False]
    assert not (folder / ".transhume" / "runs").exists()


class _Recorded:
    """Stands for the engine, and keeps memory and threads of each that is made."""

    dialect = "duckdb"

    def __init__(self, started):
        self._started = started

    def __call__(self, _, memory_bytes, threads, *__):
        self._started.append((memory_bytes, threads))


def test_a_run_with_little_of_both(folder):
    """One processor and the least memory bring the same rows."""
    result = Project(folder, capacity=Capacity(1, MEMORY_BYTES_MIN)).run()
    loaded = small_project.expected_buckets()["plants"]["loaded"]
    assert [table.loaded for table in result.tables] == [small_project.PLACES, loaded]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "None None"),
        (["--jobs", "3", "--memory", "1.5GB"], f"3 {3 * 2**29}"),
        (["--memory", "512 MiB"], f"None {2**29}"),
        (["--memory", "100MB"], "a batch and the engine need 256MB"),
        (["--memory", "much"], "'much' is no size"),
        (["--jobs", "0"], "0 is not in the range"),
    ],
)
def test_sizes_are_read_as_people_write_them(arguments, said):
    """Units are powers of 1024; too little, and what is no size, is wrong usage that says what would do."""

    @click.command()
    @uses_capacity
    def told(jobs, memory_bytes):
        click.echo(f"{jobs} {memory_bytes}")

    done = CliRunner().invoke(told, arguments)
    assert (said in done.output, done.exit_code) == (True, 0 if said[:1] in "N3" else 2)
