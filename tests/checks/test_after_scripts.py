"""The scripts that look at a target: which ones a plan gives, and which rows they find among planted ones."""

import pytest

from tests.checks.scripts_bench import answers, place, told, written
from tests.plan.planning import catalog, plan_of, table
from transhume.batches import TargetTable
from transhume.checks.after_scripts import after_scripts
from transhume.checks.business import business_rules, columns_with
from transhume.checks.counts import TableTally
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.checks.references import Reference, references
from transhume.schema import ForeignKey, Table

SOURCE = (
    table("people", "id bigint, name text(50), code text, algo text, path text, score double, boss bigint"),
    table("visits", "k text, n bigint, who bigint"),
)
PLAN = """\
  p:
    from: people
    key: id
    create: true
    types: {u: uuid primary key}
    columns:
      u: {uuid: id}
      original_id: id
      again: id
      name: name
      state: {codes: code, to: {B: Beta, A: Alpha}, else: "Other"}
      kept: {codes: code, to: {A: Alpha}, else: keep}
      algo: {names: algo, in: algorithms, else: keep}
      strict: {names: algo, in: algorithms}
      lax: {names: algo, in: algorithms, else: "Unknown"}
      uri: {path: path, like: "/x/{n}", to: "s3://b/{n}"}
      local: {path: path, like: "/x/{n}", to: "/y/{n}"}
      score: score
      boss: {ref: boss, table: p}
    checks:
      - {name: low, sql: score >= 0, then: warn}
      - {name: named, sql: "name <> 'Nobody'"}
  v:
    from: visits
    key: [k, n]
    create: true
    types: {cu: uuid primary key}
    columns:
      cu: {uuid: [k, n]}
      k: k
      n: n
      who: {ref: who, table: p}
"""
U = [f"00000000-0000-5000-8000-{n:012}" for n in range(9)]
#        u     id again name     state    kept     algo             strict           lax        uri         local  score
GOOD = (U[0], 1, 1, "Ada", "Alpha", "free", "free text", "Random Forest", "Unknown", "s3://b/x", "/y/x", 0.0, None)
PEOPLE = [
    GOOD,
    (U[1], 2, 2, None, None, None, None, None, None, None, None, None, U[0]),
    (U[2], 3, 3, "Nobody", "Other", "x", "x", "Random Forest", "Random Forest", "s3:/b/x", "/y/z", -0.5, U[8]),
    (U[3], 4, 4, "Bob", "B", "x", "x", "RF", "RF", "S3://b/x", "/y/z", 1.0, U[3]),
    (U[3], 5, 5, "Bob", "Beta", "x", "x", "Random Forest", "Unknown", "s3://b/", "/y/z", 1.0, U[3]),
    (None, 5, 5, "Bob", "Beta", "x", "x", "Random Forest", "Unknown", "s3://b?/a", "/y/z", 1.0, U[3]),
    (None, None, 5, "Bob", "Beta", "x", "x", "Random Forest", "Unknown", "s3+a.b-1://b/a/b", "/y/z", 1.0, U[3]),
    (U[4], None, 5, "Bob", "Beta", "x", "x", "Random Forest", "Unknown", "s3://b//b", "y", 1.0, U[3]),
]  # fmt: skip
VISITS = [(U[5], "a", 1, U[0]), (U[6], "a", 1, U[7]), (U[7], "a", 2, None)]


def _made(folder, text: str = PLAN):
    plan = plan_of(folder, text)
    tables, findings = catalog_findings(plan, catalog(*SOURCE), None)
    assert set(tables) == set(plan.tables), findings
    return plan, tables


def _scripts(folder, text: str = PLAN, tallies=None):
    plan, tables = _made(folder, text)
    return written(after_scripts(plan, tables, place, tallies or {}, "target")), tables


