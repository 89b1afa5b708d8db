"""The scripts that look at a source: which ones a plan gives, and which rows they find among planted ones."""

import pytest

from tests.checks.scripts_bench import answers, place, told, unsaid, written
from tests.plan.planning import catalog, plan_of
from transhume.checks.before_scripts import before_scripts
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.checks.script import Unsaid
from transhume.schema import TEXT, Carrier, Column, Kind, LogicalType, Table, parse_type


def _column(name: str, kind: str) -> Column:
    kind, _, carried = kind.partition(" via ")
    return Column(name, parse_type(kind), carrier=Carrier.TEXT if carried else Carrier.NATIVE)


def _table(table: str, /, **columns: str) -> Table:
    return Table(table, tuple(_column(*each) for each in columns.items()))


PEOPLE = _table(
    "people", id="bigint", name="text(50)", short="text(4)", code="text", number="int", price="decimal(12,4)",
    flag="text", algo="text", seen="timestamp via text", gone="bigint",
)  # fmt: skip
VISITS = _table("visits", k="text", who="bigint", amount="double", day="timestamp via text", other="text")
PLAN = """\
  p:
    from: people
    key: id
    where: gone = 0
    create: true
    types: {u: uuid primary key, name: text(5) not null, short: text(4), state: text not null}
    columns:
      u: {uuid: id}
      name: name
      short: short
      state: {codes: code, to: {A: Alpha, b: Beta}}
      kept: {codes: code, to: {A: Alpha}, else: keep}
      n: {codes: number, to: {"1": one, "2": two}}
      c: {codes: price, to: {"1.0000": one}}
      flag: {boolean: flag, true: [y, yes], false: [n]}
      lax: {boolean: flag, true: y, false: n, else: null}
      algo: {names: algo, in: algorithms}
      seen: {utc: seen}
  v:
    from: visits
    key: k
    create: true
    types: {cu: uuid primary key, day: timestamptz not null}
    columns:
      cu: {uuid: k}
      parent: {ref: who, table: p}
      maybe: {ref: who, table: p, else: null}
      amount: amount
      day: {utc: day}
    drop: [other]
"""
PEOPLE_ROWS = [
    (1, "Ada", "abcd", " A\t", 1, 1, "y", "RF", "2024-02-29 10:00:00", 0),
    (1, "Bob", "abcd", "b", 2, 2, "yes", "rf", "2024-02-30T10:00:00.5", 0),
    (3, None, None, "B", 3, 3, " n ", None, " 0000-00-00 00:00:00", 0),
    (4, "Eleven", "äöüß", None, None, None, "N", "x", "2024-02-28", 0),
    (5, "Éèàüö", "ab", "A", 1, 1, None, "x", None, 0),
    (None, "Nil", "ab", "A", 1, 1, "n", "x", None, 0),
    (6, None, "ab", "zz", 9, 9, "zz", "x", "0000-00-00", 1),
]
VISIT_ROWS = [
    ("a", 1, 0.5, "2024-01-01 00:00:00", "x"),
    ("a", None, 0.5, "2024-13-01 00:00:00", "x"),
    ("b", 2, 0.5, None, "x"),
    (None, 6, 0.5, "2024-01-01 24:00:00", "x"),
]


def _said(folder, text: str = PLAN, tables=(PEOPLE, VISITS), times_as_text: bool = True) -> list:
    plan, source = plan_of(folder, text), catalog(*tables)
    made, _ = catalog_findings(plan, source, None)
    return list(before_scripts(plan, source, made, place, times_as_text=times_as_text))


