"""The report of a run: a page to sign, and the same for programs. Made of its journal and of what validation found."""

from transhume.report.outcome.exports import junit, results
from transhume.report.outcome.outcome import Outcome
from transhume.report.outcome.paper import outcome_paper

__all__ = ["Outcome", "junit", "outcome_paper", "results"]
