"""Several mappings into one table, one source into several tables, and rows of which one stands for all."""

import sqlite3
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.stages.test_relational_runs import buckets, lake_rows, make
from transhume import Project
from transhume.errors import CheckFailed

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:related")
PEOPLE = """\
tables:
  staff:
    into: people
    from: staff
    key: id
    create: true
    types: {person_id: uuid primary key, name: text(40) not null, boss_id: uuid references staff}
    columns: {person_id: {uuid: id}, original_source_id: id, origin: {value: staff}, name: name, boss_id: null}
  clients:
    into: people
    from: client
    key: id
    create: true
    columns:
      person_id: {uuid: id}
      original_source_id: id
      origin: {value: client}
      name: name
      boss_id: {ref: agent, table: staff}
  visits:
    from: visit
    key: id
    create: true
    types: {visit_id: uuid primary key, person_id: uuid references staff}
    columns: {visit_id: {uuid: id}, person_id: {ref: who, table: clients}}
"""
TABLES = {
    "staff": ("id INTEGER PRIMARY KEY, name TEXT", [(n, f"staff {n}") for n in range(1, 31)]),
    "client": ("id INTEGER PRIMARY KEY, name TEXT, agent INTEGER", [(n, f"client {n}", n % 30 + 1) for n in range(51)]),
    "visit": ("id INTEGER PRIMARY KEY, who INTEGER", [(1, 0), (2, 50), (3, 7)]),
}


def _expected() -> dict[uuid.UUID, tuple[Any, ...]]:
    rows: dict[uuid.UUID, tuple[Any, ...]] = {}
    for number in range(1, 31):
        rows[_key("staff", number)] = (number, "staff", f"staff {number}", None)
    for number in range(51):
        boss = _key("staff", number % 30 + 1)
        rows[_key("client", number)] = (number, "client", f"client {number}", boss)
    return rows


def _key(table: str, number: int) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{table}|{len(str(number))}:{number}")


def _agree(rows: list[dict[str, Any]]) -> None:
    found = {_uuid(row["person_id"]): row for row in rows}
    assert len(found) == len(rows) == 81, "no key collides"
    for key, expected in _expected().items():
        row = found[key]
        boss = row["boss_id"] and _uuid(row["boss_id"])
        assert (row["original_source_id"], row["origin"], row["name"], boss) == expected


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(bytes=value) if isinstance(value, bytes) else value


def _runs_twice(project: Project) -> None:
    assert [finding for finding in project.check().findings if finding.severity == "error"] == []
    first = project.run()
    assert buckets(project) == {"staff": {"loaded": 30}, "clients": {"loaded": 51}, "visits": {"loaded": 3}}
    assert first.published["tables"]["people"]["inserted"] == 81
    assert project.validate().failed == ()
    project.run()
    assert buckets(project) == {"staff": {"unchanged": 30}, "clients": {"unchanged": 51}, "visits": {"unchanged": 3}}


def test_two_sources_with_the_same_ids_become_one_table_of_a_lake(tmp_path):
    """Equal integer ids of two tables give different keys; original ids and origins say where each row comes from."""
    project = make(tmp_path, PEOPLE, TABLES)
    _runs_twice(project)
    _agree(lake_rows(project, "people"))


def test_two_sources_with_the_same_ids_become_one_table_of_postgresql(tmp_path, postgres_url):
    """The table is made once, with its key and its reference to itself, whichever mapping a row comes from."""
    project = make(tmp_path, PEOPLE, TABLES, f"{postgres_url}&schema=r")
    _runs_twice(project)
    with psycopg.connect(postgres_url, row_factory=dict_row) as connection:
        _agree(connection.execute("SELECT * FROM r.people").fetchall())
        kinds = "SELECT contype FROM pg_constraint WHERE conrelid = 'r.people'::regclass AND contype IN ('p', 'f')"
        assert sorted(row["contype"] for row in connection.execute(kinds).fetchall()) == ["f", "p"]


@pytest.mark.parametrize("kind", ["lake", "postgres"])
def test_keys_that_collide_across_mappings_publish_nothing(tmp_path, request, kind):
    """Where the target's key is the plain id, equal ids of two mappings fail a check, and nothing is visible."""
    target = (
        f"{request.getfixturevalue('postgres_url')}&schema=r" if kind == "postgres" else "iceberg:./lake?namespace=r"
    )
    plan = "tables:\n" + "".join(
        f"  {name}: {{into: people, from: {name}, key: id, create: true, types: {{id: bigint primary key}}, "
        f"columns: {{id: id, name: name}}{drop}}}\n"
        for name, drop in (("staff", ""), ("client", ", drop: [agent]"))
    )
    project = make(tmp_path, plan + "ignored_tables: [visit]\n", TABLES, target)
    with pytest.raises(CheckFailed, match="nothing was published") as caught:
        project.run()
    assert [(finding.code, finding.count) for finding in caught.value.findings] == [("unique_key", 30)]


