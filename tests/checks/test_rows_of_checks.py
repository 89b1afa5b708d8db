"""The target's side of checks on tables as SQL, run on rows made by hand, and the words of what was found."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from tests.plan.planning import table
from transhume.batches import TargetTable
from transhume.checks import tables
from transhume.checks.rows import rows_of, table_named
from transhume.checks.tables import (
    Numbers,
    beyond,
    compared,
    difference,
    has_key_in,
    queries_compared,
    query_dialect,
    rows_found,
    target_numbers,
)
from transhume.dialects import DIALECTS
from transhume.plan.table_check import TableCheck

HELD = TargetTable("t", table("held", "id bigint, Cost bigint, name text"), ("id",), create=True)
NAMES = {"id": "c0", "Cost": "c1", "name": "c2"}


def _check(**fields: object) -> TableCheck:
    return TableCheck.model_validate({"name": "c", **fields})


def _asked(check: TableCheck, rows: list[tuple[Any, ...]], folder: Any) -> tuple[dict[str, Any], str]:
    path = folder / "rows.parquet"
    columns = [
        pa.array([row[place] for row in rows], kind) for place, kind in enumerate((pa.int64(), pa.int64(), pa.string()))
    ]
    pq.write_table(pa.table(columns, names=list(NAMES.values())), path)
    select, kind = target_numbers(check, HELD, NAMES, [str(path)])
    assert all(each.args.get("quoted") for each in select.find_all(exp.Identifier))
    found = duckdb.connect().execute(DIALECTS["duckdb"].render(select))
    names = [each[0] for each in found.description]
    return dict(zip(names, found.fetchall()[0], strict=True)), str(kind)


ROWS = [(1, 2, "a"), (2, None, "b"), (3, 5, None), (4, 5, "b")]


@pytest.mark.parametrize(
    ("fields", "numbers", "kind"),
    [
        ({"compare": "count"}, {"rows": 4}, "None"),
        ({"compare": "count", "target": "name", "least": 1}, {"rows": 4, "found": 3}, "text"),
        ({"compare": "sum", "target": "Cost", "least": 1}, {"rows": 4, "found": 3, "total": 12}, "bigint"),
        ({"compare": "max", "target": "Cost", "least": 1, "where": {"target": "Cost < 5"}},
         {"rows": 1, "found": 1, "most": 2}, "bigint"),
        ({"compare": "distinct", "target": "name", "least": 1}, {"rows": 4, "found": 3, "distinct": 2}, "text"),
        ({"compare": "count", "least": 1, "where": {"target": "name <> 'a'"}}, {"rows": 2}, "None"),
        ({"compare": "nulls", "target": "Cost + id", "most": 1}, {"rows": 4, "found": 3, "misfit": 0}, "bigint"),
    ],
    ids=str,
)  # fmt: skip
def test_the_targets_numbers_are_those_of_its_rows(fields: Any, numbers: Any, kind: str, tmp_path: Any) -> None:
    """Under the names that its columns have where they stand; a condition that is NULL leaves a row out."""
    assert _asked(_check(**fields), ROWS, tmp_path) == (numbers, kind)


def test_what_does_not_fit_is_counted(tmp_path: Any) -> None:
    """A product beyond 64 bits is no value, and no error of the engine."""
    check = _check(compare="sum", target="Cost * Cost", least=1)
    found, _ = _asked(check, [(1, 2**40, "a"), (2, 2**40, "a"), (3, 3, "a"), (4, None, "a")], tmp_path)
    assert (found["rows"], found["found"], found["total"], found["misfit"]) == (4, 1, 9, 2)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([(1, "x"), (3, "y")], [1]),
        ([(1, "x"), (2, "y")], [1, 2]),
        ([(2, "x"), (1, "y")], []),
        ([], []),
    ],
)
def test_a_key_is_found_by_all_of_its_columns(keys: list[tuple[int, str]], found: list[int], tmp_path: Any) -> None:
    """Case and blanks of names are the files'; a file that holds nothing holds no key."""
    path = tmp_path / "keys.parquet"
    ids, names = (pa.array([key[place] for key in keys], kind) for place, kind in enumerate((pa.int64(), pa.string())))
    pq.write_table(pa.table({"Key 0": ids, "Key 1": names}), path)
    same = {"Key 0": "the Id", "Key 1": "Select"}
    holds = has_key_in("r", [([], {"Key 0": "gone"}), ([str(path)], same)])
    assert all(each.args.get("quoted") for each in holds.find_all(exp.Identifier))
    rows = exp.select("*").from_(rows_of(table_named("held"), "r")).where(holds)
    server = duckdb.connect()
    server.execute('CREATE TABLE held ("the Id" BIGINT, "Select" VARCHAR)')
    server.execute("INSERT INTO held VALUES (1, 'x'), (2, 'y'), (3, 'z')")
    assert sorted(row[0] for row in server.execute(DIALECTS["duckdb"].render(rows)).fetchall()) == found


