"""Compiled SELECTs against the oracle, which shares no code with the compiler, on rows full of nasty values."""

import datetime as dt
import random
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.workbench import Broken, Row, Workbench, column, odd_entry, plan_of
from transhume.compiler import asked_for
from transhume.oracle import AMBIGUOUS, Expected, Odd, Oracle
from transhume.schema import Carrier, physical_names

_PLAN = """
tables:
  parent: {from: p, key: id, create: true, types: {n: bigint not null}, columns: {u: {uuid: id}, n: n}}
  child:
    from: c
    key: id
    where: keep > 0 or keep is null
    create: true
    types:
      u: uuid primary key
      t: text(6) not null
      t_int: int
      n_int: int
      n_text: text
      n_dec: decimal(4,1)
      n_dbl: double
      d_int: bigint
      d_dbl: double not null
      m_dec: decimal(6,2)
      m_int: int
      m_text: text(5)
      m_dbl: double
      when: timestamp
      id_text: text(36)
    join: {far: {from: f, on: {k: t}, none: reject}}
    columns:
      u: {uuid: id}
      t: t
      t_int: t
      n_int: n
      n_text: n
      n_dec: n
      n_dbl: n
      d_int: d
      d_dbl: {coalesce: [d, n]}
      m_dec: m
      m_int: m
      m_text: m
      m_dbl: m
      when: {coalesce: [w, far.w]}
      id_text: g
      id_uuid: g
      far: far.v
      parent: {ref: n, table: parent}
      said: {concat: [t, n], with: "-", skip_null: true}
    checks:
      - {name: small, sql: n_int < 1000 and m_dec * 2 <> 7}
      - {name: known, sql: t_int is null or t_int <> 12, then: warn}
      - {name: product, sql: d_int * d_int >= 0, then: stop}
"""

_TEXTS = [
    "",
    "a",
    "12",
    " 12",
    "012",
    "-7",
    "1e3",
    "99999999999",
    "日本語",
    "toolong",
    "a\0b",
    "x'y",
    "\n",
    "3.50",
    "NaN",
]
_INTEGERS = [0, 1, 2, 7, 12, -1, 999, 1000, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)]
_DOUBLES = [0.0, -0.0, 1.0, 0.5, 1e15, 1e300, -4.0, 3037000500.0, float("nan"), float("inf")]
_DECIMALS = ["0", "3.50", "3.500", "9999.99", "12345.6", "0.001", "-1", "1e2", "NaN", "x", ""]
_TIMES = [
    "2024-01-15 10:30:00",
    "2024-02-30 00:00:00",
    "0000-00-00 00:00:00",
    "infinity",
    "2024-01-15T10:30:00.1234560",
]
_ODD: list[Any] = ["n/a", 5, 1.5, "7", b"\x00", Broken(b"caf\xe9"), "2024-01-15"]


def _rows(seed: int, count: int) -> list[Row]:
    dice = random.Random(seed)

    def pick(values: list[Any], tame: list[Any]) -> Any:
        roll = dice.random()
        if is_tame and roll < 0.97:
            return dice.choice(tame)
        return None if roll < 0.1 else dice.choice(_ODD) if roll < 0.2 else dice.choice(values)

    rows = []
    for place in range(count):
        is_tame = dice.random() < 0.6
        row = {
            "id": pick(_INTEGERS, [place + 100]),
            "t": pick(_TEXTS, ["-7", " 12"]),
            "n": pick(_INTEGERS, [1, 2, 12, None]),
            "d": pick(_DOUBLES, [0.0, -0.0, 1.0, -4.0]),
            "m": pick(_DECIMALS, ["-1", "10.00", "3.50"]),
            "w": pick(_TIMES, _TIMES[-1:]),
            "g": pick([uuid.UUID(int=5), uuid.UUID(int=2**127)], [uuid.UUID(int=5)]),
            "keep": pick([0, 1, 1, 1], [1]),
        }
        rows.append(row)
    return rows


