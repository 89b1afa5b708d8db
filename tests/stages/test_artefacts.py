"""References to artefacts: what they lead to is there, on S3 and in local folders, or is listed with its key."""

import csv
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.systems.lakes import make_bucket, s3_server
from transhume import Project
from transhume.checks import CheckResult
from transhume.errors import CheckFailed, PlanError
from transhume.plan.artefacts import artefact_columns
from transhume.plan.load import load
from transhume.systems.artefacts import Artefacts
from transhume.testing.drill_project import PLAN, write_drill_project

NUMBERS = [number for number in range(1, 61) if number != 13]
"""Items that are loaded; item 13 is rejected."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 of moto's."""
    yield from s3_server()


def _project(folder: Path, to: str, verify: str) -> Project:
    write_drill_project(folder, "iceberg:./lake?namespace=drill")
    plan = PLAN.replace("s3://bucket/items/{name}/{version}.{ext}", to)
    (folder / "transhume.yaml").write_text(f"{plan}    verify_artifacts: {verify}\n", encoding="utf-8")
    return Project(folder)


def _listed(project: Project, run: str) -> list[list[str]]:
    (path,) = (project.folder / ".transhume" / "runs" / run / "keys").glob("missing-artefacts-*.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _found(checks: tuple[CheckResult, ...]) -> CheckResult:
    (found,) = [check for check in checks if check.name == "artefact_exists"]
    return found


def test_objects_of_s3_are_looked_for_and_missing_ones_stop_the_run(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of 59 are not there: nothing is published before somebody brings them; one that goes later is found."""
    bucket = make_bucket(endpoint)
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", endpoint_url=endpoint)
    keys = {number: f"items/part_{number}/v{number % 4}.bin" for number in NUMBERS}
    for number, key in keys.items():
        if number not in {7, 31}:
            client.put_object(Bucket=bucket, Key=key, Body=b"x")
    project = _project(tmp_path / "p", f"s3://{bucket}/items/{{name}}/{{version}}.{{ext}}", "true")
    with pytest.raises(CheckFailed, match="nothing was published") as raised:
        project.run()
    (finding,) = raised.value.findings
    assert (finding.code, finding.count, finding.table) == ("artefact_exists", 2, "items")
    assert "59 references looked at, 2 not there" in finding.message
    head, *rows = _listed(project, project.result(None).run)
    assert head == ["item_uuid", "column", "reference", "said"]
    assert {row[2] for row in rows} == {f"s3://{bucket}/{keys[number]}" for number in (7, 31)}
    assert {row[0] for row in rows} == set(finding.sample_keys)
    for number in (7, 31):
        client.put_object(Bucket=bucket, Key=keys[number], Body=b"x")
    run = project.run()
    assert run.state == "finished"
    assert list((project.folder / ".transhume" / "runs" / run.run / "keys").glob("missing-artefacts-*")) == []
    assert _found(project.validate().checks).passed
    client.delete_object(Bucket=bucket, Key=keys[1])
    gone = _found(project.validate().checks)
    assert (gone.count, gone.severity) == (1, "error")
    assert _listed(project, run.run)[1][0] == gone.sample_keys[0]


def test_local_files_are_looked_for_and_a_warning_does_not_stop(tmp_path: Path) -> None:
    """A folder counts as there; what is not is told and the run goes on."""
    store = tmp_path / "store"
    for number in NUMBERS[2:]:
        (store / f"part_{number}" / f"v{number % 4}.bin").mkdir(parents=True)
    project = _project(tmp_path / "p", f"{store}/{{name}}/{{version}}.{{ext}}", "warn")
    assert project.run().state == "finished"
    found = _found(project.validate().checks)
    assert (found.count, found.severity, found.passed) == (2, "warning", False)
    assert sorted(row[2] for row in _listed(project, project.result(None).run)[1:]) == [
        f"{store}/part_1/v1.bin",
        f"{store}/part_2/v2.bin",
    ]


def test_what_nobody_can_look_at_is_no_success(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is not there, a scheme that is none of ours, a text that no system takes, a refused connection."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    asked = ["s3://no-such-bucket/x", "gs://bucket/x", "/no/such\0file", "s3://", "file:///no/such/file", "/"]
    said = dict(Artefacts().missing(asked))
    assert list(said) == asked[:-1]
    assert "cannot be looked at" in said["gs://bucket/x"]
    assert said["file:///no/such/file"] == ""


def test_references_are_told_from_other_texts(tmp_path: Path) -> None:
    """Paths and prefixes with a scheme or a folder are references; a sentence before a note is none."""
    plan = """\
transhume: 1
name: n
namespace: n
source: sqlite:///s.db
target: iceberg:./lake?namespace=n
tables:
  t:
    from: s
    key: id
    columns:
      id: id
      object: {path: a, like: "/{x}", to: "s3://b/{x}"}
      either: {path: a, any: [{like: "/{x}", to: "file:///b/{x}"}, {like: "{x}", to: "gs://b/{x}"}]}
      local: {path: a, like: "/{x}", to: "/new/{x}"}
      moved: {path: a, like: "/{x}", to: "new/{x}"}
      hung: {prefix: a, with: "s3://b/", when_null: prefix}
      note: {prefix: a, with: "Moved: see s3://b/"}
      slash: {prefix: a, with: "/"}
"""
    (tmp_path / "transhume.yaml").write_text(plan, encoding="utf-8")
    found = {column.name: (column.forms, column.schemes, column.plain) for column in artefact_columns(_table(tmp_path))}
    assert found == {
        "object": (("uri",), ("s3",), None),
        "either": (("file", "uri"), ("file", "gs"), None),
        "local": (("path",), ("file",), None),
        "hung": (("uri",), ("s3",), "s3://b/"),
    }
    (tmp_path / "transhume.yaml").write_text(plan + "    verify_artifacts: true\n", encoding="utf-8")
    with pytest.raises(PlanError, match="'gs://'"):
        load(tmp_path, {})


def _table(folder: Path):
    return load(folder, {}).tables["t"]
