"""Drafts of small systems and of the demo's two databases: what is proposed, what stays open, what is not touched."""

import json
import sqlite3
import stat
from pathlib import Path

import pytest
from tests.cli.test_commands import transhume

from transhume import Project, demonstration
from transhume.errors import UsageError
from transhume.plan.load import read
from transhume.project.drafting import draft
from transhume.project.scaffolding import refresh, scaffold

SOURCE = """
CREATE TABLE Customer (CustomerId INTEGER PRIMARY KEY, FullName TEXT, DiskMb INTEGER, State CHAR(1), "order" TEXT);
INSERT INTO Customer VALUES (1, 'Ada', 5, 'O', 'x'), (2, 'Bob', 7, 'C', 'y'), (3, 'Eve', 9, 'C', 'y');
CREATE TABLE alembic_version (version_num TEXT);
"""
TARGET = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, full_name TEXT NOT NULL, disk_bytes INTEGER,
    state TEXT CHECK (state IN ('Open', 'Closed')), "order" TEXT, region TEXT NOT NULL);
"""


def database(path: Path, script: str) -> str:
    """A SQLite file made by a script; its URL, absolute."""
    connection = sqlite3.connect(path)
    connection.executescript(script or "CREATE TABLE gone (a); DROP TABLE gone;")
    connection.close()
    return f"sqlite:////{path}"


@pytest.fixture
def urls(tmp_path):
    return database(tmp_path / "a.db", SOURCE), database(tmp_path / "b.db", TARGET)


def rules(text: str) -> dict[str, str]:
    """Target column to rule, without what stands behind `#`."""
    lines = [line for line in text.splitlines() if line.startswith("      ")]
    return {line.split(":", 1)[0].strip(): line.split(":", 1)[1].partition("   #")[0].strip() for line in lines}


def test_rules_follow_from_evidence(urls, tmp_path):
    """A unit in the names, labels that a CHECK allows, a NOT NULL column without source: each its rule, or TBD."""
    text = draft(*urls, tmp_path).plan("p", source="${A}", target="${B}")
    assert rules(text) == {
        "customer_id": "CustomerId",
        "full_name": "FullName",
        "disk_bytes": "{scale: DiskMb, times: 1048576}",
        "state": "{codes: State, to: {C: Closed, O: Open}}",
        "order": "order",
        "region": "TBD",
    }
    assert "  - alembic_version   # books of Alembic" in text
    assert "1 of 1" not in text.splitlines()[0]


def test_a_target_without_tables_gets_the_source_s(tmp_path):
    """Nothing to match: every table is proposed as it is, to be created; the plan reads without an error."""
    empty = database(tmp_path / "b.db", "")
    made = draft(database(tmp_path / "a.db", SOURCE), empty, tmp_path)
    (tmp_path / "transhume.yaml").write_text(made.plan("p", source="sqlite:///a.db", target="postgresql://h/d"))
    plan, findings = read(tmp_path, {})
    assert findings == []
    assert plan is not None
    assert list(plan.tables["Customer"].columns) == ["CustomerId", "FullName", "DiskMb", "State", "order"]


@pytest.mark.parametrize(
    "script",
    [
        'CREATE TABLE "null" ("TBD" TEXT, "a: b" TEXT, "#x" TEXT, "{y}" TEXT, "a.b" TEXT, "日付" TEXT);',
        "CREATE TABLE t (a TEXT); CREATE TABLE nokey (b, c, d);",
        f"CREATE TABLE wide ({', '.join(f'c{n} TEXT' for n in range(300))});",
        'CREATE TABLE "it\'s" ("x\ny" TEXT, z BLOB);',
    ],
)
def test_no_name_breaks_the_plan(script, tmp_path):
    """Reserved words, punctuation, line feeds, other scripts: a draft reads, and only decisions are open in it."""
    url = database(tmp_path / "a.db", script)
    for target in (url, database(tmp_path / "b.db", "")):
        made = draft(url, target, tmp_path)
        (tmp_path / "transhume.yaml").write_text(made.plan("p", source="sqlite:///a.db", target="postgresql://h/d"))
        _, findings = read(tmp_path, {})
        assert {each.code for each in findings} <= {"open_decision"}, findings
        assert (len(made.tsv().splitlines()) > 1) is (target == url)


def test_an_empty_source_is_said(tmp_path):
    """No table, no draft: a clear statement."""
    empty = database(tmp_path / "a.db", "")
    with pytest.raises(UsageError, match="has no tables"):
        draft(empty, empty, tmp_path)


def test_refresh_adds_and_changes_nothing(urls, tmp_path):
    """A person's rules, comments and deletions stay; a new column and a new table come in, once."""
    folder = tmp_path / "p"
    scaffold(folder, *urls)
    path = folder / "transhume.yaml"
    edited = "".join(
        line.replace("region: TBD", "region: {value: EU}  # decided").replace("full_name: FullName", "full_name: order")
        for line in path.read_text().splitlines(keepends=True)
        if not line.strip().startswith("disk_bytes")
    )
    path.write_text(edited)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.executescript(
            "ALTER TABLE Customer ADD Phone TEXT; CREATE TABLE Orders (Id INTEGER PRIMARY KEY, Total INT);"
        )
    connection.close()
    with sqlite3.connect(tmp_path / "b.db") as connection:
        connection.executescript(
            "ALTER TABLE customers ADD phone TEXT; CREATE TABLE orders (id INTEGER PRIMARY KEY, total INT);"
        )
    connection.close()
    added, refused = refresh(folder, draft(*urls, folder))
    assert (added, refused) == (["'phone' of 'customers'", "the mapping 'orders'"], [])
    after = path.read_text()
    rest = iter(after.splitlines())
    assert all(line in rest for line in edited.splitlines()), "every line is there, in its order"
    assert "disk_bytes:" not in after
    plan, findings = read(folder, {"SOURCE_URL": urls[0], "TARGET_URL": urls[1]})
    assert findings == []
    assert plan is not None
    assert [list(plan.tables), list(plan.tables["orders"].columns)] == [["customers", "orders"], ["id", "total"]]
    assert refresh(folder, draft(*urls, folder)) == ([], [])


