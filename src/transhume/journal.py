"""The run's local event log: append-only, one JSON object a line, hash-chained. It tells the story; the ledger decides.

No data value and no credential is written here: events carry counts, names and reason kinds.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transhume.batches import Event, JournalAnchor
from transhume.errors import Interrupted, JournalDamaged

_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled event: its number from 0, the UTC time it was written, and its place in the chain."""

    number: int
    at: str
    event: Event
    digest: str


ANCHORED = frozenset({"extract_finished", "table_staged", "publish_started", "published", "run_finished", "run_failed"})
"""Kinds after which a run has the target's ledger remember the journal, so that an older copy of it is found out."""

TOLD_ONLY = frozenset(
    {
        "relation_built",
        "fixpoint_done",
        "mapping_started",
        "lookup_frozen",
        "segment_written",
        "batch_staged",
        "check_passed",
        "table_verified",
        "vanished_listed",
    }
)
"""Kinds that no resume relies on before a later event: they reach the disk together with that one.

A lost power supply can take the last of them; what is left is a shorter, sound journal. Each sync costs 10 ms.
"""


class Journal:
    """Appends events to one file; an event whose kind is not TOLD_ONLY is durable when `append` returns."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal; whatever is there is verified first.

        Effects: an unfinished last line (a kill while it was written) is cut off.
        Raises: JournalDamaged if any complete line does not fit the chain.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        entries, sound_bytes = _read(path)
        self.entries: list[Entry] = entries
        self._failed = ""
        """Why a line may stand in the file that is in no entry: nothing may follow it before it is cut off."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.ftruncate(self._file, sound_bytes)
        self._sound_bytes = sound_bytes

    @property
    def head(self) -> str:
        """Digest of the last entry: whoever knows it knows the whole journal."""
        return self.entries[-1].digest if self.entries else _GENESIS

    @property
    def anchor(self) -> JournalAnchor:
        """What the target's ledger is to remember of the journal as it is now."""
        return JournalAnchor(len(self.entries), self.head)

    def require(self, anchor: JournalAnchor | None) -> None:
        """Raise JournalDamaged unless the journal holds what the target's ledger remembers; it may hold more."""
        if anchor is None or not anchor.entries:
            return
        if len(self.entries) >= anchor.entries and self.entries[anchor.entries - 1].digest == anchor.digest:
            return
        message = (
            f"journal '{self.path}' does not hold what the target's ledger knows of it: {anchor.entries} entries were "
            f"there, ending in {anchor.digest[:12]}, and {len(self.entries)} are. It was cut, or an older copy was put "
            "in its place; nothing was written. Restore the file, or start a new run with --fresh."
        )
        raise JournalDamaged(message)

    def append(self, event: Event) -> Entry:
        """Write one event and, unless it is TOLD_ONLY, force it and all before it to disk.

        Raises: Interrupted if the disk does not take it, or has not taken the one before; the run stops there and the
        same command resumes.
        """
        if self._failed:
            raise Interrupted(self._failed)
        number = len(self.entries)
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"n": number, "at": at, "kind": event.kind, "fields": dict(event.fields)}
        digest = _digest(self.head, body)
        line = json.dumps({**body, "hash": digest}, ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            data = line.encode()
            while data:
                data = data[os.write(self._file, data) :]
            if event.kind not in TOLD_ONLY:
                os.fsync(self._file)
        except BaseException as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            self._failed = (
                f"journal '{self.path}' not written ({reason}); the target holds only finished batches. "
                "Make room or mend the disk, then run the same command again."
            )
            self._cut_off()
            if isinstance(error, OSError):
                raise Interrupted(self._failed) from error
            raise
        entry = Entry(number, at, event, digest)
        self.entries.append(entry)
        self._sound_bytes += len(line.encode())
        return entry

    def _cut_off(self) -> None:
        """Take the line that failed out of the file, if the disk lets us.

        Else opening the journal again cuts a part of a line off, and takes a whole one for what it is: the last entry.
        """
        with suppress(OSError):
            os.ftruncate(self._file, self._sound_bytes)

    def events(self, kind: str) -> Iterator[Event]:
        """Yield the journalled events of one kind, oldest first."""
        return (entry.event for entry in self.entries if entry.event.kind == kind)

    def last(self, kind: str) -> Event | None:
        """Return the newest event of one kind, or None."""
        return next((entry.event for entry in reversed(self.entries) if entry.event.kind == kind), None)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_journal(path: Path) -> list[Entry]:
    """Return the entries of a journal that another process may be writing; an unfinished last line is left out.

    Raises: JournalDamaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Entry], int]:
    if not path.exists():
        return [], 0
    content = path.read_bytes()
    entries: list[Entry] = []
    offset = 0
    head = _GENESIS
    while (end := content.find(b"\n", offset)) >= 0:
        entry = _parse(path, content[offset:end], len(entries), head)
        entries.append(entry)
        head = entry.digest
        offset = end + 1
    return entries, offset


def _parse(path: Path, line: bytes, number: int, head: str) -> Entry:
    try:
        body: dict[str, Any] = json.loads(line)
        digest = body.pop("hash")
        sound = body["n"] == number and digest == _digest(head, body)
        # The bytes themselves must be what we write, or an edit that JSON reads alike would pass.
        sound = sound and line.decode() == json.dumps(
            {**body, "hash": digest}, ensure_ascii=False, separators=(",", ":")
        )
        if sound:
            return Entry(number, body["at"], Event(body["kind"], body["fields"]), digest)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    message = (
        f"journal '{path}' line {number + 1} does not fit its hash chain: it was edited, damaged or replaced. "
        "The target's ledger is not touched by this. Restore the file, or start a new run with --fresh."
    )
    raise JournalDamaged(message)


def _digest(head: str, body: dict[str, Any]) -> str:
    canonical = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{head}\n{canonical}".encode()).hexdigest()
