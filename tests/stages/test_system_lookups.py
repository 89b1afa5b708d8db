"""Lookups from tables of other systems: read once, frozen with the extract, the same for engine and oracle."""

import json
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.stages import small_project
from transhume import Project
from transhume.errors import CheckFailed, PlanError, Refused, SystemUnavailable
from transhume.facts import Relation
from transhume.journal import read_journal
from transhume.stages import keys
from transhume.stages.context import Limits
from transhume.stages.proof.lookups import FrozenEntries

PLAN = """\
transhume: 1
name: owned
namespace: owned
source: sqlite:///source.db
target: iceberg:./lake?namespace=ai
lookups:
  owners: {system: "${IDM_URL}", table: people, key: nr, value: uid}
tables:
  things:
    from: thing
    key: id
    create: true
    columns: {thing_uuid: {uuid: id}, original_id: id, owner: {lookup: owner, in: owners, else: "nobody"}}
"""
PEOPLE: list[tuple[int | None, str | None, str]] = [
    (1, "u-one", "secret 1"), (2, "u-two", "secret 2"), (3, None, "secret 3"), (None, "u-none", "secret 4"),
    (-5, "u-minus", "secret 5"),
]  # fmt: skip
THINGS = [(10, 1), (11, 2), (12, 3), (13, None), (14, -5), (15, 99), (16, 1)]
# By hand: 3 is there and NULL; no owner is NULL; 99 is not there, which `else` decides.
OWNERS = {10: "u-one", 11: "u-two", 12: None, 13: None, 14: "u-minus", 15: "nobody", 16: "u-one"}
CANARY = "canary-7f3e9b"


def _execute(database: Path, statement: str, rows: list[Any] | None = None) -> None:
    with sqlite3.connect(database) as opened:
        if rows is None:
            opened.execute(statement)
        else:
            opened.executemany(statement, rows)
    opened.close()


def _write(folder: Path, url: str = "sqlite:///idm.db", plan: str = PLAN) -> Project:
    """Make a project whose things have owners; what they are called stands in another system."""
    folder.mkdir(parents=True)
    (folder / "transhume.yaml").write_text(plan)
    (folder / ".env").write_text(f"IDM_URL={url}\n")
    _execute(folder / "source.db", "CREATE TABLE thing (id INTEGER PRIMARY KEY, owner INTEGER)")
    _execute(folder / "source.db", "INSERT INTO thing VALUES (?, ?)", THINGS)
    if url == "sqlite:///idm.db":
        _execute(folder / "idm.db", "CREATE TABLE people (nr INTEGER, uid TEXT, password TEXT)")
        _execute(folder / "idm.db", "INSERT INTO people VALUES (?, ?, ?)", PEOPLE)
    return Project(folder)


