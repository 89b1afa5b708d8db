"""Whether an engine's tasks reach the target: some of them try before any is trusted with rows.

A worker may lack a driver, may not get to the server, or may have a disk of its own in the place of the lake's folder.
Then the process of the run does what tasks could have done.
"""

from dataclasses import dataclass

from transhume.engines.engine import TaskFiles, WorksInTasks
from transhume.errors import Refused, SystemProblem
from transhume.stages.context import RunContext
from transhume.systems.system import Reach, StagesInTasks

_TRIES = 16
"""Of most clusters every worker gets one."""
_YES = b"yes"


def engine_at_target(context: RunContext) -> WorksInTasks | None:
    """Return the run's engine if its tasks reach the target, which is tried once a run."""
    engine = context.engine
    if not isinstance(engine, WorksInTasks):
        return None
    if context.tasks_reach_target is None:
        context.tasks_reach_target = _tried(engine, context.target)
    return engine if context.tasks_reach_target else None


def _tried(engine: WorksInTasks, target: object) -> bool:
    if not isinstance(target, StagesInTasks) or not engine.reaches_tasks():
        return False
    try:
        with target.reach() as reach:
            return all(done.answer == _YES for done in engine.each(_TRIES, _Trying(reach)))
    except (SystemProblem, Refused):
        return False


@dataclass(frozen=True, slots=True)
class _Trying:
    """What a task does to say whether it is there."""

    reach: Reach

    def __call__(self, place: int, files: TaskFiles) -> bytes:  # noqa: ARG002 - nothing is written
        return _YES if self.reach.is_there() else b"no"
