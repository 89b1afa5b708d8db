"""What becomes of each row: fates, reasons and their order, values, keys; expectations are written by hand."""

import uuid
from pathlib import Path

import pytest
from sqlglot import exp

from tests.compiler.workbench import Broken, Row, Workbench, column, fates, plan_of, values
from transhume import operations as op
from transhume.compiler import compile_transform
from transhume.plan.model import Plan
from transhume.rules.copy import Copy
from transhume.rules.rule import ColumnRef, RuleProblem

_NAMES = [
    "it's",
    'say "hi"',
    "two words",
    "Case",
    "case",
    "_row",
    "_odd",
    "_k0",
    "l0",
    "v1",
    "r1",
    "a;b--",
    "ключ",
    "%s {x}",
]


def _bench(folder: Path, plan: str, columns: dict[str, str], rows: list[Row]) -> Workbench:
    bench = Workbench(folder, plan_of(plan))
    bench.table("s", [column(name, kind) for name, kind in columns.items()], rows)
    return bench


def test_the_golden_uuids_of_the_key(tmp_path: Path) -> None:
    """The UUID of source table and key is RFC 9562's version 5 (values from Python's uuid module)."""
    plan = plan_of("""
tables:
  m: {from: models, key: id, create: true, columns: {u: {uuid: id}, id: id}}
""")
    bench = Workbench(tmp_path, plan)
    bench.table("models", [column("id", "bigint")], [{"id": 1}, {"id": 1017}, {"id": -5}])
    assert values(bench.transform("m"), "u") == [
        (uuid.UUID("da3e586a-4bd1-55fc-925f-433257c8c5c4"),),
        (uuid.UUID("64da5dfe-c75a-5e2a-b8a5-aed95e115142"),),
        (uuid.UUID("c3706b0f-a13f-5ec7-a2b9-2eb2f4c12860"),),
    ]


def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    """Columns whose names hold quotes, spaces, our own names or differ in case only keep their values apart."""
    plan = """
tables:
  t: {from: s, key: id, create: true, types: {id: bigint primary key}, columns: {id: id}}
"""
    bench = Workbench(tmp_path, _with_copies(plan_of(plan), _NAMES))
    row = {"id": 1, **{name: f"<{name}>" for name in _NAMES}}
    bench.table("s", [column("id", "bigint"), *(column(name, "text") for name in _NAMES)], [row])
    (found,) = bench.transform("t")
    assert found["_fate"] == "loaded"
    assert list(found.values())[4:] == [1, *(f"<{name}>" for name in _NAMES)]


def _with_copies(plan: Plan, names: list[str]) -> Plan:
    """Return the plan with copies of columns whose names YAML would need quotes for."""
    mapping = plan.tables["t"]
    columns = {**mapping.columns, **{name: Copy(column=ColumnRef(name)) for name in names}}
    return plan.model_copy(update={"tables": {"t": mapping.model_copy(update={"columns": columns})}})


def test_reasons_stand_in_the_order_of_the_rules(tmp_path: Path) -> None:
    """All reasons of a row are told, each once: key, columns as the plan lists them, checks; joined by line feeds."""
    bench = _bench(
        tmp_path,
        """
tables:
  t:
    from: s
    key: id
    create: true
    types: {id: bigint primary key, b: int not null, a: text(3) not null, c: boolean}
    columns: {id: id, b: b, a: a, c: c, again: {coalesce: [b]}}
    checks: [{name: b_small, sql: b < 10}, {name: told, sql: b < 20, then: warn}]
""",
        {"id": "bigint", "a": "text", "b": "bigint", "c": "text"},
        [
            {"id": 1, "a": "xyz", "b": 5, "c": "1"},
            {"id": None, "a": "long\0", "b": 2**40, "c": "maybe"},
            {"id": 3, "a": None, "b": 11, "c": None},
            {"id": 4, "a": "", "b": None, "c": ""},
        ],
    )
    assert fates(bench.transform("t")) == [
        ("loaded", None),
        (
            "rejected",
            "null_key:id\nnull:id\nout_of_range:b\nnul_character:a\ntoo_long:a\nbad_boolean:c",
        ),
        ("rejected", "null:a\ncheck:b_small"),
        ("rejected", "null:b\nbad_boolean:c"),
    ]


def test_filtered_wins_over_rejected_unless_the_filter_cannot_be_read(tmp_path: Path) -> None:
    """`where` FALSE or NULL filters a row whatever else is wrong; a value that `where` cannot read rejects it."""
    bench = _bench(
        tmp_path,
        "tables: {t: {from: s, key: id, create: true, where: archived = 0, types: {id: bigint primary key, "
        "n: bigint not null}, columns: {id: id, n: n}}}",
        {"id": "bigint", "n": "bigint", "archived": "bigint"},
        [
            {"id": 1, "n": 1, "archived": 0},
            {"id": 2, "n": None, "archived": 1},
            {"id": 3, "n": None, "archived": None},
            {"id": 4, "n": 1, "archived": "no"},
            {"id": 5, "n": None, "archived": b"\0"},
            {"id": 6, "n": 6, "archived": "0"},
        ],
    )
    assert fates(bench.transform("t")) == [
        ("loaded", None),
        ("filtered", None),
        ("filtered", None),
        ("rejected", "bad_integer:archived"),
        ("rejected", "blob:archived\nnull:n"),
        ("loaded", None),
    ]