def _people_in_postgres(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE TABLE people (nr bigint, uid text, password text)")
        server.cursor().executemany("INSERT INTO people VALUES (%s, %s, %s)", PEOPLE)


def _owners(project: Project) -> dict[int, str | None]:
    """Return what pyiceberg reads from the lake from outside."""
    rows = small_project.catalog(project.folder).load_table(("ai", "things")).scan().to_arrow().to_pylist()
    return {row["original_id"]: row["owner"] for row in rows}


def _frozen(project: Project) -> tuple[dict[str, Any], Path]:
    """Return what the newest run's journal says of its lookup, and the file."""
    folder = max(project.runs.iterdir())
    events = [entry.event for entry in read_journal(folder / "journal.jsonl")]
    fields = [event.fields for event in events if event.kind == "lookup_frozen"][-1]
    return dict(fields), folder / "work" / fields["path"]


def _killed(project: Project, fault: str) -> None:
    assert small_project.run(project.folder, f"{fault}:kill").returncode == -signal.SIGKILL


@pytest.fixture(params=["sqlite", "postgres"])
def project(request, tmp_path) -> Project:
    """The project with its lookup in each system that can be one."""
    if request.param == "sqlite":
        return _write(tmp_path / "p")
    url = request.getfixturevalue("postgres_url")
    _people_in_postgres(url)
    return _write(tmp_path / "p", url)


def test_values_come_from_the_other_system_and_the_oracle_agrees(project):
    """Every owner is what the table says; the oracle recomputes all rows from the frozen file."""
    report = project.check()
    assert [(found.code, found.severity) for found in report.findings] == [("lookup_null_key", "note")]
    project.run(limits=Limits(segment_rows_max=3))
    assert _owners(project) == OWNERS
    fields, path = _frozen(project)
    assert (fields["lookup"], fields["row_count"], fields["null_keys"], fields["unreadable"]) == ("owners", 4, 1, 0)
    assert dict(zip(*pq.read_table(path).to_pydict().values(), strict=True)) == {
        "1": "u-one", "2": "u-two", "3": None, "-5": "u-minus",
    }  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    found = project.validate(whole=True)
    assert not found.failed
    assert found.proofs["things"].rows == len(THINGS)


def test_no_other_column_of_the_table_is_read(tmp_path):
    """What stands beside key and value is in no file of the project."""
    project = _write(tmp_path / "p")
    project.run()
    (project.folder / "idm.db").unlink()
    for path in project.folder.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes(), path


def test_preview_sql_plan_and_validation_before_a_run_use_the_table(tmp_path):
    """What looks at rows without a run reads the table too; the SQL alone needs no system."""
    project = _write(tmp_path / "p")
    shown = {row.fields[1].after: row.fields[2].after for row in project.preview("things", 10)}
    assert shown == OWNERS
    assert project.outlook().steps[0].expected.loaded == len(THINGS)
    assert not project.validate_source().errors
    assert project.estimate().rows
    (project.folder / "idm.db").unlink()
    assert any("lookup-owners" in each.sql for each in project.sql())


def test_a_lookup_may_be_a_table_of_the_source_itself(tmp_path):
    """The same file is opened a second time, for reading only."""
    project = _write(tmp_path / "p", "sqlite:///source.db", f"{PLAN}ignored_tables: [people]\n")
    _execute(project.folder / "source.db", "CREATE TABLE people (nr TEXT PRIMARY KEY, uid TEXT)")
    _execute(project.folder / "source.db", "INSERT INTO people VALUES ('1', 'me')")
    project.run()
    assert _owners(project) == {10: "me", 11: "nobody", 12: "nobody", 13: None, 14: "nobody", 15: "nobody", 16: "me"}


def test_texts_of_every_type_are_exact(tmp_path, postgres_url):
    """Integers in decimal, UUIDs with hyphens, decimals at the scale of their column, JSON and text as they stand."""
    columns = "i smallint, b bigint, u uuid, d numeric(12,8), n numeric, v varchar(9), j json"
    values = "-7, 9007199254740993, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 0.0000001, 1.50, ' é ', '{\"a\": 1.0}'"
    expected = {
        "i": "-7", "b": "9007199254740993", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "d": "0.00000010",
        "n": "1.50", "v": " é ", "j": '{"a": 1.0}',
    }  # fmt: skip
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"CREATE TABLE people (nr int, {columns})")
        server.execute(f"INSERT INTO people VALUES (1, {values})")
    lookups = "".join(
        f"  {name}: {{system: '${{IDM_URL}}', table: people, key: {name}, value: {name}}}\n" for name in expected
    )
    project = _write(
        tmp_path / "p",
        postgres_url,
        PLAN.replace("value: uid", "value: d").replace("tables:\n", f"{lookups}tables:\n", 1),
    )
    project.run()
    files = sorted((max(project.runs.iterdir()) / "work" / "extract" / "lookups").glob("*.parquet"))
    assert [pq.read_table(path).to_pylist() for path in files[1:]] == [
        [{"key": t, "value": t}] for t in expected.values()
    ]
    assert _owners(project)[10] == "0.00000010"


def test_values_of_other_classes_are_texts_or_an_error(tmp_path):
    """In SQLite a text may stand among integers and a real among texts; bytes have no text and stop before staging."""
    project = _write(tmp_path / "p")
    _execute(project.folder / "idm.db", "UPDATE people SET nr = 'x7', uid = 'u-x' WHERE nr = 2")
    _execute(project.folder / "source.db", "UPDATE thing SET owner = 'x7' WHERE id = 11")
    project.run()
    assert _owners(project)[11] == "u-x"
    assert not project.validate(whole=True).failed
    _execute(project.folder / "idm.db", "UPDATE people SET uid = x'ff00' WHERE nr = 1")
    error = next(found for found in project.check().errors if found.code == "lookup_value")
    assert error.count == 1
    assert "in 1 row of 'people' the key or the value has no text" in error.message
    with pytest.raises(CheckFailed, match="has no text"):
        project.run()


