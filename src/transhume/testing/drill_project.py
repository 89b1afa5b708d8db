"""A small migration in which every kind of corruption has a value to strike: two tables, each rule that matters."""

import sqlite3
from pathlib import Path

PLAN = """\
transhume: 1
name: drill
namespace: drill
source: sqlite:///source.db
target: ${DRILL_TARGET}
defaults: {time_zone: America/New_York, max_rejects: 10%}
lookups:
  owners: {file: lookups/owners.csv, key: id, value: uuid}
  kinds:
    Random Forest: [RF]
    Gradient Boosting: [GBM]
    Neural Net: [NN]
tables:
  makers:
    from: maker
    key: id
    create: true
    types: {maker_uuid: uuid primary key, name: text(60) not null}
    columns: {maker_uuid: {uuid: id}, original_source_id: id, name: name}
  items:
    from: item
    key: id
    create: true
    types:
      item_uuid: uuid primary key
      original_source_id: bigint not null
      maker_uuid: uuid references makers
      price: decimal(12,2)
      made_at: timestamptz not null
      day: date
      is_active: boolean
      ratio: double
    columns:
      item_uuid: {uuid: id}
      original_source_id: id
      maker_uuid: {ref: maker_id, table: makers}
      name: name
      label: label
      kind: {names: kind, in: kinds}
      status: {codes: status, to: {A: Active, B: Blocked, C: Closed}}
      owner_uuid: {lookup: owner_id, in: owners, else: "00000000-0000-0000-0000-000000000000"}
      price: price
      ratio: ratio
      amount: amount
      is_active: {boolean: active, true: [Y], false: [N]}
      uri: {path: path, like: "/files/{version}/{name}.{ext}", to: "s3://bucket/items/{name}/{version}.{ext}"}
      made_at: {utc: made}
      seen_at: {utc: seen}
      day: day
      description: {prefix: notes, with: "Moved from the old shop: ", when_null: prefix}
"""
_NAMES = ("Café", "naïve 日本語", "plain", "ÀÉÎ", "x", "smile 🙂")
ITEMS, MAKERS = 60, 6


def write_drill_project(folder: Path, target_url: str) -> None:
    """Make the project with its source; every seventh item has no label, others an empty one, item 13 no code."""
    (folder / "lookups").mkdir(parents=True)
    (folder / "transhume.yaml").write_text(PLAN, encoding="utf-8")
    (folder / ".env").write_text(f"DRILL_TARGET={target_url}\n", encoding="utf-8")
    owners = "".join(f"{number},{number:08d}-1111-4111-8111-111111111111\n" for number in range(1, 6))
    (folder / "lookups" / "owners.csv").write_text(f"id,uuid\n{owners}", encoding="utf-8")
    source = sqlite3.connect(folder / "source.db")
    source.execute("CREATE TABLE maker (id INTEGER PRIMARY KEY, name VARCHAR(60))")
    source.execute(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, maker_id INTEGER, name TEXT, label TEXT, kind TEXT, status TEXT,"
        " owner_id INTEGER, price DECIMAL(12,2), ratio REAL, amount INTEGER, active TEXT, path TEXT, made DATETIME,"
        " seen DATETIME, day DATE, notes TEXT)"
    )
    source.executemany("INSERT INTO maker VALUES (?, ?)", [(n, f"maker {n}") for n in range(1, MAKERS + 1)])
    source.executemany(f"INSERT INTO item VALUES ({', '.join('?' * 16)})", [_item(n) for n in range(1, ITEMS + 1)])  # noqa: S608
    source.commit()
    source.close()


def _item(n: int) -> tuple[object, ...]:
    label = None if n % 7 == 0 else "" if n % 11 == 0 else f"label {n}"
    return (
        n,
        None if n % 9 == 0 else n % MAKERS + 1,
        _NAMES[n % len(_NAMES)] + (f" {n}" if n % 2 else ""),
        label,
        ("RF", "gbm", "Neural Net")[n % 3],
        "?" if n == 13 else "ABC"[n % 3],
        n % 8,
        n * 1.25,
        0.0 if n % 10 == 0 else n / 7,
        None if n % 6 == 0 else n * 100,
        "YN"[n % 2],
        f"/files/v{n % 4}/part_{n}.bin",
        f"2024-0{n % 9 + 1}-1{n % 10} 10:{n % 60:02d}:00.{n:06d}",
        None if n % 5 == 0 else f"2024-0{n % 9 + 1}-2{n % 8} 11:00:00",
        f"2023-1{n % 3}-0{n % 9 + 1}",
        None if n % 4 == 0 else f"note {n}",
    )
