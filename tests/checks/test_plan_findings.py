"""Where the findings of a plan against catalogs point to, how bad they are, and what is no finding."""

from dataclasses import replace

import pytest

from tests.plan.planning import DECIMAL, HEAD, catalog, plan_of, table
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.facts import Catalog
from transhume.schema import BIGINT, TEXT, Column, Table

SOURCE = (
    table(
        "models",
        "id bigint, name text(50), kind text, big bigint, price decimal(12,4), blob bytes, geo !geometry, at timestamp",
    ),
    table("metrics", "model_id bigint, kind text, value double, at text, uid uuid, n int, geo !geometry, ok boolean"),
)
COLUMNS = "name: name, kind: kind, big: big, price: price, at: at"


def _plan(columns: str = COLUMNS, more: str = "drop: [blob, geo]", key: str = "id", rest: str = "") -> str:
    return (
        f"  t:\n    from: models\n    key: {key}\n    create: true\n    {more}\n    columns:\n"
        f"      {{u: {{uuid: id}}, {columns}}}\n{rest}ignored_tables: [metrics]\n"
    )


def _told(folder, text: str, source: Catalog | None = None, target: Catalog | None = None, head: str = HEAD):
    """Return code, severity, table, column and the text at the place of each finding."""
    plan = plan_of(folder, text, head)
    found = catalog_findings(plan, source or catalog(*SOURCE), target)[1]
    return [
        (each.code, each.severity, each.table, each.column, each.position.quoted_line[each.position.column - 1 :])
        for each in found
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_plan(), []),
        (_plan(more="drop: [blob]"), [("column_left_out", "error", "t", None, "columns:")]),
        (_plan(more="drop: [blob, geo, blub]"), [("unknown_column", "error", "t", None, "blub]")]),
        (
            _plan(key="[id, idd]"),
            [("unknown_column", "error", "t", None, "idd]"), ("primary_key", "error", "t", None, "columns:")],
        ),
        (
            _plan(key="[id, price]"),
            [("key_type", "error", "t", None, "price]"), ("primary_key", "error", "t", None, "columns:")],
        ),
        (_plan().replace("[metrics]", "[metrics, x]"), [("unknown_table", "warning", None, None, "x]")]),
        (_plan().replace("ignored_tables: [metrics]\n", ""), [("table_left_out", "error", None, None, "transhume: 1")]),
        (
            _plan().replace("[metrics]", "[models]"),
            [("table_left_out", "error", None, None, "ignored_tables: [models]")],
        ),
        (
            _plan(more="drop: [blob, geo]\n    types: {name: text(20), price: 'decimal(11,4)', big: int}"),
            [
                ("narrower", "warning", "t", "name", "name: name"),
                ("narrower", "note", "t", "big", "big: big"),
                ("narrower", "warning", "t", "price", "price: price"),
            ],
        ),
        (
            _plan(more="drop: [blob, geo]\n    types: {name: text(50), price: 'decimal(13,5)', big: bigint}"),
            [],
        ),
        (_plan(more="drop: [blob, geo]\n    types: {price: 'decimal(20,3)', kind: text(3), name: text}"),
         [("narrower", "warning", "t", "price", "price: price")]),
        (_plan(more="drop: [blob, geo]\n    types: {price: text, big: 'decimal(5,2)', name: text(90)}"), []),
        (_plan(more="drop: [blob, geo]\n    types: {price: 'decimal(12,5)'}"),
         [("narrower", "warning", "t", "price", "price: price")]),
        (
            _plan(more="drop: [blob, geo]\n    dedupe: {by: [kind, knd], first: {nme: [a]}, latest: a}"),
            [
                ("unknown_column", "error", "t", None, "knd], first"),
                ("unknown_column", "error", "t", None, "nme: [a]}"),
                ("unknown_column", "error", "t", None, "latest: a}"),
            ],
        ),
        (
            _plan(more="drop: [blob, geo]\n    dedupe: {by: [price], first: {blob: [a]}, latest: geo}"),
            [
                ("key_type", "error", "t", None, "price], first"),
                ("dedupe", "error", "t", None, "blob: [a]}"),
                ("dedupe", "error", "t", None, "latest: geo}"),
            ],
        ),
        (_plan(more="drop: [blob, geo]\n    dedupe: {by: [kind, big], first: {kind: [a]}, latest: at}"), []),
        (_plan(more="drop: [blob, geo]\n    dedupe: {by: [name], latest: blob}"), []),
    ],
)  # fmt: skip
def test_a_finding_points_to_the_word_that_decides(tmp_path, text, expected):
    """Of a table: what is left out, not there, no key, or narrower; with its mapping and its column."""
    found = [
        (*said[:4], said[4][: len(wanted[4])]) for said, wanted in zip(_told(tmp_path, text), expected, strict=True)
    ]
    assert found == expected