def test_every_check_of_a_plan_is_written_with_its_severity_and_place(tmp_path):
    """Counts first, then keys and rules mapping by mapping, at last the references."""
    scripts, tables = _scripts(tmp_path)
    assert told(scripts) == [
        ("row_counts", "p", "", "error", "tables/p"),
        ("row_counts", "v", "", "error", "tables/v"),
        ("unique_key", "p", "", "error", "tables/p/key"),
        ("unique_source_key", "p", "", "error", "tables/p/columns/original_id"),
        ("check:low", "p", "", "warning", "tables/p/checks/0"),
        ("check:named", "p", "", "error", "tables/p/checks/1"),
        ("domain", "p", "state", "error", "tables/p/columns/state"),
        ("domain", "p", "strict", "error", "tables/p/columns/strict"),
        ("domain", "p", "lax", "error", "tables/p/columns/lax"),
        ("artefact_form", "p", "uri", "error", "tables/p/columns/uri"),
        ("artefact_form", "p", "local", "error", "tables/p/columns/local"),
        ("unique_key", "v", "", "error", "tables/v/key"),
        ("unique_source_key", "v", "", "error", "tables/v/columns/k"),
        ("references", "p", "boss", "error", "tables/p/columns/boss"),
        ("references", "v", "who", "error", "tables/v/columns/who"),
    ]
    assert {each.side for each in scripts} == {"target"}
    types = {name: {each.name: each.type for each in made.table.columns} for name, made in tables.items()}
    known = {(each.name, each.table): each.types for each in scripts}
    assert known["references", "v"] == {"c": types["v"], "p": types["p"]}
    assert known["domain", "p"] == known["check:low", "p"] == {"p": types["p"]}
    assert known["unique_key", "v"] == {"": types["v"]}
    assert known["row_counts", "p"] == {}


def test_the_scripts_find_the_planted_rows_by_key_and_no_other(tmp_path):
    """NULL breaks no rule and refers to nothing; a NULL key is no duplicate."""
    scripts, tables = _scripts(tmp_path)
    found = answers(scripts, {"p": (tables["p"].table, PEOPLE), "v": (tables["v"].table, VISITS)})
    assert {key: [tuple(map(str, row)) for row in rows] for key, rows in found.items()} == {
        ("row_counts", "p", ""): [("8",)],
        ("row_counts", "v", ""): [("3",)],
        ("unique_key", "p", ""): [(U[3],)],
        ("unique_source_key", "p", ""): [("5",)],
        ("check:low", "p", ""): [(U[2],)],
        ("check:named", "p", ""): [(U[2],)],
        ("domain", "p", "state"): [(U[3],)],
        ("domain", "p", "strict"): [(U[3],)],
        ("domain", "p", "lax"): [(U[3],)],
        ("artefact_form", "p", "uri"): [("None",), (U[2],), (U[3],), (U[3],), (U[4],)],
        ("artefact_form", "p", "local"): [(U[4],)],
        ("unique_key", "v", ""): [],
        ("unique_source_key", "v", ""): [("a", "1")],
        ("references", "p", "boss"): [(U[2], "3", U[8])],
        ("references", "v", "who"): [(U[6], "a", "1", U[7])],
    }


def test_the_counts_of_a_finished_run_stand_beside_what_is_found(tmp_path):
    """What readers of the target see of this run, and what is left over; other buckets where they hold a row."""
    tallies = {
        "p": TableTally("p", read=30, loaded=4, unchanged=3, updated=2, skipped=1, conflict=5, rejected=6, filtered=7),
        "v": TableTally("v", read=1, loaded=3),
    }
    scripts, tables = _scripts(tmp_path, tallies=tallies)
    found = answers(scripts[:2], {"p": (tables["p"].table, PEOPLE), "v": (tables["v"].table, VISITS)})
    assert found["row_counts", "p", ""] == [(8, 15, 30, 4, 3, 2, 1, 5, 6, 7, 2)]
    assert scripts[0].select.named_selects == [
        "found_rows", "expected_rows", "source_rows_read", "loaded", "unchanged", "updated", "skipped", "conflict",
        "rejected", "filtered", "in_no_bucket",
    ]  # fmt: skip
    assert scripts[0].purpose == (
        "rows of 'p' against the journal of the run: 30 read = loaded 4 + unchanged 3 + updated 2 + skipped 1"
        " + conflict 5 + rejected 6 + filtered 7"
    )
    assert found["row_counts", "v", ""] == [(3, 3, 1, 3, -2)]
    assert "found_rows equals expected_rows" in scripts[1].expectation