def test_duplicate_keys_are_an_error_of_check_and_stop_a_run_before_it_stages(tmp_path):
    """Both say how many keys and which; the next run after the table was corrected is a new one and works."""
    project = _write(tmp_path / "p")
    _execute(
        project.folder / "idm.db", "INSERT INTO people VALUES (1, 'u-other', ''), (2, 'u-two', ''), (2, 'u-two', '')"
    )
    (error,) = project.check().errors
    assert project.preview("things", 1)[0].fields[2].after == "u-one"
    assert (error.code, error.count, error.sample_keys) == ("lookup_duplicate", 2, ("1", "2"))
    assert error.message.endswith(
        "2 keys of the table stand in more than one row of 'people': '1' (2 rows), '2' (3 rows)"
    )
    assert error.position is not None
    assert error.position.line == 7
    with pytest.raises(CheckFailed, match="nothing was staged") as raised:
        project.run()
    assert raised.value.findings == (error,)
    assert not any(
        entry.event.kind == "batch_staged" for entry in read_journal(max(project.runs.iterdir()) / "journal.jsonl")
    )
    _execute(project.folder / "idm.db", "DELETE FROM people WHERE password = ''")
    assert project.run().state == "finished"
    assert _owners(project) == OWNERS


@pytest.mark.parametrize("point", ["after:extract_finished:1", "after:batch_staged:1", "before:published:1"])
def test_a_run_goes_on_and_is_validated_when_the_lookups_system_is_gone(tmp_path, point):
    """From the finished extract on, the frozen file is all that is read: by the run, by the oracle, by both again."""
    project = _write(tmp_path / "p")
    _killed(project, point)
    (project.folder / "idm.db").unlink()
    assert project.run().state == "finished"
    assert _owners(project) == OWNERS
    (project.folder / ".env").unlink()
    assert not project.validate(whole=True).failed


def test_a_run_that_was_killed_before_its_extract_was_whole_reads_the_table_anew(tmp_path):
    """An unfinished extract is thrown away with its lookups; without their system the run stops, and is not stuck."""
    project = _write(tmp_path / "p")
    _killed(project, "after:lookup_frozen:1")
    hidden = (project.folder / "idm.db").rename(tmp_path / "hidden.db")
    with pytest.raises(SystemUnavailable):
        project.run()
    hidden.rename(project.folder / "idm.db")
    _execute(project.folder / "idm.db", "UPDATE people SET uid = 'later' WHERE nr = 1")
    assert project.run().state == "finished"
    assert _owners(project) == {**OWNERS, 10: "later", 16: "later"}


def test_a_damaged_frozen_lookup_is_never_used(tmp_path):
    """One changed byte: a resumed run extracts anew, and a validation refuses to prove anything by it."""
    project = _write(tmp_path / "p")

    def damage() -> str:
        path = _frozen(project)[1]
        content = bytearray(path.read_bytes())
        content[40] ^= 1
        path.write_bytes(content)
        return path.name

    _killed(project, "after:extract_finished:1")
    damage()
    _execute(project.folder / "idm.db", "UPDATE people SET uid = 'later' WHERE nr = 1")
    project.run()
    assert _owners(project)[10] == "later"
    with pytest.raises(Refused, match=rf"extract/lookups/{damage()}"):
        project.validate()


def test_looking_at_rows_takes_few_passes_over_a_frozen_lookup(tmp_path, monkeypatch):
    """A large lookup is never read once a key: once for the sample, once for the rows of a batch, once before a run."""
    project = _write(tmp_path / "p")
    passes: list[int] = []
    read = FrozenEntries._read
    monkeypatch.setattr(FrozenEntries, "_read", lambda self, keys: passes.append(len(keys)) or read(self, keys))
    assert not project.validate_source().errors
    assert passes == [5], "five owners are asked for"
    project.run()
    assert not project.validate(sample=1).failed
    assert passes == [5, 5, 5]


