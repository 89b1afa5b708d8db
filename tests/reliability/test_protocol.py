"""The commit protocol, state by state: no violation, and each rule taken away is found by the shortest way to harm."""

import pytest

from tests.reliability import figures
from tests.reliability.protocol import Rules, State, check

SMALL = State(crashes=1, losses=1)


@pytest.mark.always
def test_no_state_of_the_protocol_violates_a_promise():
    """Two processes, two crashes, two lost answers, three starts: nothing twice, nothing lost, every run can end."""
    found = check(Rules(), State())
    figures.count(states=found.states, model_violations=len(found.violations) + found.stuck)
    assert found.violations == {}
    assert found.stuck == 0
    assert found.states > 10_000


@pytest.mark.parametrize(
    ("rules", "harm"),
    [
        (Rules(line_with_rows=False), "a batch is staged twice"),
        (Rules(fenced=False, looks_for_its_line=False), "a batch is staged twice"),
        (Rules(ledger_decides=False, looks_for_its_line=False), "a batch is staged twice"),
        (Rules(fenced=False), "rolled back, and readers see rows"),
        (Rules(publishes_at_once=False), "readers see some rows, or rows twice"),
    ],
)
def test_a_rule_taken_away_is_found(rules, harm):
    """A planted bug in the protocol: the model shows a short way to harm."""
    found = check(rules, SMALL)
    assert harm in found.violations
    assert 4 <= len(found.violations[harm]) <= 14


def test_looking_for_its_line_is_a_second_wall():
    """A batch that is staged by a process that was not fenced is found by its line: either wall alone holds."""
    assert check(Rules(looks_for_its_line=False), SMALL).violations == {}
    assert "a batch is staged twice" not in check(Rules(fenced=False), SMALL).violations
