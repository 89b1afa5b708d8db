"""Risks: evidence moves them, proof closes them, and nothing known counts against them."""

import dataclasses

from transhume.estimate.risks import Evidence, risks

NOTHING = Evidence(mappings=5, rule_kinds=12)
ALL_PROVED = Evidence(
    mappings=5,
    rule_kinds=6,
    team=3,
    open_decisions=0,
    columns_without_rule=0,
    rows_read=1000,
    rows_rejected=0,
    rows_orphaned=0,
    run_verified=True,
    backup_verified=True,
    drill_passed=True,
    window_chance=0.99,
    drifted=False,
    approved=True,
)


def by_name(evidence):
    return {risk.name: risk for risk in risks(evidence)}


def test_the_request_s_seven_risks_are_there():
    """Every risk of the request stands in the register, with a mitigation and the evidence."""
    found = by_name(NOTHING)
    assert {
        "Data loss or corruption",
        "Inaccurate or incomplete mapping",
        "Performance bottlenecks",
        "Downtime",
        "Scope creep",
        "Skill gaps in the team",
        "Rollback failure",
    } <= found.keys()
    assert all(risk.mitigation and risk.reasons for risk in found.values())


def test_no_risk_is_closed_without_evidence():
    """Where nobody has looked, nothing is closed."""
    assert not any(risk.is_closed for risk in risks(NOTHING))


def test_proof_closes_risks():
    """A verified run, a restored backup and a passed drill close loss and rollback; approval closes the mapping."""
    found = by_name(ALL_PROVED)
    closed = {name for name, risk in found.items() if risk.is_closed}
    assert closed == {
        "Data loss or corruption",
        "Inaccurate or incomplete mapping",
        "Performance bottlenecks",
        "Rollback failure",
        "Defects in the source data",
    }


def test_worse_evidence_is_never_a_lower_risk():
    """Each single piece of bad news raises its risk or leaves it, against the same state with good news."""
    bad = {
        "drill_passed": (False, "Rollback failure"),
        "backup_verified": (False, "Data loss or corruption"),
        "run_verified": (False, "Data loss or corruption"),
        "open_decisions": (4, "Inaccurate or incomplete mapping"),
        "window_chance": (0.3, "Performance bottlenecks"),
        "drifted": (True, "Source or target change under way"),
        "rows_rejected": (400, "Defects in the source data"),
        "team": (1, "Skill gaps in the team"),
    }
    good = by_name(ALL_PROVED)
    for field, (value, name) in bad.items():
        assert by_name(dataclasses.replace(ALL_PROVED, **{field: value}))[name].score > good[name].score, field


def test_open_risks_stand_before_closed_ones_and_great_ones_first():
    """People read the top of the list."""
    found = risks(dataclasses.replace(ALL_PROVED, drill_passed=None))
    states = [risk.is_closed for risk in found]
    assert states == sorted(states)
    scores = [risk.score for risk in found if not risk.is_closed]
    assert scores == sorted(scores, reverse=True)
