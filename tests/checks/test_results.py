"""Checks that need no SQL: counts by bucket, types of columns, tables of lookups, and what a result says."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.plan.planning import catalog, plan_of, table
from transhume.batches import Event, TargetTable
from transhume.checks import CheckResult
from transhume.checks.counts import (
    TableTally,
    accounting,
    all_rows,
    conflicts,
    reject_limit,
    staged_count,
    stopped,
    tally,
)
from transhume.checks.keys import keyless
from transhume.checks.lookups import (
    duplicate_finding,
    lookup_findings,
    lookup_table,
    null_key_finding,
    unreadable_finding,
)
from transhume.checks.types import column_types
from transhume.plan.model import RejectLimit

_STAGED = {
    "mapping": "a",
    "read": 20,
    "loaded": 1,
    "unchanged": 2,
    "updated": 3,
    "skipped": 4,
    "conflict": 5,
    "rejected": 6,
    "filtered": 7,
    "deduplicated": 8,
    "outside": 9,
    "reasons": {"null:x": 6},
    "notes": {"stop:c": 2},
    "transform_s": 0.25,
    "stage_s": 0.5,
}


def _event(kind: str, **fields) -> Event:
    return Event(kind, fields)


def test_a_result_is_passed_without_wrong_rows():
    """As JSON it says so too, with its keys as a list."""
    good = CheckResult("types", "t", 0, "3 columns", sample_keys=("a", "b"), duration_s=1.5)
    assert good.passed
    assert not replace(good, count=1).passed
    assert good.to_dict() == {
        "name": "types",
        "table": "t",
        "count": 0,
        "covered": "3 columns",
        "severity": "error",
        "detail": "",
        "sample_keys": ["a", "b"],
        "duration_s": 1.5,
        "passed": True,
        "sql": "",
    }
    assert good == replace(good, duration_s=9.0)


def test_batches_add_up_by_mapping_and_one_told_of_twice_counts_as_told_last():
    """Every bucket, the reasons, the notes, the compared rows, the seconds, and keys that vanished."""
    events = [
        _event("run_started", mapping="a"),
        _event("batch_staged", batch=0, **{**_STAGED, "loaded": 999}),
        _event("batch_staged", batch=0, **_STAGED),
        _event("batch_staged", batch=1, **_STAGED),
        _event("batch_staged", batch=0, mapping="b", read=2, loaded=2, reasons={}, transform_s=0.0, stage_s=0.0),
        _event("batch_compared", mapping="a", batch=0, rows=900, compare_s=9.0),
        _event("batch_compared", mapping="a", batch=0, rows=3, compare_s=0.5),
        _event("batch_compared", mapping="a", batch=1, rows=4, compare_s=0.5),
        _event("vanished_listed", mapping="b", rows=4),
    ]
    found = tally(events, ["a", "b", "c"])
    assert found["a"] == TableTally(
        "a", read=40, loaded=2, unchanged=4, updated=6, skipped=8, conflict=10, rejected=12, filtered=14,
        deduplicated=16, outside=18, notes=Counter({"stop:c": 4}), reasons=Counter({"null:x": 12}), compared=7,
        batches=2, busy_s=2.5,
    )  # fmt: skip
    assert found["b"] == TableTally("b", read=2, loaded=2, vanished=4, batches=1)
    assert found["c"] == TableTally("c")
    assert found["a"].accounted == 90
    assert found["a"].staged == 8


def test_a_tally_is_told_as_json():
    """All buckets, reasons and notes in the order of their names, seconds to the millisecond."""
    told = TableTally("t", read=3, loaded=1, rejected=2, vanished=5, compared=1, batches=2, busy_s=0.12345)
    told.reasons.update({"b": 1, "a": 1})
    told.notes.update({"z": 1, "y": 2})
    assert told.to_dict() == {
        "mapping": "t",
        "read": 3,
        "loaded": 1,
        "unchanged": 0,
        "updated": 0,
        "skipped": 0,
        "conflict": 0,
        "rejected": 2,
        "filtered": 0,
        "deduplicated": 0,
        "outside": 0,
        "vanished": 5,
        "compared": 1,
        "batches": 2,
        "reasons": {"a": 1, "b": 1},
        "notes": {"y": 2, "z": 1},
        "busy_s": 0.123,
    }
    assert list(told.to_dict()["reasons"]) == ["a", "b"]
    assert list(told.to_dict()["notes"]) == ["y", "z"]


def test_what_does_not_add_up_is_told_with_every_bucket():
    """The largest of the three differences counts; what adds up is told without a complaint."""
    rows = TableTally("t", read=10, loaded=6, unchanged=1)
    found = accounting(rows, 12, 1)
    assert (found.name, found.table, found.count, found.severity) == ("accounting", "t", 3, "error")
    assert found.detail == (
        "does not add up (1 rows in no bucket or in two): extracted 12 = read 10 = loaded 6 + unchanged 1 + updated 0"
        " + skipped 0 + conflict 0 + rejected 0 + filtered 0 + deduplicated 0 + outside 0"
    )
    assert accounting(TableTally("t", read=1, loaded=1), 1, 0).detail.startswith("extracted 1 = read 1 = loaded 1")


@pytest.mark.parametrize("more", [-2, 2])
def test_the_ledger_and_the_comparison_are_held_to_what_was_staged(more):
    """More is as wrong as less."""
    rows = TableTally("t", loaded=3, updated=4, compared=7 + more, conflict=2)
    found = staged_count(rows, 7 + more)
    assert (found.name, found.table, found.count) == ("staged_count", "t", 2)
    assert staged_count(rows, 7).passed
    assert (all_rows(rows).name, all_rows(rows).table, all_rows(rows).count) == ("all_rows", "t", 2)
    assert (conflicts(rows).name, conflicts(rows).table, conflicts(rows).count) == ("conflicts", "t", 2)


def test_the_worst_limit_counts_and_each_is_named():
    """A count, a share of what was read inside the asked part, and kinds of reasons."""
    rows = TableTally("t", read=110, outside=10, rejected=9)
    rows.reasons.update({"a:x": 5, "a:y": 1, "b:x": 3})
    found = reject_limit(rows, RejectLimit(count=8, share=0.05))
    assert (found.name, found.table, found.covered, found.count) == ("reject_limit", "t", "max_rejects", 4)
    assert found.detail == "9 rejects, allowed 8; 9 rejects, allowed 5.00% of 100 rows = 5"
    assert reject_limit(rows, RejectLimit(count=9)).detail == "9 rejects of 110 rows are allowed"
    assert reject_limit(rows, RejectLimit(share=0.09)).passed
    assert reject_limit(rows, RejectLimit(share=0.09)).detail == "9 rejects of 110 rows are allowed"
    assert reject_limit(rows, RejectLimit(count=9, by_reason={"a": RejectLimit(count=5)})).count == 1
    assert reject_limit(rows, RejectLimit(share=0.5, by_reason={"c": RejectLimit(count=0)})).passed
    alone = reject_limit(rows, RejectLimit(by_reason={"a": RejectLimit(count=6)}))
    assert alone.count == 3
    assert alone.detail == "3 'b:x', which has no limit of its own"
    rows.reasons = Counter({"z:x": 1, "c:x": 2})
    none = reject_limit(rows, RejectLimit(by_reason={"a": RejectLimit(count=6)}))
    assert [each[:7] for each in none.detail.split("; ")] == ["2 'c:x'", "1 'z:x'"]


def test_rows_that_a_check_stops_at_are_counted_by_its_name():
    """A warning is no stop."""
    rows = TableTally("t")
    rows.notes.update({"stop:b": 2, "warn:c": 9, "stop:a": 1})
    found = stopped(rows)
    assert (found.name, found.table, found.count, found.detail) == ("row_checks", "t", 3, "a: 1 rows, b: 2 rows")


_WANTED = table("t", "id bigint not null, name text(20), free text")


@pytest.mark.parametrize(
    ("found", "create", "detail"),
    [
        ("id bigint not null, name text(20), free text", True, []),
        ("id bigint not null, name text(30), free text, more int", True, []),
        ("id int not null, name text(20), free text", True, ["column 'id' is int"]),
        ("id bigint not null, name text(10), free text", True, ["column 'name' is text(10), expected text(20)"]),
        ("id bigint not null, free text", True, ["column 'name' is missing"]),
        ("id bigint, name text(20), free text", True, ["column 'id' takes NULL, expected NOT NULL"]),
        ("id bigint, name text(20), free text", False, []),
        ("id bigint not null, name text(20) not null, free text", True, []),
        ("id !serial, name text(10), free text", True, ["column 'id' is serial", "column 'name' is"]),
    ],
)
def test_a_column_must_hold_every_value_of_the_plans_type(found, create, detail):
    """A wider one does, a narrower one does not; NULL is looked at in tables that the run makes."""
    wanted = TargetTable("m", _WANTED, ("id",), create=create)
    result = column_types(wanted, table("t", found))
    assert (result.name, result.table, result.count, result.covered) == ("types", "m", len(detail), "3 columns")
    assert all(each in part for each, part in zip(detail, result.detail.split("; "), strict=False))
    assert (result.detail == "as the plan says") == (not detail)


def test_a_column_of_no_known_type_is_wrong_and_a_missing_table_is_one_finding():
    """Whatever stands in it."""
    odd = replace(_WANTED, columns=(replace(_WANTED.columns[0], type=None), *_WANTED.columns[1:]))
    assert column_types(TargetTable("m", odd, ("id",), create=True), _WANTED).count == 1
    missing = column_types(TargetTable("m", _WANTED, ("id",), create=True), None)
    assert (missing.name, missing.table, missing.count) == ("types", "m", 1)
    assert missing.detail == "table 't' is not in the target"


def test_a_table_without_a_key_is_stated_as_a_warning():
    """It passes, and it is said."""
    found = keyless(TargetTable("m", _WANTED, (), create=True))
    assert (found.name, found.table, found.count, found.severity) == ("no_key", "m", 0, "warning")


HEAD = """transhume: 1
name: n
namespace: n
source: sqlite:///a.db
target: iceberg:./lake
lookups:
  owners: {system: sqlite:///owners.db, table: owners, key: login, value: uuid}
"""
TABLES = "  t: {from: models, key: id, create: true, columns: {o: {lookup: owner, in: owners}}}\n"


@pytest.fixture
def owners(tmp_path):
    """A plan with a lookup from another system."""
    return plan_of(tmp_path, TABLES, HEAD)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("login text, uuid uuid, rest double", []),
        ("login bigint, uuid decimal(5,2)", []),
        ("logn text, uuid text", [("unknown_column", "key", "has no column 'login'", "did you mean 'logn'?")]),
        ("login text, value text", [("unknown_column", "value", "has no column 'uuid'", "its columns are")]),
        ("login double, uuid bytes", [
            ("lookup_type", "key", "'owners.login' is double, which has no one exact text", "UUIDs"),
            ("lookup_type", "value", "'owners.uuid' is bytes, which has no one exact text", "UUIDs"),
        ]),
        ("login !inet, uuid text", [("lookup_type", "key", "'owners.login' is inet", "name a column")]),
    ],
)  # fmt: skip
def test_a_lookups_table_has_its_two_columns_with_exact_texts(owners, columns, expected):
    """Each finding stands at its word in the plan."""
    found = list(lookup_findings(owners, "owners", catalog(table("owners", columns), identity="sqlite:///owners.db")))
    assert [each.code for each in found] == [code for code, *_ in expected]
    for each, (_, word, said, cure) in zip(found, expected, strict=True):
        assert said in each.message
        assert cure in each.cure
        assert each.severity == "error"
        assert each.position.quoted_line[each.position.column - 1 :].startswith(
            {"key": ("login", "key"), "value": ("uuid", "value")}[word]
        )


def test_a_lookup_without_its_table_says_which_there_are(owners):
    """Nothing more is said then."""
    (found,) = lookup_findings(owners, "owners", catalog(table("owner", "login text"), identity="x"))
    assert found.code == "unknown_table"
    assert "has no table 'owners'" in found.message
    assert "did you mean 'owner'?" in found.cure
    assert found.position.quoted_line[found.position.column - 1 :].startswith(("owners, key", "table: owners"))


def test_only_the_columns_of_a_lookup_are_read(owners):
    """Key and value, whatever stands beside them."""
    known = catalog(table("owners", "a text, login text, uuid uuid, blob bytes"))
    made = lookup_table(owners.system_lookups()["owners"], known)
    assert [each.name for each in made.columns] == ["login", "uuid"]


def test_what_the_rows_of_a_lookup_say_against_it(owners):
    """Keys twice and rows without text are errors, rows without a key a note; each with its count."""
    twice = duplicate_finding(owners, "owners", {"ann": 2, "bob": 3}, 1200)
    assert (twice.code, twice.severity, twice.table, twice.count) == ("lookup_duplicate", "error", "owners", 1200)
    assert twice.sample_keys == ("ann", "bob")
    assert "1,200 keys of the table stand in more than one row of 'owners': 'ann' (2 rows)" in twice.message
    assert twice.message.endswith(": 'ann' (2 rows), 'bob' (3 rows), ...")
    once = duplicate_finding(owners, "owners", {"ann": 2}, 1)
    assert "1 key of the table stands in more than one row of 'owners': 'ann' (2 rows)" in once.message
    assert once.message.endswith("(2 rows)")
    unreadable = unreadable_finding(owners, "owners", 3)
    assert (unreadable.code, unreadable.severity, unreadable.table, unreadable.count) == (
        *("lookup_value", "error"),
        *("owners", 3),
    )
    empty = null_key_finding(owners, "owners", 2)
    assert (empty.code, empty.severity) == ("lookup_null_key", "note")
    assert "2 rows of 'owners' have no 'login'" in empty.message
    for each in (twice, unreadable, empty):
        assert "owners" in each.position.quoted_line


def test_a_kind_of_reason_is_what_stands_before_its_first_colon():
    """Names of columns may hold colons, too."""
    rows = TableTally("t", read=9, rejected=3, reasons=Counter({"null:a:b": 3}))
    for kind, count in (("null", 2), ("null:a:b", 2), ("null:a", 0)):
        assert reject_limit(rows, RejectLimit(count=9, by_reason={kind: RejectLimit(count=1)})).count == count


def test_every_wrong_column_is_told():
    """One sentence each."""
    found = column_types(TargetTable("m", _WANTED, ("id",), create=True), table("t", "id int, name text(10)"))
    assert found.detail == (
        "column 'id' is int, expected bigint; column 'name' is text(10), expected text(20); column 'free' is missing"
    )
