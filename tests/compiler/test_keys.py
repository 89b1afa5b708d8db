"""Parents' keys and fates, references to them, and the maps of names."""

import uuid
from pathlib import Path

import pytest

from tests.compiler.workbench import Workbench, column, fates, plan_of
from transhume.compiler import compile_distinct, compile_parent_keys, needs, relation_columns, scope
from transhume.facts import Need
from transhume.schema import BIGINT, TEXT, UUID

_FAMILY = """
tables:
  child:
    from: c
    key: id
    create: true
    columns: {{u: {{uuid: id}}, p: {{ref: {ref}, table: parent{otherwise}}}}}
  parent:
    from: p
    key: {key}
    where: live
    create: true
    types: {{n: bigint not null}}
    columns: {{u: {{uuid: {key}}}, n: n}}
"""


def _family(folder: Path, ref: str = "p", key: str = "id", otherwise: str = "") -> Workbench:
    return Workbench(folder, plan_of(_FAMILY.format(ref=ref, key=key, otherwise=otherwise)))


def test_a_reference_is_loaded_only_with_its_parent(tmp_path: Path) -> None:
    """A child of a loaded parent gets its UUID; of none, a rejected or a filtered one, the reason that says so."""
    bench = _family(tmp_path)
    bench.table(
        "p",
        [column("id", "bigint"), column("n", "bigint"), column("live", "boolean")],
        [
            {"id": 1, "n": 1, "live": True},
            {"id": 2, "n": None, "live": True},
            {"id": 3, "n": 1, "live": False},
            {"id": 4, "n": 1, "live": True},
            {"id": 4, "n": 1, "live": False},
        ],
    )
    references = [1, 2, 3, 4, 5, None]
    bench.table(
        "c", [column("id", "bigint"), column("p", "bigint")], [{"id": i, "p": p} for i, p in enumerate(references)]
    )
    rows = bench.run()["child"]
    assert fates(rows) == [
        ("loaded", None),
        ("rejected", "parent_rejected:p"),
        ("rejected", "parent_filtered:p"),
        ("loaded", None),
        ("rejected", "orphan:p"),
        ("loaded", None),
    ]
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "transhume:AI_Research_DB_Legacy")
    assert [rows[place]["p"] for place in (0, 3, 5)] == [
        uuid.uuid5(namespace, "p|1:1"),
        uuid.uuid5(namespace, "p|1:4"),
        None,
    ]


