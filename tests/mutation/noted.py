"""What the tests of each file reach, kept from run to run while nothing changes that they hang on."""

import hashlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Place = tuple[str, int]
"""A fault's file and number."""


@dataclass(frozen=True)
class Reached:
    """What one test reaches, how long it takes (CPU), and how long `before` it what it shares with others takes."""

    test: str
    seconds: float
    places: frozenset[Place]
    before: float = 0.0


@dataclass(frozen=True)
class Noted:
    """A pickle of {file of tests: (digest, its tests)}; every one hangs on the modules below `folders`, too."""

    path: Path
    folders: Sequence[Path]

    def read(self) -> dict[Path, list[Reached]]:
        """Return what is kept and still true."""
        if not self.path.exists():
            return {}
        kept = pickle.loads(self.path.read_bytes())
        digest = self._digest()
        return {file: tests for file, (of, tests) in kept.items() if file.exists() and of == _more(digest, file)}

    def write(self, tests: Mapping[Path, list[Reached]]) -> None:
        """Keep this, and nothing else."""
        digest = self._digest()
        self.path.write_bytes(pickle.dumps({file: (_more(digest, file), each) for file, each in tests.items()}))

    def _digest(self) -> bytes:
        paths = [path for folder in self.folders for path in folder.rglob("*.py")]
        return _hashed(path for path in paths if not path.name.startswith("test_"))


def _more(digest: bytes, file: Path) -> bytes:
    data = [path for path in file.parent.rglob("*") if path.suffix in {".yaml", ".txt", ".csv", ".sql"}]
    return hashlib.sha256(digest + _hashed([file, *data])).digest()


def _hashed(paths: Iterable[Path]) -> bytes:
    made = hashlib.sha256()
    for path in sorted(paths):
        made.update(str(path).encode() + path.read_bytes())
    return made.digest()
