"""Whether the source stood still is said with the tables touched; writing to it is forbidden where the plan says so."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from tests.stages import small_project
from tests.stages.test_files_runs import _project as files_project
from tests.stages.undone import execute
from transhume import Project
from transhume.errors import Refused
from transhume.stages.context import Limits

PLAN = """\
transhume: 1
name: frozen
namespace: frozen
source: ${SOURCE_URL}
target: iceberg:./lake?namespace=ai
tables:
  places:
    from: place
    key: id
    create: true
    columns: {place_id: {uuid: id}, name: name}
  plants:
    from: plant
    key: id
    create: true
    columns: {plant_id: {uuid: id}, place_id: {ref: place_id, table: places}}
"""
RIGHTS = (
    "SELECT relname, relacl::text FROM pg_class WHERE relname IN ('place', 'plant', 'plant_0', 'plant_1') ORDER BY 1"
)
WRITES = "INSERT INTO legacy.plant VALUES (1000, 1)"


class Source:
    """A schema of PostgreSQL that belongs to a role of its own, and a role of its application."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, tail = url, os.urandom(4).hex()
        self.owner, self.application = f"owner_{tail}", f"application_{tail}"
        execute(
            url,
            f"CREATE ROLE {self.owner} LOGIN",
            f"CREATE ROLE {self.application} LOGIN",
            f"CREATE SCHEMA legacy AUTHORIZATION {self.owner}",
            f"SET ROLE {self.owner}",
            "CREATE TABLE legacy.place (id int PRIMARY KEY, name text)",
            "CREATE TABLE legacy.plant (id int, place_id int) PARTITION BY RANGE (id)",
            "CREATE TABLE legacy.plant_0 PARTITION OF legacy.plant FOR VALUES FROM (0) TO (50)",
            "CREATE TABLE legacy.plant_1 PARTITION OF legacy.plant DEFAULT",
            "INSERT INTO legacy.place SELECT n, 'place ' || n FROM generate_series(1, 20) n",
            "INSERT INTO legacy.plant SELECT n, n % 20 + 1 FROM generate_series(1, 90) n",
            f"GRANT USAGE ON SCHEMA legacy TO {self.application}",
            f"GRANT SELECT, INSERT, DELETE ON legacy.plant TO {self.application}",
            f"GRANT INSERT ON legacy.plant_1 TO {self.application} WITH GRANT OPTION",
            f"GRANT UPDATE (name) ON legacy.place TO {self.application}",
        )
        folder.mkdir()
        (folder / ".env").write_text(f"SOURCE_URL={self.as_role(self.owner)}&schema=legacy\n")
        (folder / "transhume.yaml").write_text(PLAN)
        self.project = Project(folder)

    def as_role(self, role: str) -> str:
        """Return the URL as this role uses it."""
        return self.url.replace("postgres@", f"{role}@") if "postgres@" in self.url else f"{self.url}&user={role}"

    def enforce(self) -> None:
        """Have the plan forbid writing."""
        plan = self.project.folder / "transhume.yaml"
        plan.write_text(plan.read_text() + "freeze: enforce\n")

    def denied(self, statement: str = WRITES) -> set[str]:
        """Return which of owner and application may not write."""
        found = set()
        for role in (self.owner, self.application):
            with psycopg.connect(self.as_role(role)) as connection:
                try:
                    connection.execute(statement)
                except psycopg.errors.InsufficientPrivilege:
                    found.add(role)
                connection.rollback()
        return found