def test_the_oracle_finds_an_engine_that_joined_another_file(tmp_path, monkeypatch):
    """The oracle reads the frozen file itself: an engine that was given other entries is found out, row by row."""
    project = _write(tmp_path / "p")
    right: Callable[..., Relation] = keys.lookup_relation

    def wrong(frozen: Any) -> Relation:
        relation = right(frozen)
        path = max(project.runs.iterdir()) / "work" / relation.path
        table = pq.read_table(path)
        values = ["u-wrong" if value == "u-two" else value for value in table["value"].to_pylist()]
        other = path.with_name("other.parquet")
        pq.write_table(table.set_column(1, "value", [values]), other)
        return Relation(str(Path(relation.path).with_name("other.parquet")), relation.columns, relation.row_count)

    monkeypatch.setattr(keys, "lookup_relation", wrong)
    project.run()
    (failed,) = [check for check in project.validate(whole=True).failed if check.name == "oracle"]
    assert failed.count == 1
    assert "source row 11" in failed.detail


def test_a_run_is_bound_to_the_systems_of_its_lookups_and_not_to_their_data(tmp_path):
    """Another file under the same variable is another lookup; rows that changed in the meantime are not asked."""
    project = _write(tmp_path / "p")
    _killed(project, "after:extract_finished:1")
    _execute(project.folder / "idm.db", "DELETE FROM people")
    (project.folder / "other.db").write_bytes((project.folder / "idm.db").read_bytes())
    (project.folder / ".env").write_text("IDM_URL=sqlite:///other.db\n")
    with pytest.raises(Refused, match=r"a lookup is read from another system \(then owners: sqlite:.*/idm.db, now"):
        project.run()
    (project.folder / ".env").write_text("IDM_URL=sqlite:///idm.db\n")
    project.run()
    assert _owners(project) == OWNERS


def test_what_is_wrong_with_the_other_system_is_found_by_check_and_before_a_run_begins(tmp_path):
    """Place and cure for each; no run is left behind that would have to be given up."""
    plan = PLAN.replace("table: people, key: nr", "table: people, key: number")
    more = '  more: {system: "${IDM_URL}", table: poeple, key: nr, value: uid}\n'
    project = _write(tmp_path / "p", plan=plan.replace("tables:\n", f"{more}tables:\n", 1))
    errors = project.check(data=False).errors
    assert [(error.code, error.position and error.position.line) for error in errors] == [
        ("unknown_column", 7), ("unknown_table", 8),
    ]  # fmt: skip
    assert "has no column 'number'" in errors[0].message
    assert errors[1].cure == "did you mean 'people'?"
    with pytest.raises(PlanError, match="has no column 'number'"):
        project.run()
    assert not project.runs.exists()
    (project.folder / ".env").write_text("IDM_URL=iceberg:./lake\n")
    with pytest.raises(PlanError, match=r"transhume.yaml:7:.*'iceberg' cannot be a source"):
        project.run()


def test_a_password_of_a_lookups_system_stands_nowhere(tmp_path, postgres_url):
    """After a run and after a failure to connect: in no file but .env, in no output, in no message."""
    _people_in_postgres(postgres_url)
    url = postgres_url.replace("postgres@", f"postgres:{CANARY}@", 1)
    project = _write(tmp_path / "p", url)
    killed = small_project.run(project.folder, "after:extract_finished:1:kill")
    finished = small_project.run(project.folder)
    assert json.loads(finished.stdout)["state"] == "finished"
    (project.folder / ".env").write_text(f"IDM_URL=postgresql://u:{CANARY}@127.0.0.1:1/x\n")
    failed = small_project.run(project.folder)
    assert "SystemUnavailable" in failed.stderr
    assert "127.0.0.1" in failed.stderr
    said = "".join(each.stdout + each.stderr for each in (killed, finished, failed))
    assert CANARY not in said
    for path in project.folder.rglob("*"):
        assert not path.is_file() or path.name == ".env" or CANARY.encode() not in path.read_bytes(), path
