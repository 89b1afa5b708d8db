"""Rows that reference their own table or each other in a cycle, and the order of tables."""

from pathlib import Path
from typing import Any

from tests.compiler.workbench import Workbench, column, fates, plan_of
from transhume.compiler import is_cyclic, table_order

_SELF = """
tables:
  staff:
    from: employees
    key: id
    create: true
    types: {{name: text not null}}
    columns: {{u: {{uuid: id}}, name: name, boss: {{ref: boss, table: staff{otherwise}}}}}
"""


def _staff(folder: Path, rows: list[tuple[Any, Any, Any]], otherwise: str = "", boss: str = "bigint") -> Workbench:
    bench = Workbench(folder, plan_of(_SELF.format(otherwise=otherwise)))
    columns = [column("id", "bigint"), column("boss", boss), column("name", "text")]
    bench.table("employees", columns, [{"id": i, "boss": b, "name": n} for i, b, n in rows])
    return bench


def test_a_rejected_parent_rejects_the_whole_chain_below(tmp_path: Path) -> None:
    """In a self-reference a bad row takes along who references it, however deep, and nobody else."""
    chain = [(i, i - 1 if i else None, "x" if i != 3 else None) for i in range(12)]
    bench = _staff(tmp_path, [*chain, (100, 99, "orphan"), (101, 100, "below"), (102, 102, "own boss")])
    rows = bench.run()["staff"]
    assert fates(rows[:3]) == [("loaded", None)] * 3
    assert fates(rows[3:4]) == [("rejected", "null:name")]
    assert fates(rows[4:12]) == [("rejected", "parent_rejected:boss")] * 8
    assert fates(rows[12:]) == [("rejected", "orphan:boss"), ("rejected", "parent_rejected:boss"), ("loaded", None)]


def test_the_fixpoint_takes_one_step_a_link(tmp_path: Path) -> None:
    """The steps of the fixpoint grow with the depth of the chain, and a sound table needs a single one."""
    (tmp_path / "sound").mkdir()
    (tmp_path / "chain").mkdir()
    sound = _staff(tmp_path / "sound", [(1, 2, "a"), (2, 1, "b")])
    assert sound.settle(("staff",)) == 0
    chain = _staff(tmp_path / "chain", [(1, None, None), (2, 1, "b"), (3, 2, "c"), (4, 3, "d")])
    assert chain.settle(("staff",)) == 3


def test_else_null_keeps_the_row_and_drops_the_reference(tmp_path: Path) -> None:
    """With `else: null` a lost parent leaves NULL, and what hangs below the row stays."""
    bench = _staff(tmp_path, [(1, None, None), (2, 1, "b"), (3, 2, "c")], otherwise=", else: null")
    rows = bench.run()["staff"]
    assert fates(rows) == [("rejected", "null:name"), ("loaded", None), ("loaded", None)]
    assert [row["boss"] is None for row in rows[1:]] == [True, False]


def test_keys_of_different_types_meet_in_a_cycle(tmp_path: Path) -> None:
    """A text reference to an integer key of the same table is compared as text, in the fixpoint too."""
    bench = _staff(
        tmp_path, [(1, None, None), (2, "1", "b"), (3, "2", "c"), (4, "x", "d"), (5, None, "e")], boss="text"
    )
    assert [fate for fate, _ in fates(bench.run()["staff"])] == ["rejected"] * 4 + ["loaded"]


def test_two_tables_may_reference_each_other(tmp_path: Path) -> None:
    """In a cycle of two tables a loss goes around as often as it must."""
    plan = plan_of(
        """
tables:
  department:
    from: d
    key: id
    create: true
    types: {name: text not null}
    columns: {u: {uuid: id}, name: name, head: {ref: head, table: person}}
  person:
    from: p
    key: [a, b]
    create: true
    columns: {u: {uuid: [a, b]}, home: {ref: home, table: department}}
""".replace("head: {ref: head, table: person}", "head: {ref: [head_a, head_b], table: person}")
    )
    bench = Workbench(tmp_path, plan)
    departments = [
        {"id": 1, "head_a": 1, "head_b": "x", "name": "sound"},
        {"id": 2, "head_a": 2, "head_b": "x", "name": None},
        {"id": 3, "head_a": 2, "head_b": "y", "name": "below a lost person"},
        {"id": 4, "head_a": None, "head_b": "y", "name": "without head"},
    ]
    columns = [column("id", "bigint"), column("head_a", "bigint"), column("head_b", "text"), column("name", "text")]
    bench.table("d", columns, departments)
    people = [
        {"a": 1, "b": "x", "home": 1},
        {"a": 2, "b": "x", "home": 1},
        {"a": 2, "b": "y", "home": 2},
        {"a": 3, "b": "z", "home": 3},
        {"a": 4, "b": "z", "home": 4},
    ]
    bench.table("p", [column("a", "bigint"), column("b", "text"), column("home", "bigint")], people)
    found = bench.run()
    assert fates(found["department"]) == [
        ("loaded", None),
        ("rejected", "null:name"),
        ("rejected", "parent_rejected:head_a"),
        ("loaded", None),
    ]
    assert fates(found["person"]) == [
        ("loaded", None),
        ("loaded", None),
        ("rejected", "parent_rejected:home"),
        ("rejected", "parent_rejected:home"),
        ("loaded", None),
    ]


def test_tables_come_after_what_they_reference(tmp_path: Path) -> None:
    """Parents come first, cycles come together, and the plan's order holds wherever it may."""
    plan = plan_of("""
tables:
  a: {from: t, key: k, create: true, columns: {u: {uuid: k}, r: {ref: x, table: b}}}
  z: {from: t, key: k, create: true, columns: {u: {uuid: k}}}
  b: {from: t, key: k, create: true, columns: {u: {uuid: k}, r: {ref: x, table: c}, s: {ref: x, table: d}}}
  c: {from: t, key: k, create: true, columns: {u: {uuid: k}, r: {ref: x, table: b}}}
  d: {from: t, key: k, create: true, columns: {u: {uuid: k}, r: {ref: x, table: d}}}
""")
    order = table_order(plan)
    assert order == [("d",), ("b", "c"), ("a",), ("z",)]
    assert [is_cyclic(plan, group) for group in order] == [True, True, False, False]


def test_a_loss_that_goes_around_ends(tmp_path: Path) -> None:
    """A row that is lost for one reference is not found again when another of its parents is lost later."""
    plan = plan_of("""
tables:
  staff:
    from: employees
    key: id
    create: true
    columns: {u: {uuid: id}, boss: {ref: boss, table: staff}, mentor: {ref: mentor, table: staff}}
""")
    bench = Workbench(tmp_path, plan)
    rows = [{"id": 1, "boss": 2, "mentor": 99}, {"id": 2, "boss": 1}, {"id": 3, "boss": 2, "mentor": 1}, {"id": 4}]
    bench.table("employees", [column(name, "bigint") for name in ("id", "boss", "mentor")], rows)
    assert bench.settle(("staff",)) == 2
    assert fates(bench.transform("staff")) == [
        ("rejected", "parent_rejected:boss\norphan:mentor"),
        ("rejected", "parent_rejected:boss"),
        ("rejected", "parent_rejected:boss\nparent_rejected:mentor"),
        ("loaded", None),
    ]
