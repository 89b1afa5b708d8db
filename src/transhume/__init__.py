"""Plan a data migration in one file; check it, run it, prove it, undo it.

The front door is `Project`; it is imported on first use so that `transhume --help` stays fast.
"""

from typing import TYPE_CHECKING, Any

from transhume.version import __version__

if TYPE_CHECKING:
    from transhume.project import Project

__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Project":
        from transhume.project import Project

        return Project
    message = f"module 'transhume' has no attribute {name!r}"
    raise AttributeError(message)