def test_every_check_of_a_plan_is_written_with_its_severity_and_place(tmp_path):
    """Tables first, then mapping by mapping its key and its columns in the order of the plan."""
    found = _said(tmp_path)
    assert told(written(found)) == [
        ("row_count", "people", "", "note", "source"),
        ("row_count", "visits", "", "note", "source"),
        ("null_key", "people", "id", "error", "tables/p/key"),
        ("duplicate_key", "people", "", "error", "tables/p/key"),
        ("null", "people", "name", "error", "tables/p/columns/name"),
        ("too_long", "people", "name", "error", "tables/p/columns/name"),
        ("null", "people", "code", "error", "tables/p/columns/state"),
        ("spellings", "people", "code", "note", "tables/p/columns/state"),
        ("unmapped", "people", "code", "error", "tables/p/columns/state"),
        ("spellings", "people", "code", "note", "tables/p/columns/kept"),
        ("spellings", "people", "number", "note", "tables/p/columns/n"),
        ("unmapped", "people", "number", "error", "tables/p/columns/n"),
        ("spellings", "people", "price", "note", "tables/p/columns/c"),
        ("spellings", "people", "flag", "note", "tables/p/columns/flag"),
        ("unmapped", "people", "flag", "error", "tables/p/columns/flag"),
        ("spellings", "people", "flag", "note", "tables/p/columns/lax"),
        ("spellings", "people", "algo", "note", "tables/p/columns/algo"),
        ("zero_date", "people", "seen", "warning", "tables/p/columns/seen"),
        ("impossible_date", "people", "seen", "error", "tables/p/columns/seen"),
        ("time_form", "people", "seen", "error", "tables/p/columns/seen"),
        ("null_key", "visits", "k", "error", "tables/v/key"),
        ("duplicate_key", "visits", "", "error", "tables/v/key"),
        ("orphan", "visits", "who", "error", "tables/v/columns/parent"),
        ("orphan", "visits", "who", "warning", "tables/v/columns/maybe"),
        ("null", "visits", "day", "error", "tables/v/columns/day"),
        ("zero_date", "visits", "day", "warning", "tables/v/columns/day"),
        ("impossible_date", "visits", "day", "error", "tables/v/columns/day"),
        ("time_form", "visits", "day", "error", "tables/v/columns/day"),
    ]
    assert all(each.side == "source" for each in written(found))
    assert unsaid(found) == [("unmapped", "people", "price"), ("unmapped", "people", "algo")]


def test_the_scripts_find_the_planted_rows_by_key_and_no_other(tmp_path):
    """Rows that `where` leaves out are not looked at; of a duplicate key the key is shown once."""
    found = answers(written(_said(tmp_path)), {"people": (PEOPLE, PEOPLE_ROWS), "visits": (VISITS, VISIT_ROWS)})
    spelled = found.pop(("spellings", "people", "code"))
    assert sorted(spelled, key=str) == sorted(
        [(" A\t", 1), ("b", 1), ("B", 1), (None, 1), ("A", 2), ("zz", 1)], key=str
    )
    assert {each: rows for each, rows in found.items() if each[0] != "spellings"} == {
        ("row_count", "people", ""): [(7,)],
        ("row_count", "visits", ""): [(4,)],
        ("null_key", "people", "id"): [(None,)],
        ("duplicate_key", "people", ""): [(1,)],
        ("null", "people", "name"): [(3, None)],
        ("too_long", "people", "name"): [(4, "Eleven")],
        ("null", "people", "code"): [(4, None)],
        ("unmapped", "people", "code"): [(3, "B")],
        ("unmapped", "people", "number"): [(3, 3)],
        ("unmapped", "people", "flag"): [(4, "N")],
        ("zero_date", "people", "seen"): [(3, " 0000-00-00 00:00:00")],
        ("impossible_date", "people", "seen"): [(1, "2024-02-30T10:00:00.5")],
        ("time_form", "people", "seen"): [(4, "2024-02-28")],
        ("null_key", "visits", "k"): [(None,)],
        ("duplicate_key", "visits", ""): [("a",)],
        ("orphan", "visits", "who"): [("b", 2)],
        ("null", "visits", "day"): [("b", None)],
        ("zero_date", "visits", "day"): [],
        ("impossible_date", "visits", "day"): [("a", "2024-13-01 00:00:00")],
        ("time_form", "visits", "day"): [(None, "2024-01-01 24:00:00")],
    }


