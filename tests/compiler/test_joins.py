"""Which row a join takes, and when it says that it cannot tell."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.workbench import Row, Workbench, column, fates, plan_of
from transhume.compiler import joins

_PLAN = """
tables:
  t:
    from: s
    key: id
    create: true
    types: {{id: bigint primary key}}
    join: {{m: {{from: child, on: {on}{options}}}}}
    columns: {{id: id, taken: m.v}}
"""


def _joined(
    folder: Path,
    options: str,
    children: list[Row],
    *,
    on: str = "{parent: id}",
    columns: dict[str, str] | None = None,
    rows: list[Row] | None = None,
    primary_key: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    bench = Workbench(folder, plan_of(_PLAN.format(on=on, options=f", {options}" if options else "")))
    bench.table("s", [column("id", "bigint"), column("other", "text")], rows or [{"id": 1}, {"id": 2}])
    types = columns or {"parent": "bigint", "name": "text", "at": "timestamp", "v": "text", "n": "bigint"}
    bench.table("child", [column(name, kind) for name, kind in types.items()], children, primary_key=primary_key)
    return bench.transform("t")


def _outcome(rows: list[dict[str, Any]]) -> list[tuple[str | None, str | None]]:
    return [(row["taken"], row["_reasons"]) for row in rows]


def test_no_row_gives_null_or_rejects(tmp_path: Path) -> None:
    """A row without a joined one has NULLs, unless the plan says `none: reject`."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    children = [{"parent": 1, "v": "one"}, {"parent": None, "v": "of nobody"}]
    assert _outcome(_joined(tmp_path / "a", "", children)) == [("one", None), (None, None)]
    rejected = _joined(tmp_path / "b", "none: reject", children)
    assert fates(rejected) == [("loaded", None), ("rejected", "no_match:m")]


def test_two_rows_are_ambiguous(tmp_path: Path) -> None:
    """Without a choice in the plan, two joined rows reject the row, and only that one."""
    children = [{"parent": 1, "v": "a"}, {"parent": 1, "v": "b"}, {"parent": 2, "v": "c"}]
    rows = _joined(tmp_path, "", children)
    assert fates(rows) == [("rejected", "ambiguous:m"), ("loaded", None)]
    # No value of either row is taken, so that no other reason can come from it.
    assert [row["taken"] for row in rows] == [None, "c"]


def test_first_takes_the_earliest_of_its_list_and_nothing_else(tmp_path: Path) -> None:
    """`first` ranks by its list; a row whose value is not in the list is no candidate."""
    children = [
        {"parent": 1, "name": "auc", "v": "third"},
        {"parent": 1, "name": "accuracy", "v": "best"},
        {"parent": 1, "name": "Accuracy", "v": "other case"},
        {"parent": 2, "name": "rmse", "v": "not listed"},
    ]
    rows = _joined(tmp_path, "first: {name: [accuracy, f1, auc]}", children)
    assert _outcome(rows) == [("best", None), (None, None)]


def test_latest_takes_the_greatest_and_null_is_the_least(tmp_path: Path) -> None:
    """`latest` compares the column's values; two of the same value are ambiguous."""
    early, late = dt.datetime.fromisoformat("2024-01-01"), dt.datetime.fromisoformat("2024-01-02")
    children = [
        {"parent": 1, "at": early, "v": "early"},
        {"parent": 1, "at": late, "v": "late"},
        {"parent": 1, "at": None, "v": "never"},
        {"parent": 2, "at": late, "v": "one"},
        {"parent": 2, "at": late, "v": "two"},
    ]
    rows = _joined(tmp_path, "latest: at", children)
    assert rows[0]["taken"] == "late"
    assert fates(rows) == [("loaded", None), ("rejected", "ambiguous:m")]


def test_two_without_a_latest_are_ambiguous(tmp_path: Path) -> None:
    """Rows whose `latest` is NULL do not decide themselves by their order."""
    children = [{"parent": 1, "v": "a"}, {"parent": 1, "v": "b"}]
    assert fates(_joined(tmp_path, "latest: at", children))[0] == ("rejected", "ambiguous:m")


def test_a_latest_that_cannot_be_read_is_ambiguous_beside_others(tmp_path: Path) -> None:
    """An unreadable `latest` might be the greatest: among several rows it makes the choice ambiguous."""
    children = [
        {"parent": 1, "n": "soon", "v": "a"},
        {"parent": 1, "n": 5, "v": "b"},
        {"parent": 2, "n": "soon", "v": "alone"},
    ]
    rows = _joined(tmp_path, "latest: n", children)
    assert fates(rows) == [("rejected", "ambiguous:m"), ("loaded", None)]
    assert rows[1]["taken"] == "alone"


def test_where_chooses_the_joined_rows(tmp_path: Path) -> None:
    """Joined rows that `where` leaves out do not count; one that it cannot read makes the choice ambiguous."""
    children = [
        {"parent": 1, "n": 1, "v": "in"},
        {"parent": 1, "n": 0, "v": "out"},
        {"parent": 2, "n": "?", "v": "who knows"},
    ]
    rows = _joined(tmp_path, "where: n = 1", children)
    assert rows[0]["taken"] == "in"
    assert fates(rows) == [("loaded", None), ("rejected", "ambiguous:m")]


