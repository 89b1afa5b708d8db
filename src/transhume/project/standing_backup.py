"""Which backup stands behind a run: found among those made, held against what source and target are now."""

from dataclasses import dataclass, replace
from pathlib import Path

from transhume.batches import Event
from transhume.errors import Refused
from transhume.plan.model import Plan
from transhume.project.workplace import Listener, Systems, Workplace
from transhume.stages.backup import Manifest, backup_folders, damages, read_manifest
from transhume.systems import open_source_backup, open_target_backup
from transhume.systems.backup import ABSENT, SIGN, Backup, TargetBackup

REQUIRED = "the plan requires a verified backup"


@dataclass(frozen=True, slots=True)
class StandingBackup:
    """The newest backup of a plan's systems. `why_not`: why it cannot stand behind a run, empty where it can.

    `moved`: source tables whose rows are not those of the backup any more; a source that lives may move on.
    """

    manifest: Manifest | None
    why_not: tuple[str, ...]
    moved: tuple[str, ...] = ()


def backups_root(place: Workplace) -> Path:
    """Return where the backups of a project are."""
    return place.state / "backups"


def open_backups(place: Workplace, plan: Plan) -> tuple[Backup | None, TargetBackup | None]:
    """Return how the two sides of a plan are backed up, None where transhume has no way; nothing is opened yet."""
    resolve = plan.origin.resolver.resolve
    source = resolve(plan.source, plan.position("source")).reveal()
    target = resolve(plan.target, plan.position("target")).reveal()
    return open_source_backup(source, place.folder), open_target_backup(target, place.folder, target_tables(plan))


def target_tables(plan: Plan) -> list[str]:
    """Return the target tables that a plan writes, each once."""
    return list(dict.fromkeys(mapping.into or name for name, mapping in plan.tables.items()))


def newest_backup(place: Workplace, source: str, target: str) -> Manifest | None:
    """Return the newest whole backup of these two systems. Raises: Refused if its manifest is damaged."""
    for folder in reversed(backup_folders(backups_root(place))):
        manifest = read_manifest(folder)
        if (manifest.source, manifest.target) == (source, target):
            return manifest
    return None


def standing_backup(place: Workplace, systems: Systems) -> StandingBackup:
    """Return the newest backup of the open systems and what keeps it from standing behind a run now.

    Effects: reads its files, and the tables that it holds where only their rows tell whether they changed.
    """
    binding = systems.binding()
    try:
        manifest = newest_backup(place, binding.source, binding.target)
    except Refused as problem:
        return StandingBackup(None, (str(problem),))
    if manifest is None:
        return StandingBackup(None, ("there is no backup of this source and target",))
    folder = backups_root(place) / manifest.name
    why = [
        f"its {part.kind} copy of the {part.side} is not verified: {part.reason}"
        for part in manifest.parts
        if part.state == "failed" or (part.state == "not_made" and part.kind != "physical")
    ]
    why += damages(folder, manifest)
    if manifest.source_schema != binding.source_schema:
        why.append("the source's tables were changed since it was made")
    if why:
        return StandingBackup(manifest, tuple(why))
    source, target = open_backups(place, systems.plan)
    assert source is not None
    assert target is not None
    try:
        sign = next((part.details.get(SIGN) for part in manifest.parts if part.side == "target"), None)
        if not sign or target.sign() != sign:
            why += _differences(manifest, target)
        moved = [] if manifest.source_sign and source.sign() == manifest.source_sign else _moved(manifest, source)
    finally:
        source.close()
        target.close()
    return StandingBackup(manifest, tuple(why), tuple(moved))


def replacing(place: Workplace, systems: Systems, backup: str) -> Systems:
    """Return the systems with tables that know what they must be when their rows leave (`load: replace`).

    Raises: Refused if the backup that stands behind the run is damaged.
    """
    if systems.plan.load != "replace" or not place.needs_backup:
        return systems
    kept = read_manifest(backups_root(place) / backup).fingerprints("target")
    tables = {
        name: replace(table, replaces=kept.get(table.table.name, ABSENT)) for name, table in systems.tables.items()
    }
    return replace(systems, tables=tables)


def require_backup(place: Workplace, systems: Systems, listener: Listener | None) -> str:
    """Return the name of the backup that stands behind a new run, "" where there is none and the plan allows that.

    Effects: tells `backup_warned` where the plan says `warn` and something is missing.
    Raises: Refused where the plan says `rollback: {backup: required}` and none can stand behind it.
    """
    if not place.needs_backup:
        return ""
    found = standing_backup(place, systems)
    replaces = systems.plan.load == "replace"
    if found.why_not and (replaces or systems.plan.rollback.backup == "required"):
        which = f"backup '{found.manifest.name}' cannot stand behind this run" if found.manifest else "no backup"
        wants = "'load: replace' is undone from a verified backup, and there is none" if replaces else REQUIRED
        message = (
            f"{wants} ({which}: {'; '.join(found.why_not)}); no row was read, nothing was "
            "written. Make one with 'transhume backup'."
        )
        raise Refused(message)
    told = [*found.why_not, *(f"rows of the source's '{name}' changed since the backup" for name in found.moved)]
    if told and listener is not None:
        listener(Event("backup_warned", {"why": told}))
    return found.manifest.name if found.manifest is not None and not found.why_not else ""


def _differences(manifest: Manifest, target: TargetBackup) -> list[str]:
    kept = manifest.fingerprints("target")
    found = []
    for name, now in target.fingerprints().items():
        if name not in kept:
            found.append(f"it has no snapshot of the target's '{name}'")
        elif kept[name] != now:
            state = "is gone" if now == ABSENT else "came" if kept[name] == ABSENT else "changed"
            found.append(f"the target's '{name}' {state} since it was made")
    return found


def _moved(manifest: Manifest, source: Backup) -> list[str]:
    kept, now = manifest.fingerprints("source"), source.fingerprints()
    return sorted(name for name in {*kept, *now} if kept.get(name) != now.get(name))