def test_the_types_of_the_columns_that_a_script_reads_go_with_it(tmp_path):
    """A dialect needs them: times that stand as text are text there, and the parent of a reference has its own."""
    found = written(_said(tmp_path))
    by_name = {(each.name, each.table, each.column): each for each in found}
    wide = by_name["too_long", "people", "name"]
    assert wide.types == {"s": {**{each.name: each.type for each in PEOPLE.columns}, "seen": TEXT}}
    assert by_name["duplicate_key", "people", ""].types == {"": wide.types["s"]}
    orphan = by_name["orphan", "visits", "who"]
    assert set(orphan.types) == {"c", "p"}
    assert orphan.types["c"]["day"] == TEXT
    assert orphan.types["p"]["name"] == LogicalType(Kind.TEXT, length=50)
    assert by_name["row_count", "people", ""].types == {}


def test_a_database_with_types_for_times_refuses_what_is_no_date(tmp_path):
    """There the three checks of dates are not written, and it is said."""
    found = _said(tmp_path, times_as_text=False)
    assert not [each for each in written(found) if "date" in each.name or each.name == "time_form"]
    assert [each for each in unsaid(found) if each[0] == "impossible_date"] == [
        ("impossible_date", "people", "seen"),
        ("impossible_date", "visits", "day"),
    ]


_ONE = "  p: {{from: people, key: id, create: true, columns: {{u: {{uuid: id}}{}}}{}}}\n"
_CHILD = "  v: {{from: visits, key: k, create: true, columns: {{cu: {{uuid: k}}, r: {}}}{}}}\n"


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (_ONE.format(", s: {codes: {coalesce: [code, algo]}, to: {A: x}}", ""), ("unmapped", "people", "s")),
        (_ONE.format(", s: {names: {coalesce: [code, algo]}, in: algorithms}", ""), ("unmapped", "people", "s")),
        (_ONE.format(", s: {boolean: {coalesce: [code]}, true: a, false: b}", ""), ("unmapped", "people", "s")),
        (_ONE.format(", s: {utc: {coalesce: [seen]}}", ""), ("time_form", "people", "s")),
        (_ONE.format("", "") + _CHILD.format("{ref: {coalesce: [who]}, table: p}", ""), ("orphan", "visits", "r")),
        (_ONE.format("", "") + _CHILD.format("{ref: k, table: p}", ""), ("orphan", "visits", "k")),
        ("  p: {from: people, key: [], create: true, columns: {n: name}}\n", ("duplicate_key", "people", "")),
        (
            _ONE.format("", ", join: {v: {from: visits, on: {who: id}}}").replace("key: id", "key: [id, v.k]"),
            ("duplicate_key", "people", "id, v.k"),
        ),
    ],
)  # fmt: skip
def test_what_no_script_says_is_named(tmp_path, tables, expected):
    """What comes through a rule, a join or another type; a table without a key."""
    assert expected in unsaid(_said(tmp_path, tables))
    assert not [each for each in told(written(_said(tmp_path, tables))) if each[0] == expected[0] == each[1]]


@pytest.mark.parametrize("rule", ["{parse: code, format: '%d.%m.%Y'}", "{coalesce: [code, algo]}"])
def test_what_is_no_check_of_a_column_is_not_named(tmp_path, rule):
    """A rule that rejects no spelling has neither a script of spellings nor a word about it."""
    found = _said(tmp_path, _ONE.format(f", s: {rule}", ""))
    assert unsaid(found) == []
    assert [each.name for each in written(found)] == ["row_count", "row_count", "null_key", "duplicate_key"]


def test_a_where_that_goes_through_a_join_is_not_applied_and_said(tmp_path):
    """All rows are looked at then; a `where` over the table's own columns is applied and told."""
    joined = (
        "  p: {from: people, key: id, join: {v: {from: visits, on: {who: id}}}, where: v.other = 'x', create: true,"
        " columns: {u: {uuid: id}, name: name}, types: {name: text not null}}\n"
    )
    scripts = written(_said(tmp_path, joined))
    (null,) = [each for each in scripts if each.name == "null"]
    assert "leaves out are looked at too: it goes through a join)" in null.purpose
    found = answers([null], {"people": (PEOPLE, PEOPLE_ROWS), "visits": (VISITS, [])})
    assert found["null", "people", "name"] == [(3, None), (6, None)]
    (own,) = [each for each in written(_said(tmp_path)) if each.name == "null" and each.column == "name"]
    assert own.purpose.endswith("(of the rows where gone = 0)")


