"""A run and a rollback killed at every effect that they have: finished by the same command, nothing lost or twice."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reliability import figures
from tests.reliability.effects import Effects, moments, stage_of
from tests.reliability.places import LakeTarget, PostgresTarget, Rows, Target, differences, keys
from tests.stages import forked, small_project
from transhume import Project
from transhume.stages.context import Limits

pytestmark = pytest.mark.sweep
SHARES = 20
LIMITS = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
Place = Callable[[Path, str], Target]


def _run(folder: Path, at: int, after: bool, told: Path | None) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).run(limits=LIMITS)
    if told is not None:
        told.write_text(json.dumps(effects.seen))


def _run_and_undo(folder: Path, target: Target, others: bool, at: int, after: bool, told: Path | None) -> None:
    """Run, have others write where `others`, and roll back; effects are counted from the rollback on."""
    Project(folder).run(limits=LIMITS)
    if others:
        target.edit(folder)
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
class Undisturbed:
    """The effects of an undisturbed run and rollbacks, and what readers see after the run."""

    run: list[str]
    alone: list[str]
    beside_others: list[str]
    rows: Rows


@pytest.fixture(scope="module", params=["PostgreSQL", "Iceberg"])
def place(request, postgres_server) -> Iterator[Place]:
    """Give targets of a system, each of them empty: a function of the project's folder and a name."""
    if request.param == "Iceberg":
        yield lambda folder, _name: LakeTarget(folder)
        return
    with postgres_server.database() as database:
        yield lambda _folder, name: PostgresTarget(postgres_server.url(database), name)


@pytest.fixture(scope="module")
def undisturbed(place: Place, tmp_path_factory) -> Undisturbed:
    """What happens when nobody disturbs."""
    told = tmp_path_factory.mktemp("told") / "effects.json"
    lists = []
    rows: Rows | None = None
    for name, call in (("run", None), ("alone", False), ("others", True)):
        folder = tmp_path_factory.mktemp("undisturbed") / "p"
        target = place(folder, f"undisturbed_{name}")
        small_project.write(folder, target.url)
        if call is None:
            done = forked.run(_run, folder, 0, False, told)
            rows = target.rows()
        else:
            done = forked.run(_run_and_undo, folder, target, call, 0, False, told)
            assert keys(target.rows()).total() == (3 if call else 0)
        assert done.returncode == 0, done.stderr
        lists.append(json.loads(told.read_text()))
        target.drop()
    assert rows is not None
    expected = small_project.expected_buckets()
    assert keys(rows).total() == sum(table["loaded"] for table in expected.values())
    return Undisturbed(*lists, rows)


def _share(seen: list[str], share: int) -> list[tuple[int, bool]]:
    return moments(seen)[share::SHARES]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_run_killed_at_any_effect_is_finished(share: int, place: Place, undisturbed: Undisturbed, tmp_path):
    """Killed before each effect, and after those that last: nothing is half visible, and the same command ends it."""
    problems = []
    for at, after in _share(undisturbed.run, share):
        folder = tmp_path / f"{at}{after}"
        target = place(folder, f"run_{at}_{after}".lower())
        small_project.write(folder, target.url)
        killed = forked.run(_run, folder, at, after, None)
        if killed.returncode != -signal.SIGKILL:
            assert killed.returncode == 0, killed.stderr  # fewer effects this time: it came to its end
            continue
        stage = stage_of(undisturbed.run, at)
        if 0 < keys(target.rows()).total() < keys(undisturbed.rows).total():
            problems.append(f"{at} {after}: some rows are visible and some are not")
        problems += _finished(folder, target, "run", stage, undisturbed.rows, f"{undisturbed.run[at - 1]} {at} {after}")
    assert problems == []


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside others"])
@pytest.mark.parametrize("share", range(SHARES // 4))
def test_a_rollback_killed_at_any_effect_is_finished(
    share: int, others: bool, place: Place, undisturbed: Undisturbed, tmp_path
):
    """Killed before each effect, and after those that last: the same command ends it, and rows of others stay."""
    if not others and place(tmp_path, "").system == "PostgreSQL":
        pytest.skip("its rollback takes the same statements beside rows of others, which are kept to be seen")
    problems = []
    seen = undisturbed.beside_others if others else undisturbed.alone
    for at, after in moments(seen)[share :: SHARES // 4]:
        folder = tmp_path / f"{at}{after}"
        target = place(folder, f"undo_{others}_{at}_{after}".lower())
        small_project.write(folder, target.url)
        killed = forked.run(_run_and_undo, folder, target, others, at, after, None)
        if killed.returncode != -signal.SIGKILL:
            assert killed.returncode == 0, killed.stderr
            continue
        left = keys(target.rows())
        expected: Rows = Rows()
        if others:
            theirs = {("places", 49), ("places", 900), ("places", 901)}
            expected.update(row for row in target.rows() if row[:2] in theirs)
            if len(expected) != 3 or left.total() not in {3, keys(undisturbed.rows).total() + 2}:
                problems.append(f"{seen[at - 1]} {at} {after}: {left.total()} rows, {len(expected)} of others")
        problems += _finished(folder, target, "rollback", "rollback", expected, f"{seen[at - 1]} {at} {after}")
    assert problems == []


def _finished(folder: Path, target: Target, call: str, stage: str, expected: Rows, moment: str) -> list[str]:
    """End what was killed by the same call, count what came of it, and return what is wrong."""
    done = forked.run(_finish, folder, call)
    found = differences(target.rows(), expected)
    unfinished = int(done.returncode != 0)
    told = {stage: 1, **found, "unfinished": unfinished}
    figures.count(**{f"{target.system}:{name}": number for name, number in told.items()})
    target.drop()
    problems = [f"{moment}: {found}"] if any(found.values()) else []
    if unfinished:
        problems.append(f"{moment}: {done.stderr[-600:]}")
    return problems