def test_init_makes_a_project_and_keeps_secrets_apart(urls, tmp_path):
    """The plan holds no URL, `.env` is the owner's alone, editors get a schema; nothing is overwritten."""
    folder = tmp_path / "p"
    done = transhume("init", str(folder), "--source", urls[0], "--target", urls[1])
    assert done.returncode == 0, done.stderr
    text = (folder / "transhume.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=.transhume/plan.schema.json\n")
    assert str(tmp_path) not in text
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert {".env", ".transhume/", "out/"} <= set((folder / ".gitignore").read_text().splitlines())
    schema = json.loads((folder / ".transhume" / "plan.schema.json").read_text())
    assert {"from", "key", "columns"} <= set(schema["$defs"]["table"]["required"])
    assert "1 open decisions" in done.stdout
    again = transhume("init", str(folder), "--source", urls[0], "--target", urls[1])
    assert again.returncode == 2
    assert (folder / "transhume.yaml").read_text() == text


DECISIONS = {
    "time_zone: TBD": "time_zone: America/New_York",
    "max_rejects: 0": "max_rejects: 30%",
    "identity: TBD": "identity: {file: lookups/identity.csv, key: legacy_owner_id, value: user_uuid}",
    "A: TBD": "A: Web Service",
    "    # drop: [is_archived]": "    drop: [is_archived]",
    "    # drop: [user_id, host]": "    drop: [user_id, host]",
    " description: TBD": " description: {coalesce: [hypothesis, {value: none}]}",
    "primary_metric_name: TBD": "primary_metric_name: {value: accuracy}",
    "metric_label: TBD": "metric_label: {concat: [split, metric_name], with: /}",
    "is_final: TBD": "is_final: {sql: split = 'test'}",
    '{name}.{ext}", to: TBD}]': '{name}.{ext}", to: "s3://b/other/{name}.{ext}"}]',
    '{name}.{ext}", to: TBD}': '{name}.{ext}", to: "s3://b/files/{name}.{ext}"}',
}
"""What a person writes: zone, limit, list of people, one label, places of files, columns that only people know."""


def test_the_demo_s_plan_needs_twelve_lines_of_a_person(tmp_path, postgres_url):
    """From the legacy database and the published tables: after at most 12 changed lines `check` has no error."""
    target = f"{postgres_url}{'&' if '?' in postgres_url else '?'}schema=ai"
    demo = tmp_path / "demo"
    demo.mkdir()
    demonstration.make_demo(demo, 300, target)
    project = Project(demo)
    project.backup()
    project.run()
    made = draft("sqlite:///legacy.db", target, demo)
    text = made.plan("demo", source="${LEGACY_URL}", target="${PLATFORM_URL}")
    written = []
    for line in text.splitlines():
        new = line
        for before, after in DECISIONS.items():
            new = new.replace(before, after)
        written += [new] if new != line else []
        text = text.replace(line, new)
    assert len(written) <= 12
    (demo / "transhume.yaml").write_text(text)
    environment = {"LEGACY_URL": "sqlite:///legacy.db", "PLATFORM_URL": target}
    assert Project(demo, environment=environment).check().errors == ()
