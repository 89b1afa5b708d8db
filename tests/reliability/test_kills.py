"""A run and a rollback killed at every effect that they have: finished by the same command, nothing lost or twice."""

import contextlib
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.reliability import figures
from tests.reliability.effects import Effects, moments, stage_of
from tests.reliability.places import LakeTarget, PostgresTarget, Rows, Target, differences, keys
from tests.servers import PostgresServer
from tests.stages import forked, small_project
from transhume import Project
from transhume.stages.context import Limits

pytestmark = pytest.mark.always
SHARES = 40
ALWAYS = 7
"""The share of all kills that is not left to sweeps."""
LIMITS = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


def _run(folder: Path, at: int, after: bool, told: Path | None) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).run(limits=LIMITS)
    if told is not None:
        told.write_text(json.dumps(effects.seen))


def _undo(folder: Path, at: int, after: bool, told: Path | None) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).rollback()
    if told is not None:
        told.write_text(json.dumps(effects.seen))


def _finish(folder: Path, call: str) -> None:
    if call == "run":
        Project(folder).run(limits=LIMITS)
    else:
        Project(folder).rollback()


@dataclass(frozen=True)
class Place:
    """Where the lives of one system happen: folders below `memory`, and a database for its schemas."""

    memory: Path
    server: PostgresServer | None
    database: str

    def target(self, folder: Path, name: str) -> Target:
        """Return an empty target of a project."""
        return PostgresTarget(self.server.url(self.database), name) if self.server else LakeTarget(folder)


@dataclass(frozen=True)
class Undisturbed:
    """The effects of an undisturbed run, and what readers see after it."""

    effects: list[str]
    rows: Rows


@dataclass(frozen=True)
class Published:
    """A project after its run, kept, so that it can be taken back many times; what a rollback does, what it leaves."""

    place: Place
    folder: Path
    target: Target
    before: Rows
    effects: list[str]
    left: Rows

    def put_back(self) -> None:
        """Have folder and target as they were after the run."""
        shutil.rmtree(self.folder)
        shutil.copytree(_kept(self.folder), self.folder)
        if self.place.server:
            self.place.server.make_again(self.place.database, f"{self.place.database}_kept")


def _kept(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}_kept")


@pytest.fixture(scope="module", params=["PostgreSQL", "Iceberg"])
def place(request, memory, postgres_server) -> Iterator[Place]:
    """The place of a system."""
    if request.param == "Iceberg":
        yield Place(memory, None, "")
        return
    with postgres_server.database() as database:
        yield Place(memory, postgres_server, database)


@pytest.fixture(scope="module")
def undisturbed(place: Place) -> Undisturbed:
    """What happens when nobody disturbs."""
    folder, told = place.memory / f"undisturbed{place.database}", place.memory / "effects.json"
    target = place.target(folder, "undisturbed")
    small_project.write(folder, target.url)
    done = forked.run(_run, folder, 0, False, told)
    assert done.returncode == 0, done.stderr
    rows = target.rows()
    expected = small_project.expected_buckets()
    assert keys(rows).total() == sum(table["loaded"] for table in expected.values())
    target.drop()
    return Undisturbed(json.loads(told.read_text()), rows)


@pytest.fixture(scope="module")
def published(place: Place, others: bool) -> Iterator[Published]:
    """A run that is published, kept as it is then: alone, or with rows that others wrote since."""
    folder, told = place.memory / f"undo{others}{place.database}", place.memory / "effects.json"
    with place.server.database() if place.server else contextlib.nullcontext("") as database:
        here = replace(place, database=database)
        target = here.target(folder, "ai")
        small_project.write(folder, target.url)
        Project(folder).run(limits=LIMITS)
        if others:
            target.edit(folder)
        before = target.rows()
        shutil.copytree(folder, _kept(folder))
        with here.server.kept(database) if here.server else contextlib.nullcontext():
            done = forked.run(_undo, folder, 0, False, told)
            assert done.returncode == 0, done.stderr
            left = target.rows()
            theirs = {("places", 49), ("places", 900), ("places", 901)} if others else set()
            assert left == Rows({row: 1 for row in before if row[:2] in theirs})
            assert left.total() == len(theirs)
            yield Published(here, folder, target, before, json.loads(told.read_text()), left)


def _shares(count: int) -> list[object]:
    return [share if share == ALWAYS else pytest.param(share, marks=pytest.mark.sweep) for share in range(count)]


@pytest.mark.parametrize("share", _shares(SHARES))
def test_a_run_killed_at_any_effect_is_finished(share: int, place: Place, undisturbed: Undisturbed):
    """Killed before each effect, and after those that last: nothing is half visible, and the same command ends it."""
    problems = []
    for at, after in moments(undisturbed.effects)[share::SHARES]:
        folder = place.memory / f"run{at}{after}{place.database}"
        target = place.target(folder, f"run_{at}_{after}".lower())
        small_project.write(folder, target.url)
        killed = forked.run(_run, folder, at, after, None)
        if killed.returncode == -signal.SIGKILL:
            moment, stage = f"{undisturbed.effects[at - 1]} {at} {after}", stage_of(undisturbed.effects, at)
            if 0 < keys(target.rows()).total() < keys(undisturbed.rows).total():
                problems.append(f"{moment}: some rows are visible and some are not")
            problems += _finished(folder, target, "run", stage, undisturbed.rows, moment)
        else:
            assert killed.returncode == 0, killed.stderr  # fewer effects this time: it came to its end
        target.drop()
        shutil.rmtree(folder)
    assert problems == []


@pytest.mark.parametrize(
    "others",
    [pytest.param(False, marks=pytest.mark.sweep, id="alone"), pytest.param(True, id="beside others")],
    scope="module",
)
@pytest.mark.parametrize("share", _shares(SHARES // 2))
def test_a_rollback_killed_at_any_effect_is_finished(share: int, others: bool, place: Place, published: Published):
    """Killed before each effect, and after those that last: the same command ends it, and rows of others stay."""
    if not others and place.server:
        pytest.skip("its rollback takes the same statements beside rows of others, which are kept to be seen")
    problems = []
    for at, after in moments(published.effects)[share :: SHARES // 2]:
        published.put_back()
        killed = forked.run(_undo, published.folder, at, after, None)
        if killed.returncode != -signal.SIGKILL:
            assert killed.returncode == 0, killed.stderr
            continue
        moment, seen = f"{published.effects[at - 1]} {at} {after}", published.target.rows()
        if seen not in (published.before, published.left):
            problems.append(f"{moment}: {seen.total()} rows, neither before nor after")
        problems += _finished(published.folder, published.target, "rollback", "rollback", published.left, moment)
    assert problems == []


def _finished(folder: Path, target: Target, call: str, stage: str, expected: Rows, moment: str) -> list[str]:
    """End what was killed by the same call, count what came of it, and return what is wrong."""
    done = forked.run(_finish, folder, call)
    found = differences(target.rows(), expected)
    unfinished = int(done.returncode != 0)
    told = {stage: 1, **found, "unfinished": unfinished}
    figures.count(**{f"{target.system}:{name}": number for name, number in told.items()})
    problems = [f"{moment}: {found}"] if any(found.values()) else []
    if unfinished:
        problems.append(f"{moment}: {done.stderr[-600:]}")
    return problems
