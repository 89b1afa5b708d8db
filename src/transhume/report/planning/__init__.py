"""The plan document: what the plan, the databases, the check of the data and the estimate say, section by section."""

from transhume.report.planning.document import plan_paper
from transhume.report.planning.known import Known, Timing
from transhume.report.planning.runbook import runbook_paper

__all__ = ["Known", "Timing", "plan_paper", "runbook_paper"]
