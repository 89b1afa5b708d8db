"""Extract and results between the process of the run and the engine's workers by S3, which moto's server stands for."""

import json
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from tests.spark.demo_runs import make_project, values
from tests.spark.task_works import Copied
from transhume.dialects.spark import SESSION
from transhume.engines.spark import SparkEngine
from transhume.errors import EngineFailed, SystemUnavailable
from transhume.project import Project

BUCKET, PREFIX = "bucket", "teams/data"
PLACE = f"s3://{BUCKET}/{PREFIX}"
pytestmark = pytest.mark.skipif(find_spec("pysail") is None, reason="Spark reads S3 by a jar that no package index has")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket, known by the environment's variables; gives the URL of its server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield variables["AWS_ENDPOINT_URL"]
    server.stop()


def _objects() -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    return sorted(each["Key"] for each in found.get("Contents", []) if not each["Key"].endswith("/"))


@pytest.fixture
def engine(bucket: str, tmp_path: Path) -> Iterator[SparkEngine]:
    """An engine whose workers see the bucket, with a file of 1,000 numbers in its work folder."""
    made = SparkEngine(tmp_path, "sail", SESSION, store=(PLACE, "run 1"))
    pq.write_table(pa.table({"n": pa.array(range(1_000), pa.int64())}), tmp_path / "n.parquet")
    yield made
    made.close()


SELECT = "SELECT `n`, CAST(`n` AS STRING) AS `t` FROM (SELECT * FROM `parquet`.`n.parquet`) AS `x`"


def test_statements_read_and_write_there(engine: SparkEngine, tmp_path: Path) -> None:
    """What a statement reads is copied there, what its tasks write comes back, and at the end nothing is left."""
    outputs = [(Path("a.arrow"), 0, 600), (Path("b.arrow"), 600, 400)]
    assert sorted(engine.to_arrow_files(SELECT, "n", outputs)) == [0, 1]
    with pa.memory_map(str(tmp_path / "b.arrow")) as mapped:
        assert sorted(pa.ipc.open_file(mapped).read_all()["n"].to_pylist()) == list(range(600, 1_000))
    assert _objects() == [f"{PREFIX}/run 1/n.parquet"]
    pq.write_table(pa.table({"n": pa.array([7], pa.int64())}), tmp_path / "n.parquet")
    assert engine.query(SELECT).to_pydict() == {"n": [7], "t": ["7"]}
    engine.close()
    assert _objects() == []


def test_a_task_reads_the_work_folder_and_leaves_files(engine: SparkEngine) -> None:
    """A work finds a file that the statement read, and what it wrote is here while its answer is looked at."""
    found = {}
    for done in engine.each_range(SELECT, "n", [(0, 400), (400, 600)], Copied("n.parquet")):
        found[done.place] = json.loads(done.answer)
        assert pq.read_table(done.folder / "deep" / "copy.parquet").num_rows == 1_000
    assert found == {0: 400, 1: 600}
    assert _objects() == [f"{PREFIX}/run 1/n.parquet"]


def test_a_store_that_does_not_answer_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    """The message names the place and no credential; a bucket that is not there is no file."""
    engine = SparkEngine(tmp_path, "sail", SESSION, store=("s3://no-such-bucket/x", "run"))
    pq.write_table(pa.table({"n": [1]}), tmp_path / "n.parquet")
    with pytest.raises(SystemUnavailable, match="s3://no-such-bucket/x/run") as caught:
        engine.query(SELECT)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    with pytest.raises(EngineFailed, match="not there"):
        engine.query(SELECT.replace("n.parquet", "m.parquet"))
    # What is left there goes with the next process of the run; this one is not undone by it.
    engine.close()


@pytest.mark.parametrize("in_tasks", [False, True], ids=["by the process of the run", "in tasks"])
def test_the_demo_by_way_of_s3_is_that_of_one_machine(
    in_tasks: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
    published_by_duckdb: Mapping[str, list[str]],
) -> None:
    """Every published value is DuckDB's, whoever writes the target, and no row stays in the bucket."""
    monkeypatch.setattr(SparkEngine, "reaches_tasks", lambda _: in_tasks)
    folder = tmp_path / "p"
    make_project(folder, f"{{at: sail, files: '{PLACE}'}}")
    seen = []
    Project(folder).run(listener=lambda event: seen.extend(_objects()) if event.kind == "batch_staged" else None)
    assert any("extract" in name for name in seen)
    assert values(folder) == published_by_duckdb
    assert _objects() == []
