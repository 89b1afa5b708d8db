"""The score by package, and the surviving mutants held to the reasons that are written down for them."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.planting import Mutant

SCORED = ("rules", "oracle", "checks")
"""Packages whose score decides; the others are reported."""
SCORE_MIN = 0.90
_KILLED = frozenset({"killed", "timeout"})
_SHOWN_MAX = 20


@dataclass(frozen=True)
class Verdict:
    """Killed and all mutants by package, and what does not go together with the reasons."""

    killed: Mapping[str, int]
    total: Mapping[str, int]
    unexplained: Sequence[str] = ()
    outdated: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Every scored package is high enough, every survivor has a reason, every reason a survivor."""
        return not self.unexplained and not self.outdated and not self._low()

    def _low(self) -> list[str]:
        return [name for name in SCORED if self.killed.get(name, 0) < SCORE_MIN * self.total.get(name, 0)]

    def text(self) -> str:
        """Return what is told."""
        lines = [
            f"{name:10} {self.killed.get(name, 0):5} of {total:5} noticed, {self.killed.get(name, 0) / total:.1%}"
            for name, total in self.total.items()
        ]
        lines += [f"below {SCORE_MIN:.0%}: {name}" for name in self._low()]
        for what, keys in (("survivors without a reason", self.unexplained), ("reasons without one", self.outdated)):
            if keys:
                lines += [f"{len(keys)} {what}:", *(f"  {key}" for key in keys[:_SHOWN_MAX])]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {
            "killed": dict(self.killed),
            "mutants": dict(self.total),
            "survivors_without_reason": list(self.unexplained),
            "reasons_without_survivor": list(self.outdated),
            "passed": self.passed,
        }


def read_reasons(path: Path) -> dict[str, str]:
    """Return the reason of each mutant's key. Raises: ValueError where a key stands twice or a reason is empty."""
    reasons: dict[str, str] = {}
    for each in tomllib.loads(path.read_text("utf-8")).get("reason", []):
        for key in each["mutants"]:
            if key in reasons or not each["why"].strip():
                message = f"{path.name}: '{key}' stands twice, or without a reason"
                raise ValueError(message)
            reasons[key] = each["why"]
    return reasons


def score(mutants: Sequence[Mutant], results: Mapping[str, str], reasons: Mapping[str, str], *, whole: bool) -> Verdict:
    """Return the verdict on these mutants; of a part (`whole` False) no reason is outdated for want of a survivor."""
    killed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    survivors = set()
    for mutant in mutants:
        package = mutant.file.partition("/")[0]
        total[package] += 1
        if results[mutant.key] in _KILLED:
            killed[package] += 1
        elif package in SCORED:
            survivors.add(mutant.key)
    ran = {mutant.key for mutant in mutants}
    outdated = {key for key in reasons if key not in survivors and (whole or key in ran)}
    return Verdict(dict(killed), dict(total), sorted(survivors - set(reasons)), sorted(outdated))