def test_mappings_of_one_table_are_counted_together(tmp_path):
    """One script for the table; a source key may stand in it once a mapping, and a run of one of them says nothing."""
    one = "  {}: {{from: people, key: id, create: true, into: all, types: {{u: uuid primary key}}, columns: {}}}\n"
    text = one.format("a", "{u: {uuid: id}, i: id}") + one.format("b", "{u: {uuid: [id, name]}, i: id}")
    tallies = {"a": TableTally("a", read=2, loaded=2), "b": TableTally("b", read=3, loaded=1, rejected=2)}
    scripts, _ = _scripts(tmp_path, text, tallies)
    assert [each[:2] for each in told(scripts)] == [("row_counts", "all"), ("unique_key", "all"), ("unique_key", "all")]
    assert scripts[0].purpose.endswith(": 5 read = loaded 3 + rejected 2")
    scripts, _ = _scripts(tmp_path, text, {"a": tallies["a"]})
    assert scripts[0].purpose == "rows of 'all'"
    assert scripts[0].select.named_selects == ["found_rows"]


@pytest.mark.parametrize(
    ("types", "columns", "names"),
    [
        ("{u: uuid primary key}", "{u: {uuid: id}, i: id}", ["unique_key", "unique_source_key"]),
        ("{u: uuid primary key}", "{u: {uuid: id}, n: name}", ["unique_key"]),
        ("{u: uuid primary key}", "{u: {uuid: id}, i: {coalesce: [id, boss]}}", ["unique_key"]),
        ("{id: bigint primary key}", "{id: id, n: name}", ["unique_key"]),
    ],
)
def test_a_source_key_is_asked_for_where_it_is_copied_and_no_key_already(tmp_path, types, columns, names):
    """Not where the target's key is the copy, and not where the source's key does not arrive as it is."""
    text = f"  p: {{from: people, key: id, create: true, types: {types}, columns: {columns}}}\n"
    scripts, _ = _scripts(tmp_path, text)
    assert [each.name for each in scripts if each.name.startswith("unique")] == names


def test_references_are_those_of_rules_and_of_tables_each_once(tmp_path):
    """A foreign key that a rule makes too counts once; one to a table of nobody is nobody's."""
    plan, tables = _made(tmp_path)
    declared = (
        ForeignKey(("who",), "p", ("u",)),
        ForeignKey(("k",), "elsewhere", ("k",)),
        ForeignKey(("k", "n"), "p", ("name", "original_id")),
    )
    visits = tables["v"].table
    tables["v"] = TargetTable(
        "v", Table(visits.name, visits.columns, foreign_keys=declared), tables["v"].key, create=True
    )
    assert list(references(plan, tables)) == [
        Reference("p", ("boss",), "p", ("u",)),
        Reference("v", ("who",), "p", ("u",)),
        Reference("v", ("k", "n"), "p", ("name", "original_id")),
    ]


def test_a_reference_inside_another_rule_is_none(tmp_path):
    """What a rule makes of a reference need not be one."""
    plan, tables = _made(tmp_path, PLAN.replace("who: {ref: who, table: p}", "who: {coalesce: [{ref: who, table: p}]}"))
    assert [each.child for each in references(plan, tables)] == ["p"]


def test_columns_are_found_by_their_rule(tmp_path):
    """In the order of the plan."""
    plan, _ = _made(tmp_path)
    assert columns_with(plan.tables["p"], ["path", "uuid"]) == ["u", "uri", "local"]


def test_what_a_business_rule_covers_is_said(tmp_path):
    """The condition as the plan writes it, the number of texts, the form."""
    plan, tables = _made(tmp_path)
    names = {each.name: each.name for each in tables["p"].table.columns}
    found = {
        each.name + each.column: each.covered for each in business_rules(plan, plan.tables["p"], tables["p"], names)
    }
    assert found == {
        "check:low": "score >= 0",
        "check:named": "name <> 'Nobody'",
        "domainstate": "state is one of 3 values of the plan",
        "domainstrict": "strict is one of 1 values of the plan",
        "domainlax": "lax is one of 2 values of the plan",
        "artefact_formuri": "uri is scheme://place/name",
        "artefact_formlocal": "local is /name",
    }


