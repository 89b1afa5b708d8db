"""What identifies a plan: its meaning, not its layout; and what differs, in words."""

import json
from pathlib import Path

import pytest

from transhume.plan.load import load
from transhume.plan.lock import plan_content, plan_diff, plan_hash
from transhume.plan.model import Plan

PLAN = """\
transhume: 1
name: n
namespace: n
source: ${SOURCE}
target: iceberg:./lake
defaults: {time_zone: UTC}
lookups:
  ids: {file: ids.csv, key: id, value: uuid}
tables:
  t:
    from: t
    key: id
    columns:
      a: {uuid: id}
      b: other
      c: {codes: c, to: {A: Alpha, B: Beta}, else: null}
      d: {lookup: d, in: ids}
  u:
    from: u
    key: id
    columns: {x: {uuid: id}}
"""


def _plan(folder: Path, text: str = PLAN, csv: str = "id,uuid\n1,a\n") -> Plan:
    (folder / "ids.csv").write_text(csv)
    (folder / "transhume.yaml").write_text(text)
    return load(folder, {"SOURCE": "sqlite:///a.db"})


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f"# a comment\n\n{text}# another\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("key: id\n", "key: [id]\n"),
        lambda text: text.replace("{A: Alpha, B: Beta}", "{B: 'Beta', A: \"Alpha\"}"),
        lambda text: text.replace("b: other", "b: {copy: other}"),
        lambda text: text.replace("from: t\n    key: id", "key: id\n    from: t"),
        lambda text: text.replace("name: n\nnamespace: n", "namespace: n\nname: n"),
        lambda text: text.replace("columns: {x: {uuid: id}}", "columns:\n      x:\n        uuid: id"),
        lambda text: text.replace("key: id\n", "key: id\n    create: false\n"),
    ],
    ids=range(9),
)
def test_layout_does_not_change_the_hash(tmp_path, change):
    """Comments, white space, quotes where nothing depends on them, other ways to write the same, defaults."""
    assert change(PLAN) != PLAN
    assert plan_hash(_plan(tmp_path, change(PLAN))) == plan_hash(_plan(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("b: other", "b: another", "'tables.t.columns.b': was other, is now another"),
        ("b: other", "b: 'other'", "'tables.t.columns.b': was other, is now {value: {value: other}}"),
        ("else: null", "else: keep", "'tables.t.columns.c': was {codes: c"),
        ("      b: other\n", "", "'tables.t.columns.b' is gone (it was other)"),
        ("      b: other\n", "      b: other\n      e: e\n", "'tables.t.columns.e' is new: e"),
        ("namespace: n", "namespace: m", "'namespace': was n, is now m"),
        ("key: id\n    columns:\n", "key: id2\n    columns:\n", "'tables.t.key': was [id], is now [id2]"),
        ("time_zone: UTC", "max_rejects: 3%", "'defaults.max_rejects' is new: {share: 0.03}"),
        ("a: {uuid: id}\n      b: other", "b: other\n      a: {uuid: id}", "'tables.t.columns': the order is another"),
    ],
)  # fmt: skip
def test_a_change_of_meaning_changes_the_hash_and_is_said(tmp_path, old, new, said):
    """Each difference between two plans has a sentence (A15)."""
    before, after = _plan(tmp_path), _plan(tmp_path, PLAN.replace(old, new, 1))
    assert plan_hash(before) != plan_hash(after)
    kept = json.loads(json.dumps(plan_content(before)))
    assert any(sentence.startswith(said) for sentence in plan_diff(kept, plan_content(after)))


def test_a_lookup_file_is_part_of_the_plan(tmp_path):
    """A changed lookup is another plan, and the difference names it."""
    before, after = _plan(tmp_path), _plan(tmp_path, csv="id,uuid\n1,b\n")
    assert plan_hash(before) != plan_hash(after)
    assert plan_diff(plan_content(before), plan_content(after))[0].startswith("'lookup files.ids': was ")


def test_versions_are_part_of_the_hash(tmp_path, monkeypatch):
    """Another release or other time zone data may give other rows, so they are another plan."""
    plan = _plan(tmp_path)
    before = plan_content(plan)
    monkeypatch.setattr("transhume.plan.lock.__version__", "7.8.9")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1999.1")
    sentences = plan_diff(before, plan_content(plan))
    assert [sentence.split(":")[0] for sentence in sentences] == ["'transhume'", "'time zone data'"]
    assert "is now 7.8" in sentences[0]


def test_secrets_are_no_part_of_it(tmp_path):
    """The content holds references, not what they stand for."""
    plan = _plan(tmp_path)
    plan.origin.resolver.resolve(plan.source)
    assert "a.db" not in json.dumps(plan_content(plan))


def test_equal_contents_have_no_difference(tmp_path):
    """The same plan read twice differs in nothing, also after a way through JSON."""
    content = plan_content(_plan(tmp_path))
    assert plan_diff(json.loads(json.dumps(content)), plan_content(_plan(tmp_path))) == []