def test_a_composite_key_is_shown_whole(tmp_path):
    """Each part of the key, then the column; a part that is the column itself once."""
    text = (
        "  v: {from: visits, key: [k, who], create: true, columns: {u: {uuid: [k, who]}, d: other},"
        " types: {d: text not null}}\n"
    )
    scripts = [each for each in written(_said(tmp_path, text)) if each.name not in {"row_count", "spellings"}]
    rows = [("a", 1, 0.0, None, None), ("a", 1, 0.0, None, "x"), (None, 1, 0.0, None, "x"), ("b", None, 0.0, "", "x")]
    assert answers(scripts, {"people": (PEOPLE, []), "visits": (VISITS, rows)}) == {
        ("null_key", "visits", "k, who"): [("b", None), (None, 1)],
        ("duplicate_key", "visits", ""): [("a", 1)],
        ("null", "visits", "other"): [("a", 1, None)],
    }


def test_a_reference_between_int_and_bigint_is_looked_up(tmp_path):
    """Integers of both widths meet; text and integer do not, and it is said."""
    visits = Table("visits", tuple(_column("who", "int") if each.name == "who" else each for each in VISITS.columns))
    text = _ONE.format("", "") + _CHILD.format("{ref: who, table: p}", "")
    scripts = written(_said(tmp_path, text, (PEOPLE, visits)))
    orphans = [each for each in scripts if each.name == "orphan"]
    found = answers(orphans, {"people": (PEOPLE, PEOPLE_ROWS), "visits": (visits, VISIT_ROWS)})
    assert found == {("orphan", "visits", "who"): [("b", 2)]}


def test_a_text_that_fits_is_not_measured(tmp_path):
    """`too_long` is asked where the source's bound is wider, or has none; never of numbers or of a bound as wide."""
    people = Table("people", (*PEOPLE.columns, Column("free", TEXT)))
    columns = ", a: name, b: short, c: free, d: number, e: short"
    text = _ONE.format(columns, ", types: {a: text(50), b: text(4), c: text(3), d: bigint, e: text(3)}")
    scripts = written(_said(tmp_path, text, (people, VISITS)))
    assert [each[2] for each in told(scripts) if each[0] == "too_long"] == ["free", "short"]


def test_names_are_quoted_whatever_they_hold(tmp_path):
    """Blanks and words of SQL in the names of tables and columns, in every check."""
    orders = _table("or der", **{"i d": "bigint", "group": "text(9)", "wh en": "timestamp via text", "w ho": "bigint"})
    text = """\
  p:
    from: or der
    key: i d
    create: true
    types: {u: uuid primary key, name: text(3) not null}
    columns:
      u: {uuid: i d}
      name: group
      state: {codes: group, to: {A: B}}
      n: {codes: i d, to: {"1": B}}
      at: {utc: wh en}
      r: {ref: w ho, table: p}
    where: "group <> 'gone'"
"""
    rows = [
        (1, "A", "2024-01-01 00:00:00", 1),
        (2, "long", "2024-01-32 00:00:00", 9),
        (2, None, "0000-00-00", None),
        (3, "", "x", None),
        (None, "gone", "x", 9),
    ]
    found = answers(written(_said(tmp_path, text, (orders,))), {"or der": (orders, rows)})
    assert {name: rows for (name, _, column), rows in found.items() if (name, column) != ("spellings", "i d")} == {
        "row_count": [(5,)],
        "null_key": [],
        "duplicate_key": [(2,)],
        "null": [],
        "too_long": [(2, "long")],
        "spellings": [("", 1), ("A", 1), ("gone", 1), ("long", 1), (None, 1)],
        "unmapped": [(2,), (3,)],
        "zero_date": [],
        "impossible_date": [(2, "2024-01-32 00:00:00")],
        "time_form": [(3, "x")],
        "orphan": [(2, 9)],
    }
    named = {each.name: each.select.named_selects for each in written(_said(tmp_path, text, (orders,)))}
    assert named["row_count"] == ["row_count"]
    assert named["spellings"] == ["i d", "row_count"]


