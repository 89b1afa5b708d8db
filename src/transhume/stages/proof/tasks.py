"""Recomputing in an engine's tasks: batches on all machines of a cluster in place of all processors of this one."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from transhume.engines.engine import Engine, TaskFiles, WorksInTasks
from transhume.oracle import Key
from transhume.plan.mask_keys import mask_keys
from transhume.stages.proof.evidence import Evidence
from transhume.stages.proof.recompute import Batch, Recomputed, Recomputer

_BATCHES = 64
"""Batches of one statement of the engine, after which is told how far it has come."""
_EXPECTED = "expected.parquet"


def tasks_can_recompute(engine: Engine, evidence: Evidence) -> bool:
    """Say whether tasks of this engine see what a run left; the keys of `mask` rules are not sent to them."""
    if not isinstance(engine, WorksInTasks) or not engine.shares_folder or mask_keys(evidence.plan):
        return False
    return engine.reaches_tasks()


def recompute_in_tasks(
    engine: Engine, evidence: Evidence, batches: Sequence[Batch], duplicates: frozenset[Key]
) -> Iterator[Recomputed]:
    """Yield what every batch gives, computed by tasks. Raises: as `WorksInTasks.each`."""
    assert isinstance(engine, WorksInTasks)
    bare = replace(evidence, plan=evidence.plan.without_origin())
    for first in range(0, len(batches), _BATCHES):
        work = _Recomputing(bare, tuple(batches[first : first + _BATCHES]), duplicates)
        for done in engine.each(len(work.batches), work):
            found: Recomputed = pickle.loads(done.answer)  # noqa: S301 - of our own code, run by the user's cluster
            if found.expected:
                (done.folder / _EXPECTED).rename(evidence.work / found.expected)
            yield found


@dataclass(frozen=True, slots=True)
class _Recomputing:
    """What a task does with a batch; the rows that the target must show stand in its folder at first."""

    evidence: Evidence
    batches: tuple[Batch, ...]
    duplicates: frozenset[Key]

    def __call__(self, place: int, files: TaskFiles) -> bytes:
        batch = self.batches[place]
        # An absolute path stays what it is, below whatever folder.
        own = replace(batch, output=str(files.folder / _EXPECTED))
        found = Recomputer(self.evidence, self.duplicates).recompute(own)
        if found.expected:
            found.expected = batch.output
        return pickle.dumps(found)