def test_a_declared_key_needs_no_choice(tmp_path: Path) -> None:
    """Where the source keeps the joined key unique, the relation has each of its rows."""
    rows = _joined(tmp_path, "", [{"parent": 2, "v": "b"}, {"parent": 1, "v": "a"}], primary_key=("parent",))
    assert _outcome(rows) == [("a", None), ("b", None)]


@pytest.mark.parametrize(("kind", "values"), [("text", ["1", "02"]), ("bigint", ["1", "two"]), ("decimal(3,0)", [])])
def test_keys_of_different_types_are_compared_as_texts(tmp_path: Path, kind: str, values: list[str]) -> None:
    """An integer finds the text of the same digits and no other spelling of the number."""
    if kind.startswith("decimal"):
        children: list[Row] = [{"parent": Decimal(1), "v": "one"}]
    else:
        children = [{"parent": value, "v": value} for value in values]
    rows = _joined(tmp_path, "", children, columns={"parent": kind, "v": "text"})
    assert [row["taken"] for row in rows] == [{"decimal(3,0)": "one"}.get(kind, "1"), None]


def test_odd_values_of_a_joined_column_are_seen(tmp_path: Path) -> None:
    """A joined value of another class is read like an own one, and a blob rejects with the joined name."""
    children = [{"parent": 1, "v": 7}, {"parent": 2, "v": b"\0"}]
    rows = _joined(tmp_path, "", children, columns={"parent": "bigint", "v": "text"})
    assert rows[0]["taken"] == "7"
    assert fates(rows) == [("loaded", None), ("rejected", "blob:m.v")]


def test_a_join_may_use_an_earlier_one(tmp_path: Path) -> None:
    """`on` takes columns of an earlier alias, and composite keys are compared part by part."""
    plan = plan_of("""
tables:
  t:
    from: s
    key: id
    create: true
    types: {id: bigint primary key}
    join:
      m: {from: middle, on: {id: id}}
      f: {from: far, on: {a: m.a, b: m.b}}
    columns: {id: id, v: f.v}
""")
    bench = Workbench(tmp_path, plan)
    bench.table("s", [column("id", "bigint")], [{"id": 1}, {"id": 2}, {"id": 3}])
    middle = [{"id": 1, "a": 1, "b": "x"}, {"id": 2, "a": 1, "b": "y"}, {"id": 3, "a": 1, "b": None}]
    bench.table("middle", [column("id", "bigint"), column("a", "int"), column("b", "text")], middle)
    far = [{"a": 1, "b": "x", "v": "found"}, {"a": 2, "b": "y", "v": "other"}, {"a": 1, "b": None, "v": "null"}]
    bench.table("far", [column("a", "bigint"), column("b", "text"), column("v", "text")], far)
    assert [row["v"] for row in bench.transform("t")] == ["found", None, None]


@pytest.mark.parametrize("parent", ["bigint", "text"])
@pytest.mark.parametrize("options", ["", "where: n > 0", "latest: at"])
def test_rows_that_nobody_asks_for_are_left_out_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parent: str, options: str
) -> None:
    """A joined table much larger than the own one gives the same rows and reasons as when all of it is kept."""
    key: Any = (lambda number: number) if parent == "bigint" else str
    children: list[Row] = [
        {"parent": key(number % 7), "v": f"v{number}", "n": 1, "at": f"2020-01-{number + 1:02d} 00:00:00"}
        for number in range(9)
    ]
    children += [{"parent": key(number), "v": "far", "n": 1} for number in range(100, 120)]
    children.append({"parent": None, "v": "of nobody", "n": 1})
    types = {"parent": parent, "name": "text", "at": "text", "v": "text", "n": "bigint"}
    found = []
    for name, rows_min in (("all", 50_000), ("few", 0)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(joins, "LARGE_ROWS_MIN", rows_min)
        rows: list[Row] = [{"id": 1}, {"id": 5}, {"id": 50}, {"id": None}]
        found.append(_joined(tmp_path / name, options, children, columns=types, rows=rows))
    assert found[0] == found[1]
    assert [row["taken"] for row in found[1]][1:3] == ["v5", None]


def test_only_rows_that_are_asked_for_are_kept_of_a_large_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relation of a large joined table holds the keys of the own table and no other."""
    monkeypatch.setattr(joins, "LARGE_ROWS_MIN", 0)
    bench = Workbench(tmp_path, plan_of(_PLAN.format(on="{parent: id}", options="")))
    bench.table("s", [column("id", "bigint")], [{"id": 1}, {"id": 2}])
    children: list[Row] = [{"parent": number, "v": "x"} for number in range(40)]
    bench.table("child", [column("parent", "bigint"), column("v", "text")], children)
    select = joins.compile_join(bench.plan, bench.plan.tables["t"], "m", bench.facts)
    assert [row["_k0"] for row in bench.query(select)] == [1, 2]