def test_the_values_of_a_domain_stand_in_order(tmp_path):
    """A script reads the same each time that it is printed, however the plan's texts are held."""
    labels = ", ".join(f"{letter}: Label {letter}" for letter in "QWERTYUIOPASDFGHJKLZ")
    plan, tables = _made(tmp_path, PLAN.replace("{B: Beta, A: Alpha}", f"{{{labels}}}"))
    names = {each.name: each.name for each in tables["p"].table.columns}
    rules = list(business_rules(plan, plan.tables["p"], tables["p"], names))
    (wrong,) = [each.wrong.sql() for each in rules if each.column == "state"]
    texts = [f"'Label {letter}'" for letter in sorted("QWERTYUIOPASDFGHJKLZ")]
    assert wrong == f'NOT "p"."state" IN ({", ".join([*texts, repr("Other")])})'


def test_names_are_quoted_whatever_they_hold(tmp_path):
    """Blanks and words of SQL in the names of tables and columns, in every check."""
    text = """\
  p:
    from: people
    key: id
    into: or der
    create: true
    types: {u u: uuid primary key}
    columns:
      u u: {uuid: id}
      i d: id
      group: {codes: code, to: {B: Beta, A: Alpha}}
      ur i: {path: path, any: [{like: "/x/{n}", to: "s3://b/{n}"}, {like: "{n}", to: "gs://b/{n}"}]}
      lo cal: {path: path, any: [{like: "/x/{n}", to: "s3://b/{n}"}, {like: "{n}", to: "/y/{n}"}]}
      bo ss: {ref: boss, table: p}
    checks:
      - {name: c, sql: group <> 'Beta'}
"""
    scripts, tables = _scripts(tmp_path, text)
    rows = [
        (U[0], 1, "Alpha", "s3://b/x", "/y/x", None),
        (U[1], 1, "Beta", "s3:///x", "s3://b/x", U[0]),
        (U[1], 2, "B", "s3://b/x/", "/y/x/z", U[2]),
        (U[3], 3, None, "s://b?x/a", "/y/x/z", U[2]),
        (U[4], 4, None, "s3://b", "/y/x", None),
        (U[5], 5, None, "s://b/a", "y", None),
    ]
    found = answers(scripts, {"or der": (tables["p"].table, rows)})
    local = found.pop(("artefact_form", "or der", "lo cal"))
    assert [tuple(map(str, row)) for row in local] == [(U[5],)]
    assert {key[0]: [tuple(map(str, row)) for row in each] for key, each in found.items()} == {
        "row_counts": [("6",)],
        "unique_key": [(U[1],)],
        "unique_source_key": [("1",)],
        "check:c": [(U[1],)],
        "domain": [(U[1],)],
        "artefact_form": [(U[1],), (U[1],), (U[3],), (U[4],)],
        "references": [(U[1], "2", U[2]), (U[3], "3", U[2])],
    }
    named = {each.name: each for each in scripts}
    assert named["row_counts"].select.named_selects == ["found_rows"]
    assert "IN ('Alpha', 'Beta')" in named["domain"].select.sql()
    assert "whose bo ss is no u u of 'or der'" in named["references"].purpose


def test_nothing_left_over_is_no_negative_number(tmp_path):
    """The rows in no bucket are 0 there, and each script's column has its name as it is written."""
    scripts, tables = _scripts(tmp_path, tallies={name: TableTally(name, read=2, loaded=2) for name in ("p", "v")})
    assert "-" not in scripts[0].select.sql()
    assert scripts[0].select.sql().startswith('SELECT COUNT(*) AS "found_rows", 2 AS "expected_rows"')
    assert answers(scripts[:1], {"p": (tables["p"].table, [])}) == {("row_counts", "p", ""): [(0, 2, 2, 2, 0)]}


def test_codes_that_become_numbers_have_no_domain_of_texts(tmp_path):
    """A domain is one of texts."""
    text = PLAN.replace("      score: score\n", '      score: score\n      n: {codes: code, to: {A: "1"}}\n')
    scripts, _ = _scripts(tmp_path, text.replace("types: {u: uuid", "types: {n: bigint, u: uuid"))
    assert [each.column for each in scripts if each.name == "domain"] == ["state", "strict", "lax"]


