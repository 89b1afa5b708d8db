"""Joins, pivots and what hangs on them: compiled SELECTs against plain loops, on nasty keys and values."""

import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.workbench import Broken, Row, Workbench, column, fates, odd_entry, plan_of
from transhume.oracle import Odd, Oracle, Relatives
from transhume.schema import Carrier, physical_names

_PIVOT = """
tables:
  t:
    from: s
    key: id
    create: true
    types: {{id: bigint primary key, owner: text, size: bigint}}
    join:
      tag: {{from: tags, on: {{run: id}}, pivot: {{name: k, value: v, take: {{owner: user, size: bytes}}}}{more}}}
    columns: {{id: id, owner: tag.owner, size: tag.size}}
"""


def _pivoted(folder: Path, rows: list[Row], more: str = "", kind: str = "text") -> list[dict[str, Any]]:
    bench = Workbench(folder, plan_of(_PIVOT.format(more=more)))
    bench.table("s", [column("id", "bigint")], [{"id": 1}, {"id": 2}, {"id": 3}])
    columns = [column("run", "bigint"), column("k", "text"), column("v", kind), column("n", "bigint")]
    bench.table("tags", columns, rows)
    return bench.transform("t")


def _taken(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["owner"], row["size"], row["_reasons"]) for row in rows]


def test_a_pivot_takes_the_value_beside_each_key(tmp_path: Path) -> None:
    """Each taken key becomes a column; other keys, other cases and rows of nobody are none of its business."""
    rows = [
        {"run": 1, "k": "user", "v": "ann"},
        {"run": 1, "k": "bytes", "v": "17"},
        {"run": 1, "k": "User", "v": "other case"},
        {"run": 2, "k": "bytes", "v": None},
        {"run": None, "k": "user", "v": "nobody"},
    ]
    assert _taken(_pivoted(tmp_path, rows)) == [("ann", 17, None), (None, None, None), (None, None, None)]


def test_a_key_that_stands_twice_is_ambiguous(tmp_path: Path) -> None:
    """Two rows of a taken key reject the row, whatever their values; two of another key do not."""
    rows = [
        {"run": 1, "k": "user", "v": "ann"},
        {"run": 1, "k": "user", "v": "ann"},
        {"run": 2, "k": "user", "v": "bob"},
        {"run": 2, "k": "note", "v": "a"},
        {"run": 2, "k": "note", "v": "b"},
    ]
    found = _pivoted(tmp_path, rows, ", ignore: [note]")
    assert _taken(found)[:2] == [(None, None, "ambiguous:tag"), ("bob", None, None)]


def test_no_row_of_the_key_rejects_where_the_plan_says_so(tmp_path: Path) -> None:
    """`none: reject` means no row at all: one with another key is a row."""
    rows = [{"run": 1, "k": "user", "v": "ann"}, {"run": 2, "k": "note", "v": "b"}]
    found = _pivoted(tmp_path, rows, ", none: reject")
    assert fates(found) == [("loaded", None), ("loaded", None), ("rejected", "no_match:tag")]


def test_where_chooses_the_rows_of_a_pivot(tmp_path: Path) -> None:
    """Rows that `where` leaves out take no part; one that it cannot read makes its key ambiguous."""
    rows = [
        {"run": 1, "k": "user", "v": "old", "n": 0},
        {"run": 1, "k": "user", "v": "new", "n": 1},
        {"run": 2, "k": "user", "v": "?", "n": "?"},
        {"run": 3, "k": "note", "v": "?", "n": "?"},
    ]
    found = _pivoted(tmp_path, rows, ", where: n = 1")
    assert _taken(found) == [("new", None, None), (None, None, "ambiguous:tag"), (None, None, None)]


def test_values_of_another_class_are_read_like_own_ones(tmp_path: Path) -> None:
    """A pivoted value keeps its storage class: an integer is read as its digits, a blob rejects by the alias's name."""
    rows = [
        {"run": 1, "k": "user", "v": 7},
        {"run": 1, "k": "bytes", "v": 8.5},
        {"run": 2, "k": "user", "v": b"\0"},
        {"run": 3, "k": "user", "v": Broken(b"\xff")},
    ]
    found = _pivoted(tmp_path, rows)
    assert [row["_reasons"] for row in found] == ["bad_integer:tag.size", "blob:tag.owner", "bad_encoding:tag.owner"]


_OUT = {"filtered", "deduplicated"}
_ALL = """
lookups: {names: {Ann: [ann], Bob: []}}
tables:
  far:
    from: f
    key: id
    create: true
    columns: {u: {uuid: id}, id: id}
  t:
    from: s
    key: [id, mid.name]
    where: mid.state <> 'gone' or mid.state is null
    dedupe: {by: [mid, mid.name], first: {side: [left, right]}, latest: at}
    create: true
    types: {u: uuid primary key, who: text, size: bigint, mid_n: bigint, far_v: text, best: "decimal(6,2)", up: uuid}
    join:
      mid: {from: m, on: {id: mid}, none: reject}
      far: {from: f, on: {id: mid.far}}
      tag: {from: g, on: {run: mid.far}, where: n > 0, pivot: {name: k, value: v, take: {who: user, size: bytes}}}
      best: {from: b, on: {run: id}, first: {k: [acc, r2]}, latest: at}
    columns:
      u: {uuid: [id, mid.name]}
      who: {names: tag.who, in: names, else: keep}
      size: {coalesce: [tag.size, mid.n]}
      mid_n: mid.n
      far_v: {prefix: far.v, with: "v:", when_null: prefix}
      best: best.v
      up: {ref: mid.far, table: far, else: null}
"""