def test_no_files_hold_no_key() -> None:
    """The condition is FALSE of every row."""
    assert has_key_in("r", [([], {"k": "a"})]).sql() == "FALSE"
    assert has_key_in("r", []).sql() == "FALSE"


def test_two_files_of_keys_are_two_places_to_look(tmp_path: Any) -> None:
    """One is enough."""
    paths = []
    for number in (1, 2):
        paths.append(str(tmp_path / f"{number}.parquet"))
        pq.write_table(pa.table({"k": pa.array([number], pa.int64())}), paths[-1])
    holds = has_key_in("r", [([path], {"k": "id"}) for path in paths])
    rows = exp.select("*").from_(rows_of(table_named("held"), "r")).where(holds)
    server = duckdb.connect()
    server.execute("CREATE TABLE held AS SELECT range AS id FROM range(4)")
    assert sorted(server.execute(DIALECTS["duckdb"].render(rows)).fetchall()) == [(1,), (2,)]


def test_rows_are_read_under_a_name_or_none() -> None:
    """Names are quoted: not every dialect does what is not."""
    query = exp.select("1")
    assert rows_of(query, "Q").sql() == '(SELECT 1) AS "Q"'
    assert rows_of(query).sql() == "(SELECT 1)"
    assert rows_of(table_named("T"), "Q").sql() == '"T" AS "Q"'
    assert rows_of(table_named("T", "S")).sql() == '"S"."T"'
    whole = table_named("T")
    assert rows_of(whole, "Q") is not whole
    assert whole.sql() == '"T"'


@pytest.mark.parametrize(
    ("identity", "dialect"),
    [("mysql://h/d", "mysql"), ("mariadb://h/d", "mysql"), ("POSTGRES://h/d", "postgres"), ("sqlite:///a", "sqlite"),
     ("postgresql://h", "postgres"), ("x:", ""), ("postgresql://u:p@h:1/d", "postgres")],
)  # fmt: skip
def test_each_scheme_has_its_dialect(identity: str, dialect: str) -> None:
    """On either side."""
    assert [query_dialect(identity, side) for side in ("source", "target")] == [dialect] * 2


def _both(compare: str, **more: object) -> TableCheck:
    return _check(compare=compare, source="a", target="b", **more)


def _numbers(**found: Any) -> Numbers:
    return Numbers({"rows": 3, "found": 3, **found})


def test_both_sides_are_told_with_what_was_looked_at() -> None:
    """Function, expression, condition, rows and value of each, then the difference."""
    check = _both("sum", where={"target": "b > 0"}, tolerance="10%")
    sides = {"source": _numbers(total=1000), "target": Numbers({"rows": 2000, "found": 3, "total": 1150})}
    found = compared(check, "m", sides, shows=True)
    assert (found.name, found.table, found.count, found.severity) == ("table:c", "m", 1, "error")
    assert found.covered == "sum: rows that the target holds"
    assert found.detail == (
        "sum(a) of 3 source rows is 1,000; sum(b where b > 0) of 2,000 target rows is 1,150; "
        "difference 150, allowed 10 % = 100; more than the 100 allowed"
    )
    hidden = compared(check, "m", sides, shows=False)
    assert hidden.detail == found.detail
    sides = {"source": Numbers({"rows": 3}), "target": Numbers({"rows": None})}
    plain = compared(_check(compare="count", rows="all", then="warn"), "m", sides, shows=True)
    assert (plain.count, plain.severity, plain.covered) == (1, "warning", "count: all rows of both tables")
    assert plain.detail.startswith("count(rows) of 3 source rows is 3; count(rows) of 0 target rows is NULL")
    assert plain.detail.endswith("; the two differ")


