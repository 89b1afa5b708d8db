"""The plan's checks on whole tables: each form passes on sound rows and catches what is planted in them."""

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from tests import servers
from transhume import Project
from transhume.checks import CheckResult
from transhume.errors import CheckFailed, PlanError, SystemRefused
from transhume.testing import drill
from transhume.testing.drill_project import PLAN, write_drill_project

CHECKS = """
    checks:
      - {name: every_row, compare: count, rows: all, tolerance: 1}
      - {name: price_total, compare: sum, source: price, target: price}
      - {name: ratio_total, compare: sum, source: ratio, target: ratio}
      - {name: ratio_mean, compare: avg, source: ratio, target: ratio}
      - {name: amount_mean, compare: avg, source: amount, target: amount}
      - {name: dearest, compare: max, source: price, target: price, tolerance: 0.1%}
      - {name: first_day, compare: min, source: day, target: day}
      - {name: first_name, compare: min, source: name, target: name}
      - {name: makers_used, compare: distinct, source: maker_id, target: maker_uuid}
      - {name: no_label, compare: nulls, source: label, target: label}
      - {name: active_total, compare: sum, source: amount + 1, target: amount + 1,
         where: {source: active = 'Y', target: is_active}}
      - {name: few_nulls, compare: nulls, target: amount, most: 20%}
      - {name: enough, compare: count, target: original_source_id, least: 59, then: warn}
      - name: asked_both
        query:
          source: SELECT count(*), sum(price) FROM item WHERE status <> '?'
          target: SELECT count(*), sum(price) FROM items
      - {name: asked_target, query: {target: SELECT item_uuid FROM items WHERE price < 0}}
      - {name: asked_some, query: {target: SELECT original_source_id FROM items WHERE status = 'Blocked'}, most: 50%}
      - {name: asked_source, query: {source: SELECT id FROM item WHERE price < 0}}
"""
NAMES = [line.partition("name: ")[2].partition(",")[0] for line in CHECKS.splitlines() if "name: " in line]


def _project(folder: Path, target: str, checks: str = CHECKS) -> Project:
    write_drill_project(folder, target)
    (folder / "transhume.yaml").write_text(PLAN + checks.lstrip("\n"), encoding="utf-8")
    return Project(folder)


@contextmanager
def _places(kind: str, folder: Path, server: servers.PostgresServer) -> Iterator[tuple[str, drill.Place]]:
    if kind == "lake":
        yield "iceberg:./lake?namespace=drill", drill.LakePlace(folder / "lake", "drill")
        return
    with server.database() as name:
        yield server.url(name, schema="drill"), drill.PostgresPlace(server.url(name), "drill")


def _found(checks: tuple[CheckResult, ...]) -> dict[str, CheckResult]:
    return {check.name.partition(":")[2]: check for check in checks if check.name.startswith("table:")}


