"""The corruption drill: what is planted in a target is named by table, key and column, and nothing else is."""

from collections.abc import Iterator

import pytest

from tests import servers
from transhume.testing.corruption import CORRUPTIONS, Corruption, Place
from transhume.testing.drill import drill, drilled_project, false_alarms, main, verdict_text

_SOME = ("missing_row", "extra_row", "duplicated_row", "sign_of_zero", "decomposed", "null_to_empty", "other_parent")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, Place]]:
    """A small migration in a lake."""
    with drilled_project("lake", tmp_path_factory.mktemp("drill")) as made:
        yield made


@pytest.fixture(scope="module")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: servers.PostgresServer
) -> Iterator[tuple[object, Place]]:
    """The same in PostgreSQL."""
    with drilled_project(postgres_server.url("postgres"), tmp_path_factory.mktemp("drill")) as made:
        yield made


def _wrong(made: tuple[object, Place], kinds: list[Corruption], seed: int = 0) -> list[str]:
    verdicts = list(drill(*made, kinds, seed))
    assert all(verdict.planted is not None for verdict in verdicts), "a kind did not apply"
    return [verdict_text(verdict) for verdict in verdicts if not verdict.is_right]


@pytest.mark.parametrize("name", _SOME)
def test_a_corruption_of_a_lake_is_named(lake, name: str) -> None:
    assert not _wrong(lake, [kind for kind in CORRUPTIONS if kind.name == name])


@pytest.mark.parametrize("name", ["missing_row", "extra_row", "duplicated_row", "sign_of_zero", "float_last_bit"])
def test_a_corruption_of_postgresql_is_named(postgres, name: str) -> None:
    assert not _wrong(postgres, [kind for kind in CORRUPTIONS if kind.name == name])


def test_a_target_that_nobody_touched_raises_no_alarm(lake, postgres) -> None:
    """Samples of several seeds pass every check on both systems."""
    assert not false_alarms(lake[0], range(2))
    assert not false_alarms(postgres[0], range(2))


def test_files_of_a_lake_that_hold_the_same_rows_anew_are_no_corruption(lake) -> None:
    """Another program rewrites a table without changing a row: told as a warning, every row recomputed, none wrong."""
    project, place = lake
    place.save()
    place.write("items", place.read("items"))
    try:
        found = project.validate()
    finally:
        place.restore()
    assert not found.failed
    told = {(check.name, check.table): check.severity for check in found.checks if not check.passed}
    assert told == {("published_rows", "items"): "warning"}
    assert found.proofs["items"].is_whole


def test_there_are_at_least_25_kinds_with_names_of_their_own() -> None:
    assert len({kind.name for kind in CORRUPTIONS}) == len(CORRUPTIONS) >= 25


def test_the_command_of_the_kit_says_what_was_found(capsys) -> None:
    """`python -m transhume.testing.drill lake --kind boolean_flipped` exits 0 and names the place."""
    assert main(["lake", "--kind", "boolean_flipped"]) == 0
    assert "boolean_flipped: found at items" in capsys.readouterr().out


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(3))
def test_every_corruption_of_a_lake_is_named(lake, seed: int) -> None:
    assert not _wrong(lake, list(CORRUPTIONS), seed)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(3))
def test_every_corruption_of_postgresql_is_named(postgres, seed: int) -> None:
    assert not _wrong(postgres, list(CORRUPTIONS), seed)


@pytest.mark.sweep
def test_no_alarm_over_twenty_seeds(lake, postgres) -> None:
    assert not false_alarms(lake[0], range(20))
    assert not false_alarms(postgres[0], range(20))
