"""Checks by family, one file each. A check is a SELECT of wrong rows, or a sum that must come out; no I/O here."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found on one table: `count` wrong rows (0 is a pass), a few of their keys, and the numbers.

    `severity` is "error" (fails the run) or "warning". `covered` says in words what was looked at.
    """

    name: str
    table: str
    count: int
    covered: str
    severity: str = "error"
    detail: str = ""
    sample_keys: tuple[str, ...] = ()
    duration_s: float = field(default=0.0, compare=False)
    sql: str = ""
    """What a person may run on the target to see the wrong rows, in its dialect; "" where no SQL says it."""

    @property
    def passed(self) -> bool:
        """No wrong row."""
        return self.count == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "sample_keys": list(self.sample_keys), "passed": self.passed}
