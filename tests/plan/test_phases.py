"""Waves of a plan: what is wrong with them offline, and which table mappings each brings."""

import pytest

from tests.plan.planning import HEAD, plan_of
from transhume.errors import PlanError
from transhume.plan.check import check_plan
from transhume.plan.load import load
from transhume.plan.lock import plan_hash

TABLES = """\
  a: {from: a, key: id, create: true, types: {u: uuid primary key}, columns: {u: {uuid: id}}}
  b: {from: b, key: id, create: true, types: {u: uuid primary key}, columns: {u: {uuid: id}, a: {ref: a, table: a}}}
  c: {from: c, key: id, create: true, types: {u: uuid primary key}, columns: {u: {uuid: id}, b: {ref: b, table: b}}}
  d: {from: d, key: id, create: true, types: {u: uuid primary key}, columns: {u: {uuid: id}}}
"""


def findings(folder, phases: str) -> list[tuple[str, str]]:
    """Code and words of what is wrong with the waves."""
    plan = plan_of(folder, TABLES, f"{HEAD}phases:\n{phases}")
    return [(each.code, each.message) for each in check_plan(plan) if "phase" in each.message]


def test_waves_that_hold_every_table_once_and_refer_upwards_are_right(tmp_path):
    assert findings(tmp_path, "  one: {tables: [a, b]}\n  two: {tables: [c, d], gate: validated, rejects: 1%}\n") == []


def test_every_mistake_of_waves_is_said_at_once(tmp_path):
    """A table twice, one unknown, one in none, references to a later wave and to none, a first one that looks back."""
    phases = "  one: {tables: [b, c, B], gate: [validated], rejects: 0.5%}\n  two: {tables: [b, a]}\n"
    assert sorted(findings(tmp_path, phases)) == sorted(
        [
            ("unknown_table", "the phase 'one' names 'B', and there is no such table mapping"),
            ("two_phases", "'b' is in two phases: 'one' and 'two'"),
            ("later_phase", "'b' of the phase 'one' references 'a' of the later phase 'two'"),
            ("no_phase", "1 of 4 table mappings are in no phase: d"),
            ("first_phase", "'gate: validated' looks at earlier phases, and 'one' is the first"),
            ("first_phase", "'rejects' looks at earlier phases, and 'one' is the first"),
        ]
    )
    assert ("later_phase", "'b' of the phase 'one' references 'a', which is in no phase") in findings(
        tmp_path, "  one: {tables: [b]}\n"
    )


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ("  one: {tables: [a], gate: [aproved]}\n", "'aproved' is no condition of a gate"),
        ("  one: {tables: [a], rejects: 5}\n", "no share of rejects"),
        ("  one: {gate: [approved]}\n", "the phase 'one' has no 'tables'"),
        ("  one: {tables: [a], gates: [approved]}\n", "the phase 'one' takes no 'gates'"),
        ("  one: {tables: []}\n", "tables"),
        ("  - {tables: [a]}\n", "phases"),
    ],
)
def test_wave_that_cannot_be_read_is_an_error_at_its_place(tmp_path, phases, words):
    (tmp_path / "ids.csv").write_text("id,uuid\n1,da3e586a-4bd1-55fc-925f-433257c8c5c4\n")
    (tmp_path / "transhume.yaml").write_text(f"{HEAD}phases:\n{phases}tables:\n{TABLES}")
    with pytest.raises(PlanError) as caught:
        load(tmp_path, {})
    found = [each for each in caught.value.findings if words in each.message]
    assert found, caught.value
    assert found[0].position is not None
    assert found[0].position.line >= 10


def test_wave_brings_its_tables_with_those_that_they_reference_and_keeps_the_plan_s_hash(tmp_path):
    """C needs b, and b needs a; the part is of the same plan: what was approved of the one is approved of the other."""
    plan = plan_of(tmp_path, TABLES, f"{HEAD}phases:\n  one: {{tables: [a, b, d]}}\n  two: {{tables: [c]}}\n")
    part = plan.in_phase("two")
    assert list(part.tables) == ["a", "b", "c"]
    assert (part.phase, part.whole) == ("two", plan)
    assert plan_hash(part) == plan_hash(plan)
    assert list(plan.in_phase("one").tables) == ["a", "b", "d"]
