"""Taking a run back where several mappings fill one table: as if each had a table of its own."""

import re

import psycopg
import pyarrow as pa
import pytest

from tests.stages import small_project
from tests.stages.test_relational_runs import make
from tests.stages.test_shared_targets import PEOPLE, TABLES, _key
from tests.stages.undone import execute, kept
from transhume import Project


class Place:
    """A target, what readers see of it, and what others do there."""

    def __init__(self, project: Project, url: str = "") -> None:
        self.project, self.url = project, url

    def rows(self, table: str = "people") -> list[str]:
        """Return the rows that readers see as texts, keys as hexadecimal digits; none where the table is not there."""
        if self.url:
            with psycopg.connect(self.url) as reader:
                if reader.execute("SELECT to_regclass(%s)", [f"r.{table}"]).fetchone() == (None,):
                    return []
                return sorted(str(row[0]) for row in reader.execute(f"SELECT t::text FROM r.{table} t").fetchall())
        lake = small_project.catalog(self.project.folder)
        if not lake.table_exists(("r", table)):
            return []
        rows = lake.load_table(("r", table)).scan().to_arrow().drop_columns(["migration_batch"])
        return sorted(repr(row) for row in rows.to_pylist())

    def rename(self, old: str, new: str) -> None:
        """Change a row as somebody else does."""
        if self.url:
            execute(self.url, f"UPDATE r.people SET name = '{new}' WHERE name = '{old}'")
            return
        table = small_project.catalog(self.project.folder).load_table(("r", "people"))
        rows = table.scan(row_filter=f"name = '{old}'").to_arrow()
        place, field = rows.column_names.index("name"), rows.schema.field("name")
        table.delete(f"name = '{old}'")
        table.append(rows.set_column(place, field, pa.array([new] * rows.num_rows, field.type)))

    def add(self, number: int) -> None:
        """Add a row of somebody else."""
        if self.url:
            execute(self.url, f"INSERT INTO r.people (person_id, name) VALUES ('{number:032x}', 'theirs')")
            return
        table = small_project.catalog(self.project.folder).load_table(("r", "people"))
        schema = table.schema().as_arrow()
        row = dict.fromkeys(schema.names) | {"person_id": number.to_bytes(16), "name": "theirs"}
        table.append(pa.Table.from_pylist([row], schema))


@pytest.fixture(params=["lake", "postgres"])
def place(request, tmp_path) -> Place:
    """Two mappings into one table on each target, the references of one to the other inside it."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    plan = PEOPLE.replace("    from: staff\n", "    from: staff\n    on_conflict: update\n")
    plan = plan.replace("    from: client\n", "    from: client\n    on_conflict: update\n")
    target = f"{url}&schema=r" if url else "iceberg:./lake?namespace=r"
    return Place(make(tmp_path, plan, TABLES, target), url)


@pytest.mark.sweep
def test_rows_of_all_mappings_go_and_the_table_with_them(place):
    """Nobody wrote since: the table that both mappings filled is gone, and the counts are those of both."""
    place.project.run()
    assert len(place.rows()) == 81
    report = place.project.rollback().report
    people = next(table for table in report.tables if table.table == "people")
    assert (people.published, people.removed, people.dropped, people.proof) == (81, 81, True, "equal")
    assert place.rows() == []


def test_an_edited_row_of_one_mapping_keeps_what_it_refers_to_of_the_other(place):
    """A client that others edited stays, with its agent of the staff; rows of others stay; everything else goes."""
    place.project.run()
    place.rename("client 7", "edited")
    place.rename("staff 20", "edited as well")
    place.add(5)
    report = place.project.rollback().report
    people = next(table for table in report.tables if table.table == "people")
    assert (people.published, people.removed, people.edited, people.needed) == (81, 78, 2, 1)
    left = place.rows()
    assert len(left) == 4
    for words in ("edited", "edited as well", "theirs", "staff 8"):
        assert sum(words in row for row in left) >= 1, words
    agent, client = str(_key("staff", 8)), str(_key("client", 7))
    told = kept(place.project.folder)
    assert sorted(line.split(",")[1] for line in told) == sorted([agent, client, str(_key("staff", 20))])
    assert next(line for line in told if agent in line).endswith("needed")


def test_a_run_that_changed_nothing_names_the_one_whose_rows_are_there(place):
    """Whoever takes the newest run back and means its rows is told which run to name; nothing goes."""
    first, second = place.project.run(), place.project.run()
    told = [
        f"run '{second.run}' brought no row and changed none, so nothing goes",
        f"the newest rows that are there came with run '{first.run}': transhume rollback {first.run}",
    ]
    assert list(place.project.preview_rollback().report.notes[:2]) == told
    assert list(place.project.rollback().report.notes[:2]) == told
    assert len(place.rows()) == 81
    assert not [note for note in place.project.preview_rollback(first.run).report.notes if "brought no row" in note]


def test_rows_that_both_mappings_changed_come_back(place):
    """Rows of both mappings, replaced in one run, get their former content back; new rows of both go."""
    project = place.project
    project.run()
    project.finalize()
    place.add(5)
    before = place.rows()
    small_project.source(project.folder, "UPDATE staff SET name = name || ' changed' WHERE id < 6")
    small_project.source(project.folder, "UPDATE client SET name = name || ' changed', agent = 1 WHERE id < 4")
    small_project.source(project.folder, "INSERT INTO staff VALUES (100, 'new staff')")
    small_project.source(project.folder, "INSERT INTO client VALUES (200, 'new client', 100)")
    staff, clients, _ = project.run().tables
    assert (staff.updated, staff.loaded, clients.updated, clients.loaded) == (5, 1, 4, 1)
    assert len([row for row in place.rows() if "changed" in row]) == 9
    place.rename("client 2 changed", "edited")
    report = project.rollback().report
    people = next(table for table in report.tables if table.table == "people")
    assert (people.removed, people.updated, people.restored, people.not_restored) == (2, 9, 8, 1)
    left = place.rows()
    assert [row for row in left if "edited" not in row] == [
        row for row in before if not re.search("client 2['\"]", row)
    ]
    assert len(left) == len(before)


@pytest.mark.sweep
def test_such_a_plan_is_drilled(place):
    """The drill's own judgement agrees: rows of others in a table that two mappings fill are what they were."""
    result = place.project.drill(rows=30)
    assert result.problems == ()