@pytest.fixture
def source(postgres_url, tmp_path):
    """A PostgreSQL source with rights of several kinds; its roles go at the end."""
    made = Source(postgres_url, tmp_path / "p")
    yield made
    for role in (made.application, made.owner):
        execute(postgres_url, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


def _at(kind: str, do):
    """Return a listener that does something once, at the first event of a kind."""
    waiting = [do]

    def listen(event) -> None:
        if event.kind == kind and waiting:
            waiting.pop()()

    return listen


def test_postgres_names_the_tables_that_changed_and_by_how_many_rows(source):
    """Rows added, changed and removed after the extract are counted in their table; the other table is not named."""
    quiet = source.project.run()
    assert [each["changed"] for each in quiet.source_changes] == [{}, {}]

    def others() -> None:
        execute(
            source.url,
            "INSERT INTO legacy.plant VALUES (200, 1), (201, 2)",
            "UPDATE legacy.plant SET place_id = 2 WHERE id = 3",
            "DELETE FROM legacy.plant WHERE id IN (60, 61)",
            "CREATE TABLE public.elsewhere AS SELECT 1",
        )

    told = source.project.run(listener=_at("extract_finished", others)).source_changes
    words = "3 rows came or were changed, 3 are gone or were changed"
    assert [(each["when"], each["changed"]) for each in told] == [
        ("before publishing", {"plant": words}),
        ("at the end", {"plant": words}),
    ]


def test_a_transaction_that_was_under_way_at_the_extract_is_seen_when_it_commits(source):
    """Its rows have a number below those of the extract, and came after it all the same."""
    with psycopg.connect(source.url) as early:
        early.execute("INSERT INTO legacy.place VALUES (99, 'early')")
        told = source.project.run(listener=_at("extract_finished", early.commit)).source_changes
    assert told[-1]["changed"] == {"place": "1 rows came or were changed, 0 are gone or were changed"}


def test_sqlite_names_the_table_whose_rows_changed(tmp_path):
    """The file's sign says that something happened; reading says in which table, and that a touch is no change."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    project = Project(tmp_path / "p")
    limits = Limits(segment_rows_max=small_project.SEGMENT_ROWS)

    def write() -> None:
        small_project.source(project.folder, "UPDATE plant SET height_m = -1 WHERE id = 100")

    told = project.run(limits=limits, listener=_at("extract_finished", write)).source_changes
    assert [each["changed"] for each in told] == [{"plant": "its rows are others than in the extract"}] * 2
    small_project.source(project.folder, "UPDATE plant SET height_m = 100 / 7.0 WHERE id = 100")
    touched = _at("extract_finished", lambda: os.utime(project.folder / "source.db"))
    told = project.run(limits=limits, listener=touched).source_changes
    assert [each["changed"] for each in told] == [{}, {}]


@pytest.mark.sweep
def test_files_that_changed_are_named(tmp_path):
    """A file with other bytes than when it was read is named, the other one is not."""
    project = files_project(tmp_path)
    file = tmp_path / "in" / "place.csv"
    told = project.run(listener=_at("extract_finished", lambda: file.write_bytes(file.read_bytes() + b"90,1,\r\n")))
    assert told.source_changes[-1]["changed"] == {"place": "its file has other bytes"}


def test_enforce_keeps_everyone_from_writing_and_gives_every_right_back(source):
    """Owner and application are held off while the run goes on; afterwards the rights are exactly those of before."""
    before = execute(source.url, RIGHTS)
    assert source.denied() == set()
    source.enforce()
    shown = source.project.freeze_statements()
    assert execute(source.url, RIGHTS) == before, "showing changes nothing"
    seen, told = [], []
    look = _at(
        "batch_staged", lambda: seen.append((source.denied(), source.denied("UPDATE legacy.place SET name = ''")))
    )

    def listen(event) -> None:
        told.append(event)
        look(event)

    result = source.project.run(listener=listen)
    both = {source.owner, source.application}
    assert seen == [(both, both)]
    assert result.source_changes[-1]["changed"] == {}
    planned = next(event for event in told if event.kind == "freeze_planned")
    assert planned.fields["statements"] == list(shown.freeze)
    kinds = [event.kind for event in told]
    assert kinds.index("freeze_planned") < kinds.index("source_frozen") < kinds.index("extract_started")
    _same_rights(before, execute(source.url, RIGHTS))
    assert source.denied() == set()
    assert source.project.standing_freeze() is None


def _same_rights(before, after) -> None:
    """Compare rights table by table; a table without any list has its owner's default, which may stand in one now."""
    for (name, was), (_, now) in zip(before, after, strict=True):
        entries = set((was or now).strip("{}").split(","))
        assert set(now.strip("{}").split(",")) == entries, name


@pytest.mark.parametrize(
    "fault",
    [
        "after:batch_staged:1",
        *(
            pytest.param(each, marks=pytest.mark.sweep)
            for each in ("freeze:before_commit:1", "before:source_frozen:1", "unfreeze:before_commit:1")
        ),
    ],
)
def test_a_freeze_outlives_a_kill_and_unfreeze_gives_the_rights_back(source, fault):
    """Killed at each point around the freeze, `unfreeze` ends in the rights of before; once more it does nothing."""
    before = execute(source.url, RIGHTS)
    source.enforce()
    killed = small_project.run(source.project.folder, f"{fault}:kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert source.project.standing_freeze() is not None
    assert source.denied() == (set() if fault.startswith("freeze:") else {source.owner, source.application})
    assert source.project.unfreeze().differing == ()
    _same_rights(before, execute(source.url, RIGHTS))
    assert source.project.unfreeze().record is None


def test_what_cannot_be_frozen_is_refused_with_a_cure(source, tmp_path):
    """A role that is not the owner gets the statements to have them run; a file has nothing to take away."""
    source.enforce()
    execute(source.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA legacy TO {source.application}")
    env = source.project.folder / ".env"
    env.write_text(f"SOURCE_URL={source.as_role(source.application)}&schema=legacy\n")
    with pytest.raises(Refused, match=r"owns not all tables(?s:.*)REVOKE DELETE, INSERT.*freeze: detect|owns not all"):
        source.project.run()
    assert source.denied() == set()
    small_project.write(tmp_path / "q", "iceberg:./lake?namespace=ai")
    plan = tmp_path / "q" / "transhume.yaml"
    plan.write_text(plan.read_text() + "freeze: enforce\n")
    with pytest.raises(Refused, match=r"cannot keep others from writing.*freeze: detect"):
        Project(tmp_path / "q").run()