def test_a_reference_of_several_columns_is_told_whole(tmp_path):
    """Its columns, and those that they refer to."""
    plan, tables = _made(tmp_path)
    visits = tables["v"].table
    declared = (ForeignKey(("k", "n"), "p", ("name", "original_id")),)
    tables["v"] = TargetTable(
        "v", Table(visits.name, visits.columns, foreign_keys=declared), tables["v"].key, create=True
    )
    scripts = [each for each in written(after_scripts(plan, tables, place, {}, "target")) if each.table == "v"]
    assert [(each.column, each.purpose) for each in scripts if each.name == "references"] == [
        ("who", "rows of 'v' whose who is no u of 'p'"),
        ("k, n", "rows of 'v' whose k, n is no name, original_id of 'p'"),
    ]


def test_checks_on_whole_tables_have_their_scripts_too(tmp_path):
    """Behind those of their mapping's rows."""
    text = PLAN.replace("checks:\n", "checks:\n      - {name: some, compare: nulls, target: name, most: 1}\n")
    scripts, _ = _scripts(tmp_path, text)
    assert [each.name for each in scripts if each.table == "p"][-3:] == [
        "artefact_form", "table:some", "references",
    ]  # fmt: skip
    assert told(scripts)[4][-1] == "tables/p/checks/1"


PREFIXED = """\
  p:
    from: people
    key: id
    create: true
    types: {u: uuid primary key}
    columns:
      u: {uuid: id}
      bare: {prefix: path, with: "s3://b/", when_null: prefix}
      text: {prefix: path, with: "/y/", when_null: "none"}
      uri: {prefix: path, with: "s3://b/"}
      two: {path: path, any: [{like: "/x/{n}", to: "s3://b/{n}"}, {like: "{n}", to: "/y/{n}"}]}
    checks:
      - {name: fits, sql: "original * original > 0"}
"""


def test_what_a_rule_gives_for_want_of_a_reference_has_no_form_to_keep(tmp_path):
    """The prefix alone, or a text of the plan's own; any other text must be a reference."""
    text = PREFIXED.partition("    checks:")[0]
    scripts, tables = _scripts(tmp_path, text)
    rows = [
        (U[0], "s3://b/", "none", "s3://b/x", "s3://b/x"),
        (U[1], "s3://b", "/y/", "s3://b/", "/y/x"),
        (U[2], "none", "non", "none", "none"),
        (U[3], None, None, None, None),
    ]
    found = answers(scripts, {"p": (tables["p"].table, rows)})
    assert {column: [str(key) for (key,) in each] for (name, _, column), each in found.items()
            if name == "artefact_form"} == {
        "bare": [U[1], U[2]],
        "text": [U[2]],
        "uri": [U[1], U[2]],
        "two": [U[2]],
    }  # fmt: skip
    covered = {each.column: each.purpose for each in scripts if each.name == "artefact_form"}
    assert covered["two"] == "rows of 'p' that break a rule: two is scheme://place/name or /name"


def test_a_row_whose_calculation_does_not_fit_breaks_its_check(tmp_path):
    """As one does that the condition is FALSE of; NULL passes."""
    text = PREFIXED.replace('      uri: {prefix: path, with: "s3://b/"}\n', "      original: id\n")
    scripts, tables = _scripts(tmp_path, text)
    rows = [
        (U[0], None, None, 1, None),
        (U[1], None, None, 2**40, None),
        (U[2], None, None, 0, None),
        (U[3], None, None, None, None),
    ]
    found = answers(scripts, {"p": (tables["p"].table, rows)})
    assert [str(key) for (key,) in found["check:fits", "p", ""]] == [U[1], U[2]]


def test_references_that_are_no_texts_have_no_form_of_texts(tmp_path):
    """A rule that gives references fills a JSON column here, which no pattern is asked of."""
    text = PREFIXED.partition("    checks:")[0].replace("types: {u:", "types: {uri: json, u:")
    scripts, tables = _scripts(tmp_path, text)
    assert str(tables["p"].table.column("uri").type) == "json"
    assert [each.column for each in scripts if each.name == "artefact_form"] == ["bare", "text", "two"]
