"""A plan held against catalogs: what is missing there, what is left out here, what does not go together."""

import pytest

from tests.plan.planning import HEAD, catalog, plan_of, table
from transhume.checks.lookups import lookup_findings
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.errors import Finding

SOURCE = (
    table(
        "models", "id bigint, name text(50), kind text(5), big bigint, price decimal(12,4), blob bytes, geo !geometry"
    ),
    table("metrics", "model_id bigint, kind text, value double, at text"),
)
GOOD = "u: {uuid: id}, name: name, kind: kind, big: big, price: price"


def _findings(
    folder, columns: str = GOOD, more: str = "drop: [blob, geo]", rest: str = "", target=None
) -> list[Finding]:
    tables = f"  t:\n    from: models\n    key: id\n    create: true\n    {more}\n    columns: {{{columns}}}\n{rest}"
    plan = plan_of(folder, tables + "ignored_tables: [metrics]\n" * ("metrics" not in more))
    return catalog_findings(plan, catalog(*SOURCE), target)[1]


def _said(findings: list[Finding], code: str) -> str:
    assert code in {finding.code for finding in findings}, findings
    assert all(finding.position is not None and finding.cure for finding in findings), findings
    return " ".join(f"{finding.message} {finding.cure}" for finding in findings if finding.code == code)


def test_a_good_plan_has_no_finding_and_a_table(tmp_path):
    """Nothing is said of a plan that fits."""
    plan = plan_of(tmp_path, f"  t: {{from: models, key: id, create: true, drop: [blob, geo], columns: {{{GOOD}}}}}\n"
                             "ignored_tables: [metrics]\n")  # fmt: skip
    tables, findings = catalog_findings(plan, catalog(*SOURCE), catalog(identity="target"))
    assert findings == []
    assert [column.name for column in tables["t"].table.columns] == ["u", "name", "kind", "big", "price"]
    assert tables["t"].create


def test_a_column_that_goes_nowhere(tmp_path):
    """Silence is never success: each source column is used or dropped."""
    said = _said(_findings(tmp_path, more="drop: [blob]"), "column_left_out")
    assert "'models.geo' goes nowhere" in said
    assert "'geo' under drop" in said


def test_a_table_that_goes_nowhere(tmp_path):
    """Each source table is mapped, joined or ignored."""
    plan = plan_of(tmp_path, f"  t: {{from: models, key: id, create: true, drop: [blob, geo], columns: {{{GOOD}}}}}\n")
    findings = catalog_findings(plan, catalog(*SOURCE), None)[1]
    assert "'metrics' goes nowhere" in _said(findings, "table_left_out")


@pytest.mark.parametrize(
    "used",
    ["where: big = 1", "join: {m: {from: metrics, on: {model_id: big}}}"],
)
def test_where_and_joins_use_columns(tmp_path, used):
    """A column that only a condition or a join reads counts as used."""
    findings = _findings(tmp_path, GOOD.replace(", big: big", ""), f"drop: [blob, geo]\n    {used}")
    assert not [finding for finding in findings if finding.severity == "error"]


@pytest.mark.parametrize(
    ("columns", "more", "code", "said"),
    [
        ("x: nmae", "", "type", "did you mean 'name'?"),
        ("x: geo", "drop: [blob]", "type", "'geometry'"),
        ("x: {scale: name, times: 2}", "types: {x: boolean}", "type", "boolean"),
        ("x: m.val", "join: {m: {from: metrics, on: {model_id: id}}}", "type", "did you mean 'm.value'?"),
        ("", "drop: [blob, geo, blub]", "unknown_column", "did you mean 'blob'?"),
        ("", "types: {name: text(20)}", "narrower", "text(50)"),
        ("", "types: {price: 'decimal(10,4)'}", "narrower", "decimal(12,4)"),
        ("", "where: name = 1", "expression", "text"),
        ("", "where: nmae = 'x'", "expression", "did you mean 'name'?"),
        ("", "checks: [{name: c, sql: price > 'a lot'}]", "expression", "a lot"),
        ("", "join: {m: {from: metric, on: {model_id: id}}}", "unknown_table", "did you mean 'metrics'?"),
        ("", "join: {m: {from: metrics, on: {modelid: id}}}", "unknown_column", "did you mean 'model_id'?"),
        ("", "join: {m: {from: metrics, on: {model_id: idd}}}", "unknown_column", "did you mean 'id'?"),
        ("", "join: {m: {from: metrics, on: {value: id}}}", "join_type", "double"),
        ("", "join: {m: {from: metrics, on: {model_id: id}, latest: when}}", "unknown_column", "'when'"),
        ("", "join: {m: {from: metrics, on: {model_id: id}, where: value = 'x'}}", "expression", "double"),
    ],
)
def test_what_does_not_go_together(tmp_path, columns, more, code, said):
    """Columns, tables and types that the source does not have, each with a cure."""
    more = more if more.startswith("drop") else f"{more}\n    drop: [blob, geo]"
    assert said in _said(_findings(tmp_path, f"{GOOD}, {columns}".rstrip(", "), more), code)


