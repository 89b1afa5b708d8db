"""The brief's plan with one line more on a real cluster of two workers, where workers and the run itself are killed."""

import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.spark.cluster import Cluster, cluster
from tests.spark.demo_runs import command, make_project, values, written_by_tasks


@pytest.fixture
def spark_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of two workers, for one test."""
    with cluster(tmp_path / "cluster", workers=2) as made:
        yield made


@pytest.mark.sweep
def test_a_cluster_that_loses_a_worker_gives_what_one_machine_gives(
    tmp_path: Path, spark_cluster: Cluster, published_by_duckdb: Mapping[str, list[str]]
) -> None:
    """Every value of five published tables equals DuckDB's, validation finds nothing, the rollback leaves nothing."""
    many = tmp_path / "many"
    make_project(many, spark_cluster.url)
    run = command(many, "run")
    assert run.stdout is not None
    told = []
    for line in run.stdout:
        told.append(line)
        if line.startswith("staged") and spark_cluster.workers[0].poll() is None:
            spark_cluster.kill_worker(0)
    assert run.wait() == 0, "".join(told)
    assert spark_cluster.workers[0].returncode == -signal.SIGKILL
    assert values(many) == published_by_duckdb
    assert written_by_tasks(many)
    output, _ = command(many, "validate", "--all").communicate()
    assert re.search(
        r"recomputed (\d+) of \1 rows by all \d+ rules of the plan and compared \d+ values: 0 differences",
        output.replace(",", ""),
    ), output
    output, _ = command(many, "rollback", "--yes").communicate()
    assert "is rolled back" in output, output


@pytest.mark.sweep
def test_a_run_that_is_killed_on_a_cluster_goes_on_by_the_same_command(
    tmp_path: Path, spark_cluster: Cluster, published_by_duckdb: Mapping[str, list[str]]
) -> None:
    """The process that drives the cluster dies once a table is staged; the next one publishes DuckDB's every value."""
    many = tmp_path / "many"
    make_project(many, spark_cluster.url)
    run = command(many, "run")
    assert run.stdout is not None
    told = []
    for line in run.stdout:
        told.append(line)
        if line.startswith("staged"):
            run.kill()
    assert run.wait() == -signal.SIGKILL, "".join(told)
    again = command(many, "run")
    output, _ = again.communicate()
    assert again.returncode == 0, output
    assert "goes on" in output, output
    assert values(many) == published_by_duckdb
    assert written_by_tasks(many)