_VERBS = {
    "copy": "name", "codes": "{codes: code, to: {A: x}}", "names": "{names: algo, in: algorithms}",
    "utc": "{utc: seen}",
    "parse": "{parse: code, format: '%d.%m.%Y'}", "scale": "{scale: gone, times: 2}", "epoch": "{epoch: gone, unit: s}",
    "boolean": "{boolean: flag, true: y, false: n}", "path": "{path: code, like: '{a}', to: '{a}'}",
    "replace": "{replace: code, find: a, by: b}", "ref": "{ref: gone, table: p}", "lookup": "{lookup: code, in: ids}",
}  # fmt: skip
_INTO = {"utc": "timestamptz", "parse": "date", "scale": "bigint", "epoch": "timestamptz", "boolean": "boolean"}
_INTO |= {"ref": "uuid", "lookup": "uuid"}


@pytest.mark.parametrize("verb", sorted(_VERBS))
def test_null_in_a_mandatory_column_is_looked_for_under_every_rule_that_keeps_it(tmp_path, verb):
    """Not under one that may put a value in its place, and not where the target takes NULL."""
    rules = f", s: {_VERBS[verb]}, k: {{coalesce: [name, code]}}"
    types = f", types: {{s: {_INTO.get(verb, 'text')}@, k: text not null}}"
    for null, count in ((" not null", 1), ("", 0)):
        text = _ONE.format(rules, types.replace("@", null))
        found = [each for each in told(written(_said(tmp_path, text))) if each[0] == "null"]
        assert [path for *_, path in found] == ["tables/p/columns/s"] * count


def test_a_reference_of_several_parts_is_shown_whole_or_named(tmp_path):
    """A part that comes through a rule leaves no script."""
    parents = _table("parents", a="bigint", b="text")
    children = _table("children", k="bigint", x="bigint", y="text")
    head = "  p: {from: parents, key: [a, b], create: true, columns: {u: {uuid: [a, b]}}}\n"
    child = "  c: {from: children, key: k, create: true, columns: {u: {uuid: k}, r: {ref: [%s], table: p}}}\n"
    found = _said(tmp_path, head + child % "x, y", (parents, children))
    tables = {"parents": (parents, [(1, "a")]), "children": (children, [(7, 1, "a"), (8, 1, "b"), (9, 1, None)])}
    scripts = [each for each in written(found) if each.name == "orphan"]
    assert answers(scripts, tables) == {("orphan", "children", "x, y"): [(8, 1, "b")]}
    for part, shown in (("x, {coalesce: [y]}", "x"), ("x, k", "x, k")):
        found = _said(tmp_path, head + child % part, (parents, children))
        assert ("orphan", "children", shown) in unsaid(found)
        assert not [each for each in written(found) if each.name == "orphan"]


def test_what_a_script_is_for_is_said(tmp_path):
    """In words, with the table and the column; of a mapping without `where` nothing more."""
    found = [each for each in written(_said(tmp_path)) if each.table == "visits"]
    assert [(each.name, each.purpose) for each in found] == [
        ("row_count", "how many rows 'visits' has"),
        ("null_key", "rows of 'visits' without a key"),
        ("duplicate_key", "keys of 'visits' that more than one row has"),
        *[("orphan", "rows of 'visits' whose who is no key of 'people'")] * 2,
        ("null", "rows of 'visits' without 'day', which 'day' of the target must have"),
        ("zero_date", "zero dates in 'visits.day'"),
        ("impossible_date", "days in 'visits.day' that are in no calendar"),
        (
            "time_form",
            "texts in 'visits.day' that are no date with a time (YYYY-MM-DD HH:MM:SS); what follows is not looked at",
        ),
    ]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("gone = 0", " (of the rows where gone = 0)"),
        ("odd = 'x'", " (rows that `where: odd = 'x'` leaves out are looked at too)"),
        (
            "v.other = 'x' and gone = 0",
            " (rows that `where: v.other = 'x' and gone = 0` leaves out are looked at too: it goes through a join)",
        ),
    ],
)
def test_a_where_that_is_not_applied_is_said_with_its_cause(tmp_path, where, said):
    """A column whose type nobody knows, or one of another table among the table's own."""
    people = Table("people", (*PEOPLE.columns, Column("odd", None)))
    more = f', join: {{v: {{from: visits, on: {{who: id}}}}}}, where: "{where}", types: {{n: text not null}}'
    scripts = written(_said(tmp_path, _ONE.format(", n: name", more), (people, VISITS)))
    assert [each.purpose for each in scripts if each.name == "null"] == [
        "rows of 'people' without 'name', which 'n' of the target must have" + said
    ]


