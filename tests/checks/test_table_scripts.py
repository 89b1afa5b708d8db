"""The scripts of checks on whole tables: which sides have one, what it expects, and the numbers that it gives."""

from decimal import Decimal
from typing import Any

import pytest
from sqlglot import exp

from tests.checks.scripts_bench import answers, place, unsaid, written
from tests.plan.planning import catalog, plan_of, table
from transhume.batches import TargetTable
from transhume.checks.before_scripts import before_scripts
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.checks.script import Script
from transhume.checks.table_scripts import source_table_scripts, target_table_scripts
from transhume.schema import TEXT

SOURCE = table("items", "id bigint, price decimal(12,4), ratio double, name text, gone int")
HELD = table("held", "id bigint, cost decimal(12,4), share double, title text")
TARGET = TargetTable("t", HELD, ("id",), create=True)
PLAN = """\
  t:
    from: items
    into: held
    key: id
    create: true
    types: {id: bigint primary key}
    columns: {id: id, cost: price, share: ratio, title: name}
    checks:
      - {name: row_check, sql: id > 0}
      - {name: total, compare: sum, source: price, target: cost, tolerance: 0.5, where: {source: gone = 0}}
      - {name: mean, compare: avg, source: ratio * ratio, target: share * share, rows: all, then: warn}
      - {name: every, compare: count, rows: all, tolerance: 1%}
      - {name: named, compare: count, source: name, target: title}
      - {name: empty, compare: nulls, target: title, least: 1, most: 20%}
      - {name: first, compare: min, target: title, least: 3, where: {target: id > 1}}
      - {name: kinds, compare: distinct, source: name, most: 7, then: warn}
      - {name: both, query: {source: " SELECT 1 ; ", target: "SELECT 1 -- one"}, tolerance: 2}
      - {name: same, query: {source: SELECT 2, target: SELECT 2}}
      - {name: none_wrong, query: {target: SELECT 3}, then: warn}
      - {name: some_wrong, query: {source: SELECT 4}, most: 10}
      - {name: few_wrong, query: {source: SELECT 5}, most: 10%}
"""
ITEMS = [(1, 1, 0.5, "a", 0), (2, 2, 0.5, "b", 0), (3, 4, None, None, 1), (4, None, 1.0, "b", None)]
HOLDING = [(1, 1, 0.5, "c"), (2, 2, 0.25, "b"), (3, None, None, None)]


def _source(folder: Any, **types: Any) -> list[Any]:
    mapping = plan_of(folder, PLAN).tables["t"]
    known = {column.name: column.type for column in SOURCE.columns if column.type is not None} | types
    return list(source_table_scripts(mapping, place, known, "sqlite:///a.db"))


def _target(folder: Any) -> list[Any]:
    return list(target_table_scripts(plan_of(folder, PLAN).tables["t"], TARGET, place, "iceberg:./lake"))


def _told(scripts: list[Script]) -> list[tuple[str, str, str, Any]]:
    return [(each.name, each.expectation, each.severity, each.path[-1]) for each in scripts]


ON_TOP = "; rows that the run filtered or rejected, and rows of other writers, come on top here"


def test_each_side_has_the_scripts_of_its_checks(tmp_path):
    """In the plan's order, with what is expected of each; checks of rows are another matter."""
    number = "the number of the {}'s script of this name"
    asked = "the values that the query of the {} gives"
    found = written(_source(tmp_path))
    assert _told(found) == [
        ("table:total", f"{number.format('target')}, 0.5 more or less{ON_TOP}", "error", 1),
        ("table:mean", number.format("target"), "warning", 2),
        ("table:every", f"{number.format('target')}, 1 % more or less", "error", 3),
        ("table:named", f"{number.format('target')}{ON_TOP}", "error", 4),
        ("table:kinds", "most 7", "warning", 7),
        ("table:both", f"{asked.format('target')}, 2 more or less", "error", 8),
        ("table:same", asked.format("target"), "error", 9),
        ("table:some_wrong", "at most 10 rows", "error", 11),
        ("table:few_wrong", "at most 10 % of the table's rows", "error", 12),
    ]
    assert {(each.side, each.table, each.path[:3]) for each in found} == {
        ("source", "items", ("tables", "t", "checks"))
    }
    found = written(_target(tmp_path))
    assert _told(found) == [
        ("table:total", f"{number.format('source')}, 0.5 more or less{ON_TOP}", "error", 1),
        ("table:mean", number.format("source"), "warning", 2),
        ("table:every", f"{number.format('source')}, 1 % more or less", "error", 3),
        ("table:named", f"{number.format('source')}{ON_TOP}", "error", 4),
        ("table:empty", "least 1 and most 20 % of the rows", "error", 5),
        ("table:first", "least 3", "error", 6),
        ("table:both", f"{asked.format('source')}, 2 more or less", "error", 8),
        ("table:same", asked.format("source"), "error", 9),
        ("table:none_wrong", "no rows", "warning", 10),
    ]
    assert {(each.side, each.table, each.path[:3]) for each in found} == {("target", "held", ("tables", "t", "checks"))}


