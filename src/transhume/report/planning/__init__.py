"""The plan document: what the plan, the databases, the check of the data and the estimate say, section by section."""

from transhume.report.planning.document import plan_paper
from transhume.report.planning.known import Known, Timing

__all__ = ["Known", "Timing", "plan_paper"]
