"""What other rows say about a row, by plain rows: joins, pivots, children, duplicates that lose. Expected by hand."""

import pytest

from tests.plan.planning import plan_of, table
from transhume.oracle import AMBIGUOUS, Odd, Oracle, Relatives, Rows
from transhume.schema import TEXT, Carrier, Column, Table

MODELS = Table(
    "models",
    (*table("m", "id bigint, name text, kind text, at timestamp").columns, Column("day", TEXT, carrier=Carrier.TEXT)),
)
TAGS = table("tags", "run bigint, k text, v text, n bigint")
SOURCES = {"models": MODELS, "tags": TAGS}
BAD = Odd("invalid", b"\xff")


def _tag(run, k="a", v="x", n=0) -> dict:
    return {"run": run, "k": k, "v": v, "n": n}


def _model(id_, name="one", kind="a", at=None, day=None) -> dict:
    return {"id": id_, "name": name, "kind": kind, "at": at, "day": day}


def _relatives(folder, more: str, models: list[dict], tags: list[dict], columns: str = "u: {uuid: id}"):
    text = f"  t:\n    from: models\n    key: id\n    create: true\n{more}    columns: {{{columns}}}\n"
    plan = plan_of(folder, text)
    return plan.tables["t"], Relatives(plan, SOURCES, {"models": models, "tags": tags})


def _joined(folder, join: str, tags: list[dict], models: list[dict] | None = None) -> list:
    """Return what the alias `m` stands for beside each model, found for each alone and for all at once."""
    models = models or [_model(1)]
    mapping, relatives = _relatives(
        folder, f"    join:\n      m: {{from: tags, {join}}}\n", models, tags, "u: {uuid: id}, x: m.v"
    )
    alone = [relatives.joined(mapping, row) for row in models]
    oracle = Oracle(relatives._plan, mapping, relatives._made(mapping).target, SOURCES)
    assert [dict(each) for each in relatives.joined_all(mapping, Rows(oracle, models))] == alone
    return [each["m"] for each in alone]


ON = "on: {run: id}"


def test_a_row_is_joined_where_every_key_part_is_equal(tmp_path):
    """By the texts of the keys; NULL and what cannot be read join nothing, on either side."""
    tags = [_tag(1, "a"), _tag(2, "b"), _tag(None, "a"), _tag(BAD, "a"), _tag(3, None)]
    models = [_model(1), _model(2), _model(None), _model(3, kind=None), _model(BAD), _model(1, kind="b"), _model(3)]
    found = _joined(tmp_path, "on: {run: id, k: kind}", tags, models)
    assert found == [tags[0], None, None, None, None, None, None]
    assert _joined(tmp_path, ON, tags, models) == [tags[0], tags[1], None, tags[4], None, tags[0], tags[4]]


def test_several_rows_without_an_order_are_ambiguous(tmp_path):
    """Equal ones, too."""
    assert _joined(tmp_path, ON, [_tag(1), _tag(1)]) == [AMBIGUOUS]
    assert _joined(tmp_path, ON, [_tag(2), _tag(1), _tag(3)]) == [_tag(1)]
    assert _joined(tmp_path, ON, []) == [None]


def test_where_leaves_rows_out_and_what_it_cannot_read_is_in_doubt(tmp_path):
    """FALSE and NULL are out; a row in doubt makes the join ambiguous, alone and beside others."""
    join = f"{ON}, where: n > 1"
    assert _joined(tmp_path, join, [_tag(1, n=1), _tag(1, n=2), _tag(1, n=None)]) == [_tag(1, n=2)]
    assert _joined(tmp_path, join, [_tag(1, n=BAD)]) == [AMBIGUOUS]
    assert _joined(tmp_path, join, [_tag(1, n=BAD), _tag(1, n=2)]) == [AMBIGUOUS]
    assert _joined(tmp_path, join, [_tag(1, n=0), _tag(1, n=1)]) == [None]


