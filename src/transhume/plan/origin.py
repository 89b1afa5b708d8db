"""Where a plan came from: its file, the places of its keys, the lookups that were read with it, its secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transhume.errors import Position
from transhume.plan.credentials import Resolver
from transhume.plan.document import Document
from transhume.plan.lookups import LookupTable


@dataclass(frozen=True, slots=True)
class Origin:
    """What was read beside the plan's own content; equal content from two places is two origins.

    `lookups` holds the lookups from files by name; lookups from other systems are frozen by a run.
    """

    directory: Path = field(default_factory=Path)
    document: Document | None = field(default=None, repr=False)
    lookups: Mapping[str, LookupTable] = field(default_factory=dict, repr=False)
    resolver: Resolver = field(default_factory=lambda: Resolver(Path()), repr=False)

    def position(self, path: tuple[str | int, ...], *, of_key: bool = True) -> Position | None:
        """Return the place of a key, or of its value; of the nearest enclosing one where it has none."""
        return self.document.position(path, of_key=of_key) if self.document else None

    def position_in(self, path: tuple[str | int, ...], text: str, offset: int) -> Position | None:
        """Return the place of a character of a scalar, as near as the way in which it is written allows."""
        start = self.position(path, of_key=False)
        if self.document is None or start is None:
            return start
        line = self.document.lines[start.line - 1] if start.line <= len(self.document.lines) else ""
        found = line.find(text, start.column - 1)
        return self.document.place(start.line - 1, found + offset) if found >= 0 else start