JOIN = """    join:
      m:
        from: {table}
        on: {{{on}}}
"""


@pytest.mark.parametrize(
    ("table", "on", "more", "expected"),
    [
        ("metrics", "model_id: id", "", []),
        ("metrics", "kind: big", "", []),
        ("metrics", "uid: kind", "", []),
        ("metrics", "n: id", "", []),
        ("metric", "model_id: id", "", [("unknown_table", "from: metric")]),
        ("metrics", "modelid: id", "", [("unknown_column", "modelid: id")]),
        ("metrics", "model_id: idd", "", [("unknown_column", "model_id: idd")]),
        ("metrics", "model_id: idd, value: id", "", [
            ("unknown_column", "model_id: idd"), ("join_type", "value: id"),
        ]),
        ("metrics", "model_id: price", "", [("join_type", "model_id: price")]),
        ("metrics", "geo: id", "", [("join_type", "geo: id")]),
        ("metrics", "model_id: geo", "", [("join_type", "model_id: geo")]),
        ("metrics", "model_id: id", "        first: {knd: [a]}\n", [("unknown_column", "knd: [a]")]),
        ("metrics", "model_id: id", "        latest: att\n", [("unknown_column", "latest: att")]),
        ("metrics", "model_id: id", "        pivot: {name: kind, value: value, take: {a: x}}\n", []),
        ("metrics", "model_id: id", "        pivot: {name: uid, value: at, take: {a: x}}\n", []),
        ("metrics", "model_id: id", "        pivot: {name: knd, value: at, take: {a: x}}\n", [
            ("unknown_column", "name: knd"),
        ]),
        ("metrics", "model_id: id", "        pivot: {name: kind, value: att, take: {a: x}}\n", [
            ("unknown_column", "value: att"),
        ]),
        ("metrics", "model_id: id", "        pivot: {name: value, value: at, take: {a: x}}\n", [
            ("key_type", "name: value"),
        ]),
        ("metrics", "model_id: id", "        pivot: {name: geo, value: at, take: {a: x}}\n", [
            ("key_type", "name: geo"),
        ]),
    ],
)  # fmt: skip
def test_what_a_join_names_is_pointed_to(tmp_path, table, on, more, expected):
    """Every finding of a join is an error at the word of the plan, whatever stands before it."""
    joined = JOIN.format(table=table, on=on) + more
    text = _plan(more="drop: [blob, geo]").replace("    drop", joined + "    drop").replace("[metrics]", "[]")
    found = [each for each in _told(tmp_path, text) if each[0] not in {"type", "table_left_out"}]
    assert [
        (code, place[: len(wanted[1])]) for (code, *_, place), wanted in zip(found, expected, strict=True)
    ] == expected
    assert {(severity, table) for _, severity, table, *_ in found} <= {("error", "t")}


