"""Scores on schemas made up for these tests, whose right answer anybody sees."""

import pytest

from transhume.facts import Catalog, ColumnProfile, Profile, TableProfile
from transhume.matching.scores import score
from transhume.matching.views import allowed_values, views_of
from transhume.schema import BIGINT, DATE, TEXT, UUID, Column, ForeignKey, LogicalType, Table


def catalog(**tables: str | Table) -> Catalog:
    """A catalog from `table="column column:type ..."`."""
    made = {}
    for name, columns in tables.items():
        if isinstance(columns, Table):
            made[name] = columns
            continue
        listed = [word.partition(":") for word in columns.split()]
        made[name] = Table(name, tuple(Column(c, _TYPES.get(kind, TEXT)) for c, _, kind in listed))
    return Catalog("x", made)


_TYPES = {"n": BIGINT, "d": DATE, "u": UUID, "t": TEXT}


def best(source: Catalog, target: Catalog, profiles=(None, None)) -> dict[str, str]:
    """The best target column of each source column, as `table.column`."""
    found: dict[str, str] = {}
    for each in score(views_of(source, profiles[0]), views_of(target, profiles[1])).candidates:
        found.setdefault(f"{each.source.table}.{each.source.name}", f"{each.target.table}.{each.target.name}")
    return found


@pytest.mark.parametrize("style", ["snake", "Pascal", "camel", "SHOUT", "prefixed"])
def test_case_and_prefixes_do_not_matter(style):
    """The same schema in another style of names, or with the table's name before each column, is found whole."""
    plain = {"customers": "customer_id:n first_name last_name city", "orders": "order_id:n order_date:d customer_id:n"}
    styles = {
        "snake": lambda t, c: (t, c),
        "Pascal": lambda t, c: (t.title(), c.title().replace("_", "")),
        "camel": lambda t, c: (t, c[0] + c.title().replace("_", "")[1:]),
        "SHOUT": lambda t, c: (f"TBL_{t.upper()}", c.upper()),
        "prefixed": lambda t, c: (t, f"{t[:-1]}_{c}"),
    }
    made: dict[str, str] = {}
    right = {}
    for table, columns in plain.items():
        words = []
        for word in columns.split():
            column, colon, kind = word.partition(":")
            name, other = styles[style](table, column)
            words.append(f"{other}{colon}{kind}")
            right[f"{table}.{column}"] = f"{name}.{other}"
        made[name] = " ".join(words)
    assert best(catalog(**plain), catalog(**made)) == right


def test_short_forms_and_synonyms_are_understood():
    """Words of the trade, one by one."""
    source = catalog(item="qty unit_amt descr supplier_no upd_ts")
    target = catalog(product="quantity unit_price description vendor_number modified_at")
    right = {
        "qty": "quantity",
        "unit_amt": "unit_price",
        "descr": "description",
        "supplier_no": "vendor_number",
        "upd_ts": "modified_at",
    }
    assert best(source, target) == {f"item.{one}": f"product.{other}" for one, other in right.items()}


def test_values_find_a_column_whose_name_says_nothing():
    """Codes that stand on both sides speak for a pair; where values differ, the names' verdict stays as it was."""
    source, target = catalog(a="alpha beta"), catalog(b="gamma delta")

    def profile(table: str, **values: list[str]) -> Profile:
        columns = {
            name: ColumnProfile(name, "text", 0, len(held), distinct_exact=True, values=tuple(held))
            for name, held in values.items()
        }
        return Profile("x", "", {table: TableProfile(table, 9, 9, columns)})

    ours = profile("a", alpha=["red", "green", "blue"], beta=["oak", "pine", "elm"])
    theirs = profile("b", gamma=["Oak", "Elm", "Pine", "Fir"], delta=["Blue", "Red", "Green"])
    assert best(source, target, (ours, theirs)) == {"a.alpha": "b.delta", "a.beta": "b.gamma"}
    others = profile("b", gamma=["1"], delta=["2"])
    without, with_values = (
        {
            (c.source.name, c.target.name): c.score
            for c in score(views_of(source, one), views_of(target, two)).candidates
        }
        for one, two in ((None, None), (ours, others))
    )
    assert with_values == without


def test_references_speak_for_each_other():
    """A column that refers to a table goes to the column that refers to that table's counterpart."""
    people = Table("people", (Column("id", BIGINT),), ("id",))
    persons = Table("persons", (Column("id", BIGINT),), ("id",))
    ours = Table("letters", (Column("sent_by", BIGINT),), foreign_keys=(ForeignKey(("sent_by",), "people", ("id",)),))
    theirs = Table(
        "letters",
        (Column("from_whom", BIGINT), Column("cost", BIGINT)),
        foreign_keys=(ForeignKey(("from_whom",), "persons", ("id",)),),
    )
    found = best(catalog(people=people, letters=ours), catalog(persons=persons, letters=theirs))
    assert found["letters.sent_by"] == "letters.from_whom"


def test_other_scripts_and_tables_that_differ_by_case():
    """Han, Cyrillic and reserved words are names like others; `T` beside `t` is another table."""
    source = catalog(訂單="訂單編號 客戶姓名 出貨日期", T="select", t="order")
    target = catalog(訂單表="編號 姓名 日期", T="select", t="order")
    assert best(source, target) == {
        "訂單.訂單編號": "訂單表.編號",
        "訂單.客戶姓名": "訂單表.姓名",
        "訂單.出貨日期": "訂單表.日期",
        "T.select": "T.select",
        "t.order": "t.order",
    }


def test_nothing_in_common_and_nothing_at_all():
    """No common name gives low scores and no crash; an empty side gives nothing."""
    found = score(views_of(catalog(a="q1 q2"), None), views_of(catalog(b="zz yy"), None)).candidates
    assert max(each.score for each in found) < 0.5
    assert score(views_of(catalog(), None), views_of(catalog(b="zz"), None)).candidates == []
    assert score(views_of(catalog(_="__ ___"), None), views_of(catalog(b="zz"), None)).candidates


@pytest.mark.parametrize(
    ("check", "allowed"),
    [
        ("status IN ('A', 'it''s')", ("A", "it's")),
        (
            "CHECK (((status)::text = ANY ((ARRAY['Draft'::character varying, 'Active'::character varying])::text[])))",
            ("Draft", "Active"),
        ),
        ("status NOT IN ('A')", ()),
        ("status IN ('A') or kind IN ('B')", ()),
        ("old_status IN ('A')", ()),
        ("length(status) > 1", ()),
    ],
)
def test_values_that_a_check_allows(check, allowed):
    """As SQLite and PostgreSQL write it; a condition that says something else gives nothing."""
    assert allowed_values(Table("t", (Column("status", LogicalType(TEXT.kind)),), checks=(check,)), "status") == allowed


@pytest.mark.parametrize("count", [600, pytest.param(2000, marks=pytest.mark.sweep)])
def test_hundreds_of_columns_are_matched_by_their_words(count):
    """A table of 2,000 columns against one of 2,000: each finds its namesake in the other style."""
    words = ["amount", "balance", "city", "rate", "owner", "note", "level", "flag", "score", "metric"]
    names = [f"{words[n % 10]}_{words[n // 10 % 10]}_{n}" for n in range(count)]
    ours = Table("wide", tuple(Column(name, TEXT) for name in names))
    theirs = Table("WIDE2", tuple(Column(name.title().replace("_", ""), TEXT) for name in names))
    found = best(catalog(wide=ours), catalog(WIDE2=theirs))
    assert all(found[f"wide.{name}"] == f"WIDE2.{name.title().replace('_', '')}" for name in names)
