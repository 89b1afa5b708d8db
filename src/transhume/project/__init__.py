"""The library's front door. One room for each thing that is done with a project; `project.py` names them all.

A name is imported on first use: whoever asks for one waits for no other room.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transhume.project.estimating import Estimate
    from transhume.project.project import Project
    from transhume.project.proving import SourceReport, ValidationResult
    from transhume.project.results import CheckReport, RunResult
    from transhume.project.workplace import Listener
    from transhume.stages.subset import Subset

__all__ = ["CheckReport", "Estimate", "Listener", "Project", "RunResult", "SourceReport", "Subset", "ValidationResult"]

_PLACES = {
    "CheckReport": "transhume.project.results",
    "Estimate": "transhume.project.estimating",
    "Listener": "transhume.project.workplace",
    "Project": "transhume.project.project",
    "RunResult": "transhume.project.results",
    "SourceReport": "transhume.project.proving",
    "Subset": "transhume.stages.subset",
    "ValidationResult": "transhume.project.proving",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        message = f"module 'transhume.project' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_PLACES[name]), name)
