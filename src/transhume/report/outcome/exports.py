"""The report for programs: results.json, whose schema docs/report.md tells, and JUnit's XML for build servers."""

import xml.etree.ElementTree as ET
from typing import Any

from transhume.report.outcome.outcome import Outcome
from transhume.report.outcome.paper import not_checked
from transhume.words import visible

SCHEMA = 1
"""Grows when a name of results.json goes or changes its meaning; new names may come at any time."""


def results(outcome: Outcome) -> dict[str, Any]:
    """Return everything that the page says, as JSON values."""
    binding = outcome.binding
    return {
        "schema": SCHEMA,
        "verdict": outcome.verdict,
        "run": outcome.run,
        "state": outcome.state,
        "plan": {
            "name": outcome.plan_name,
            "hash": binding.get("plan_hash", ""),
            "changed_since": outcome.plan is None,
        },
        "systems": {
            "source": binding.get("source", ""),
            "target": binding.get("target", ""),
            "source_schema": binding.get("source_schema", ""),
            "target_schema": binding.get("target_schema", ""),
        },
        "versions": {"run": binding.get("tool_version", ""), "report": outcome.version},
        "times": {
            "source_as_of": outcome.last("extract_finished").get("instant"),
            "started_at": outcome.at("run_started") or None,
            "published_at": outcome.at("published") or None,
            "validated_at": (outcome.validation or {}).get("at"),
            "duration_s": outcome.duration_s,
            "stages_s": dict(outcome.stages_s),
        },
        "resumed": outcome.resumed,
        "tables": [tally.to_dict() for tally in outcome.tallies],
        "fed": dict(outcome.fed),
        "checks": [check.to_dict() for check in outcome.checks()],
        "oracle": dict((outcome.validation or {}).get("oracle", {})),
        "worksheet": outcome.worksheet or None,
        "profile": dict(outcome.profile),
        "not_checked": list(not_checked(outcome)),
        "journal": {"entries": len(outcome.entries), "head": outcome.head},
    }


def junit(outcome: Outcome) -> bytes:
    """Return each check as a test case: a failed one fails, a warning passes with its words, in UTF-8.

    Source: the schema that build servers read, https://github.com/testmoapp/junitxml
    """
    checks = outcome.checks()
    failures = len(outcome.failed())
    suite = ET.Element(
        "testsuite",
        name=visible(f"transhume run {outcome.run}"),
        tests=str(len(checks)),
        failures=str(failures),
        errors="0",
        skipped="0",
        time=f"{sum(check.duration_s for check in checks):.3f}",
        timestamp=outcome.at("run_started")[:19],
    )
    for check in checks:
        case = ET.SubElement(
            suite,
            "testcase",
            name=visible(check.name),
            classname=visible(f"{check.when}.{check.table or 'all'}"),
            time=f"{check.duration_s:.3f}",
        )
        said = visible(f"{check.count} wrong rows: {check.detail or check.covered}")
        if check.state == "failed":
            keys = visible(f"for example {', '.join(check.sample_keys)}" if check.sample_keys else "")
            ET.SubElement(case, "failure", message=said, type=visible(check.name)).text = keys
        elif check.state != "passed":
            ET.SubElement(case, "system-out").text = f"{check.severity}: {said}"
    whole = ET.Element("testsuites", tests=suite.get("tests", ""), failures=str(failures))
    whole.append(suite)
    content: bytes = ET.tostring(whole, encoding="utf-8", xml_declaration=True)
    return content + b"\n"
