"""Long lives at random keep to the model: after every step the target holds what the model says, and nothing else."""

from pathlib import Path

import pytest

from tests.reliability.life import Life
from tests.reliability.places import LakeTarget, PostgresTarget


def _live(system: str, seed: int, steps: int, folder: Path, database_url: str) -> Life:
    name = f"life_{system}_{seed}".lower()
    target = PostgresTarget(database_url, name) if system == "PostgreSQL" else LakeTarget(folder / name)
    life = Life(seed, folder / name, target)
    try:
        life.live(steps)
    finally:
        life.end()
    return life


@pytest.mark.parametrize("system", ["PostgreSQL", "Iceberg"])
def test_a_short_life_keeps_to_the_model(system, memory, postgres_url):
    """A life of some steps, with a kill and a rollback among them."""
    told = " ".join(_live(system, 1, 12, memory, postgres_url).told)
    assert "killed" in told
    assert "take_back" in told


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(2, 27))
@pytest.mark.parametrize("system", ["PostgreSQL", "Iceberg"])
def test_a_long_life_keeps_to_the_model(system, seed, memory, postgres_url):
    """A life of forty-five steps, from a seed that is always the same."""
    _live(system, seed, 45, memory, postgres_url)
