"""The outcomes of faults, one a line, written as they come: a run that was cut off goes on from them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.planting import Mutant

SURVIVING = frozenset({"survived", "unreached"})


@dataclass(frozen=True)
class Outcome:
    """What came of a fault, in how many seconds of CPU, and the test that noticed it ("" where none did)."""

    outcome: str
    seconds: float
    test: str


@dataclass(frozen=True)
class Outcomes:
    """A file of lines: digest of the faulty file's text, outcome, seconds of CPU, test, key of the fault.

    Of two lines about a fault the last one counts.
    """

    path: Path
    sources: Mapping[str, str]

    def tell(self, mutant: Mutant, outcome: Outcome) -> None:
        """Add a line."""
        fields = (_digest(self.sources[mutant.file]), outcome.outcome, f"{outcome.seconds:.2f}", outcome.test)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\t".join((*fields, mutant.key)) + "\n")

    def read(self, *, survivors: bool = True) -> dict[str, str]:
        """Return the outcome of each fault's key whose file is unchanged since, of survivors only if so wished."""
        digests = {name: _digest(source) for name, source in self.sources.items()}
        lines = self._lines()
        found = {key: each.outcome for digest, each, key in lines if digest == digests.get(key.partition(" ")[0])}
        return {key: outcome for key, outcome in found.items() if survivors or outcome not in SURVIVING}

    def noticing(self) -> dict[str, str]:
        """Return the test that noticed each fault's key: it is the one to be asked first."""
        return {key: each.test for _, each, key in self._lines() if each.test}

    def forget(self) -> None:
        """Begin anew: no outcome is known."""
        self.path.unlink(missing_ok=True)

    def _lines(self) -> Iterator[tuple[str, Outcome, str]]:
        # The last line may have been cut off.
        for line in self.path.read_text("utf-8").split("\n")[:-1] if self.path.exists() else ():
            digest, outcome, seconds, test, key = line.split("\t", 4)
            yield digest, Outcome(outcome, float(seconds), test), key


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]