def test_duplicates_are_counted_among_rows_that_are_not_filtered(tmp_path: Path) -> None:
    """Every row of a key that two unfiltered rows have is rejected; a filtered twin does no harm."""
    bench = _bench(
        tmp_path,
        "tables: {t: {from: s, key: [a, b], create: true, where: live, types: {u: uuid primary key}, "
        "columns: {u: {uuid: [a, b]}, v: v}}}",
        {"a": "bigint", "b": "text", "v": "text", "live": "boolean"},
        [
            {"a": 1, "b": "x", "v": "first", "live": True},
            {"a": 1, "b": "x", "v": "second", "live": True},
            {"a": 1, "b": "X", "v": "case matters", "live": True},
            {"a": 2, "b": "x", "v": "kept", "live": True},
            {"a": 2, "b": "x", "v": "left out", "live": False},
            {"a": 3, "b": None, "v": "no key", "live": True},
            {"a": 3, "b": None, "v": "no key either", "live": True},
        ],
    )
    assert fates(bench.transform("t")) == [
        ("rejected", "duplicate_key:a,b"),
        ("rejected", "duplicate_key:a,b"),
        ("loaded", None),
        ("loaded", None),
        ("filtered", None),
        ("rejected", "null_key:b"),
        ("rejected", "null_key:b"),
    ]


def test_keys_of_two_classes_are_compared_as_texts(tmp_path: Path) -> None:
    """Where one key value is text among integers, keys are texts: '12' and 12 are one key, '012' is another."""
    bench = _bench(
        tmp_path,
        "tables: {t: {from: s, key: id, create: true, columns: {u: {uuid: id}, v: v}}}",
        {"id": "bigint", "v": "text"},
        [{"id": 12}, {"id": "12"}, {"id": "012"}, {"id": Broken(b"\xff")}, {"id": b"12"}],
    )
    rows = bench.transform("t")
    assert [row["_k0"] for row in rows] == ["12", "12", "012", None, None]
    assert fates(rows) == [
        ("rejected", "duplicate_key:id"),
        ("rejected", "duplicate_key:id"),
        ("loaded", None),
        ("rejected", "bad_encoding:id"),
        ("rejected", "blob:id"),
    ]


def test_checks_that_do_not_reject_are_told_of_loaded_rows(tmp_path: Path) -> None:
    """`stop` and `warn` checks leave the row as it is and name themselves, in order, in a column of their own."""
    bench = _bench(
        tmp_path,
        """
tables:
  t:
    from: s
    key: id
    create: true
    types: {id: bigint primary key, n: bigint not null}
    columns: {id: id, n: n}
    checks: [{name: w, sql: n < 10, then: warn}, {name: s, sql: n < 20, then: stop}, {name: r, sql: n < 30}]
""",
        {"id": "bigint", "n": "bigint"},
        [{"id": 1, "n": 1}, {"id": 2, "n": 15}, {"id": 3, "n": 25}, {"id": 4, "n": 35}, {"id": 5, "n": None}],
    )
    rows = bench.transform("t")
    assert [row["_warnings"] for row in rows] == [None, "warn:w", "warn:w\nstop:s", None, None]
    assert [fate for fate, _ in fates(rows)] == ["loaded", "loaded", "loaded", "rejected", "rejected"]


def test_a_check_sees_null_where_a_value_is_bad(tmp_path: Path) -> None:
    """A value that was refused does not fail a check too, and a number that does not fit is not taken for passed."""
    bench = _bench(
        tmp_path,
        """
tables:
  t:
    from: s
    key: id
    create: true
    types: {id: bigint primary key, n: int, big: bigint}
    columns: {id: id, n: n, big: big}
    checks: [{name: small, sql: n < 10}, {name: product, sql: big * 4 > 0}]
""",
        {"id": "bigint", "n": "bigint", "big": "bigint"},
        [{"id": 1, "n": 2**40, "big": 1}, {"id": 2, "n": 1, "big": 2**62}, {"id": 3, "n": None, "big": None}],
    )
    assert fates(bench.transform("t")) == [
        ("rejected", "out_of_range:n"),
        ("rejected", "check:product"),
        ("loaded", None),
    ]


def test_every_row_of_every_segment_comes_once(tmp_path: Path) -> None:
    """Segments are transformed one by one and together give each row of the extract exactly once, in its order."""
    plan = plan_of("tables: {t: {from: s, key: id, create: true, columns: {u: {uuid: id}, id: id}}}")
    bench = Workbench(tmp_path, plan)
    bench.table("s", [column("id", "bigint")], [{"id": place} for place in range(25)], segment_rows=10)
    rows = bench.transform("t")
    assert [row["_row"] for row in rows] == list(range(25))
    assert len({row["u"] for row in rows}) == 25


