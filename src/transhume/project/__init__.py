"""The library's front door. One room for each thing that is done with a project; `project.py` names them all."""

from transhume.project.estimating import Estimate
from transhume.project.project import Project
from transhume.project.proving import SourceReport, ValidationResult
from transhume.project.results import CheckReport, RunResult
from transhume.project.workplace import Listener
from transhume.stages.subset import Subset

__all__ = ["CheckReport", "Estimate", "Listener", "Project", "RunResult", "SourceReport", "Subset", "ValidationResult"]
