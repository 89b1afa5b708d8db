"""Names of tables and columns of every kind: carried as they are, or refused with the reason, on both targets."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog

from transhume import Project
from transhume.errors import PlanError, SystemRefused

CARRIED = [
    "two words",
    'a "quote"',
    "it's",
    "`tick`",
    "select",
    "user",
    "order",
    "имя",
    "日本語",
    "😀",
    "100%",
    "%s",
    "{{x}}",
    "${x",
    "a;b--c",
    "back\\slash",
    "e\u0301",
    "\u202ebidi",
    "x" * 63,
    "é" * 31 + "y",
    "_row",
    "_k0",
    "_fate",
    "v1",
    "l0",
    "-1",
    "null",
    "true",
    "[a]",
    "#",
]
"""Names that both targets carry as tables and columns. 'é' has two bytes: 31 of them and a letter are 63."""
REFUSED = [
    ("x" * 64, "longer than 63 bytes"),
    ("é" * 32, "longer than 63 bytes"),
    ("trailing ", "begins or ends with a space"),
    (" leading", "begins or ends with a space"),
    ("a\nb", "control character"),
    ("transhume_x", "kept for what transhume itself writes"),
]


def _place(folder: Path, tables: dict[str, list[str]], target: str) -> Project:
    """Make a SQLite source with these tables and columns beside `id`, one row each, and the plan that copies them."""
    with sqlite3.connect(folder / "source.db") as source:
        for table, columns in tables.items():
            listed = ", ".join(f"{_quoted(name)} TEXT" for name in columns)
            source.execute(f"CREATE TABLE {_quoted(table)} (id INTEGER PRIMARY KEY, {listed})")
            source.execute(
                f"INSERT INTO {_quoted(table)} VALUES (1{', ?' * len(columns)})", [f"<{name}>" for name in columns]
            )
    source.close()
    mappings = {
        table: {
            "from": table,
            "key": "id",
            "create": "true",
            "columns": {name: {"copy": name} for name in ["id", *columns]},
        }
        for table, columns in tables.items()
    }
    # JSON is YAML; every scalar of it is a quoted text.
    plan = {"transhume": "1", "name": "n", "namespace": "n", "source": "${S}", "target": "${T}", "tables": mappings}
    (folder / "transhume.yaml").write_text(json.dumps(plan, ensure_ascii=False, indent=1))
    (folder / ".env").write_text(f"S=sqlite:///source.db\nT={target}\n")
    return Project(folder)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read_postgres(url: str, table: str) -> dict[str, Any]:
    with psycopg.connect(url) as reader:
        cursor = reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier("ai", table)))
        names = [column.name for column in cursor.description or ()]
        return dict(zip(names, cursor.fetchall()[0], strict=True))


def _read_lake(folder: Path, table: str) -> dict[str, Any]:
    lake = folder / "lake"
    catalog = SqlCatalog("default", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=str(lake))
    found = catalog.load_table(("ai", table)).scan().to_arrow().drop_columns(["migration_batch"])
    return dict(found.to_pylist()[0])


EXPECTED = {"id": 1, **{name: f"<{name}>" for name in CARRIED}}


def test_columns_of_any_name_arrive_in_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Thirty odd column names are columns of those very names, each with its own value; a second run changes none."""
    project = _place(tmp_path, {"t": CARRIED}, f"{postgres_url}&schema=ai")
    project.run()
    assert _read_postgres(postgres_url, "t") == EXPECTED
    assert project.run().tables[0].unchanged == 1


def test_columns_of_any_name_arrive_in_a_lake(tmp_path: Path) -> None:
    """Thirty odd column names are columns of those very names, each with its own value; a second run changes none."""
    project = _place(tmp_path, {"t": CARRIED}, "iceberg:./lake?namespace=ai")
    project.run()
    assert _read_lake(tmp_path, "t") == EXPECTED
    assert project.run().tables[0].unchanged == 1


def test_tables_of_any_name_arrive_in_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Every such name is a table's name too."""
    _place(tmp_path, {name: ["v"] for name in CARRIED}, f"{postgres_url}&schema=ai").run()
    assert [name for name in CARRIED if _read_postgres(postgres_url, name) != {"id": 1, "v": "<v>"}] == []


@pytest.mark.sweep
def test_tables_of_any_name_arrive_in_a_lake(tmp_path: Path) -> None:
    """Every such name without a slash or point is a table's name too."""
    names = [name for name in CARRIED if "\\" not in name]
    _place(tmp_path, {name: ["v"] for name in names}, "iceberg:./lake?namespace=ai").run()
    assert [name for name in names if _read_lake(tmp_path, name) != {"id": 1, "v": "<v>"}] == []


@pytest.mark.parametrize("target", ["postgres", "iceberg"])
def test_names_that_a_target_would_change_are_refused_by_name(tmp_path: Path, postgres_url: str, target: str) -> None:
    """Too long names, blanks at the ends and control characters are told, all at once, as columns and as tables."""
    url = f"{postgres_url}&schema=ai" if target == "postgres" else "iceberg:./lake?namespace=ai"
    project = _place(tmp_path, {"t": [name for name, _ in REFUSED], **{name: ["v"] for name, _ in REFUSED}}, url)
    with pytest.raises(PlanError) as caught:
        project.run()
    told = [finding.message for finding in caught.value.findings if finding.code == "name"]
    for _, reason in REFUSED:
        assert sum(reason in message for message in told) >= 2, (reason, told)


@pytest.mark.parametrize("target", ["postgres", "iceberg"])
def test_names_that_differ_only_in_case(tmp_path: Path, postgres_url: str, target: str) -> None:
    """Tables t and T, columns a and A: refused with both names, because engines do not tell them apart."""
    url = f"{postgres_url}&schema=ai" if target == "postgres" else "iceberg:./lake?namespace=ai"
    project = _place(tmp_path, {"t": ["a"]}, url)
    plan = json.loads((tmp_path / "transhume.yaml").read_text())
    plan["tables"]["t"]["columns"]["A"] = {"copy": "a"}
    plan["tables"]["T"] = {**plan["tables"]["t"], "from": "t"}
    (tmp_path / "transhume.yaml").write_text(json.dumps(plan))
    with pytest.raises(PlanError) as caught:
        project.run()
    told = " ".join(finding.message for finding in caught.value.findings)
    assert "'a' and 'A' differ only in case" in told
    assert "the target tables 't' and 'T' differ only in case" in told


@pytest.mark.parametrize("name", ["a.b", "a/b", "a\\b"])
def test_a_lake_refuses_names_that_its_paths_cannot_hold(tmp_path: Path, name: str) -> None:
    """A table's name with a point or a slash is refused before the lake is made."""
    with pytest.raises(SystemRefused, match="cannot be a table's name in a lake"):
        _place(tmp_path, {name: ["v"]}, "iceberg:./lake?namespace=ai").run()
    assert not (tmp_path / "lake").exists()