def test_keys(tmp_path):
    """A key exists and is of a type that keys are made of."""
    rest = "  k: {from: metrics, key: [value, valeu], create: true, columns: {x: value, y: model_id, z: kind, w: at}}\n"
    findings = _findings(tmp_path, rest=rest)
    assert "'value' is of the type 'double'" in _said(findings, "key_type")
    assert "did you mean 'value'?" in _said(findings, "unknown_column")


def test_source_and_target_are_two(tmp_path):
    """The target may not be the source (B6)."""
    findings = _findings(tmp_path, target=catalog(identity="source"))
    assert "never written" in _said(findings, "same_system")


def test_an_ignored_table_that_is_not_there(tmp_path):
    """An exception for nothing is worth a warning: it may be a typo."""
    plan = plan_of(tmp_path, f"  t: {{from: models, key: id, create: true, drop: [blob, geo], columns: {{{GOOD}}}}}\n"
                             "ignored_tables: [metrics, metricz]\n")  # fmt: skip
    findings = catalog_findings(plan, catalog(*SOURCE), None)[1]
    assert [(finding.severity, finding.cure) for finding in findings] == [("warning", "did you mean 'metrics'?")]


@pytest.mark.parametrize(
    ("columns", "table", "code", "said"),
    [
        ("key: id, value: name", "model", "unknown_table", "did you mean 'models'?"),
        ("key: idd, value: name", "models", "unknown_column", "did you mean 'id'?"),
        ("key: id, value: nmae", "models", "unknown_column", "did you mean 'name'?"),
        ("key: blob, value: name", "models", "lookup_type", "'models.blob' is bytes, which has no one exact text"),
        ("key: id, value: geo", "models", "lookup_type", "'models.geo' is geometry, which"),
        ("key: kind, value: value", "metrics", "lookup_type", "'metrics.value' is double, which"),
    ],
)
def test_a_lookup_in_another_system_is_held_against_its_catalog(tmp_path, columns, table, code, said):
    """Tables, columns and types that cannot be a lookup are named, at the key of the plan that names them."""
    head = HEAD.replace(
        "{file: ids.csv, key: id, value: uuid}", f'{{system: "sqlite:///i.db", table: {table}, {columns}}}'
    )
    plan = plan_of(tmp_path, "  t: {from: metrics, key: kind, columns: {x: kind}}\n", head)
    assert said in _said(list(lookup_findings(plan, "ids", catalog(*SOURCE))), code)


@pytest.mark.parametrize(
    ("rule", "code", "said"),
    [
        ("{gather: metric, on: {model_id: id}, name: kind, value: at}", "unknown_table", "did you mean 'metrics'?"),
        ("{gather: metrics, on: {modelid: id}, name: kind, value: at}", "unknown_column", "did you mean 'model_id'?"),
        ("{gather: metrics, on: {model_id: id}, name: kinds, value: at}", "unknown_column", "did you mean 'kind'?"),
        ("{gather: metrics, on: {model_id: id}, name: kind, value: value}", "gather_type", "no one exact text"),
        ("{gather: metrics, on: {value: id}, name: kind, value: at}", "join_type", "keys are made of"),
    ],
)
def test_what_a_gather_names(tmp_path, rule, code, said):
    """A gather's table and columns exist, it is found by a key, and its values have a text; the place is the column."""
    found = _findings(tmp_path, columns=f"{GOOD}, all: {rule}", more="drop: [blob, geo] #metrics\n")
    assert said in _said(found, code)
    assert "all" in [finding.column for finding in found if finding.code == code]


@pytest.mark.parametrize(
    ("pivot", "code", "said"),
    [
        ("{name: kinds, value: at, take: {a: x}}", "unknown_column", "did you mean 'kind'?"),
        ("{name: kind, value: att, take: {a: x}}", "unknown_column", "did you mean 'at'?"),
        ("{name: value, value: at, take: {a: x}}", "key_type", "a pivot's keys are texts"),
    ],
)
def test_what_a_pivot_names(tmp_path, pivot, code, said):
    """The columns of keys and values exist, and keys have a text."""
    more = f"drop: [blob, geo]\n    join: {{m: {{from: metrics, on: {{model_id: id}}, pivot: {pivot}}}}}"
    found = _findings(tmp_path, columns=f"{GOOD}, a: m.a", more=more)
    assert said in _said([finding for finding in found if finding.code == code], code)
