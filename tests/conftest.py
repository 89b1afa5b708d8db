"""Fixtures that every test may use: real servers, and the folder they live in."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import servers
from tests.reliability import figures
from tests.stages import forked
from transhume.engines import duckdb


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of the session's servers, once, in the process that starts the workers."""
    if not hasattr(config, "workerinput"):
        config.stash[_FOLDER] = servers.make_folder()
        config.stash[_BEGAN] = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Print what the tests of a sweep counted as they ran; the page about reliability keeps those of a whole one."""
    if not os.environ.get(servers.FOLDER_VARIABLE):
        return
    sums = figures.totals()
    lines = figures.told(sums)
    if lines:
        terminalreporter.section("figures of this sweep")
        for line in lines:
            terminalreporter.write_line(line)
    if lines and not figures.lacking(sums) and exitstatus == pytest.ExitCode.OK:
        minutes = round((time.monotonic() - config.stash[_BEGAN]) / 60)
        figures.keep(lines, _PAGE, f"{datetime.now(UTC):%Y-%m-%d}", minutes)
        terminalreporter.write_line(f"{minutes} minutes; {_PAGE.name} keeps these lines")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the session started."""
    folder = config.stash.get(_FOLDER, None)
    if folder is not None:
        servers.stop_all(folder)
        os.environ.pop(servers.FOLDER_VARIABLE, None)


_FOLDER = pytest.StashKey[Path]()
_BEGAN = pytest.StashKey[float]()
_PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"


@pytest.fixture(autouse=True)
def _warm_engines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each engine of a test the start of an interpreter, half a second; tests of engines start it as users do."""
    if not {"engines", "spark"} & {*request.path.parts}:
        monkeypatch.setattr(duckdb, "subprocess", forked.warm_engines())


@pytest.fixture(scope="session")
def postgres_server() -> servers.PostgresServer:
    """A real PostgreSQL, one for the whole session and all its workers."""
    return servers.postgres()


@pytest.fixture
def postgres_url(postgres_server: servers.PostgresServer) -> Iterator[str]:
    """The URL of an empty database that only this test uses."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="session")
def mariadb_server() -> servers.MariadbServer:
    """A real MariaDB, one for the whole session and all its workers."""
    return servers.mariadb()


@pytest.fixture
def mariadb_database(mariadb_server: servers.MariadbServer) -> Iterator[str]:
    """The name of an empty database of MariaDB that only this test uses."""
    with mariadb_server.database() as name:
        yield name
