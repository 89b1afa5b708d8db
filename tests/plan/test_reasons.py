"""Reject reasons as findings: at the rule that says them, with count, keys, meaning and cure."""

import ast
import re
from pathlib import Path

import pytest

from tests.plan.planning import plan_of
from transhume.plan.reasons import REASONS, findings_from_reasons

SOURCE = Path(__file__).parents[2] / "src" / "transhume"
TABLES = """\
  t:
    from: models
    key: id
    create: true
    types: {u: uuid primary key, name: text(20) not null}
    join:
      metric: {from: metrics, on: {model_id: id}, none: reject}
    columns:
      u: {uuid: id}
      status: {codes: status, to: {A: Active}}
      status_raw: status
      name: name
      name_again: name
      at: {utc: created}
      algo: {prefix: {names: algo, in: algorithms}, with: "x: "}
      owner: {lookup: owner, in: ids}
      parent: {ref: parent_id, table: t}
    checks:
      - {name: first, sql: "name <> ''"}
      - {name: sound, sql: "status <> 'x'"}
"""


@pytest.mark.parametrize(
    ("reason", "line", "said"),
    [
        ("unmapped:status", 20, "'status' holds a value that the rule does not know"),
        ("unmapped:algo", 25, "'algo' holds a value"),
        ("unmapped:owner", 26, "add it to"),
        ("null:name", 22, "'name' is NULL, and 'name' must not be"),
        ("too_long:name", 22, "longer than 'name' takes"),
        ("dst_gap:created", 24, "'on_gap: shift'"),
        ("orphan:parent_id", 27, "'else: null'"),
        ("parent_rejected:parent_id", 27, "rejected itself"),
        ("null_key:id", 13, "nothing identifies the row"),
        ("duplicate_key:id", 13, "not unique"),
        ("ambiguous:metric", 17, "'first' or 'latest'"),
        ("no_match:metric", 17, "'none: null'"),
        ("check:sound", 30, "the check 'sound' fails"),
        ("check:gone", 11, "the check 'gone' fails"),
        ("never_heard_of:name", 22, "never_heard_of:name"),
    ],
)
def test_a_reason_points_to_its_rule(tmp_path, reason, line, said):
    """The finding stands at the rule, join, key or check that rejects, and says what to write."""
    plan = plan_of(tmp_path, TABLES)
    (finding,) = findings_from_reasons(plan, plan.tables["t"], [(reason, 1234, ["7", "8"])])
    assert finding.position.line == line
    assert said in f"{finding.message} {finding.cure}"
    assert "1,234 rows of 'models' will be rejected" in finding.message
    assert "id = 7, 8" in finding.message
    assert (finding.severity, finding.count, finding.sample_keys) == ("warning", 1234, ("7", "8"))
    assert (finding.table, bool(finding.cure)) == ("t", True)


def test_most_frequent_first(tmp_path):
    """Findings come by number of rows; reasons that no row has are left out."""
    plan = plan_of(tmp_path, TABLES)
    rows = [("null:name", 1, []), ("unmapped:status", 5, []), ("orphan:parent_id", 0, [])]
    findings = findings_from_reasons(plan, plan.tables["t"], rows)
    assert [finding.code for finding in findings] == ["unmapped", "null"]
    assert "1 row of" in findings[1].message


def test_every_kind_that_a_row_can_get_has_a_meaning():
    """Each `kind:` that a rule, the compiler or an expression gives is explained; none is missing."""
    kinds = set()
    for folder in ("rules", "compiler"):
        for path in (SOURCE / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                    kinds |= set(re.findall(r"^([a-z_]+):$", str(node.values[0].value)))
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_Conversion":
                    kinds |= {each.value for each in node.args if isinstance(each, ast.Constant) and each.value}
    assert kinds - {"transhume", "stop", "warn"} <= set(REASONS)
    assert len(kinds) > 20


def test_each_meaning_can_be_said():
    """No meaning has a placeholder that nothing fills, and each has a cure."""
    for meaning in REASONS.values():
        words = {"kind": "k", "column": "c", "target": "t"}
        assert "{" not in meaning.what.format(**words)
        assert meaning.cure.format(**words)
