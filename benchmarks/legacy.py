"""The data: one legacy database a size, made once and kept, with the numbers of rows that must arrive."""

import sys
from dataclasses import dataclass
from pathlib import Path

from transhume.demo import AnswerKey, Sizes, generate

BIG = "ml_models"
"""The target table of `models`, the one that grows."""
_SMALL = {"datasets": 20_000, "experiments": 1_000, "training_runs": 3_000, "metrics": 5_000}
_WHOLE = Sizes(models=1_000_000, datasets=20_000, experiments=1_000, training_runs=2_000_001, metrics=5_000_000)


@dataclass(frozen=True, slots=True)
class Legacy:
    """A SQLite file and what a migration of it must account for."""

    path: Path
    key: AnswerKey

    @property
    def rows_read(self) -> int:
        """Rows of the five tables in the source."""
        return sum(answer.read for answer in self.key.tables.values())

    @property
    def rows_loaded(self) -> int:
        """Rows that the plan lets into the target, of all five tables."""
        return sum(answer.loaded for answer in self.key.tables.values())

    @property
    def models(self) -> int:
        """Rows of `models`."""
        return self.key.tables[BIG].read

    @property
    def models_loaded(self) -> int:
        """Models that the plan lets into the target: the archived ones stay behind."""
        return self.key.tables[BIG].loaded


def legacy(folder: Path, size: str) -> Legacy:
    """Return the database of a size: `whole`, or a number of models with the other tables small.

    It holds no planted defects: raw copies stop at them, or leave rows out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, answers = folder / f"legacy-{size}.db", folder / f"answers-{size}.json"
    if not (path.exists() and answers.exists()):
        print(f"making the legacy database, size {size}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        sizes = _WHOLE if size == "whole" else Sizes(models=int(size), **_SMALL)
        generate(path, sizes=sizes, defects=False).write(answers)
    return Legacy(path, AnswerKey.read(answers))