def test_one_side_is_told_against_its_limits() -> None:
    """Least and most, with what a share comes to."""
    check = _check(compare="nulls", target="b", least=1, most="10%")
    found = compared(check, "m", {"target": Numbers({"rows": 40, "found": 35})}, shows=True)
    assert (found.count, found.detail) == (
        1,
        "nulls(b) of 40 target rows is 5; allowed: least 1, most 10 % of 40 rows = 4; more than the 4 allowed",
    )
    whole = compared(check, "m", {"target": Numbers({"rows": 40, "found": 36})}, shows=True)
    assert (whole.passed, whole.detail) == (
        True,
        "nulls(b) of 40 target rows is 4; allowed: least 1, most 10 % of 40 rows = 4",
    )
    none = compared(check, "m", {"target": Numbers({"rows": 40, "found": 40})}, shows=True)
    assert none.detail.endswith("; less than the 1 allowed")
    assert compared(check, "m", {"target": Numbers({"rows": 3, "found": None})}, shows=True).detail.startswith(
        "nulls(b) of 3 target rows is 3"
    )


def test_a_least_or_a_greatest_value_is_one_rows() -> None:
    """Where no value of the data may stand, nothing of it does."""
    for compare, name in (("min", "least"), ("max", "most")):
        sides = {side: _numbers(**{name: number}) for side, number in (("source", 7), ("target", 9))}
        hidden = compared(_both(compare), "m", sides, shows=False)
        assert hidden.detail == (
            f"{compare}(a) of 3 source rows is not shown here; {compare}(b) of 3 target rows is not shown here; "
            "more than the 0 allowed"
        )
        assert "difference 2" in compared(_both(compare), "m", sides, shows=True).detail
    same = {side: _numbers(least=7) for side in ("source", "target")}
    assert compared(_both("min"), "m", same, shows=False).detail.endswith("target rows is not shown here")


def test_rounding_is_the_wider_of_the_two_sides() -> None:
    """As many last bits as values were added, of the sum of their sizes: 4 x 2 ** 52 x 2 ** -52 here."""
    big = float(2**52)

    def passes(source: float, target: float) -> bool:
        sides = {
            "source": Numbers({"rows": 4, "found": 4, "total": source, "size": 1.0}),
            "target": Numbers({"rows": 4, "found": 4, "total": target, "size": big}),
        }
        return compared(_both("sum"), "m", sides, shows=True).passed

    assert passes(0.0, 4.0)
    assert not passes(0.0, 4.5)
    assert not passes(0.0, 7.0)


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "told"),
    [
        (10, 12, "5", ("", "difference 2, allowed 5")),
        (10, 12, "5%", ("more than the 0.5 allowed", "difference 2, allowed 5 % = 0.5")),
        (10, 12, None, ("more than the 0 allowed", "difference 2")),
        (None, 12, "5", ("the two differ", "")),
        (Decimal("NaN"), Decimal("NaN"), None, ("", "")),
        (1, Fraction(4, 3), None, ("more than the 0 allowed", "difference 0.333333333333333")),
    ],
)
def test_a_difference_is_told_in_numbers(one: Any, other: Any, tolerance: str | None, told: tuple[str, str]) -> None:
    """What is wrong, and what there is to say; of a share what it comes to."""
    limit = None if tolerance is None else _both("sum", tolerance=tolerance).tolerance
    assert difference(one, other, limit) == told


def test_the_mean_of_doubles_has_the_rounding_of_one() -> None:
    """One last bit of the sum of the sizes, however many values there are; without sizes there is none."""
    one = 2.0**52

    def passes(target: float, **size: float) -> bool:
        sides = {
            side: Numbers({"rows": 4, "found": 1, "total": total, **size})
            for side, total in (("source", 0.0), ("target", target))
        }
        return compared(_both("avg"), "m", sides, shows=True).passed

    assert (passes(1.0, size=one), passes(1.5, size=one), passes(0.5)) == (True, False, False)
    four = {
        side: Numbers({"rows": 4, "found": 4, "total": total, "size": one})
        for side, total in (("source", 0.0), ("target", 6.0))
    }
    assert not compared(_both("avg"), "m", four, shows=True).passed
    few = {side: Numbers({"rows": 4, "found": None, "total": None}) for side in ("source", "target")}
    assert compared(_both("avg"), "m", few, shows=True).passed