SPLIT = """\
defaults: {max_rejects: 1}
tables:
  adults: {from: person, key: id, where: age >= 18, create: true, columns: {id: {uuid: id}, name: name}}
  minors: {from: person, key: id, where: age < 18, create: true, columns: {id: {uuid: id}, age: age}}
  ages: {from: person, key: id, create: true, types: {age: bigint not null}, columns: {id: {uuid: id}, age: age}}
"""


def test_one_source_into_several_tables_is_accounted_for_by_mapping(tmp_path):
    """Every row of the source is in exactly one bucket of each mapping; a NULL age is filtered by both, or rejected."""
    people = [(n, f"p{n}", n) for n in range(10, 30)] + [(99, "unknown", None)]
    project = make(tmp_path, SPLIT, {"person": ("id INTEGER PRIMARY KEY, name TEXT, age INTEGER", people)})
    project.run()
    assert buckets(project) == {
        "adults": {"loaded": 12, "filtered": 9},
        "minors": {"loaded": 8, "filtered": 13},
        "ages": {"loaded": 20, "rejected": 1},
    }
    assert all(table.read == table.accounted == 21 for table in project.result().tables)


DEDUPE = """\
defaults: {max_rejects: 4}
tables:
  people:
    from: person
    key: id
    where: gone = 0
    dedupe: {by: mail, first: {source: [crm, web]}, latest: seen}
    create: true
    types: {id: uuid primary key, original_source_id: bigint}
    columns: {id: {uuid: id}, original_source_id: id, mail: mail}
  orders:
    from: orders
    key: id
    create: true
    columns: {id: {uuid: id}, person_id: {ref: person, table: people}}
"""
_PEOPLE = [
    (1, "a", "web", "2024-03-01 00:00:00", 0),  # loses: its source comes after crm
    (2, "a", "crm", "2024-01-01 00:00:00", 0),  # loses: earlier
    (3, "a", "crm", "2024-02-01 00:00:00", 0),  # wins
    (4, "a", "crm", "2024-09-01 00:00:00", 1),  # filtered: takes no part
    (5, "b", "old", None, 0),  # alone
    (6, "c", "web", "2024-02-01 00:00:00", 0),  # wins equally with 7: both rejected
    (7, "c", "web", "2024-02-01 00:00:00", 0),
    (8, "c", "fax", "2024-12-01 00:00:00", 0),  # loses: its source is in no list
    (9, None, "web", None, 0),  # stands for itself
    (10, None, "web", None, 0),
    (11, "A", "web", None, 0),  # another text
]


def test_of_rows_that_stand_for_one_the_winner_is_loaded(tmp_path):
    """Losers are in the bucket `deduplicated`, equal winners are rejected, every row is in one bucket."""
    columns = "id INTEGER PRIMARY KEY, mail TEXT, source TEXT, seen DATETIME, gone INTEGER"
    orders = ("id INTEGER PRIMARY KEY, person INTEGER", [(1, 3), (2, 2), (3, 6)])
    project = make(tmp_path, DEDUPE, {"person": (columns, _PEOPLE), "orders": orders})
    project.run()
    assert buckets(project) == {
        "people": {"loaded": 5, "rejected": 2, "filtered": 1, "deduplicated": 3},
        "orders": {"loaded": 1, "rejected": 2},
    }
    result = {table.mapping: dict(table.reasons) for table in project.result().tables}
    assert result == {
        "people": {"tied:mail": 2},
        "orders": {"parent_deduplicated:person": 1, "parent_rejected:person": 1},
    }
    assert sorted(row["original_source_id"] for row in lake_rows(project, "people")) == [3, 5, 9, 10, 11]
    assert all(table.read == table.accounted for table in project.result().tables)
    messages = {finding.code: finding.message for finding in project.check().findings}
    assert "win equally by 'dedupe'" in messages["tied"]
    assert "another row stands for" in messages["parent_deduplicated"]


def test_a_better_row_that_came_later_is_loaded_beside_the_former_winner(tmp_path):
    """The former winner keeps its key in the target: a run replaces or removes nothing unseen."""
    columns = "id INTEGER PRIMARY KEY, mail TEXT, source TEXT, seen DATETIME, gone INTEGER"
    project = make(tmp_path, DEDUPE, {"person": (columns, _PEOPLE[:3]), "orders": ("id INTEGER, person INTEGER", [])})
    project.run()
    with sqlite3.connect(tmp_path / "source.db") as source:
        source.execute("INSERT INTO person VALUES (20, 'a', 'crm', '2025-01-01 00:00:00', 0)")
    source.close()
    project.run()
    assert buckets(project)["people"] == {"loaded": 1, "deduplicated": 3}
    assert sorted(row["original_source_id"] for row in lake_rows(project, "people")) == [3, 20]