def _bench(folder: Path, seed: int, shares: int = 1) -> Workbench:
    bench = Workbench(folder, plan_of(_PLAN), shares=shares)
    bench.table(
        "p", [column("id", "bigint"), column("n", "bigint")], [{"id": i, "n": i or None} for i in (0, 1, 2, 12)]
    )
    bench.table(
        "c",
        [
            column("id", "bigint"),
            column("t", "text"),
            column("n", "bigint"),
            column("d", "double"),
            column("m", "decimal(6,2)", carrier=Carrier.TEXT),
            column("w", "timestamp", carrier=Carrier.TEXT),
            column("g", "uuid"),
            column("keep", "bigint"),
        ],
        _rows(seed, 300),
        segment_rows=170,
    )
    far = [{"k": text, "v": f"<{text}>", "w": time} for text, time in zip(_TEXTS, _TIMES * 3, strict=True)]
    far += [{"k": "12", "v": "again", "w": None}, {"k": "n/a", "v": b"\0", "w": None}]
    columns = [column("k", "text"), column("v", "text"), column("w", "timestamp", carrier=Carrier.TEXT)]
    bench.table("f", columns, far)
    return bench


def _expected(bench: Workbench, rows: list[Row]) -> list[Expected]:
    """Ask the oracle, with joins and duplicates found by plain loops over the rows."""
    plan, mapping = bench.plan, bench.plan.tables["child"]
    parents = {str(key): "loaded" if key else "rejected" for key in (0, 1, 2, 12)}
    oracle = Oracle(
        plan,
        mapping,
        bench.target("child"),
        bench.catalog.tables,
        parent_fate=lambda _mapping, key: parents.get(key[0]),
    )
    far = bench.written["f"]
    keys = [_key_text(row["id"]) for row in rows]
    filtered = [row["keep"] == 0 for row in rows]
    result = []
    for row, key in zip(rows, keys, strict=True):
        twins = [1 for other, out in zip(keys, filtered, strict=True) if key is not None and other == key and not out]
        matches = [each for each in far if row["t"] is not None and _key_text(each["k"]) == _key_text(row["t"])]
        joined: Any = None if not matches else _as_extracted(bench, "f", matches[0])
        if len(matches) > 1:
            joined = AMBIGUOUS
        own = _as_extracted(bench, "c", row)
        result.append(oracle.expected_row(own, {"far": joined}, duplicate=len(twins) > 1))
    return result


def _key_text(value: Any) -> str | None:
    if value is None or isinstance(value, bytes):
        return None
    return value if isinstance(value, str) else repr(value)


def _as_extracted(bench: Workbench, table: str, row: Row) -> dict[str, Any]:
    result = dict(row)
    for each in bench.extracts[table].table.columns:
        entry = odd_entry(each, row.get(each.name))
        if entry is not None:
            result[each.name] = Odd(entry["class"], entry["value"])
    return result


@pytest.mark.parametrize(("seed", "shares"), [(1, 1), (2, 4), (3, 9)])
def test_the_engine_and_the_oracle_agree_on_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, shares: int
) -> None:
    """Fate, reasons in their order, warnings and every value of loaded rows are the same on both sides.

    So they are where the keys of large tables are looked at in shares, and parents' keys as they are asked for.
    """
    if shares > 1:
        monkeypatch.setattr(asked_for, "LARGE_ROWS_MIN", 0)
        monkeypatch.setattr(asked_for, "MUCH_SMALLER", 0)
    bench = _bench(tmp_path, seed, shares)
    rows = list(bench.written["c"])
    found = bench.run()["child"]
    names = physical_names(each.name for each in bench.target("child").table.columns)
    fates: Counter[str] = Counter()
    for row, made, expected in zip(rows, found, _expected(bench, rows), strict=True):
        fates[expected.fate] += 1
        told = tuple((made["_reasons"] or "").split("\n")) if made["_reasons"] else ()
        assert (made["_fate"], told) == (expected.fate, expected.reasons), row
        if expected.fate == "loaded":
            warned = tuple(made["_warnings"].split("\n")) if made["_warnings"] else ()
            assert warned == expected.warnings, row
            assert {name: _plain(made[physical]) for name, physical in names.items()} == {
                name: _plain(value) for name, value in expected.values.items()
            }, row
    assert min(fates[fate] for fate in ("loaded", "rejected", "filtered")) > 20


def _plain(value: Any) -> Any:
    """Return a value in a form in which 0.0 and -0.0, and decimals of different scales, differ."""
    if isinstance(value, float | Decimal):
        return repr(value)
    return value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value
