"""The oracle over published runs: every row of the demo agrees, and what was tampered with is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlglot import exp

from transhume import Project
from transhume.cli.output import Output
from transhume.cli.validate import print_validation
from transhume.demo import AnswerKey, generate, write_project
from transhume.errors import Refused
from transhume.project import ValidationResult
from transhume.project.proving import published_validation
from transhume.rules.codes import Codes
from transhume.rules.prefix import Prefix
from transhume.rules.rule import Rule, Sql
from transhume.rules.utc import Utc
from transhume.stages.context import Limits
from transhume.stages.extract import recall_segments
from transhume.stages.proof.prove import gather_evidence
from transhume.stages.proof.sample import choose
from transhume.stages.published import Depth

_RULES_OF_THE_DEMO = {
    "boolean", "coalesce", "codes", "concat", "copy", "lookup", "names", "parse", "path", "prefix", "ref", "scale",
    "sql", "utc", "uuid", "value",
}  # fmt: skip
_SMALL = Limits(segment_rows_max=150)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, AnswerKey]:
    """The demo in a lake, in small segments, and its answer key."""
    folder = tmp_path_factory.mktemp("proof")
    key, project = _demo(folder)
    project.run(limits=_SMALL)
    return project, key


def _demo(folder: Path) -> tuple[AnswerKey, Project]:
    write_project(folder)
    plan = folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("backup: required", "backup: warn"))
    key = generate(folder / "legacy.db", 300, seed=5)
    environment = {
        "LEGACY_URL": f"sqlite:///{folder / 'legacy.db'}",
        "PLATFORM_URL": f"iceberg:{folder / 'lake'}?namespace=ai",
    }
    return key, Project(folder, environment=environment)


def test_the_oracle_recomputes_every_row_of_the_demo_and_finds_no_difference(
    migrated: tuple[Project, AnswerKey], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All rows of all five tables, in two processes: fates are those of the answer key, values those of the lake."""
    project, key = migrated
    for name, value in project._place.environment.items():
        monkeypatch.setenv(name, value)
    found = Project(project.folder).validate(whole=True)
    assert not found.failed
    assert set(found.rules) == _RULES_OF_THE_DEMO
    assert min(found.rules.values()) > 0
    output = Output(str(project.folder), environment=None, as_json=False, quiet=False, verbose=False, color=False)
    print_validation(output, found)
    rows, values = (sum(getattr(each, name) for each in found.proofs.values()) for name in ("rows", "values"))
    told = f"the oracle recomputed {rows:,} of {rows:,} rows by all 16 rules of the plan and compared {values:,} values"
    assert f"{told}: 0 differences" in " ".join(capsys.readouterr().out.split())
    for name, answer in key.tables.items():
        proof = found.proofs[name]
        assert (proof.rows, proof.difference_count) == (answer.read, 0), name
        fates = (proof.fates["loaded"], proof.fates["rejected"], proof.fates["filtered"])
        assert fates == (answer.loaded, answer.rejected, answer.filtered), name
        assert proof.shown_rows == answer.loaded, name


