"""Working days: the request's own plan, sensible extremes, and that more work never costs less."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transhume.estimate.effort import PHASES, Complexity, Item, effort, effort_of
from transhume.plan.load import load

EXAMPLES = Path(__file__).parents[2] / "examples"

counts = st.integers(0, 15)
complexities = st.builds(
    Complexity,
    mapping=st.just("t"),
    rules=counts,
    lookups=counts,
    references=counts,
    sources=st.integers(1, 6),
    joins=st.integers(0, 8),
)


def total(mappings, items=()):
    found = effort_of(mappings, items)
    return sum(found.expected.values())


def test_the_request_s_plan_takes_its_fifteen_days():
    """The example plan comes out at the request's own table: 3, 5, 4, 1 and 2 working days, 15 in all."""
    found = effort(load(EXAMPLES / "ai-research", {}))
    assert found.planned == {"planning": 3, "development": 5, "testing": 4, "execution": 1, "review": 2}
    assert sum(found.planned.values()) == 15


def test_one_copied_table_takes_days_and_twenty_complex_ones_a_quarter_of_a_year():
    """A single copy is done within a week; twenty complex tables are far from both that and twenty times one."""
    copy = Complexity("t", rules=1, lookups=0, references=0, sources=1, joins=0)
    hard = Complexity("t", rules=15, lookups=4, references=4, sources=3, joins=3)
    assert hard.class_.name == "complex"
    # By hand: 1 day; review 15 % of it.
    assert total([copy]) == pytest.approx(1.15)
    # By hand: 8 days times the sum of n^log2(0.8) for n = 1..20, which is 10.4849, and 15 % of it.
    assert total([hard] * 20) == pytest.approx(8 * 10.4849 * 1.15, rel=1e-4)


def test_phases_stand_in_the_request_s_ratio():
    """Planning, development, testing and execution stand as 3 : 5 : 4 : 1, whatever the plan."""
    found = effort_of([Complexity("t", rules=9, lookups=2, references=1, sources=2, joins=1)])
    assert {name: found.phases[name] / found.phases["execution"] for name in PHASES} == pytest.approx(PHASES)


@given(st.lists(complexities, min_size=1, max_size=12), complexities)
def test_a_further_table_never_makes_it_shorter(mappings, more):
    """Adding any table mapping adds days."""
    assert total([*mappings, more]) > total(mappings)


@given(st.lists(complexities, min_size=1, max_size=12), st.data(), st.sampled_from(["rules", "joins", "lookups"]))
def test_a_further_rule_never_makes_it_shorter(mappings, data, field):
    """One more rule, join or lookup in any mapping never takes days away."""
    place = data.draw(st.integers(0, len(mappings) - 1))
    old = mappings[place]
    fields = {name: getattr(old, name) for name in ("mapping", "rules", "lookups", "references", "sources", "joins")}
    harder = Complexity(**{**fields, field: fields[field] + 1})
    assert total([*mappings[:place], harder, *mappings[place + 1 :]]) >= total(mappings)


@given(st.lists(complexities, min_size=1, max_size=5), st.lists(st.sampled_from([*PHASES, "review"]), max_size=6))
def test_every_item_adds_its_hours(mappings, phases):
    """Decisions and findings add exactly their hours, at eight a day, to their own phase."""
    items = [Item(phase, "x", 4) for phase in phases]
    found = effort_of(mappings, items)
    assert total(mappings, items) - total(mappings) == pytest.approx(len(phases) / 2)
    assert all(found.items_days[name] == phases.count(name) / 2 for name in found.phases)
