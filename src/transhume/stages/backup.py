"""Backup: copy source and target, each copy restored and compared; the manifest of what came out, and reading it again.

A backup is a folder with a manifest. The manifest is written last: a folder without one is no backup.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transhume.batches import Event
from transhume.errors import Refused
from transhume.stages.files import write_last
from transhume.systems.backup import Backup, BackupPart, sha256_of

MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `made_at` is the UTC time at which it was begun; fingerprints of schemas as in a binding."""

    name: str
    made_at: str
    source: str
    target: str
    source_schema: str
    source_sign: str
    parts: tuple[BackupPart, ...]
    sha256: str = ""
    """The hash of all the rest, by which a run names the backup."""

    @property
    def is_verified(self) -> bool:
        """Whether the source has a logical copy and the target a snapshot that were restored, and no copy failed."""
        good = {(part.side, part.kind) for part in self.parts if part.state == "verified"}
        failed = any(part.state == "failed" for part in self.parts)
        return {("source", "logical"), ("target", "snapshot")} <= good and not failed

    def part(self, side: str) -> BackupPart | None:
        """Return the first verified copy of a side."""
        return next((part for part in self.parts if part.side == side and part.state == "verified"), None)

    def fingerprints(self, side: str) -> Mapping[str, str]:
        """Return the fingerprints of a side's tables, empty where nothing of it is verified."""
        return next((part.fingerprints for part in self.parts if part.side == side and part.fingerprints), {})

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "format": _FORMAT,
            **{name: getattr(self, name) for name in self.__slots__ if name != "parts"},
            "parts": [part.to_dict() for part in self.parts],
            "verified": self.is_verified,
        }


def backup(folder: Path, manifest: Manifest, source: Backup | None, target: Backup | None) -> Iterator[Event]:
    """Copy both sides into `folder`, which is there, restore and compare each copy, and write the manifest last.

    `manifest` is without its parts. The source is only read. A side that is None has no way of being backed up.
    Yields: backup_started, backup_part for each copy (its fields are the part's), backup_finished.
    Raises: SystemUnavailable: what was copied so far is in the folder, which counts as no backup.
    """
    yield Event("backup_started", {"backup": manifest.name, "source": manifest.source, "target": manifest.target})
    parts: list[BackupPart] = []
    for side, kind, opened in (("source", "logical", source), ("target", "snapshot", target)):
        if opened is None:
            reason = "transhume has no way to back this system up; use its own"
            made: Iterator[BackupPart] = iter([BackupPart(side, kind, "", "not_made", reason)])  # type: ignore[arg-type]
        else:
            made = opened.parts(folder)
        for part in made:
            parts.append(part)
            yield Event("backup_part", part.to_dict())
    whole = _sealed(manifest, parts)
    write_last(folder / MANIFEST, json.dumps(whole.to_dict(), ensure_ascii=False, indent=1).encode())
    yield Event("backup_finished", {"backup": whole.name, "verified": whole.is_verified, "sha256": whole.sha256})


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup. Raises: Refused if it is not what was written."""
    path = folder / MANIFEST
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        parts = tuple(BackupPart(**part) for part in told["parts"])
        fields = {name: told[name] for name in Manifest.__slots__ if name != "parts"}
        found = Manifest(**fields, parts=parts)
        sound = told["format"] == _FORMAT and found == _sealed(found, parts)
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        message = f"the manifest '{path}' was edited or damaged; this backup is not used; make another one"
        raise Refused(message)
    return found


def damages(folder: Path, manifest: Manifest, side: str | None = None) -> list[str]:
    """Return, one sentence each, which files of a backup (or of one side of it) are not what was written."""
    found = []
    for part in manifest.parts:
        if part.path and side in {None, part.side}:
            place = folder / part.path
            if not place.exists():
                found.append(f"'{place}' is missing")
            elif sha256_of(place) != part.sha256:
                found.append(f"'{place}' is not what was written: it was damaged or replaced")
    return found


def backup_folders(root: Path) -> list[Path]:
    """Return the folders that hold whole backups, oldest first."""
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if (folder / MANIFEST).is_file())


def clear_unfinished(root: Path) -> Sequence[str]:
    """Remove what backups left that were stopped midway, and return their names. Nobody else may be making one."""
    left = sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
    gone = [folder for folder in left if not (folder / MANIFEST).is_file()]
    for folder in gone:
        shutil.rmtree(folder)
    return [folder.name for folder in gone]


def new_name(now: datetime | None = None) -> str:
    """Return the name of a backup that begins now."""
    return f"{now or datetime.now(UTC):%Y%m%dt%H%M%S}"


def _sealed(manifest: Manifest, parts: Sequence[BackupPart]) -> Manifest:
    content = {name: getattr(manifest, name) for name in Manifest.__slots__ if name not in {"parts", "sha256"}}
    content["parts"] = [part.to_dict() for part in parts]
    digest = hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    return Manifest(**{**content, "parts": tuple(parts), "sha256": digest})