def _random_bench(folder: Path, seed: int) -> Workbench:
    chance = random.Random(seed)
    keys: list[Any] = [1, 2, 3, 4, 5, "1", "two", None, 2.0, b"\1", Broken(b"\xff"), 10**18]

    def pick(*values: Any) -> Any:
        return chance.choice(values)

    bench = Workbench(folder, plan_of(_ALL))
    near = [1, 2, 3, 4, 5] * 6
    own = [{"id": chance.choice([*range(400), "7", None]), "mid": chance.choice(near + keys * 3)} for _ in range(160)]
    for row in own:
        row |= {"side": pick("left", "left", "right", "up", None), "at": pick(*range(30), 7, 8, None, "never")}
    columns = [column("id", "bigint"), column("mid", "bigint"), column("side", "text"), column("at", "bigint")]
    bench.table("s", columns, own, segment_rows=70)
    middle = [
        {
            "id": key,
            "name": pick("a", "b|1:", "", "c", None),
            "state": pick("on", "on", "gone", None),
            "far": chance.choice(near + keys),
            "n": pick(1, 1, 1, 2**63 - 1, "x", None),
        }
        for key in [*keys, chance.choice(keys), chance.choice(keys)]
    ]
    columns = [column("id", "bigint"), column("name", "text"), column("state", "text")]
    bench.table("m", [*columns, column("far", "bigint"), column("n", "bigint")], middle)
    far = [{"id": key, "v": pick("x", "", None, 7)} for key in keys if not isinstance(key, float)]
    bench.table("f", [column("id", "bigint"), column("v", "text")], far)
    tags = [
        {
            "run": chance.choice(keys[:9]),
            "k": pick("user", "bytes", "note", "stage", None, b"user"),
            "v": pick("ann", "Bob", " 17", " 17", "18", "1e3", None, 5, 6, b"\0", Broken(b"\xfe")),
            "n": pick(1, 1, 1, 1, 0, None, "?"),
        }
        for _ in range(14)
    ]
    bench.table("g", [column("run", "bigint"), column("k", "text"), column("v", "text"), column("n", "bigint")], tags)
    best = [
        {
            "run": chance.choice([*range(400), "7"]),
            "k": pick("acc", "r2", "ACC", None),
            "at": pick("2024-01-01 00:00:00", "2024-01-02 00:00:00", None, "soon"),
            "v": pick("0.50", "1e1", "0.555", None),
        }
        for _ in range(240)
    ]
    columns = [column("run", "bigint"), column("k", "text"), column("at", "timestamp", carrier=Carrier.TEXT)]
    bench.table("b", [*columns, column("v", "decimal(9,3)", carrier=Carrier.TEXT)], best)
    return bench


def as_extracted(bench: Workbench, table: str) -> list[dict[str, Any]]:
    """Return the rows that were written of a table as the oracle takes them."""
    rows = []
    for row in bench.written[table]:
        made = dict(row)
        for each in bench.extracts[table].table.columns:
            entry = odd_entry(each, row.get(each.name))
            made[each.name] = Odd(entry["class"], entry["value"]) if entry is not None else row.get(each.name)
        rows.append(made)
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_the_engine_and_the_oracle_join_alike(tmp_path: Path, seed: int) -> None:
    """Chains of joins, pivots, choices, a filter and a key through a join: both sides say the same of every row."""
    bench = _random_bench(tmp_path, seed)
    rows = {name: as_extracted(bench, name) for name in bench.extracts}
    relatives = Relatives(bench.plan, bench.catalog.tables, rows)
    parents: Counter[str] = Counter(_text(row["id"]) for row in rows["f"])
    mapping = bench.plan.tables["t"]
    oracle = Oracle(
        bench.plan,
        mapping,
        bench.target("t"),
        bench.catalog.tables,
        parent_fate=lambda _mapping, key: (None, "loaded", "rejected")[min(parents[key[0]], 2)],
    )
    joined = [relatives.joined(mapping, row) for row in rows["s"]]
    said = relatives.deduplicated(mapping)
    told = zip(rows["s"], joined, said, strict=True)
    first = [oracle.expected_row(row, others, dedupe=lost) for row, others, lost in told]
    keys = [
        tuple(oracle.read(row, others).key_part(name).value for name in mapping.key)
        for row, others in zip(rows["s"], joined, strict=True)
    ]
    seen = Counter(key for key, one in zip(keys, first, strict=True) if one.fate not in _OUT and None not in key)
    found = bench.run()["t"]
    names = physical_names(each.name for each in bench.target("t").table.columns)
    fates_seen: Counter[str] = Counter()
    for row, others, lost, key, made in zip(rows["s"], joined, said, keys, found, strict=True):
        expected = oracle.expected_row(row, others, duplicate=seen[key] > 1, dedupe=lost)
        fates_seen[expected.fate] += 1
        told = tuple(made["_reasons"].split("\n")) if made["_reasons"] else ()
        assert (made["_fate"], told) == (expected.fate, expected.reasons), (row, others)
        if expected.fate == "loaded":
            got = {name: made[physical] for name, physical in names.items()}
            assert {name: _plain(value) for name, value in got.items()} == {
                name: _plain(value) for name, value in expected.values.items()
            }
    assert fates_seen["rejected"] > 2
    assert len(fates_seen) > 1


def _text(value: Any) -> str:
    """Return the text of a key; an integer's and a text's may be equal."""
    return value.content.decode(errors="replace") if isinstance(value, Odd) else str(value)


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, float | Decimal) else value