def test_first_takes_the_row_whose_text_comes_first_in_the_plan(tmp_path):
    """Other texts are no candidates; two of the first one are ambiguous; doubt stays doubt."""
    join = f"{ON}, first: {{k: [b, a]}}"
    rows = [_tag(1, "a"), _tag(1, "b"), _tag(1, "c")]
    assert _joined(tmp_path, join, rows) == [_tag(1, "b")]
    assert _joined(tmp_path, join, rows[::2]) == [_tag(1, "a")]
    assert _joined(tmp_path, join, rows[2:]) == [None]
    assert _joined(tmp_path, join, [*rows, _tag(1, "b", "other")]) == [AMBIGUOUS]
    assert _joined(tmp_path, join, [_tag(1, "a"), _tag(1, "a", "other"), _tag(1, "b")]) == [_tag(1, "b")]
    doubt = f"{join}, where: n = 0"
    assert _joined(tmp_path, doubt, [_tag(1, "a", n=BAD), _tag(1, "b")]) == [AMBIGUOUS]
    assert _joined(tmp_path, doubt, [_tag(1, "c", n=BAD), _tag(1, "b")]) == [_tag(1, "b")]


def test_latest_takes_the_greatest_and_null_is_the_least(tmp_path):
    """Equal ones are ambiguous, and so is a value that cannot be read, unless its row is alone."""
    join = f"{ON}, latest: n"
    assert _joined(tmp_path, join, [_tag(1, n=2), _tag(1, n=10), _tag(1, n=None)]) == [_tag(1, n=10)]
    assert _joined(tmp_path, join, [_tag(1, "a", n=2), _tag(1, "b", n=2)]) == [AMBIGUOUS]
    assert _joined(tmp_path, join, [_tag(1, n=BAD), _tag(1, n=2)]) == [AMBIGUOUS]
    assert _joined(tmp_path, join, [_tag(1, n=BAD)]) == [_tag(1, n=BAD)]
    assert _joined(tmp_path, join, [_tag(1, "a", n=None), _tag(1, "b", n=None)]) == [AMBIGUOUS]
    both = f"{ON}, first: {{k: [b, a]}}, latest: n"
    rows = [_tag(1, "a", n=9), _tag(1, "b", n=1), _tag(1, "b", n=2)]
    assert _joined(tmp_path, both, rows) == [_tag(1, "b", n=2)]


PIVOT = f"{ON}, pivot: {{name: k, value: n, take: {{v: user, w: size}}}}"


def test_a_pivot_takes_the_value_beside_each_name(tmp_path):
    """A name that is not there gives NULL; no row gives none; a taken name twice, or in doubt, is ambiguous."""
    assert _joined(tmp_path, PIVOT, [_tag(1, "user", n=1), _tag(1, "x", n=2), _tag(1, "x", n=3)]) == [
        {"v": 1, "w": None}
    ]
    assert _joined(tmp_path, PIVOT, [_tag(1, "size", n=1), _tag(1, "user", n=None)]) == [{"v": None, "w": 1}]
    assert _joined(tmp_path, PIVOT, [_tag(1, None, n=1)]) == [{"v": None, "w": None}]
    assert _joined(tmp_path, PIVOT, [_tag(2, "user")]) == [None]
    assert _joined(tmp_path, PIVOT, [_tag(1, "size"), _tag(1, "size")]) == [AMBIGUOUS]
    doubt = PIVOT.replace("pivot", "where: v = 'x', pivot")
    assert _joined(tmp_path, doubt, [_tag(1, "user", v=BAD)]) == [AMBIGUOUS]
    assert _joined(tmp_path, doubt, [_tag(1, "other", v=BAD), _tag(1, "user", n=4)]) == [{"v": 4, "w": None}]