def test_doubles_of_queries_may_be_off_by_their_last_ten_bits() -> None:
    """Of the larger one; 2 ** 42 has 1 for these, and `edge` a little less than 1025, which only the other one has."""
    check, big, edge = _check(query={"source": "SELECT 1", "target": "SELECT 1"}), 2.0**42, 1025 * 2.0**42 - 1
    for source, target, passes in (
        (big, big + 1.0, True),
        (big + 1.0, big, True),
        (big, big + 1.0005, False),
        (edge, edge + 1025, True),
        (edge + 1025, edge, True),
        (edge, edge + 1026, False),
        (0, 0.5, False),
    ):
        found = queries_compared(check, "m", {"source": [(source,)], "target": [(target,)]}, "q", shows=True)
        assert (found.passed, found.severity) == (passes, "error")
    lone = queries_compared(check, "m", {"source": [(1,)], "target": []}, "q", shows=True)
    assert (lone.name, lone.table, lone.severity, lone.count) == ("table:c", "m", "error", 1)


def test_a_number_beyond_both_limits_says_both() -> None:
    """They may be written so that none is within."""
    check = _check(compare="nulls", target="b", least=5, most=3)
    assert beyond(check, 4, 9) == ("less than the 5 allowed; more than the 3 allowed", "allowed: least 5, most 3")
    assert beyond(check, None, 9) == ("NULL is within no limit", "")


def test_the_kept_are_what_the_target_holds() -> None:
    """New, equal and replaced rows, which a check says that it looks at where the plan says nothing else."""
    assert tables.KEPT == ("loaded", "unchanged", "updated")
    both = {side: Numbers({"rows": 1}) for side in ("source", "target")}
    assert compared(_check(compare="count"), "m", both, shows=True).covered == "count: rows that the target holds"


def test_what_looks_personal_by_its_columns_name_is_masked() -> None:
    """Though the value alone would say nothing."""
    sides = {side: _numbers(least="Ada Lovelace") for side in ("source", "target")}
    check = _check(compare="min", source="email", target="email")
    assert "Lovelace" not in compared(check, "m", sides, shows=True).detail


def test_queries_tell_each_value_and_what_was_allowed() -> None:
    """A pair that agrees says so where values may not stand."""
    check = _check(query={"source": "SELECT 1", "target": "SELECT 1"}, tolerance="1", then="warn")
    both = {"source": [(1, "a", None)], "target": [(3, "a", None)]}
    shown = queries_compared(check, "m", both, "q", shows=True)
    assert (shown.count, shown.severity, shown.name, shown.covered) == (1, "warning", "table:c", "q")
    assert shown.detail == (
        "value 1: source 1, target 3, difference 2, allowed 1, more than the 1 allowed; "
        "value 2: source 'a', target 'a'; value 3: source NULL, target NULL"
    )
    hidden = queries_compared(check, "m", both, "q", shows=False)
    assert hidden.detail == "value 1, more than the 1 allowed; value 2, agrees; value 3, agrees"
    refused = queries_compared(check, "m", {"source": [(1, 2)], "target": []}, "q", shows=True)
    assert refused.detail.endswith("(source: 1 row of 2 values, target: no row)")
    refused = queries_compared(check, "m", {"source": [(1, 2)], "target": [(1,), (2,)]}, "q", shows=True)
    assert (refused.severity, refused.detail.endswith("target: several rows)")) == ("warning", True)


def test_rows_that_a_query_found_are_told() -> None:
    """With a limit or without."""
    found = rows_found(_check(query={"target": "SELECT 1"}, most=5, then="warn"), "m", 6, 20, ["k"], "q")
    assert (found.detail, found.severity, found.count, found.sample_keys) == (
        "6 rows found, allowed 5",
        "warning",
        6,
        ("k",),
    )
    found = rows_found(_check(query={"target": "SELECT 1"}), "m", 1, 20, ["k"], "q")
    assert (found.detail, found.severity, found.name) == ("1 row found", "error", "table:c")
    assert rows_found(_check(query={"target": "SELECT 1"}, most=5), "m", 5, 20, ["k"], "q").count == 0