@pytest.mark.parametrize(
    ("gather", "codes"),
    [
        ("on: {model_id: id}, name: kind, value: at", []),
        ("on: {kind: kind}, name: uid, value: n", []),
        ("on: {uid: kind, n: id}, name: n, value: kind", []),
        ("on: {value: id}, name: kind, value: at", ["join_type"]),
        ("on: {geo: id}, name: kind, value: at", ["join_type"]),
        ("on: {model_id: id}, name: value, value: at", ["gather_type"]),
        ("on: {model_id: id}, name: kind, value: geo", ["gather_type"]),
        ("on: {mdl: id}, name: knd, value: vl", ["unknown_column"] * 3),
    ],
)
def test_what_a_gather_inside_another_rule_names_is_pointed_to(tmp_path, gather, codes):
    """At the column of the mapping, however deep the gather stands."""
    rule = f"g: {{coalesce: [{{gather: metrics, {gather}}}]}}"
    found = _told(tmp_path, _plan(f"{COLUMNS}, {rule}").replace("[metrics]", "[]"))
    found = [each for each in found if each[0] not in {"type", "table_left_out"}]
    assert [code for code, *_ in found] == codes
    assert all((table, column, place[:2]) == ("t", "g", "g:") for _, _, table, column, place in found)


def test_a_source_without_a_snapshot_needs_a_word_about_it(tmp_path):
    """Without it an error at the source, with it a note at the word."""
    files = replace(catalog(*SOURCE), one_instant=False)
    assert _told(tmp_path, _plan(), files) == [
        ("no_snapshot", "error", None, None, "source: sqlite:///a.db"),
    ]
    assert _told(tmp_path, _plan(), files, head=HEAD + "consistency: none\n") == [
        ("no_snapshot", "note", None, None, "consistency: none"),
    ]
    (found,) = catalog_findings(plan_of(tmp_path, _plan(), HEAD + "consistency: none\n"), files, None)[1]
    assert found.cure == ""


def test_the_target_is_another_system(tmp_path):
    """At the target's address; of an unknown target nothing is said."""
    assert _told(tmp_path, _plan(), target=catalog(identity="source"))[-1] == (
        ("same_system", "error", None, None, "target: iceberg:./lake")
    )


def test_conditions_of_a_standing_table_are_noted_at_the_mapping(tmp_path):
    """One by one; of a table that the run makes there are none."""
    standing = table(
        "t", "u uuid not null, name text, kind text, big bigint, price decimal(12,4), at timestamp",
        primary_key=("u",), checks=("CHECK (big > 0)", "CHECK (price > 0)"),
    )  # fmt: skip
    text = _plan().replace("    create: true\n", "")
    found = _told(tmp_path, text, target=catalog(standing, identity="target"))
    assert [each[:4] for each in found if each[0] == "target_check"] == [("target_check", "note", "t", None)] * 2
    assert {place[:2] for code, *_, place in found if code == "target_check"} == {"t:"}


def test_columns_are_used_by_any_mapping_of_their_table(tmp_path):
    """What one of them drops or reads, the other need not; the first one is told."""
    other = "  o: {from: models, key: id, create: true, columns: {v: {uuid: id}, big: big}, drop: [geo]}\n"
    text = _plan("name: name, kind: kind, price: price", "drop: [blob]", rest=other)
    assert [(code, table) for code, _, table, *_ in _told(tmp_path, text)] == [("column_left_out", "t")]


def test_findings_stand_in_the_order_of_the_plan_each_once(tmp_path):
    """Whatever part of the checks found them."""
    text = _plan("at: att, price: price, kind: knd, big: big", "drop: [blob, geo, blub]", key="[id, idd]")
    plan = plan_of(tmp_path, text)
    found = catalog_findings(plan, catalog(*SOURCE), None)[1]
    places = [(each.position.line, each.position.column) for each in found]
    assert places == sorted(places)
    assert len(found) == len(set(found)) > 4


def test_tables_that_a_snapshot_does_not_cover_are_named_with_their_reason(tmp_path):
    """Those that the plan reads and no others, in the catalog's order."""
    loose = {"models": "MyISAM", "other": "MEMORY", "metrics": "CSV"}
    source = replace(catalog(*SOURCE), loose_tables=loose)
    more = "drop: [blob, geo]\n    join: {m: {from: metrics, on: {model_id: id}}}"
    (found,) = catalog_findings(plan_of(tmp_path, _plan(more=more).replace("[metrics]", "[]")), source, None)[1]
    assert (found.code, found.severity, found.message, found.cure) == (
        "no_snapshot",
        "error",
        (
            "the snapshot of source does not cover tables of some engines: 'models' (MyISAM), 'metrics' (CSV),"
            " and the plan does not say that this will do"
        ),
        (
            "write 'consistency: none'; a change of these tables while they are read stops the run;"
            " or give them an engine with snapshots"
        ),
    )
    (found,) = catalog_findings(plan_of(tmp_path, _plan()), replace(source, one_instant=False), None)[1]
    assert (found.message, found.cure) == (
        "source has no snapshot: its tables are read one after the other, and the plan does not say that this will do",
        "write 'consistency: none'; every file is hashed before and after, and a change stops the run",
    )