def test_a_sample_takes_every_way_that_a_row_of_the_demo_can_go(
    migrated: tuple[Project, AnswerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every planted reason, code, canonical name and form is recomputed, however few rows are asked for."""
    monkeypatch.setattr("transhume.stages.proof.sample.WHOLE_MAX", 10)
    monkeypatch.setattr("transhume.stages.proof.sample._SCATTERED", 0)
    project, key = migrated
    found = project.validate(sample=0)
    assert not found.failed
    for name, answer in key.tables.items():
        ways = found.proofs[name].ways
        assert 0 < found.proofs[name].rows < answer.read, name
        assert {way for column, way in ways if column == "(reasons)"} >= set(answer.reasons), name
    ways = found.proofs["ml_models"].ways
    assert {f"code {code}" for code in "DPRA"} <= {way for column, way in ways if column == "deployment_status"}
    canonical = {way.removesuffix(" (folded)") for column, way in ways if column == "algorithm_type"}
    assert {f"name {name}" for name in ("Random Forest", "XGBoost")} <= canonical
    assert {"form 1", "form 2"} <= {way for column, way in found.proofs["data_sources"].ways if column == "storage_uri"}


def test_the_same_seed_takes_the_same_rows(migrated: tuple[Project, AnswerKey]) -> None:
    """Chance can be repeated, and another seed takes other rows."""
    with published_validation(migrated[0]._place, None, Depth()) as validation:
        recall_segments(validation.context)
        evidence = gather_evidence(validation.context)
        mapping = validation.context.plan.tables["ml_models"]
        once, again, other = (choose(evidence, mapping, 10, seed).why for seed in (1, 1, 2))
    assert once == again != other


def test_files_of_a_run_that_were_changed_prove_nothing(tmp_path: Path, migrated: tuple[Project, AnswerKey]) -> None:
    """A byte of the extract that is not what the journal says is refused, naming the file."""
    folder = tmp_path / "copy"
    shutil.copytree(migrated[0].folder, folder)
    environment = {
        "LEGACY_URL": f"sqlite:///{folder / 'legacy.db'}",
        "PLATFORM_URL": f"iceberg:{migrated[0].folder / 'lake'}?namespace=ai",
    }
    segment = next((folder / ".transhume" / "runs").glob("*/*/extract/t000/000000.parquet"))
    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    with pytest.raises(Refused, match="extract/t000/000000"):
        Project(folder, environment=environment).validate()


def _wrong_literal(rule: type[Rule], old: str, new: str) -> Callable[..., Sql]:
    """Return a SQL twin in which one text is another."""
    right = rule.to_sql

    def to_sql(self: Rule, scope: object, wanted: object) -> Sql:
        made = right(self, scope, wanted)  # type: ignore[arg-type]

        def changed(node: exp.Expression) -> exp.Expression:
            return exp.Literal.string(new) if isinstance(node, exp.Literal) and node.this == old else node

        return Sql(made.value.transform(changed), made.type, made.reasons)

    return to_sql


def test_an_error_in_a_rules_sql_is_found_in_what_was_published(tmp_path: Path, monkeypatch) -> None:
    """A label and a prefix that only the SQL twins get wrong are as they were staged; the oracle names them."""
    monkeypatch.setattr(Codes, "to_sql", _wrong_literal(Codes, "Stopped", "Halted"))
    monkeypatch.setattr(Prefix, "to_sql", _wrong_literal(Prefix, "Migrated from Legacy AI Research DB: ", "Migrated: "))
    _, project = _demo(tmp_path)
    project.run()
    monkeypatch.undo()
    found = project.validate()
    assert _columns(found) == {
        ("data_sources", "description"),
        ("experiment_logs", "description"),
        ("experiment_logs", "experiment_state"),
        ("ml_models", "description"),
    }
    assert {check.table for check in found.failed if check.name == "published_rows"} == set()
    assert ("domain", "experiment_logs") in {(check.name, check.table) for check in found.failed}


def test_a_row_that_the_sql_rejects_for_nothing_is_found(tmp_path: Path, monkeypatch) -> None:
    """The fate of a row is recomputed too: a reject that only the SQL twin says is a difference in the fate."""
    right = Utc.to_sql

    def to_sql(self: Utc, scope: object, wanted: object) -> Sql:
        strict = self.model_copy(update={"on_overlap": "reject"})
        return right(strict, scope, wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(Utc, "to_sql", to_sql)
    _, project = _demo(tmp_path)
    project.run()
    monkeypatch.undo()
    assert "(fate)" in {column for _, column in _columns(project.validate())}


def _columns(found: ValidationResult) -> set[tuple[str, str]]:
    return {(name, each.column) for name, proof in found.proofs.items() for each in proof.differences}
