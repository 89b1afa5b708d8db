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
    completed=True,
    rehearsed=True,
    unsigned=(),
    doubtful_columns=0,
    personal_columns=(),
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
    """Each risk has evidence that closes it: where everything is proved, none is open."""
    assert [risk.name for risk in risks(ALL_PROVED) if not risk.is_closed] == []
    assert len(risks(ALL_PROVED)) == 11


def test_one_missing_proof_keeps_its_risks_open():
    """Take one proof away: exactly the risks that rest on it are open again."""
    lacking = {
        "completed": {"Scope creep", "Skill gaps in the team", "Source or target change under way"},
        "unsigned": {"Unclear ownership"},
        "personal_columns": {"Leak of personal data"},
        "approved": {"Inaccurate or incomplete mapping", "Scope creep"},
        "backup_verified": {"Data loss or corruption"},
        "window_chance": {"Performance bottlenecks"},
    }
    for field, names in lacking.items():
        left = risks(dataclasses.replace(ALL_PROVED, **{field: None}))
        assert {risk.name for risk in left if not risk.is_closed} == names, field


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
        "doubtful_columns": (3, "Inaccurate or incomplete mapping"),
        "unsigned": (("Eve",), "Unclear ownership"),
        "personal_columns": (("users.email",), "Leak of personal data"),
    }
    good = by_name(dataclasses.replace(ALL_PROVED, completed=False))
    for field, (value, name) in bad.items():
        assert (
            by_name(dataclasses.replace(ALL_PROVED, completed=False, **{field: value}))[name].score > good[name].score
        ), field


def test_open_risks_stand_before_closed_ones_and_great_ones_first():
    """People read the top of the list."""
    found = risks(dataclasses.replace(ALL_PROVED, drill_passed=None))
    states = [risk.is_closed for risk in found]
    assert states == sorted(states)
    scores = [risk.score for risk in found if not risk.is_closed]
    assert scores == sorted(scores, reverse=True)
