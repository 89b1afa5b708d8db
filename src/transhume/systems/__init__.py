"""The systems by URL scheme: `SYSTEMS` is the whole list; a driver is imported when its scheme is used."""

import difflib
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from transhume.errors import DriverMissing, UsageError
from transhume.systems.backup import Backup, TargetBackup
from transhume.systems.changes import Freezer
from transhume.systems.system import Source, Target


@dataclass(frozen=True, slots=True)
class System:
    """Where a system's functions are (`module:function`), None where it cannot be used that way.

    `source_backup`, `target_backup`: how it is backed up. `extra` is the part of transhume that brings the driver,
    empty where none is needed.
    """

    source: str | None
    target: str | None
    extra: str = ""
    source_backup: str | None = None
    target_backup: str | None = None
    freezer: str | None = None
    """How writing to a source of this kind is forbidden for a time (`systems.changes.Freezer`)."""


_POSTGRES = System(
    "transhume.systems.postgres.source:open_source",
    "transhume.systems.postgres.target:open_target",
    "postgres",
    source_backup="transhume.systems.postgres.backup:open_source_backup",
    target_backup="transhume.systems.postgres.backup:open_target_backup",
    freezer="transhume.systems.postgres.freeze:open_freezer",
)
_MYSQL = System(
    "transhume.systems.mysql.source:open_source",
    None,
    "mysql",
    source_backup="transhume.systems.mysql.backup:open_backup",
    freezer="transhume.systems.mysql.freeze:open_freezer",
)
SYSTEMS: dict[str, System] = {
    "sqlite": System(
        "transhume.systems.sqlite.source:open_source", None, source_backup="transhume.systems.sqlite.backup:open_backup"
    ),
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "files": System("transhume.systems.files.source:open_source", None),
    "iceberg": System(
        None,
        "transhume.systems.iceberg:open_target",
        "iceberg",
        target_backup="transhume.systems.iceberg.backup:open_backup",
    ),
}
"""What ships with transhume. Others are found by the entry points `transhume.systems`: a System under its scheme."""


def open_source(url: str, base: Path) -> Source:
    """Return the source behind a URL without secrets left open in it; file paths are relative to `base`.

    Effects: none yet; the first use connects.
    Raises: UsageError for an unknown scheme or a URL that cannot be read; DriverMissing.
    """
    function = _function(url, "source")
    assert function is not None
    return cast("Source", function(url, base))


def open_target(url: str, base: Path) -> Target:
    """Return the target behind a URL; see open_source."""
    function = _function(url, "target")
    assert function is not None
    return cast("Target", function(url, base))


def open_source_backup(url: str, base: Path) -> Backup | None:
    """Return the backup of the source behind a URL, None where transhume has no way to back that system up."""
    function = _function(url, "source_backup", needed=False)
    return function and cast("Backup", function(url, base))


def open_target_backup(url: str, base: Path, tables: Sequence[str]) -> TargetBackup | None:
    """Return the backup of these tables of the target behind a URL; see open_source_backup."""
    function = _function(url, "target_backup", needed=False)
    return function and cast("TargetBackup", function(url, base, tables))


def open_freezer(url: str, base: Path) -> Freezer | None:
    """Return what freezes the source behind a URL, None where transhume has no way to freeze that system."""
    function = _function(url, "freezer", needed=False)
    return function and cast("Freezer", function(url, base))


def _function(url: str, side: str, *, needed: bool = True) -> Callable[..., Any] | None:
    scheme, separator, _ = url.partition(":")
    system = SYSTEMS.get(scheme.lower()) or _added().get(scheme.lower())
    if not separator or system is None:
        raise UsageError(_unknown(scheme, side, has_scheme=bool(separator)))
    place = getattr(system, side)
    if place is None:
        if not needed:
            return None
        message = f"'{scheme}' cannot be a {side}; systems that can: {', '.join(_schemes(side))}"
        raise UsageError(message)
    module, _, name = place.partition(":")
    try:
        return cast("Callable[..., Any]", getattr(importlib.import_module(module), name))
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] == "transhume" or not system.extra:
            raise
        message = (
            f"the driver of '{scheme}' is not installed (module '{problem.name}' is missing); "
            f"install it with: pip install 'transhume[{system.extra}]'"
        )
        raise DriverMissing(message) from None


def _unknown(scheme: str, side: str, *, has_scheme: bool) -> str:
    known = _schemes(side)
    if not has_scheme:
        return f"the {side} URL names no system; it starts with one of: {', '.join(known)} (as in 'sqlite:///x.db')"
    # What stands before the first colon may be part of a password; only what looks like a scheme is shown.
    shown = f"'{scheme}'" if re.fullmatch(r"[A-Za-z][A-Za-z0-9+]{0,15}", scheme) else "this"
    close = difflib.get_close_matches(scheme.lower(), known, n=1)
    cure = f"did you mean '{close[0]}'?" if close else f"known schemes: {', '.join(known)}"
    return f"{shown} is not a scheme of a {side} URL; {cure}"


def _schemes(side: str) -> list[str]:
    return sorted(name for name, system in {**_added(), **SYSTEMS}.items() if getattr(system, side))


def _added() -> dict[str, System]:
    return {point.name: point.load() for point in entry_points(group="transhume.systems")}
