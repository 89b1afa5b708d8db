"""The bare word TBD: an open decision that `check` lists with place and cure, and that hides no other mistake."""

from pathlib import Path

from transhume.plan.load import read

PLAN = """transhume: 1
name: p
namespace: n
source: sqlite:///a.db
target: postgresql://h/d
defaults: {{time_zone: {zone}}}
lookups:
  identity: {identity}
tables:
  t:
    from: s
    key: {key}
    columns:
      a: {{uuid: k}}
      b: {{codes: c, to: {{D: {label}, A: "TBD"}}}}
      e: {{utc: ts}}
      o: {{names: o, in: identity}}
"""
DECIDED = {"zone": "UTC", "identity": "{X: [y]}", "key": "k", "label": "Draft"}


def findings(tmp_path: Path, text: str) -> list[tuple[str, int | None]]:
    """Code and line of everything that is wrong with a plan's text."""
    (tmp_path / "transhume.yaml").write_text(text)
    plan, found = read(tmp_path, {})
    assert (plan is None) == bool(found)
    return [(each.code, each.position.line if each.position else None) for each in found]


def test_each_open_decision_is_one_error_at_its_place(tmp_path):
    """Zone, lookup, label: three errors, nothing that follows from them; a quoted TBD is a text."""
    text = PLAN.format(**{**DECIDED, "zone": "TBD", "identity": "TBD", "label": "TBD"})
    assert findings(tmp_path, text) == [("open_decision", 6), ("open_decision", 8), ("open_decision", 15)]


def test_an_open_key_leaves_the_mapping_out_and_says_nothing_more(tmp_path):
    """A mapping whose key is open cannot be read; that alone is said."""
    assert findings(tmp_path, PLAN.format(**{**DECIDED, "key": "TBD"})) == [("open_decision", 12)]


def test_other_mistakes_show_beside_open_decisions(tmp_path):
    """An unknown rule beside an open label: both are listed at once."""
    text = PLAN.format(**{**DECIDED, "label": "TBD"}).replace("{utc: ts}", "{utcc: ts}")
    assert [code for code, _ in findings(tmp_path, text)] == ["open_decision", "bad_value"]


def test_every_cure_says_what_to_write(tmp_path):
    """The messages name what is open, in words for each kind of place."""
    (tmp_path / "transhume.yaml").write_text(
        PLAN.format(**{**DECIDED, "zone": "TBD", "label": "TBD"}).replace("{utc: ts}", "TBD")
    )
    _, found = read(tmp_path, {})
    assert [each.message for each in found] == [
        "the time zone of the source's local times is not decided yet",
        "the label of the code 'D' in 'b' of 't' is not decided yet",
        "nothing fills 'e' of 't' yet",
    ]
    assert found[0].cure == "write an IANA zone: Europe/Berlin"
