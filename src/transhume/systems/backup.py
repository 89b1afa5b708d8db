"""What backing a system up needs of it: the parts of a backup, the protocols. Nothing is copied or restored here."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol

from transhume.errors import Refused, SystemUnavailable
from transhume.systems.system import RunIdentity
from transhume.systems.undo import UndoneTable, UndoReport

ABSENT = "absent"
"""Stands for the fingerprint of a table that is not there."""
PUBLISHED = "published"
"""The detail of a target's snapshot that lists the runs whose rows may be in it."""


Outcome = Literal["verified", "failed"]

SIGN = "sign"
"""The detail that holds what `Backup.sign` returns as long as the rows are those of the copy, where it tells."""


@dataclass(frozen=True, slots=True)
class BackupPart:
    """One copy of one side, made one way, and what restoring it has shown.

    `path` is relative to the backup's folder, "" where the copy lies in the target itself; a folder counts by the
    sum of its files, and its hash is that of its own list of hashes. `fingerprints` are those of the live tables at
    the copy's instant, which a verified copy gave back when it was restored.
    """

    side: Literal["source", "target"]
    kind: Literal["logical", "physical", "snapshot"]
    way: str
    state: Literal["verified", "failed", "not_made"]
    reason: str = ""
    """Why it was not made or is not verified; how it was verified, else."""
    path: str = ""
    size_bytes: int = 0
    sha256: str = ""
    duration_s: float = 0.0
    restore_s: float = 0.0
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    """What restoring needs to know beside the file."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class Backup(Protocol):
    """One side that can be backed up. It never writes to a source."""

    identity: str

    def sign(self) -> str:
        """Return something cheap that is other whenever the rows may be other; "" where only reading them tells."""
        ...

    def fingerprints(self) -> Mapping[str, str]:
        """Return the fingerprint of each table as it is now, ABSENT for a table that is not there.

        Raises: SystemUnavailable.
        """
        ...

    def parts(self, folder: Path) -> Iterator[BackupPart]:
        """Make every copy that this system knows to make below `folder`, restore and compare each, and yield it.

        What cannot be made here is yielded as `not_made` with the reason.
        Raises: SystemUnavailable where there is no room on the disk; nothing was copied then.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...


@dataclass(frozen=True, slots=True)
class RestoredTable:
    """What restoring did to one table: its fingerprints before and after, and that of the backup, which is `after`."""

    table: str
    fingerprint_at_start: str
    fingerprint_after: str
    dropped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class TargetBackup(Backup, Protocol):
    """A target's affected tables, which can be brought back."""

    def restore(
        self, folder: Path, part: BackupPart, run: RunIdentity, expected: Mapping[str, str] | None = None
    ) -> Sequence[RestoredTable]:
        """Make the tables what the verified copy holds, in one transaction.

        `expected`: fingerprints that the tables must have before; Refused if they have others.
        `run` says who does it. The copy is restored to a place beside first; only what has its fingerprints is
        swapped in. Runs that are published and that the part's `details` do not name as published then count as
        rolled back. What others wrote into these tables since is lost. Idempotent.
        Raises: LockHeld; Refused (a table has other columns now, rows elsewhere refer to rows that go),
        RollbackStopped (a fingerprint does not come out): nothing was changed then; SystemUnavailable.
        """
        ...


def require_expected(found: Mapping[str, str], expected: Mapping[str, str] | None) -> None:
    """Raise Refused if tables are not what they were when it was decided to restore them."""
    changed = [] if expected is None else sorted(name for name, value in expected.items() if found.get(name) != value)
    if changed:
        listed = ", ".join(f"'{name}'" for name in changed)
        message = f"others changed {listed} meanwhile; nothing was changed. Run the same command again, it looks anew."
        raise Refused(message)


def taken_back_report(run: str, done: Sequence[RestoredTable], by: str) -> UndoReport:
    """Return the report of a published run whose tables were restored from a snapshot."""
    text = "the table is bit by bit what the snapshot holds; what others wrote since is lost too"
    tables = tuple(
        UndoneTable(
            table=each.table,
            created=each.dropped,
            dropped=each.dropped,
            fingerprint_at_start=each.fingerprint_at_start,
            fingerprint_after=each.fingerprint_after,
            proof="equal",
            proof_text=text,
        )
        for each in done
    )
    return UndoReport(run, "published", tables, notes=(f"taken back by restoring a snapshot of the tables ({by})",))


def compared(live: Mapping[str, str], restored: Mapping[str, str], how: str) -> tuple[Outcome, str]:
    """Return the state and the reason of a copy whose tables have these fingerprints beside those of the live ones."""
    wrong = sorted(name for name in {*live, *restored} if live.get(name) != restored.get(name))
    if not wrong:
        return "verified", f"{how}: {len(live)} tables have the fingerprints of the original"
    named = ", ".join(f"'{name}'" for name in wrong[:5])
    return "failed", f"{how}, and {len(wrong)} of {len(live)} tables differ from the original: {named}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder: that of the names, sizes and SHA-256 of all its files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            whole.update(f"{each.relative_to(path)}\0{sha256_of(each)}\n".encode())
    return whole.hexdigest()


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def require_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise SystemUnavailable if the disk of `folder` has not that much room."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        message = (
            f"no room in '{folder}' for {what}: about {needed_bytes:,} bytes are needed, {free:,} are free; "
            "nothing was copied; make room, then run the same command again"
        )
        raise SystemUnavailable(message)


class Watch:
    """Seconds since it was made, or since it was last asked."""

    def __init__(self) -> None:
        self._since = monotonic()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        since, self._since = self._since, monotonic()
        return round(self._since - since, 3)