def test_a_script_says_what_it_looks_at(tmp_path):
    """The function, what it is of, and which of the numbers is the one."""
    found = {each.name: each.purpose for each in written([*_source(tmp_path), *_target(tmp_path)])}
    assert found == {
        "table:total": "sum of 'cost' in 'held', as numbers",
        "table:mean": "avg of 'share * share' in 'held', as total / found",
        "table:every": "count of 'rows' in 'held', as found where it is there, else rows",
        "table:named": "count of 'title' in 'held', as found where it is there, else rows",
        "table:empty": "nulls of 'title' in 'held', as rows less found",
        "table:first": "min of 'title' in 'held', as numbers",
        "table:kinds": "distinct of 'name' in 'items', as numbers",
        **dict.fromkeys(("table:both", "table:same", "table:none_wrong"), "the plan's own query on the target"),
        **dict.fromkeys(("table:some_wrong", "table:few_wrong"), "the plan's own query on the source"),
    }


def test_the_plans_own_query_stands_as_it_is_written(tmp_path):
    """In its side's dialect, without the semicolon at its end; a comment does not take in what follows."""
    asked = {each.name: (each.text, each.dialect) for each in written(_source(tmp_path)) if each.text}
    assert asked["table:both"] == ("SELECT 1 \n", "sqlite")
    assert asked["table:some_wrong"] == ("SELECT 4\n", "sqlite")
    asked = {each.name: (each.text, each.dialect) for each in written(_target(tmp_path)) if each.text}
    assert asked["table:both"] == ("SELECT 1 -- one\n", "duckdb")
    assert sorted(asked) == ["table:both", "table:none_wrong", "table:same"]


def test_the_numbers_are_those_of_the_rows(tmp_path):
    """By hand: rows, values, what is made of them, what does not fit; a condition that is not TRUE leaves a row out."""
    numbers = [each for each in written(_source(tmp_path)) if not each.text]
    found = answers(numbers, {"items": (SOURCE, ITEMS)})
    assert {name.partition(":")[2]: rows for (name, _, _), rows in found.items()} == {
        "total": [(2, 2, Decimal(3))],
        "mean": [(4, 3, 1.5, 1.5)],
        "every": [(4,)],
        "named": [(4, 3)],
        "kinds": [(4, 3, 2)],
    }
    numbers = [each for each in written(_target(tmp_path)) if not each.text]
    found = answers(numbers, {"held": (HELD, HOLDING)})
    assert {name.partition(":")[2]: rows for (name, _, _), rows in found.items()} == {
        "total": [(3, 2, Decimal(3))],
        "mean": [(3, 2, 0.3125, 0.3125, 0)],
        "every": [(3,)],
        "named": [(3, 2)],
        "empty": [(3, 2)],
        "first": [(2, 1, "b")],
    }


def test_what_the_source_stores_in_another_type_has_no_script(tmp_path):
    """It is said, and those behind it are written all the same."""
    found = _source(tmp_path, ratio=TEXT)
    assert unsaid(found) == [("table:mean", "items", "")]
    assert [each.name for each in written(found)][:2] == ["table:total", "table:every"]


def test_the_scripts_of_a_side_hold_those_of_its_checks_on_tables(tmp_path):
    """Behind the others, in the plan's order."""
    plan, source = plan_of(tmp_path, PLAN), catalog(SOURCE)
    made, _ = catalog_findings(plan, source, None)
    names = [each.name for each in written(before_scripts(plan, source, made, place, times_as_text=True))]
    assert [name for name in names if name.startswith("table:")] == [each.name for each in written(_source(tmp_path))]


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_script_knows_the_types_of_what_it_reads(side, tmp_path):
    """By the alias of its rows."""
    script = written(_source(tmp_path) if side == "source" else _target(tmp_path))[0]
    ((alias, types),) = script.types.items()
    assert alias == "p"
    assert str(types["id"]) == "bigint"
    read = list(script.select.find_all(exp.Column))
    assert {str(script.type_of(each)) for each in read} == {
        "source": {"decimal(12,4)", "int"},
        "target": {"decimal(12,4)"},
    }[side]
    assert script.type_of(exp.column("cost", "q")) is None