def _spoil(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Plant one fault for each check; item 50 goes, and what others hold stays what it was."""
    by_id = {row["original_source_id"]: row for row in rows}
    del by_id[50]
    by_id[60]["price"] = Decimal("76.00")  # 75.00 was the highest: 1.3 % more
    by_id[1]["price"] = Decimal("-1.25")
    by_id[2]["ratio"] = 2 / 7 + 1e-9
    by_id[3]["day"] = date(2022, 1, 1)
    by_id[4]["name"] = "A first name"
    for number in (1, 2, 3, 4, 5, 7):
        by_id[number]["amount"] = None
    makers = sorted({row["maker_uuid"] for row in rows if row["maker_uuid"]}, key=str)
    for row in by_id.values():
        row["maker_uuid"] = makers[0] if row["maker_uuid"] == makers[1] else row["maker_uuid"]
        row["status"] = "Blocked" if row["original_source_id"] < 40 else row["status"]
    by_id[7]["label"] = ""
    return list(by_id.values())


@pytest.mark.parametrize("kind", ["lake", "postgres"])
def test_each_form_passes_on_sound_rows_and_catches_what_is_planted(
    tmp_path: Path, postgres_server: servers.PostgresServer, kind: str
) -> None:
    """What the run says, what validate says of the same rows, and what it says once they are spoiled."""
    folder = tmp_path / "p"
    with _places(kind, folder, postgres_server) as (url, place):
        project = _project(folder, url)
        during = {check["name"] for check in project.run().checks if check["passed"]}
        assert {f"table:{name}" for name in NAMES} <= during
        sound = _found(project.validate().checks)
        assert list(sound) == NAMES
        assert [check.detail for check in sound.values() if not check.passed] == []
        # From the generator's formula: 1.25 n for n of 1 to 60 without the rejected 13.
        assert "sum(price) of 59 source rows is 2271.25" in sound["price_total"].detail
        assert (
            "nulls(amount) of 59 target rows is 10; allowed: most 20 % of 59 rows = 11.8" in sound["few_nulls"].detail
        )
        place.write("items", _spoil(place.read("items")))
        spoiled = _found(project.validate().checks)
        assert [name for name, check in spoiled.items() if check.passed] == ["asked_source"]
        assert spoiled["asked_target"].sample_keys == (str(_key(1)),)
        assert spoiled["enough"].severity == "warning"
        # A lake is read by hand with Spark, the plan's own queries are in DuckDB's words, and no script calculates.
        shown = {name for name, check in spoiled.items() if check.sql}
        unsaid = {"active_total", "asked_source", *(name for name in NAMES if kind == "lake" and name[:5] == "asked")}
        assert shown == set(NAMES) - unsaid
        assert "difference 2, allowed 1; more than the 1 allowed" in spoiled["every_row"].detail


def _asked(project: Project, side: str, ask: Callable[[str], list[tuple]]) -> dict[str, list[tuple]]:
    """Run the scripts of one side's checks on tables, by name."""
    files = [file for file in project.scripts() if file.side == side and "-- check: table:" in file.text]
    return {file.text.partition("table:")[2].split()[0]: ask(file.text) for file in files}


def test_the_scripts_give_the_numbers_that_validate_compares(
    tmp_path: Path, postgres_server: servers.PostgresServer
) -> None:
    """On both sides, by their own clients; a query stands as the plan has it, and elsewhere is named as not said."""
    with _places("postgres", tmp_path / "p", postgres_server) as (url, place):
        project = _project(tmp_path / "p", url)
        project.run()
        place.write("items", _spoil(place.read("items")))
        with sqlite3.connect(tmp_path / "p" / "source.db") as source:
            there = _asked(project, "source", lambda text: source.execute(text).fetchall())
        source.close()
        with psycopg.connect(place._url, options="-c search_path=drill") as connection:
            here = _asked(project, "target", lambda text: connection.execute(text.encode()).fetchall())
        index = project.scripts("duckdb")[-1].text
    assert (there["every_row"], here["every_row"]) == ([(60,)], [(58,)])
    assert there["price_total"] == [(60, 60, 2287.5)]
    # 2271.25 without item 50's 62.50 and with 76.00 for 75.00 and -1.25 for 1.25.
    assert here["price_total"] == [(58, 58, Decimal("2207.25"))]
    assert (there["makers_used"], here["makers_used"]) == ([(60, 54, 6)], [(58, 52, 5)])
    assert (there["no_label"], here["no_label"]) == ([(60, 52)], [(58, 51)])
    assert here["asked_target"] == [(_key(1),)]
    assert (there["asked_source"], there["asked_both"]) == ([], [(59, 2271.25)])
    assert "- target: table:asked_target, table 'items': the plan writes it in postgres" in index


def _key(number: int) -> uuid.UUID:
    """RFC 9562 by Python's own uuid module, from the rule that RULES states."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:drill")
    return uuid.uuid5(namespace, f"item|{len(str(number))}:{number}")


def test_a_failed_check_stops_a_run_before_anything_is_visible(tmp_path: Path) -> None:
    """The rejected row is missing; a query of the lake is asked of what is staged; the journal holds no value."""
    checks = """
    checks:
      - {name: every_row, compare: count, rows: all}
      - {name: greatest, compare: max, source: amount, target: amount + 1}
      - {name: asked, query: {target: SELECT 1 FROM items WHERE price > 70}, most: 1}
      - {name: only_told, compare: count, source: id, least: 61, then: warn}
"""
    project = _project(tmp_path / "p", "iceberg:./lake?namespace=drill", checks)
    with pytest.raises(CheckFailed, match="nothing was published") as raised:
        project.run()
    assert [each.code for each in raised.value.findings] == ["table:every_row", "table:greatest", "table:asked"]
    details = {check["name"]: check["detail"] for check in project.result(None).checks}
    assert details["table:every_row"].endswith("difference 1; more than the 0 allowed")
    assert details["table:asked"] == "4 rows found, allowed 1"
    assert "6,001" not in details["table:greatest"]
    assert not project.result(None).published


def test_what_only_a_server_can_answer_is_asked_after_publishing_and_said_so(
    tmp_path: Path, postgres_server: servers.PostgresServer
) -> None:
    """A wrong answer and a query that the server refuses both fail the run, whose rows are visible."""
    checks = """
    checks:
      - {name: dear, query: {target: SELECT original_source_id FROM items WHERE price > 70}}
      - {name: broken, query: {target: "SELECT pg_sleep(0) FROM items WHERE 1 / 0 = 1"}}
      - {name: writes, query: {target: "SELECT setval('numbers', 1) FROM items"}}
"""
    folder = tmp_path / "p"
    with _places("postgres", folder, postgres_server) as (url, place):
        project = _project(folder, url, checks)
        with pytest.raises(CheckFailed, match="could answer only after publishing") as raised:
            project.run()
        assert [each.code for each in raised.value.findings] == ["table:dear", "table:broken", "table:writes"]
        assert "division by zero" in raised.value.findings[1].message
        assert len(place.read("items")) == 59


def test_rows_of_an_earlier_run_count_as_kept(tmp_path: Path) -> None:
    """A second run finds 59 rows unchanged and brings one; the numbers are those of sixty rows, of both sides."""
    project = _project(tmp_path / "p", "iceberg:./lake?namespace=drill")
    project.run()
    with sqlite3.connect(tmp_path / "p" / "source.db") as source:
        columns = [name for _, name, *_ in source.execute("PRAGMA table_info(item)") if name != "id"]
        source.execute(f"INSERT INTO item SELECT 61, {', '.join(columns)} FROM item WHERE id = 1")
    source.close()
    second = project.run()
    assert {table.mapping: (table.loaded, table.unchanged) for table in second.tables}["items"] == (1, 59)
    found = _found(project.validate().checks)
    assert [name for name, check in found.items() if not check.passed] == []
    assert "of 60 source rows" in found["price_total"].detail
    assert "of 60 target rows" in found["price_total"].detail


def test_a_query_that_the_source_refuses_stops_before_anything_is_read(tmp_path: Path) -> None:
    """The message names the check with its place in the plan."""
    checks = "    checks:\n      - {name: asked, query: {source: SELECT no_such FROM item}}\n"
    project = _project(tmp_path / "p", "iceberg:./lake?namespace=drill", checks)
    with pytest.raises(SystemRefused, match=r"check 'asked' of 'items' \(.*:5\d:.*\): no such column: no_such"):
        project.run()


def test_a_query_of_the_source_is_asked_before_a_run_too(tmp_path: Path) -> None:
    """Items 50 to 60 cost more than 62: eleven rows, with keys, the plan's line and a cure."""
    checks = "    checks:\n      - {name: dear, query: {source: SELECT id FROM item WHERE price > 62 ORDER BY id}}\n"
    project = _project(tmp_path / "p", "iceberg:./lake?namespace=drill", checks)
    (found,) = [each for each in project.validate_source().findings if each.code == "table_check"]
    assert (found.severity, found.count, found.sample_keys) == ("error", 11, ("50", "51", "52", "53", "54"))
    assert found.position.line == len(PLAN.splitlines()) + 2
    with pytest.raises(CheckFailed, match="nothing was published"):
        project.run()


WRONG = {
    "{name: a, compare: sum, source: pric, target: price}": "'pric' is not a column of the source's 'item'",
    "{name: a, compare: sum, source: price, target: pric}": "'pric' is not a target column of 'items'",
    "{name: a, compare: sum, source: name, target: price}": "'compare: sum' adds numbers, and 'name' is text",
    "{name: a, compare: min, source: made, target: made_at}": "a timestamp of the source is not compared with a time",
    "{name: a, compare: max, source: maker_id, target: maker_uuid}": "needs values with an order, and 'maker_uuid'",
    "{name: a, compare: min, source: day, target: day, tolerance: 1}": "a tolerance or limit is a number, and 'day'",
    "{name: a, compare: sum, source: price, target: price, where: {target: price}}": "where a condition is needed",
    "{name: a, compare: sum, source: price}": "there is nothing to hold the source against",
    "{name: a, compare: sum, source: price, target: price, then: reject}": "'then' cannot be 'reject'",
    "{name: a, compare: total, source: price, target: price}": "'compare' cannot be 'total'",
    "{name: a, compare: sum, source: price, target: price, most: 3}": "limits are for one side, and both are named",
    "{name: a, compare: sum, target: price, most: 3%}": "a percentage of the rows is no limit of 'sum'",
    "{name: a, compare: sum, source: price, target: price, tolerance: much}": "'much' is neither a number nor",
    "{name: a, compere: sum, source: price, target: price}": "takes no 'compere'; did you mean 'compare'?",
    "{name: a, query: {target: DELETE FROM items}}": "the query of the target is not one SELECT",
    "{name: a, query: {target: SELECT 1; SELECT 2}}": "the query of the target is not one SELECT",
    "{name: a, query: {target: SELECT 1 FROM itms}}": "reads 'itms', and there is no such table",
    "{name: a, query: {target: WITH x AS (DELETE FROM items RETURNING 1) SELECT 1 FROM x}}": "does more than read",
    "{name: a, query: {target: SELECT 1}, tolerance: 3}": "a query of one side gives its wrong rows",
    "{name: a, query: {target: SELECT 1}, rows: all}": "'rows' has no meaning beside it",
}


def test_mistakes_are_found_before_a_run_with_place_and_cure(tmp_path: Path) -> None:
    """All at once, each at its own line."""
    lines = "".join(f"      - {entry.replace('name: a,', f'name: a{n},', 1)}\n" for n, entry in enumerate(WRONG))
    first = len(PLAN.splitlines()) + 2
    project = _project(tmp_path / "p", "iceberg:./lake?namespace=drill", f"    checks:\n{lines}")
    said: dict[int, str] = {}
    # What cannot be read is told alone; then the form; then, with the database, names and types.
    for _ in range(4):
        findings = _mistakes(project)
        said |= {finding.position.line - first: f"{finding.message}; {finding.cure}" for finding in findings}
        sound = [line for n, line in enumerate(lines.splitlines(keepends=True)) if n not in said]
        blank = [line if n not in said else "      # told\n" for n, line in enumerate(lines.splitlines(keepends=True))]
        if not sound:
            break
        (project.folder / "transhume.yaml").write_text(f"{PLAN}    checks:\n{''.join(blank)}")
    missing = {entry: said.get(n, "") for n, entry in enumerate(WRONG) if WRONG[entry] not in said.get(n, "")}
    assert missing == {}
    assert "did you mean 'price'?" in said[0]
    assert "did you mean 'price'?" in said[1]
    assert "did you mean 'items'?" in said[16]


def _mistakes(project: Project) -> list:
    try:
        return [finding for finding in project.check().findings if finding.severity == "error"]
    except PlanError as problem:
        return list(problem.findings)
