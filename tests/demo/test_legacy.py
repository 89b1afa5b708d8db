"""The generated database holds what its answer key says, counted here without the generator and without transhume."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.demo.judge import Reasons, judge

from transhume.demo import AnswerKey, Sizes, generate
from transhume.demo.defects import CATALOGUE
from transhume.demo.project import read_project_file
from transhume.demo.rows import COLUMNS
from transhume.errors import UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, AnswerKey]:
    path = tmp_path_factory.mktemp("legacy") / "legacy.db"
    return path, generate(path)


@pytest.fixture(scope="module")
def judged(made) -> dict[str, Reasons]:
    return judge(made[0], _spellings())


def _spellings() -> list[str]:
    algorithms = YAML(typ="safe").load(read_project_file("transhume.yaml"))["lookups"]["algorithms"]
    return [spelling for name, others in algorithms.items() for spelling in (name, *others)]


def _count(path: Path, select: str) -> int:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute(select).fetchone()[0])
    finally:
        connection.close()


def test_every_row_is_in_one_bucket(made):
    """What is read is loaded, rejected or filtered, in every table."""
    path, key = made
    for answer in key.tables.values():
        assert answer.read == answer.loaded + answer.rejected + answer.filtered
        assert answer.read == _count(path, f"SELECT count(*) FROM {answer.source}")
        assert answer.rejected <= sum(answer.reasons.values())


def test_without_defects_every_row_loads_that_is_in_scope(tmp_path):
    """An independent reading finds no reason against any row but that its archived parent stays behind."""
    path = tmp_path / "clean.db"
    key = generate(path, 600, defects=False)
    judged = judge(path, _spellings()).values()
    kinds = {reason.split(":")[0] for reasons in judged for own in reasons.values() for reason in own or ()}
    assert kinds <= {"parent_filtered", "parent_rejected"}
    models = key.tables["ml_models"]
    assert (models.read, models.rejected, models.loaded + models.filtered) == (600, 0, 600)


def test_the_key_is_what_the_judge_counts(made, judged):
    """Buckets and reasons of every table are the ones that an independent reading of the file gives."""
    for answer in made[1].tables.values():
        reasons = judged[answer.source]
        counted = Counter(reason for own in reasons.values() if own for reason in set(own))
        assert dict(answer.reasons) == dict(counted), answer.mapping
        assert answer.rejected == sum(bool(own) for own in reasons.values())
        assert answer.filtered == sum(own is None for own in reasons.values())


def test_the_key_is_what_the_judge_counts_with_another_seed_and_size(tmp_path):
    """The agreement does not hang on one draw of rows."""
    for seed, models in ((1, 7000), (2, 400), (3, 50)):
        path = tmp_path / f"{seed}.db"
        key = generate(path, models, seed=seed)
        judged = judge(path, _spellings())
        for answer in key.tables.values():
            counted = Counter(reason for own in judged[answer.source].values() if own for reason in set(own))
            assert dict(answer.reasons) == dict(counted), (seed, answer.mapping)
            assert answer.filtered == sum(own is None for own in judged[answer.source].values())


def test_every_planted_row_has_the_reasons_that_the_key_names(made, judged):
    """Row by row, the list of defects and the judge agree."""
    for planted in made[1].planted:
        assert set(judged[planted.table][planted.row] or ()) == set(planted.reasons), planted


def test_every_defect_of_the_catalogue_is_planted(made):
    """At the default size no kind of defect is missing."""
    planted = {(entry.table, entry.defect) for entry in made[1].planted}
    assert not {(table, defect.name) for table, defects in CATALOGUE.items() for defect in defects} - planted
    extra = {"primary_accuracy_over_one", "primary_metric_tied", "primary_value_missing", "runs_continue_each_other"}
    assert extra <= {defect for _, defect in planted}


@pytest.mark.parametrize(
    ("mapping", "reason", "select"),
    [
        ("ml_models", "null:model_name", "SELECT count(*) FROM models WHERE model_name IS NULL AND is_archived = 0"),
        (
            "ml_models",
            "unmapped:status",
            (
                "SELECT count(*) FROM models WHERE is_archived = 0"
                " AND trim(status, char(9, 10, 11, 12, 13, 32)) NOT IN ('D', 'P', 'R', 'A')"
            ),
        ),
        (
            "ml_models",
            "orphan:dataset_id",
            (
                "SELECT count(*) FROM models WHERE is_archived = 0 AND dataset_id IS NOT NULL"
                " AND dataset_id NOT IN (SELECT dataset_id FROM datasets)"
            ),
        ),
        ("ml_models", "bad_integer:model_id", "SELECT count(*) FROM models WHERE typeof(model_id) = 'text'"),
        ("ml_models", "blob:notes", "SELECT count(*) FROM models WHERE typeof(notes) = 'blob'"),
        (
            "experiment_logs",
            "duplicate_key:experiment_id",
            (
                "SELECT sum(n) FROM (SELECT count(*) AS n FROM experiments WHERE experiment_id IS NOT NULL"
                " GROUP BY experiment_id HAVING n > 1)"
            ),
        ),
        ("training_jobs", "null:model_id", "SELECT count(*) FROM training_runs WHERE model_id IS NULL"),
        (
            "training_jobs",
            "orphan:parent_run_id",
            (
                "SELECT count(*) FROM training_runs AS r WHERE parent_run_id IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM training_runs AS p WHERE p.run_id = r.parent_run_id)"
            ),
        ),
    ],
)
def test_plain_sql_counts_the_same(made, mapping, reason, select):
    """Where SQL alone can tell, it counts what the key says."""
    path, key = made
    assert key.tables[mapping].reasons[reason] == _count(path, select) > 0


def test_defaults_are_owners_without_identity_in_loaded_rows(made, judged):
    """The key counts the loaded models whose owner the identity lookup does not hold."""
    path, key = made
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    owners = connection.execute("SELECT rowid, owner_id FROM models").fetchall()
    connection.close()
    identities = {line.split(",")[0] for line in read_project_file("lookups/identity.csv").splitlines()[1:]}
    unknown = [row for row, owner in owners if str(owner) not in identities and judged["models"][row] == []]
    assert key.tables["ml_models"].defaults["owner_user_id"] == len(unknown)


def test_warnings_are_loaded_models_that_were_modified_before_they_were_created(made, judged):
    """The key counts them, and no other row has such times."""
    path, key = made
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    times = connection.execute("SELECT rowid, created_ts, last_mod_ts FROM models").fetchall()
    connection.close()
    earlier = [
        row
        for row, created, modified in times
        if judged["models"][row] == [] and modified and not modified.startswith("0000") and modified < created
    ]
    assert key.tables["ml_models"].warnings == {"modified_after_created": len(earlier)}


def test_values_of_loaded_models_are_counted(made, judged):
    """The labels in the key add up to the loaded rows, and their counts are those of the codes in the file."""
    path, key = made
    answer = key.tables["ml_models"]
    for counts in answer.values.values():
        assert sum(counts.values()) == answer.loaded
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    statuses = connection.execute("SELECT rowid, status FROM models").fetchall()
    connection.close()
    labels = {"D": "Draft", "P": "Pending Review", "R": "Ready for Deployment", "A": "Active"}
    counted = Counter(labels[status.strip()] for row, status in statuses if judged["models"][row] == [])
    assert answer.values["deployment_status"] == dict(counted)


def test_two_runs_continue_each_other_and_load(made):
    """A cycle among good rows rejects nobody."""
    path, key = made
    pair = [entry for entry in key.planted if entry.defect == "runs_continue_each_other"]
    assert [entry.reasons for entry in pair] == [(), ()]
    cycles = "SELECT count(*) FROM training_runs a JOIN training_runs b ON a.parent_run_id = b.run_id"
    assert _count(path, f"{cycles} AND b.parent_run_id = a.run_id") == 2


def test_the_same_arguments_give_the_same_database_and_key(tmp_path):
    """Rows and answers depend on sizes and seed alone; another seed plants elsewhere."""
    keys, dumps = [], []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        keys.append(generate(tmp_path / name, 200, seed=seed))
        connection = sqlite3.connect(tmp_path / name)
        connection.text_factory = bytes
        dumps.append([connection.execute(f"SELECT * FROM {table}").fetchall() for table in COLUMNS])
        connection.close()
    assert keys[0] == keys[1]
    assert dumps[0] == dumps[1]
    assert dumps[0] != dumps[2]


def test_row_counts_can_be_set_for_each_table(tmp_path):
    """A benchmark may scale one table alone."""
    sizes = Sizes(models=3000, datasets=40, experiments=10, training_runs=30, metrics=50)
    key = generate(tmp_path / "legacy.db", sizes=sizes)
    assert {answer.source: answer.read for answer in key.tables.values()} == {
        table: sizes.rows(table) for table in COLUMNS
    }


@pytest.mark.parametrize(
    "sizes",
    [Sizes.of(100), Sizes.of(2000), Sizes.of(9999), Sizes(50_000, 20_000, 1_000, 3_000, 5_000)],
    ids=["100", "2000", "9999", "benchmark"],
)
def test_rejects_stay_under_the_limits_of_the_plan(tmp_path, sizes):
    """The demo passes at any size: no mapping has more rejects than the plan allows it."""
    plan = YAML(typ="safe").load(read_project_file("transhume.yaml"))
    for name, answer in generate(tmp_path / "legacy.db", sizes=sizes).tables.items():
        limit = plan["tables"][name].get("max_rejects", plan["defaults"]["max_rejects"])
        if isinstance(limit, str):
            assert answer.rejected <= float(limit.rstrip("%")) / 100 * answer.read, name
            continue
        kinds: Counter[str] = Counter()
        for reason, count in answer.reasons.items():
            kinds[reason.partition(":")[0]] += count  # at least as many as the rows
        assert set(kinds) <= set(limit), name
        for kind, count in kinds.items():
            assert count <= float(limit[kind].rstrip("%")) / 100 * answer.read, (name, kind)


def test_an_existing_file_is_not_overwritten(tmp_path):
    """What stands where the database should go is left alone."""
    path = tmp_path / "legacy.db"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"exists already and is not overwritten"):
        generate(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "sizes",
    [(0, 1, 1, 0, 0), (10, 0, 1, 0, 0), (10, 1, 1, 4, 0), (10, 1, 1, 0, 7), (10, 1, 1, 0, 55)],
)
def test_sizes_that_do_not_fit_together_are_refused(sizes):
    """A size that the generator cannot make is said at once."""
    with pytest.raises(UsageError, match=r"asked for|too many"):
        Sizes(*sizes)


def test_the_key_survives_its_file(made, tmp_path):
    """What is written as JSON is read back equal."""
    made[1].write(tmp_path / "answers.json")
    assert AnswerKey.read(tmp_path / "answers.json") == made[1]
