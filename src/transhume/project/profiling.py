"""Profiling a system: opened, read once into a temporary folder, measured, the folder removed."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from transhume.batches import Event
from transhume.capacity import capacity_of_machine
from transhume.errors import UsageError
from transhume.facts import Catalog, Profile
from transhume.project.workplace import open_engine
from transhume.schema import Table
from transhume.stages.context import RunFolder
from transhume.stages.profile import ProfileBounds, Profiling
from transhume.systems import open_source
from transhume.systems.system import Source
from transhume.words import hint


def profile_system(
    source: Source,
    catalog: Catalog,
    folder: Path | None = None,
    *,
    tables: Iterable[str] = (),
    bounds: ProfileBounds | None = None,
    listener: Callable[[Event], None] | None = None,
) -> Profile:
    """Return the profile of a system that is open: of all tables, or of those that a name or pattern selects.

    Effects: a temporary folder below `folder` (None: the machine's own place for them), removed at the end.
    Raises: UsageError for a name that selects no table; SystemUnavailable.
    """
    names = selected(catalog.tables, tables)
    if folder is not None:
        folder.mkdir(exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix="transhume-look-", dir=folder) as temporary, ExitStack() as stack:
        place = RunFolder(Path(temporary))
        place.make()
        engine = open_engine(place, capacity_of_machine())
        stack.callback(engine.close)
        profiling = Profiling(source, catalog, engine, place.work, bounds or ProfileBounds())
        for event in profiling.events(names):
            if listener is not None:
                listener(event)
        return profiling.profile()


def profile_url(
    url: str,
    base: Path,
    *,
    tables: Iterable[str] = (),
    bounds: ProfileBounds | None = None,
    listener: Callable[[Event], None] | None = None,
) -> Profile:
    """Return the profile of the system behind a URL; file paths are relative to `base`. See `profile_system`."""
    source = open_source(url, base)
    try:
        return profile_system(source, source.catalog(), tables=tables, bounds=bounds, listener=listener)
    finally:
        source.close()


def selected(tables: Mapping[str, Table], patterns: Iterable[str]) -> list[str]:
    """Return the tables that names or patterns such as `dim_*` select, in catalog order; all where none is given.

    Raises: UsageError for a pattern that selects none.
    """
    chosen: set[str] = set()
    wanted = list(patterns)
    for pattern in wanted:
        found = {name for name in tables if name == pattern or fnmatchcase(name, pattern)}
        if not found:
            message = f"no table is called '{pattern}'; {hint(pattern, tables, 'the tables are')}"
            raise UsageError(message)
        chosen |= found
    return [name for name in tables if not wanted or name in chosen]
