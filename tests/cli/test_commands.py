"""The commands from outside: exit codes, what is printed, what is never printed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.stages import small_project

from transhume.cli import COMMANDS

SECRET = "c4nary-p4ssword"


def transhume(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    place = [] if folder is None else ["-p", str(folder)]
    command = [sys.executable, "-c", "from transhume.cli import main; main()", *place, *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def lake_project(tmp_path) -> Path:
    """The small project with a lake as its target."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The small project after a run."""
    folder = tmp_path_factory.mktemp("finished") / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    done = transhume("run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_help_names_every_command_and_loads_none():
    """`--help` lists all commands without importing a driver, the engine or the plan."""
    code = (
        "import sys; from transhume.cli import transhume; from click.testing import CliRunner;"
        "print(CliRunner().invoke(transhume, ['--help']).output);"
        "print([n for n in sys.modules if n.split('.')[0] in ('pyarrow', 'sqlglot', 'pydantic', 'duckdb', 'rich')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(re.search(rf"^  {name}\s", done.stdout, re.MULTILINE) for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_loads_no_room_that_it_does_not_go_to(lake_project):
    """A run waits for the modules of a run: for none of estimates, papers, rollbacks, proofs or other engines."""
    others = ("estimating", "documents", "closing", "deciding", "drilling", "undoing", "proving", "profiling")
    code = (
        "import sys; from transhume import Project; Project(sys.argv[1]).run();"
        f"print([n for n in sys.modules if n in {[f'transhume.project.{each}' for each in others]}"
        " or n.startswith(('transhume.estimate', 'transhume.stages.proof', 'transhume.engines.spark'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, lake_project], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_front_door_has_what_it_names():
    """Every name of `transhume.project` is imported on first use, and no other name is there."""
    from transhume import project  # noqa: PLC0415 - what a first use imports is looked at

    assert {name: getattr(project, name).__name__ for name in project.__all__ if name != "Listener"} == {
        name: name for name in project.__all__ if name != "Listener"
    }
    assert callable(project.Listener)
    with pytest.raises(AttributeError, match="has no attribute 'Projekt'"):
        project.Projekt  # noqa: B018 - the look is what is tested


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    """Each command has a help page with its options."""
    done = transhume(name, "--help")
    assert done.returncode == 0
    assert f"transhume {name}" in done.stdout


def test_readme_lists_every_command():
    """The README's table has a line for each command, and for none that is not there."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    listed = re.findall(r"^\| `transhume ([a-z-]+)", readme, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "did you mean 'run'"),
        (["run", "--frsh"], "No such option"),
        (["preview"], "Missing argument"),
    ],
)
def test_wrong_usage_is_2(arguments, said, lake_project):
    """What the command line cannot understand exits 2 and says what was meant."""
    done = transhume(*arguments, folder=lake_project)
    assert done.returncode == 2
    assert said in done.stderr


def test_no_plan_is_2(tmp_path):
    """Without a plan in the folder or above, the message says where it was looked for and how to begin."""
    done = transhume("check", folder=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert "transhume demo" in done.stderr


@pytest.mark.parametrize("command", ["validate", "report", "rollback", "rejects", "status", "finalize"])
def test_before_the_first_run_every_command_about_a_run_says_how_to_make_it(command, lake_project):
    """Asked about the newest run where there is none, a command names the one that makes it."""
    done = transhume(command, folder=lake_project)
    assert done.returncode == 2
    assert "`transhume run` makes the first" in done.stderr


def test_a_wrong_plan_is_3_everywhere(lake_project):
    """Every command that needs the plan refuses a wrong one with all its mistakes, before anything is written."""
    plan = lake_project / "transhume.yaml"
    plan.write_text(plan.read_text().replace("kinds}", "kind}").replace("{uuid: id}, orig", "{uid: id}, orig"))
    for command in (["check"], ["check", "--offline"], ["run"], ["preview", "plants"], ["sql"]):
        done = transhume(*command, folder=lake_project)
        assert done.returncode == 3, command
        printed = done.stdout + done.stderr
        assert printed.count("did you mean") == 2
        assert re.search(r"transhume\.yaml:\d+:\d+", printed)
        assert "Traceback" not in printed
    assert not (lake_project / "lake").exists()


def test_run_prints_the_accounting_and_json_says_the_same(finished):
    """`status` after a run prints a line a table; `--json` holds the same numbers, before or behind the command."""
    plain = transhume("status", folder=finished)
    for switched in (transhume("--json", "status", folder=finished), transhume("status", "--json", folder=finished)):
        told = json.loads(switched.stdout)
        assert told["state"] == "finished"
        for table in told["tables"]:
            expected = small_project.expected_buckets()[table["mapping"]]
            assert {name: table[name] for name in expected} == expected
            numbers = (
                rf"{table['mapping']} +{table['read']} +{table['loaded']} +0 +{table['rejected']} +{table['filtered']}"
            )
            assert re.search(numbers, plain.stdout)
    assert "unmapped:kind" in plain.stdout


def test_validate_passes_after_a_run_and_fails_when_a_row_is_taken_out(lake_project):
    """`validate` exits 0 on what was published, and 1, naming the table, after somebody deleted one row."""
    assert transhume("run", folder=lake_project).returncode == 0
    assert transhume("validate", folder=lake_project).returncode == 0
    small_project.catalog(lake_project).load_table("ai.places").delete("original_source_id = 3")
    done = transhume("validate", "--json", folder=lake_project)
    assert done.returncode == 1
    wrong = {(check["name"], check["table"]) for check in json.loads(done.stdout)["published"] if not check["passed"]}
    assert wrong == {(name, "places") for name in ("row_counts", "published_rows", "oracle")} | {
        ("references", "plants")
    }


def test_check_predicts_the_rejects(lake_project):
    """`check` counts the rows that a run would reject, at the rule that rejects them, and writes no target."""
    done = transhume("check", "--json", folder=lake_project)
    assert done.returncode == 0, done.stderr
    findings = {finding["code"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert {code: finding["severity"] for code, finding in findings.items()} == {
        "unmapped": "warning",
        "unknown_name": "warning",
    }
    # Spellings are counted over the whole table, rejects over the rows that no filter leaves out.
    assert "'weed'" in findings["unknown_name"]["message"]
    assert findings["unknown_name"]["count"] == sum(n % 10 == 7 for n in range(small_project.PLANTS))
    finding = findings["unmapped"]
    assert finding["count"] == sum(n % 13 != 0 and n % 10 == 7 for n in range(small_project.PLANTS))
    line = (lake_project / "transhume.yaml").read_text().splitlines()[finding["line"] - 1]
    assert line.strip().startswith("kind:")
    assert finding["sample_keys"] == ["7", "17", "27"]
    assert not list(lake_project.glob("lake/**/*.parquet"))


def test_preview_shows_before_rule_and_after(lake_project):
    """`preview` shows loaded rows with each rule, then one row for each kind of reject and filter."""
    done = transhume("preview", "plants", "--rows", "2", "--json", folder=lake_project)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["fate"] for row in rows] == ["loaded", "loaded", "filtered", "rejected"]
    kind = next(field for field in rows[0]["fields"] if field["column"] == "kind")
    assert (kind["rule"], kind["before"], kind["after"]) == ("names", {"kind": "Bush "}, "Bush")


def test_sql_prints_what_runs(lake_project, tmp_path):
    """`sql` prints a SELECT for each table with its purpose, and writes numbered files."""
    done = transhume("sql", "plants", "--out", str(tmp_path / "sql"), folder=lake_project)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "sql").iterdir())
    assert files[-1].name.startswith("00")
    assert '"plant_id"' in files[-1].read_text()


def test_sql_writes_validation_scripts(finished, tmp_path):
    """`sql --kind validation` writes both sides' scripts, the counts of the run and what is not covered."""
    done = transhume("sql", "--kind", "validation", "--dialect", "mysql", "--out", str(tmp_path / "v"), folder=finished)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "v" / "source" / "001_row_count_place.sql").read_text().startswith("-- check: row_count")
    counts = (tmp_path / "v" / "target" / "001_row_counts_places.sql").read_text()
    assert f"{small_project.PLACES} AS `expected_rows`" in counts
    assert "Not said by these scripts" in (tmp_path / "v" / "README.txt").read_text()
    assert transhume("sql", "--dialect", "mysql", folder=finished).returncode == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db", "127.0.0.1"),
        (f"postgresql://u:{SECRET}@no-such-host.invalid/db", "no-such-host.invalid"),
        ("iceberg:s3://bucket/prefix?namespace=ai", "catalog"),
        ("oracle://u@h/db", "oracle"),
    ],
)
def test_an_unreachable_target_is_one_line_without_password(url, said, lake_project):
    """What cannot be reached is said in one line with the place, without password and traceback; exit 4 or 2."""
    done = transhume("run", folder=lake_project, TARGET_URL=url)
    assert done.returncode in {2, 4}
    assert said in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


