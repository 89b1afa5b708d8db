"""Parents' keys that nobody asks for are left out, and nothing that is seen of a row changes."""

import uuid
from pathlib import Path

import pytest

from tests.compiler.workbench import Workbench, column, fates, plan_of
from transhume.compiler import asked_for, compile_duplicates, compile_parent_keys

_PLAN = """
tables:
  parent: {from: p, key: id, create: true, types: {n: bigint not null}, columns: {u: {uuid: id}, n: n}}
  child: {from: c, key: id, create: true, columns: {u: {uuid: id}, p: {ref: p, table: parent}}}
  other:
    from: o
    key: id
    create: true
    columns: {u: {uuid: id}, p: {coalesce: [{ref: a, table: parent, else: null}, {ref: b, table: parent}]}}
"""
_PAIRS = """
tables:
  parent: {from: p, key: [x, y], create: true, types: {n: bigint not null}, columns: {u: {uuid: [x, y]}, n: n}}
  child: {from: c, key: id, create: true, columns: {u: {uuid: id}, p: {ref: [a, b], table: parent}}}
"""
_JOINED = """
tables:
  parent: {from: p, key: id, create: true, types: {n: bigint not null}, columns: {u: {uuid: id}, n: n}}
  child:
    from: c
    key: id
    create: true
    join: {far: {from: o, on: {id: id}}}
    columns: {u: {uuid: id}, p: {ref: far.a, table: parent}}
"""
_UNREFERENCED = 10**9


def _look(monkeypatch: pytest.MonkeyPatch, *, always: bool) -> None:
    monkeypatch.setattr(asked_for, "LARGE_ROWS_MIN", 0)
    monkeypatch.setattr(asked_for, "MUCH_SMALLER", 0 if always else _UNREFERENCED)


def _family(folder: Path, kind: str, asks: str, plan: str = _PLAN) -> Workbench:
    """Parents 0 to 39, every third rejected; children ask for some, for some that are not there, and for nothing."""
    folder.mkdir()
    bench = Workbench(folder, plan_of(plan))

    def key(number: int | None, of: str) -> object:
        if number is None:
            return None
        return {"bigint": number, "text": str(number), "uuid": uuid.UUID(int=number)}[of]

    def asked(number: int | None) -> object:
        return (
            str(uuid.UUID(int=number)) if (kind, asks) == ("uuid", "text") and number is not None else key(number, asks)
        )

    parents = [{"id": key(n, kind), "n": n if n % 3 else None} for n in range(40)]
    bench.table("p", [column("id", kind), column("n", "bigint")], parents, segment_rows=15)
    own = [{"id": n, "p": asked(n * 5 if n else None)} for n in range(12)]
    bench.table("c", [column("id", "bigint"), column("p", asks)], own)
    others = [{"id": n, "a": asked(n + 37), "b": asked(n if n % 2 else None)} for n in range(6)]
    bench.table("o", [column("id", "bigint"), column("a", asks), column("b", asks)], others)
    return bench


@pytest.mark.parametrize(
    ("kind", "asks"),
    [
        ("bigint", "bigint"),
        ("bigint", "text"),
        ("text", "bigint"),
        ("text", "text"),
        ("uuid", "uuid"),
        ("uuid", "text"),
    ],
)
def test_rows_are_the_same_where_only_keys_that_are_asked_for_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, asks: str
) -> None:
    """Whatever the types of both sides, and for nested references too; the relation has the keys asked for alone."""
    found = {}
    for always in (False, True):
        _look(monkeypatch, always=always)
        bench = _family(tmp_path / str(always), kind, asks)
        found[always] = bench.run(), bench.relations["parents:parent"].row_count
    assert found[True][0] == found[False][0]
    assert {fate for fate, _ in fates(found[True][0]["child"])} == {"loaded", "rejected"}
    assert found[False][1] == 40
    # 5, 10 .. 35 by children; 37, 38, 39 and 1, 3 by others (5 stands already); 40 and more are not there.
    assert found[True][1] == 7 + 3 + 2