def test_a_text_finds_an_integer_key_and_a_uuid_key_its_text(tmp_path: Path) -> None:
    """Child and parent keys of different types are compared as key texts, exactly."""
    parent_id = uuid.UUID("64da5dfe-c75a-5e2a-b8a5-aed95e115142")
    for kind, key, references in (
        ("bigint", 12, ["12", "012", " 12", "x"]),
        ("uuid", parent_id, [str(parent_id), str(parent_id).upper()]),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        bench = _family(folder)
        bench.table(
            "p",
            [column("id", kind), column("n", "bigint"), column("live", "boolean")],
            [{"id": key, "n": 1, "live": True}],
        )
        rows = [{"id": place, "p": reference} for place, reference in enumerate(references)]
        bench.table("c", [column("id", "bigint"), column("p", "text")], rows)
        found = fates(bench.run()["child"])
        assert found == [("loaded", None), *[("rejected", "orphan:p")] * (len(references) - 1)]


def test_an_integer_finds_a_text_key_of_its_digits(tmp_path: Path) -> None:
    """An integer reference is compared with a text key by its digits, and finds no UUID."""
    for kind, key, found in (
        ("text", "12", "loaded"),
        ("text", "012", "rejected"),
        ("uuid", uuid.UUID(int=12), "rejected"),
    ):
        folder = tmp_path / f"{kind}{key}"
        folder.mkdir()
        bench = _family(folder)
        columns = [column("id", kind), column("n", "bigint"), column("live", "boolean")]
        bench.table("p", columns, [{"id": key, "n": 1, "live": True}])
        bench.table("c", [column("id", "bigint"), column("p", "bigint")], [{"id": 1, "p": 12}])
        assert [fate for fate, _ in fates(bench.run()["child"])] == [found]


def test_composite_references_match_part_by_part(tmp_path: Path) -> None:
    """All parts must be equal; a NULL part means no reference."""
    bench = _family(tmp_path, ref="[a, b]", key="[x, y]", otherwise=", else: 'null'".replace("'null'", "null"))
    bench.table(
        "p",
        [column("x", "int"), column("y", "text"), column("n", "bigint"), column("live", "boolean")],
        [{"x": 1, "y": "a", "n": 1, "live": True}, {"x": 1, "y": "b", "n": 1, "live": True}],
    )
    rows = [{"id": 1, "a": 1, "b": "a"}, {"id": 2, "a": 2, "b": "a"}, {"id": 3, "a": None, "b": "a"}]
    bench.table("c", [column("id", "bigint"), column("a", "bigint"), column("b", "text")], rows)
    found = bench.run()["child"]
    assert [fate for fate, _ in fates(found)] == ["loaded"] * 3
    assert [row["p"] is None for row in found] == [False, True, True]


def test_an_integer_reference_is_compared_as_an_integer(tmp_path: Path) -> None:
    """Where both sides are integers no text is made for the comparison."""
    bench = _family(tmp_path)
    bench.table(
        "p", [column("id", "int"), column("n", "bigint"), column("live", "boolean")], [{"id": 1, "n": 1, "live": True}]
    )
    bench.table("c", [column("id", "bigint"), column("p", "bigint")], [{"id": 1, "p": 1}])
    bench.run()
    tree = bench.tree("child")
    assert '"r' in bench.sql(tree)
    assert "as text" not in bench.sql(tree)


def test_of_several_rows_with_one_key_the_best_fate_counts(tmp_path: Path) -> None:
    """Loaded wins over rejected, rejected over filtered; rows that a fixpoint lost count as rejected."""
    bench = _family(tmp_path)
    bench.table("p", [column("id", "bigint"), column("n", "bigint"), column("live", "boolean")], [])
    made = [(1, "filtered"), (1, "loaded"), (2, "rejected"), (2, "filtered"), (3, "loaded"), (None, "loaded")]
    paths = bench.fates_file([(row, key, fate) for row, (key, fate) in enumerate(made)])
    lost = bench.fates_file([(4, 3, "loaded")])
    tree = compile_parent_keys(bench.plan, bench.plan.tables["parent"], bench.facts, [paths], [lost])
    found = bench.query(tree)
    assert [(row["k0"], row["fate"]) for row in found] == [(1, "loaded"), (2, "rejected"), (3, "rejected")]
    assert all(row["uuid"] is not None for row in found)


def test_relations_say_their_columns(tmp_path: Path) -> None:
    """The columns of the relations that the compiler makes are known before they are made."""
    bench = _family(tmp_path)
    bench.table("p", [column("id", "int"), column("n", "bigint"), column("live", "boolean")], [])
    parents = relation_columns(bench.plan.tables["parent"], Need("parents", "parent"), bench.facts)
    assert {name: str(kind) for name, kind in parents.items()} == {"k0": "int", "uuid": str(UUID), "fate": str(TEXT)}


def test_name_maps_of_two_mappings_stay_apart(tmp_path: Path) -> None:
    """Two mappings that read the same column name from different tables have a map of their own values each."""
    plan = plan_of("""
lookups: {algorithms: {Random Forest: [RF], XGBoost: [XGB]}}
tables:
  one: {from: a, key: id, create: true, columns: {u: {uuid: id}, algo: {names: algo, in: algorithms}}}
  two: {from: b, key: id, create: true, columns: {u: {uuid: id}, algo: {names: algo, in: algorithms}}}
""")
    bench = Workbench(tmp_path, plan)
    bench.table(
        "a", [column("id", "bigint"), column("algo", "text")], [{"id": 1, "algo": "rf"}, {"id": 2, "algo": None}]
    )
    bench.table(
        "b", [column("id", "bigint"), column("algo", "text")], [{"id": 1, "algo": "xgb"}, {"id": 2, "algo": "?"}]
    )
    found = bench.run()
    assert [row["algo"] for row in found["one"]] == ["Random Forest", None]
    assert fates(found["two"]) == [("loaded", None), ("rejected", "unmapped:algo")]
    need = next(need for need in needs(plan.tables["one"]) if need.kind == "names")
    raw = bench.query(compile_distinct(plan, plan.tables["one"], need, bench.facts))
    assert raw == [{"raw": "rf", "row_count": 1}]
    assert BIGINT in relation_columns(plan.tables["one"], Need("duplicates", "one"), bench.facts).values()


def test_large_relations_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting a relation to the keys of a batch, and computing in small ones, changes no row."""
    found = []
    for limits in ((0, 10**9), (10**9, -1)):
        monkeypatch.setattr(scope, "SMALL_ROWS_MAX", limits[0])
        monkeypatch.setattr(scope, "LARGE_ROWS_MIN", limits[1])
        folder = tmp_path / str(limits[0])
        folder.mkdir()
        bench = _family(folder)
        bench.table(
            "p",
            [column("id", "bigint"), column("n", "bigint"), column("live", "boolean")],
            [{"id": key, "n": 1 if key % 3 else None, "live": key % 5 != 0} for key in range(40)],
        )
        rows = [{"id": place, "p": str(place * 7 % 50)} for place in range(30)]
        bench.table("c", [column("id", "bigint"), column("p", "text")], rows, segment_rows=10)
        found.append(bench.run())
    assert found[0] == found[1]
    assert {fate for fate, _ in fates(found[0]["child"])} == {"loaded", "rejected"}
