"""Proposals for unknown spellings: near enough, clearly nearest, long enough; else none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plan.planning import HEAD, plan_of
from transhume.plan.near_names import distance, near_name, similarity, unknown_name_findings

NAMES = {
    "Random Forest": ["RF"],
    "Gradient Boosting Machine": ["GBM", "Grad Boost"],
    "XGBoost": ["XGB"],
    "Convolutional Neural Network": ["CNN"],
    "Logistic Regression": [],
    "Linear Regression": [],
}


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("Random Forrest", "Random Forest"),
        ("randm_forest", "Random Forest"),
        ("Gradient Bosting Machine", "Gradient Boosting Machine"),
        ("Convolutional Nueral Network", "Convolutional Neural Network"),
        ("Grad Bost", "Gradient Boosting Machine"),
        ("XGBoots", None),  # two edits in seven characters
        ("RFF", None),  # too short
        ("Support Vector Machine", None),
        ("", None),
    ],
)
def test_near_misses(spelling, canonical):
    """Misspellings find their name; other names and short ones find none."""
    found = near_name(spelling, NAMES)
    assert (found.canonical if found else None) == canonical


def test_no_proposal_between_two():
    """Where two names are about as near, neither is proposed."""
    assert near_name("Modell Alpha X", {"Model Alpha A": [], "Model Alpha B": []}) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("MARTHA", "MARHTA", 0.961), ("DIXON", "DICKSONX", 0.813), ("DWAYNE", "DUANE", 0.840), ("ABC", "XYZ", 0.0)],
)
def test_similarity_of_the_literature(one, other, expected):
    """The examples of Winkler's papers (U.S. Census Bureau, RRS 2006-2, and those before it)."""
    assert similarity(one, other) == pytest.approx(expected, abs=0.0006)


@pytest.mark.parametrize(("one", "other", "expected"), [("kitten", "sitting", 3), ("", "abc", 3), ("ab", "ba", 2)])
def test_distance(one, other, expected):
    """Levenshtein's distance."""
    assert distance(one, other) == distance(other, one) == expected


@given(st.text(max_size=12), st.text(max_size=12))
def test_similarity_is_a_share(one, other):
    """Between 0 and 1, and 1 for equal texts."""
    assert 0 <= similarity(one, other) <= 1
    assert similarity(one, one) == 1
    assert (distance(one, other) == 0) == (one == other)


def test_findings(tmp_path):
    """The finding stands at the name that may be meant, else at the lookup; the most frequent spelling first."""
    plan = plan_of(tmp_path, "  t: {from: p, key: id, columns: {u: {uuid: id}, a: {names: n, in: algorithms}}}\n", HEAD)
    counts = {"Random Forrest": 3, "Quantum Oracle": 9, **{f"Other {number}": 1 for number in range(30)}}
    findings = unknown_name_findings(plan, plan.tables["t"], "algorithms", counts)
    assert [finding.count for finding in findings[:2]] == [9, 3]
    assert "does it mean 'Random Forest'" in findings[1].cure
    assert findings[1].position.column > findings[0].position.column
    assert findings[-1].count == 12
    assert len(findings) == 21
