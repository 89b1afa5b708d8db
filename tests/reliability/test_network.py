"""A network that cuts, stalls and keeps acknowledgements back: nothing half visible, and the same command ends the run.

The databases are a PostgreSQL target and the catalog of a lake on PostgreSQL.
"""

import contextlib
from pathlib import Path

import pytest

from tests.reliability import figures
from tests.reliability.network import Evil, Proxy
from tests.reliability.places import PostgresTarget, Rows, SharedLakeTarget, Target, differences, keys
from tests.servers import PostgresServer
from tests.stages import forked, small_project
from transhume.systems.postgres.connection import WatchedConnection

TIMES: dict[Evil, int] = {"reset": 16, "stalled": 6, "hidden": 12}
CUTS: list[tuple[str, Evil, int]] = [
    (system, evil, number)
    for system in ("PostgreSQL", "Iceberg")
    for evil, times in TIMES.items()
    for number in range(times)
]
ALWAYS = [("PostgreSQL", "stalled", 3), ("PostgreSQL", "hidden", 6), ("Iceberg", "stalled", 3)]


def _run(folder: Path) -> None:
    """Run with a watch that looks after a third of a second in place of 20 s."""
    WatchedConnection.silence_s = 0.3
    small_project.migrate(folder)


def _place(server: PostgresServer, system: str, database: str, port: int, folder: Path) -> tuple[Target, str]:
    """Return a target as outsiders see it, and the URL by which a plan goes through the proxy."""
    through = f"postgresql://postgres@127.0.0.1:{port}/{database}"
    if system == "PostgreSQL":
        return PostgresTarget(server.url(database), "ai"), f"{through}?schema=ai"
    return SharedLakeTarget(folder, server.url(database)), f"iceberg:./lake?catalog={through}&namespace=ai"


@pytest.fixture(scope="module")
def undisturbed(postgres_server, tmp_path_factory) -> dict[str, tuple[int, int, Rows]]:
    """For each system: bytes and commits of an undisturbed run, and what readers see after it."""
    found = {}
    for system in ("PostgreSQL", "Iceberg"):
        folder = tmp_path_factory.mktemp("undisturbed") / "p"
        with postgres_server.database() as database, Proxy(postgres_server.socket_folder) as proxy:
            target, url = _place(postgres_server, system, database, proxy.port, folder)
            small_project.write(folder, url)
            done = forked.run(_run, folder)
            assert done.returncode == 0, done.stderr
            found[system] = (proxy.passed, proxy.commits, target.rows())
    return found


@pytest.mark.parametrize(
    ("system", "evil", "number"),
    [cut if cut in ALWAYS else pytest.param(*cut, marks=pytest.mark.sweep) for cut in CUTS],
)
def test_a_cut_network_leaves_nothing_half_done(
    system: str, evil: Evil, number: int, undisturbed, postgres_server, memory
):
    """Once in a run the network fails: all or nothing is visible, and it ends by itself or by the same command."""
    size, commits, expected = undisturbed[system]
    at = 1 + (commits if evil == "hidden" else size) * number // TIMES[evil]
    folder = memory / f"{system}-{evil}-{number}"
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres_server.database())
        proxy = stack.enter_context(Proxy(postgres_server.socket_folder, evil, at))
        target, url = _place(postgres_server, system, database, proxy.port, folder)
        small_project.write(folder, url)
        first = forked.run(_run, folder)
        assert proxy.done, f"{at} was not reached: {proxy.passed} bytes, {proxy.commits} commits"
        seen = keys(target.rows()).total()
        partial = seen if 0 < seen < keys(expected).total() else 0
        last = first if first.returncode == 0 else forked.run(_run, folder)
        unfinished = int(last.returncode != 0)
        figures.count(network_cuts=1, **{evil: 1}, partial_rows=partial, cut_unfinished=unfinished)
        assert not partial
        assert not unfinished, last.stderr
        assert differences(target.rows(), expected) == {"lost": 0, "duplicated": 0, "different": 0}
        if first.returncode:
            assert "Traceback" in first.stderr
            assert "SystemUnavailable" in first.stderr.splitlines()[-1], first.stderr