def test_a_gathers_missing_columns_are_told_by_what_they_are_for(tmp_path):
    """`on`, `name` and `value` of the gather."""
    rule = "g: {gather: metrics, on: {mdl: id}, name: knd, value: vl}"
    text = _plan(f"{COLUMNS}, {rule}").replace("[metrics]", "[]")
    found = catalog_findings(plan_of(tmp_path, text), catalog(*SOURCE), None)[1]
    assert [each.message for each in found if each.code == "unknown_column"] == [
        f"the source's table 'metrics' has no column '{name}' ('{word}' of the gather)"
        for name, word in (("mdl", "on"), ("knd", "name"), ("vl", "value"))
    ]


@pytest.mark.parametrize(
    ("given", "wanted", "narrower"),
    [
        ("decimal(10,0)", "decimal(10,1)", True),
        ("decimal(10,0)", "decimal(11,1)", False),
        ("decimal(5,0)", "decimal(6,0)", False),
        ("decimal(6,0)", "decimal(5,0)", True),
        ("decimal(5,1)", "decimal(9,0)", True),
    ],
)
def test_a_decimal_is_narrower_by_either_side_of_its_point(tmp_path, given, wanted, narrower):
    """None of the digits behind the point is a number of digits, too."""
    source = catalog(table("models", f"id bigint, price {given}"))
    text = (
        f"  t: {{from: models, key: id, create: true, types: {{price: '{wanted}'}},"
        " columns: {u: {uuid: id}, price: price}}\n"
    )
    assert [code for code, *_ in _told(tmp_path, text, source)] == ["narrower"] * narrower


QUERIES = """    checks:
      - name: both
        query:
          source: SELECT count(*) FROM {source}
          target: SELECT count(*) FROM {target}
"""


@pytest.mark.parametrize(
    ("source", "target", "identities", "expected"),
    [
        ("models", "t", ("sqlite:///a.db", "iceberg:./lake"), []),
        ("models", "t", ("iceberg:./lake", "sqlite:///a.db"), [("query", "source: SELECT")]),
        ("models", "t", ("sqlite:///a.db", "files:x"), [("query", "target: SELECT")]),
        ("t", "models", ("sqlite:///a.db", "iceberg:./lake"), [
            ("unknown_table", "source: SELECT"), ("unknown_table", "target: SELECT"),
        ]),
    ],
)  # fmt: skip
def test_each_query_is_held_against_its_own_side(tmp_path, source, target, identities, expected):
    """A lake is asked as a target alone; a table of the other side is none of its own."""
    checks = QUERIES.format(source=source, target=target)
    text = _plan().replace("    columns:\n", f"{checks}    columns:\n")
    sides = (replace(catalog(*SOURCE), identity=identities[0]), catalog(identity=identities[1]))
    found = [(code, place[: len("source: SELECT")]) for code, *_, place in _told(tmp_path, text, *sides)]
    assert [(code, place.replace("SELECT count", "SELECT")) for code, place in found] == expected


@pytest.mark.parametrize(("column", "wanted"), [("price", "decimal(3,3)"), ("name", "text(3)")])
def test_what_declares_no_width_is_not_narrowed(tmp_path, column, wanted):
    """A number or a text without bounds may hold little: each value is looked at when it is read."""
    source = catalog(
        Table("models", tuple(Column(*each) for each in (("id", BIGINT), ("price", DECIMAL), ("name", TEXT))))
    )
    text = (
        f"  t: {{from: models, key: id, create: true, types: {{{column}: '{wanted}'}},"
        " columns: {u: {uuid: id}, price: price, name: name}}\n"
    )
    assert "narrower" not in [code for code, *_ in _told(tmp_path, text, source)]
