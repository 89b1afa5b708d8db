"""The SQL of small plans, word by word, so that a change of what is compiled is seen and read by a person.

`golden/*.sql` holds each plan as a comment, then its statements as the compiler gives them: portable operations stand
there as functions, no dialect has lowered them. After a wanted change, run this file's tests with
TRANSHUME_GOLDEN=write and read the difference.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlglot import exp

from tests.compiler.workbench import Workbench, column, plan_of
from transhume.compiler import (
    compile_accounting,
    compile_duplicates,
    compile_fixpoint_step,
    compile_join,
    compile_parent_keys,
    compile_row_fates,
)

_FOLDER = Path(__file__).parent / "golden"

_ORDERS = """
tables:
  clients:
    from: client
    key: id
    create: true
    columns: {client_uuid: {uuid: id}, name: name}
  orders:
    from: order
    key: [shop, number]
    where: cancelled = false
    create: true
    types: {order_uuid: uuid primary key, quantity: int not null, note: text(20)}
    join: {price: {from: prices, on: {item: item}, latest: since, none: reject}}
    columns:
      order_uuid: {uuid: [shop, number]}
      quantity: quantity
      note: note
      amount: price.amount
      client_uuid: {ref: client, table: clients}
    checks: [{name: some, sql: quantity > 0}]
"""

_STAFF = """
tables:
  staff:
    from: employees
    key: id
    create: true
    columns: {staff_uuid: {uuid: id}, boss_uuid: {ref: boss, table: staff}}
"""


def _orders(folder: Path) -> dict[str, exp.Expression]:
    bench = Workbench(folder, plan_of(_ORDERS))
    bench.table("client", [column("id", "bigint"), column("name", "text")], [{"id": 1, "name": "a"}])
    columns = {"shop": "text", "number": "bigint", "cancelled": "boolean", "quantity": "bigint", "note": "text"}
    types = {**columns, "item": "int", "client": "text"}
    bench.table("order", [column(name, kind) for name, kind in types.items()], [{"shop": "x", "quantity": "odd"}])
    prices = [column("item", "bigint"), column("since", "date"), column("amount", "decimal(10,2)")]
    bench.table("prices", prices, [{"item": 1}])
    bench.transform("clients")
    bench.build("orders")
    mapping = bench.plan.tables["orders"]
    return {
        "compile_transform": bench.tree("orders"),
        "compile_join": compile_join(bench.plan, mapping, "price", bench.facts),
        "compile_duplicates": compile_duplicates(bench.plan, mapping, bench.facts),
        "compile_parent_keys": compile_parent_keys(bench.plan, bench.plan.tables["clients"], bench.facts, ["fates"]),
        "compile_accounting": compile_accounting(mapping, bench.facts, ["fates"]),
    }


def _staff(folder: Path) -> dict[str, exp.Expression]:
    bench = Workbench(folder, plan_of(_STAFF))
    bench.table("employees", [column("id", "bigint"), column("boss", "bigint")], [{"id": 1}])
    mapping, group = bench.plan.tables["staff"], frozenset({"staff"})
    bench.build_relation("staff", "duplicates")
    made = compile_row_fates(bench.plan, mapping, bench.facts, bench.target("staff"), ["segment"], group)
    fates = {"staff": ["fates"]}
    return {
        "compile_row_fates": (made.select),
        "compile_fixpoint_step, the first": (
            compile_fixpoint_step(bench.plan, mapping, bench.facts, made.references, fates, {}, None)
        ),
        "compile_fixpoint_step, a later one": (
            compile_fixpoint_step(
                bench.plan, mapping, bench.facts, made.references, fates, {"staff": ["a", "b"]}, {"staff": ["b"]}
            )
        ),
    }


@pytest.mark.parametrize(("name", "plan", "make"), [("orders", _ORDERS, _orders), ("staff", _STAFF, _staff)])
def test_the_sql_is_what_was_read_last(
    tmp_path: Path, name: str, plan: str, make: Callable[[Path], dict[str, exp.Expression]]
) -> None:
    """The statements of a plan are, word by word, the ones that stand in its golden file."""
    printed = {title: tree.sql(pretty=True, identify=True) for title, tree in make(tmp_path).items()}
    pretty = {title: sql.replace(f"{tmp_path}/", "") for title, sql in printed.items()}
    text = "".join(f"--{line and ' '}{line}\n" for line in plan.strip().splitlines())
    text += "".join(f"\n-- {title}\n{sql};\n" for title, sql in pretty.items())
    golden = _FOLDER / f"{name}.sql"
    if os.environ.get("TRANSHUME_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