def test_a_wrong_password_is_one_line_without_it(lake_project, postgres_server):
    """A refused login names server and user, never the password."""
    url = f"postgresql://nobody:{SECRET}@/postgres?host={postgres_server.socket_folder}"
    done = transhume("run", folder=lake_project, TARGET_URL=url)
    assert done.returncode == 4
    assert "nobody" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_source_that_is_not_there_is_4(lake_project):
    """A missing database file is named, and is not made."""
    done = transhume("run", folder=lake_project, SOURCE_URL="sqlite:///nowhere.db")
    assert done.returncode == 4
    assert "nowhere.db" in done.stderr
    assert not (lake_project / "nowhere.db").exists()


def test_estimate_says_days_with_chances_and_where_they_come_from(finished):
    """`estimate` gives days by phase with P50 to P90, machine time of the finished run, and the risk register."""
    done = transhume("estimate", "--json", folder=finished)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told["phases"]) == ["planning", "development", "testing", "execution", "review"]
    assert told["total"]["p50"] < told["total"]["p80"] < told["total"]["p90"]
    assert [rate["stage"] for rate in told["rates"]] == ["extract", "load", "validate", "publish", "verify"]
    assert told["machine"]["total_s"]["p50"] > 0
    assert len(told["risks"]) >= 7
    assert told["data_checked"]


def test_a_drill_from_outside(lake_project):
    """`rollback --drill` prints tables and proof and leaves nothing; a run beside it is wrong."""
    done = transhume("rollback", "--drill", "--rows", "20", "--json", folder=lake_project)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["passed"]
    assert [table["is_equal"] for table in told["tables"]] == [True, True]
    assert not (lake_project / "out").exists()
    assert transhume("rollback", "r1", "--drill", folder=lake_project).returncode == 2