def test_an_empty_source_table_needs_no_file(tmp_path: Path) -> None:
    """A table without rows has no segment; its relations are empty and whoever references it finds nothing."""
    plan = plan_of("""
tables:
  p: {from: parents, key: id, create: true, columns: {u: {uuid: id}, id: id}}
  c: {from: s, key: id, create: true, columns: {u: {uuid: id}, p: {ref: p, table: p}}}
""")
    bench = Workbench(tmp_path, plan)
    bench.table("parents", [column("id", "uuid")], [])
    bench.table("s", [column("id", "bigint"), column("p", "text")], [{"id": 1, "p": "x"}, {"id": 2, "p": None}])
    assert fates(bench.run()["c"]) == [("rejected", "orphan:p"), ("loaded", None)]


def test_each_value_is_computed_once(tmp_path: Path) -> None:
    """A key's hash, a parse and a regex that several columns and reasons use stand in the SELECT once each."""
    bench = _bench(
        tmp_path,
        """
defaults: {time_zone: UTC}
tables:
  t:
    from: s
    key: id
    create: true
    types: {u: uuid primary key, n: bigint not null, again: bigint, parent: uuid}
    columns:
      u: {uuid: id}
      n: n
      again: n
      at: {utc: at}
      at_again: {utc: at}
      where_to: {path: path, like: "/{a}/{b}.{ext}", to: "s3://{b}/{a}/{b}.{ext}"}
      parent: {ref: n, table: t}
    checks: [{name: positive, sql: n > 0}]
""",
        {"id": "bigint", "n": "text", "at": "text", "path": "text"},
        [{"id": 1, "n": "1", "at": "2024-01-15 10:30:00", "path": "/x/y.z"}],
    )
    bench.settle(("t",))
    target = bench.target("t")
    tree = compile_transform(bench.plan, bench.plan.tables["t"], bench.facts, target, bench.extracts["s"].paths[:1])
    for operation in (op.Uuid5, op.ParseInteger, op.ParseTimestamp, op.TextBeforeLast, op.TextAfterLast):
        assert len(list(tree.find_all(operation))) == 1, operation
    assert len(list(tree.find_all(op.RegexCapture))) == 2
    assert not [capture for capture in tree.find_all(op.RegexCapture) if capture.find_ancestor(exp.Case)]
    assert bench.sql(tree).count("SHA1(") == 1
    # The engine shares the work of the captures of one pattern: once in its own plan.
    assert bench.query_plan(tree).count("regexp_extract(") == 1


def test_a_rule_that_does_not_fit_is_refused_before_any_row(tmp_path: Path) -> None:
    """A join, rule or condition over types that do not go together raises, naming the column."""
    bench = _bench(
        tmp_path,
        "tables: {t: {from: s, key: id, create: true, where: id = 'x', "
        "types: {id: bigint primary key}, columns: {id: id}}}",
        {"id": "bigint"},
        [{"id": 1}],
    )
    with pytest.raises(RuleProblem):
        bench.transform("t")


def test_texts_that_the_plan_itself_makes_are_held_against_the_width(tmp_path: Path) -> None:
    """Labels and prefixes are of known length, and a text that may be too long is still measured row by row."""
    bench = _bench(
        tmp_path,
        """
tables:
  t:
    from: s
    key: id
    create: true
    types: {id: bigint primary key, label: text(5), named: text(21)}
    columns: {id: id, label: {codes: code, to: {a: short, b: longer}}, named: {prefix: n, with: "no."}}
""",
        {"id": "bigint", "code": "text", "n": "bigint"},
        [{"id": 1, "code": "a", "n": 10**17}, {"id": 2, "code": "b", "n": 5}, {"id": 3, "code": "a", "n": 10**18}],
    )
    assert fates(bench.transform("t")) == [("loaded", None), ("rejected", "too_long:code"), ("rejected", "too_long:n")]


def test_a_filter_that_overflows_rejects_unless_it_cannot_be_read_anyway(tmp_path: Path) -> None:
    """A number of `where` that does not fit is told only where every column of it can be read."""
    bench = _bench(
        tmp_path,
        "tables: {t: {from: s, key: id, create: true, where: a * 4 > 0 or b > 1, types: {id: bigint primary key}, "
        "columns: {id: id}}}",
        {"id": "bigint", "a": "bigint", "b": "bigint"},
        [{"id": 1, "a": 2**62, "b": 0}, {"id": 2, "a": 2**62, "b": "x"}, {"id": 3, "a": 1, "b": 0}],
    )
    assert fates(bench.transform("t")) == [
        ("rejected", "out_of_range:a"),
        ("rejected", "bad_integer:b"),
        ("loaded", None),
    ]
