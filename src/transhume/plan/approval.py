"""The file `transhume.lock`: who approved which plan for which databases. Who may approve is not decided here.

One entry an environment (`default` where none is named). It holds the plan's whole content, so that a later change is
shown as what it means and not as another hash. Row counts tell a reader how large the approved thing was; they are
compared for people and refuse nothing, because a living source grows.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transhume.errors import Refused
from transhume.plan.lock import plan_diff

FILE_NAME = "transhume.lock"
DEFAULT = "default"
_VERSION = 1
_BOUND = {
    "source": "the source is another one",
    "target": "the target is another one",
    "source_schema": "the source's tables were changed",
    "target_schema": "the target's tables were changed",
    "lookups": "a lookup is read from another system",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """One approval: who, in which role, when (UTC)."""

    by: str
    role: str
    at: str


@dataclass(frozen=True, slots=True)
class Approved:
    """What was approved: the plan's content, the systems with their schemas, row counts, and by whom."""

    plan_hash: str
    tool_version: str
    source: str
    target: str
    source_schema: str
    target_schema: str
    row_counts: Mapping[str, int]
    plan: Mapping[str, Any]
    signatures: tuple[Signature, ...] = ()
    lookups: str = ""
    """The other systems that lookups are read from, "" where there are none."""

    def differences(self, now: "Approved") -> list[str]:
        """Return what is no longer as approved, one sentence each; row counts and signatures do not count."""
        found = [
            f"{meaning} (approved {getattr(self, name)}, now {getattr(now, name)})"
            for name, meaning in _BOUND.items()
            if getattr(self, name) != getattr(now, name)
        ]
        return [*found, *plan_diff(self.plan, now.plan)]

    def growth(self, now: "Approved") -> list[str]:
        """Return how row counts moved since the approval, one sentence a table."""
        return [
            f"'{table}' had {self.row_counts.get(table, 0):,} rows, has {count:,}"
            for table, count in now.row_counts.items()
            if count != self.row_counts.get(table, 0)
        ]


def read_approvals(folder: Path) -> dict[str, Approved]:
    """Return what is approved, by environment; nothing if there is no file.

    Raises: Refused for a file that was edited by hand, or of another version.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        body = json.loads(text)
        if body["version"] != _VERSION:
            message = f"'{path}' is of version {body['version']}, this program reads version {_VERSION}"
            raise Refused(message)
        sound = body["sha256"] == _digest(body["approved"])
        approved = {name: _approved(entry) for name, entry in body["approved"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        sound, approved = False, {}
    if not sound:
        message = (
            f"'{path}' is not what 'transhume approve' wrote: it was edited or merged by hand. "
            "Approve again, or put the committed file back."
        )
        raise Refused(message)
    return approved


def write_approvals(folder: Path, approved: Mapping[str, Approved]) -> Path:
    """Write the file anew, whole or not at all. The checksum finds slips of a hand, it is no signature."""
    entries = {name: asdict(entry) for name, entry in sorted(approved.items())}
    body = {"version": _VERSION, "sha256": _digest(entries), "approved": entries}
    path = folder / FILE_NAME
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(body, file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def _approved(entry: Mapping[str, Any]) -> Approved:
    signatures = tuple(Signature(**each) for each in entry["signatures"])
    return Approved(**{**entry, "signatures": signatures})


def _digest(entries: Any) -> str:
    text = json.dumps(entries, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
