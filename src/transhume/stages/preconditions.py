"""Preconditions: what must hold of the extract before any row is staged. `check` and a run ask the same here."""

from collections.abc import Iterator

from transhume.batches import Event
from transhume.compiler import compile_pivot_leftovers
from transhume.dialects import DIALECTS
from transhume.errors import CheckFailed, Finding
from transhume.plan.leftovers import leftover_findings
from transhume.stages.context import WorkContext
from transhume.stages.lookups import lookup_data_findings


def data_findings(context: WorkContext) -> list[Finding]:
    """Return what the rows of the extract say against the plan: keys of pivots that go nowhere, lookups.

    Notes are among them; errors stop a run.
    """
    findings = lookup_data_findings(context)
    for mapping in context.plan.tables.values():
        for alias, join in mapping.join.items():
            if join.pivot is not None:
                select = compile_pivot_leftovers(context.plan, mapping, alias, context.facts())
                found = context.engine.query(DIALECTS[context.engine.dialect].render(select))
                counts = dict(zip(found["raw"].to_pylist(), found["row_count"].to_pylist(), strict=True))
                findings += leftover_findings(context.plan, mapping, alias, counts)
    return findings


def require_sound_data(context: WorkContext) -> Iterator[Event]:
    """Raise CheckFailed with every error about the extract; nothing is staged then.

    Yields: check_failed, one for each finding, before it raises.
    """
    findings = [finding for finding in data_findings(context) if finding.severity == "error"]
    if not findings:
        return
    for finding in findings:
        # The journal holds no data value, and a finding's words may.
        fields = {"name": finding.code, "table": finding.table or "", "count": finding.count or 0, "passed": False}
        yield Event(
            "check_failed", {**fields, "severity": "error", "covered": "every row of the extract", "detail": ""}
        )
    message = f"the rows that were read say {len(findings)} time(s) that the plan does not fit; nothing was staged"
    raise CheckFailed(message, findings)