def test_a_part_of_the_key_that_is_the_reference_is_shown_once(tmp_path):
    """And a part of the key that comes through a join is not shown: it stands in another table."""
    own = "  v: {from: visits, key: who, create: true, columns: {cu: {uuid: who}, r: {ref: who, table: p}}}\n"
    joined = (
        "  v: {from: visits, key: [k, q.name], join: {q: {from: people, on: {id: who}}}, create: true,"
        " columns: {cu: {uuid: [k, q.name]}, r: {ref: who, table: p}}}\n"
    )
    rows = {"people": (PEOPLE, PEOPLE_ROWS), "visits": (VISITS, VISIT_ROWS)}
    for child, shown in ((own, (2,)), (joined, ("b", 2))):
        scripts = written(_said(tmp_path, _ONE.format("", "") + child))
        found = answers([each for each in scripts if each.name == "orphan"], rows)
        assert found == {("orphan", "visits", "who"): [shown]}


def test_a_reference_to_a_key_that_comes_through_a_join_is_named_as_such(tmp_path):
    """Though another part of the key stands in the table itself."""
    parent = (
        "  p: {from: people, key: [id, v.k], join: {v: {from: visits, on: {who: id}}}, create: true,"
        " columns: {u: {uuid: [id, v.k]}}}\n"
    )
    found = _said(tmp_path, parent + _CHILD.format("{ref: [who, k], table: p}", ""))
    assert [each.reason for each in found if isinstance(each, Unsaid) and each.name == "orphan"] == [
        "the reference goes through a rule or a join"
    ]


def test_a_key_with_a_null_part_is_no_duplicate(tmp_path):
    """It is said by `null_key`, however often it stands there."""
    text = "  v: {from: visits, key: [k, who], create: true, columns: {u: {uuid: [k, who]}}}\n"
    scripts = [each for each in written(_said(tmp_path, text)) if each.name == "duplicate_key"]
    rows = [(None, 1, 0.0, None, None)] * 2 + [("b", None, 0.0, None, None)] * 2 + [("c", 3, 0.0, None, None)] * 2
    assert answers(scripts, {"people": (PEOPLE, []), "visits": (VISITS, rows)}) == {
        ("duplicate_key", "visits", ""): [("c", 3)]
    }


def test_a_mapping_without_its_table_leaves_the_others_theirs(tmp_path):
    """A source that lacks the first table has the scripts of the second."""
    text = _CHILD.format("{coalesce: [who]}", "") + _ONE.format("", "")
    found = told(written(_said(tmp_path, text, (PEOPLE,))))
    assert [each[:2] for each in found] == [
        ("row_count", "people"), ("null_key", "people"), ("duplicate_key", "people"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["date", "time", "timestamp", "timestamptz"])
def test_times_that_stand_as_text_are_texts_to_a_script(tmp_path, kind):
    """Of every kind; where the database has types for them, they have their own."""
    people = _table("people", id="bigint", at=f"{kind} via text", own=kind)
    for times_as_text, stored in ((True, TEXT), (False, parse_type(kind))):
        scripts = written(_said(tmp_path, _ONE.format("", ""), (people,), times_as_text))
        (types,) = [each.types["s"] for each in scripts if each.name == "null_key"]
        assert (types["at"], types["own"]) == (stored, parse_type(kind))
