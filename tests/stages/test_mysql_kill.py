"""A run from a MariaDB, killed with SIGKILL, is finished by the same command, whatever its source does meanwhile."""

import signal
from pathlib import Path

import pytest

from tests.demo.mariadb_copy import copy_to_mariadb
from tests.servers import MariadbServer
from tests.stages import small_project


@pytest.mark.parametrize(
    "point", ["after:segment_written:3", pytest.param("after:batch_staged:2", marks=pytest.mark.sweep)]
)
def test_a_killed_run_from_a_mariadb_is_finished(
    point: str, tmp_path: Path, mariadb_server: MariadbServer, mariadb_database: str
):
    """While it extracts, the run begins anew at a new instant; afterwards it goes on with the extract that it has."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    copy_to_mariadb(folder / "source.db", mariadb_server, mariadb_database, keyed=True)
    url = mariadb_server.url(mariadb_database)
    (folder / ".env").write_text(f"SOURCE_URL={url}\nTARGET_URL=iceberg:./lake?namespace=ai\n")
    killed = small_project.run(folder, f"{point}:kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if "batch" in point:
        # The source is not read again: what is gone there is in the target all the same.
        mariadb_server.run("DELETE FROM plant WHERE id > 100", database=mariadb_database)
    finished = small_project.run(folder)
    assert finished.returncode == 0, finished.stderr
    assert small_project.buckets(finished) == small_project.expected_buckets()
    assert {name: count for name, (count, _) in small_project.lake_content(folder, "ai").items()} == {
        name: buckets["loaded"] for name, buckets in small_project.expected_buckets().items()
    }