def test_a_join_may_hang_on_the_row_of_another(tmp_path):
    """The key of the second is a column of the first."""
    more = "    join:\n      a: {from: tags, on: {run: id}}\n      b: {from: tags, on: {run: a.n}}\n"
    models, tags = [_model(1), _model(5)], [_tag(1, n=2), _tag(2, n=7), _tag(3)]
    mapping, relatives = _relatives(tmp_path, more, models, tags, "u: {uuid: id}, x: b.v")
    oracle = Oracle(relatives._plan, mapping, relatives._made(mapping).target, SOURCES)
    expected = [{"a": tags[0], "b": tags[1]}, {"a": None, "b": None}]
    assert [dict(each) for each in relatives.joined_all(mapping, Rows(oracle, models))] == expected


def test_children_are_the_rows_with_these_texts(tmp_path):
    """Every column as text with its reasons; asked again, the same ones."""
    tags = [_tag(1, "a", n=3), _tag(1, "b", BAD), _tag(2, "a"), _tag(None, "a"), _tag(1, None)]
    _, relatives = _relatives(tmp_path, "", [], tags)
    for _ in range(2):
        assert [tuple(each) for each in relatives.children("tags", {"run": "1"}, ["n", "v"])] == [
            (("3", ()), ("x", ())),
            (("0", ()), (None, ("bad_encoding:v",))),
            (("0", ()), ("x", ())),
        ]
    assert [each[0].value for each in relatives.children("tags", {"run": "1", "k": "b"}, ["run"])] == ["1"]
    assert list(relatives.children("tags", {"run": "9"}, ["n"])) == []


@pytest.mark.parametrize(
    ("dedupe", "expected"),
    [
        ("", ["", "", "", "", "", "", "", ""]),
        ("dedupe: {by: [name]}", ["tied", "tied", "tied", "tied", "", "", "", ""]),
        ("dedupe: {by: [name, kind]}", ["tied", "", "tied", "", "", "", "", ""]),
        ("dedupe: {by: [name], first: {kind: [b, a]}}", ["lost", "", "lost", "lost", "", "", "", ""]),
        ("dedupe: {by: [name], first: {kind: [z, a]}}", ["tied", "lost", "tied", "lost", "", "", "", ""]),
        ("dedupe: {by: [name], first: {kind: [z]}}", ["tied", "tied", "tied", "tied", "", "", "", ""]),
        ("dedupe: {by: [name], latest: id}", ["lost", "lost", "lost", "", "", "", "", ""]),
        ("dedupe: {by: [name], latest: day}", ["lost", "tied", "tied", "lost", "", "", "", ""]),
        ("dedupe: {by: [name], first: {kind: [a]}, latest: day}", ["lost", "lost", "", "lost", "", "", "", ""]),
    ],
)
def test_of_rows_for_one_thing_the_best_stays(tmp_path, dedupe, expected):
    """By the order of the plan, then the latest; rows that win equally are tied; no key and no other row: no word.

    Rows that `where` leaves out stand for nothing.
    """
    models = [
        _model(1, "one", "a", day="2024-01-01"),
        _model(2, "one", "b", day="2024-01-02"),
        _model(3, "one", "a", day="2024-01-02"),
        _model(4, "one", "c", day=None),
        _model(5, "two", "b", day="2024-01-09"),
        _model(6, None, "b", day="2024-01-09"),
        _model(7, BAD, "b", day="2024-01-09"),
        _model(99, "one", "b", day="2024-12-31"),
    ]
    mapping, relatives = _relatives(tmp_path, f"    where: id < 50\n    {dedupe}\n", models, [])
    assert relatives.deduplicated(mapping) == expected


def test_a_latest_that_cannot_be_read_decides_nothing(tmp_path):
    """All rows are tied then, and what `where` cannot read stands for nothing."""
    models = [_model(1, day="2024-01-01"), _model(2, day=BAD), _model(3, "x", day="a"), _model(BAD, "x", day="b")]
    mapping, relatives = _relatives(tmp_path, "    dedupe: {by: [name], latest: day}\n", models[:2], [])
    assert relatives.deduplicated(mapping) == ["tied", "tied"]
    mapping, relatives = _relatives(tmp_path, "    where: id > 0\n    dedupe: {by: [name], latest: day}\n", models, [])
    assert relatives.deduplicated(mapping) == ["tied", "tied", "", ""]