def test_a_key_of_several_parts_is_asked_for_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair stands if some row asks for its first part and some row for its second; rows are the same."""
    found = {}
    for always in (False, True):
        _look(monkeypatch, always=always)
        folder = tmp_path / str(always)
        folder.mkdir()
        bench = Workbench(folder, plan_of(_PAIRS))
        pairs = [{"x": x, "y": y, "n": 1 if x else None} for x in range(4) for y in "abc"]
        bench.table("p", [column("x", "int"), column("y", "text"), column("n", "bigint")], pairs)
        rows = [{"id": 1, "a": 1, "b": "a"}, {"id": 2, "a": 0, "b": "b"}, {"id": 3, "a": 9, "b": "c"}]
        rows += [{"id": 4, "a": 2, "b": None}]
        bench.table("c", [column("id", "bigint"), column("a", "bigint"), column("b", "text")], rows)
        found[always] = bench.run(), bench.relations["parents:parent"].row_count
    assert found[True][0] == found[False][0]
    assert [fate for fate, _ in fates(found[True][0]["child"])] == ["loaded", "rejected", "rejected", "loaded"]
    # x is 0 or 1 (9 is not there, and a pair with NULL asks for nothing), y is a, b or c.
    assert (found[False][1], found[True][1]) == (12, 6)


def test_a_reference_by_a_joined_column_asks_for_any_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extract of the child alone does not say which keys that are."""
    _look(monkeypatch, always=True)
    bench = _family(tmp_path / "p", "bigint", "bigint", _JOINED)
    bench.run()
    assert bench.relations["parents:parent"].row_count == 40


def test_a_table_whose_references_are_all_empty_has_no_row_in_the_relation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks: no key stands, and the children are loaded."""
    _look(monkeypatch, always=True)
    bench = _family(tmp_path / "p", "bigint", "bigint")
    bench.table("c", [column("id", "bigint"), column("p", "bigint")], [{"id": 1, "p": None}])
    bench.table("o", [column("id", "bigint"), column("a", "bigint"), column("b", "bigint")], [])
    assert fates(bench.run()["child"]) == [("loaded", None)]
    assert bench.relations["parents:parent"].row_count == 0


def test_rows_that_reference_their_own_table_are_not_fewer(tmp_path: Path) -> None:
    """A table that asks itself has as many rows as it asks: nothing is looked for, whatever its size."""
    plan = plan_of("""
tables:
  staff: {from: s, key: id, create: true, columns: {u: {uuid: id}, boss: {ref: boss, table: staff}}}
""")
    bench = Workbench(tmp_path, plan)
    bench.table("s", [column("id", "bigint"), column("boss", "bigint")], [{"id": n, "boss": n // 2} for n in range(9)])
    assert asked_for.keys_asked_for(plan, plan.tables["staff"], bench.facts) is None


def test_keys_are_grouped_only_where_one_may_stand_twice(tmp_path: Path) -> None:
    """The search for duplicates has shown that each stands once; rows that it leaves out are not known."""
    bench = _family(tmp_path / "p", "bigint", "bigint")
    parent = bench.plan.tables["parent"]

    def sql() -> str:
        return bench.sql(compile_parent_keys(bench.plan, parent, bench.facts, ["fates"]))

    assert "GROUP BY" in sql()
    bench.build("parent")
    assert "GROUP BY" not in sql()
    parent = parent.model_copy(update={"where": "n > 1"})
    assert "GROUP BY" in sql()


@pytest.mark.parametrize("shares", [2, 3, 50])
def test_duplicates_of_all_shares_are_those_of_the_whole(tmp_path: Path, shares: int) -> None:
    """Every key that stands twice is in exactly one share's result, odd values and keys of two parts included."""
    bench = Workbench(tmp_path, plan_of(_PAIRS), shares=shares)
    rows: list[dict[str, object]] = [{"x": n % 60, "y": "ab"[n % 2], "n": 1} for n in range(75)]
    rows += [{"x": "7", "y": "b", "n": 1}, {"x": None, "y": "a", "n": 1}, {"x": None, "y": "a", "n": 1}]
    bench.table("p", [column("x", "bigint"), column("y", "text"), column("n", "bigint")], rows, segment_rows=20)
    bench.table("c", [column("id", "bigint"), column("a", "bigint"), column("b", "text")], [])
    bench.build("parent")
    whole = bench.query(compile_duplicates(bench.plan, bench.plan.tables["parent"], bench.facts))
    of_shares = bench.rows_of("duplicates:parent")
    # 0 to 14 stand twice with the same letter, since 60 is even; the text '7' is the integer 7.
    expected = sorted((str(n), "ab"[n % 2]) for n in range(15))
    assert sorted((row["k0"], row["k1"]) for row in whole) == expected
    assert sorted((row["k0"], row["k1"]) for row in of_shares) == expected
