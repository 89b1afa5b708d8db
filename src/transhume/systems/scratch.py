"""A scratch place beside a target: made, planted with rows of others, read and removed. No stage and no proof here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from transhume.systems.undo import UndoReference

MARK = "transhume rehearsal"
"""What says inside a scratch place that transhume made it; a place without it is never removed."""

NUMBER_LENGTH_MAX = 8
"""Characters of a scratch place's number: names of schemas have little room."""

TextRow = dict[str, str | None]
"""A row as texts by column name, as the system writes its values; NULL is None."""


@dataclass(frozen=True, slots=True)
class Planting:
    """What another writer does: change the row whose key is `at`, or add a row like it that differs in `changes`."""

    act: Literal["add", "edit"]
    at: Mapping[str, str | None]
    changes: Mapping[str, str | None]


class Scratch(Protocol):
    """A schema or namespace of the target's own system that only a rehearsal uses. Made by `Target.scratch`."""

    url: str
    """Opens the scratch place as a target. It may hold a credential: never shown."""
    name: str
    """The schema or namespace."""

    def make(
        self, tables: Sequence[str], references: Sequence[UndoReference], rows_max: int, seed: int
    ) -> Sequence[str]:
        """Make the place with the structure of these tables where the target has them, and a sample of their rows.

        The sample is half of a table's rows at most, so that a run finds rows that are not there yet. What sampled
        rows refer to in one of these tables comes too: by the system's own references, in a lake by `references`.
        The target itself is only read.
        Returns what is not as in the target, one sentence each (triggers, references to other tables).
        Raises: Refused if the place is there already; SystemRefused without the rights; SystemUnavailable.
        """
        ...

    def read(self, table: str) -> Iterator[TextRow]:
        """Yield all rows of a table as any reader sees them; none where there is no such table."""
        ...

    def plant(self, table: str, plantings: Sequence[Planting]) -> Sequence[bool]:
        """Do what other writers do, with their means; return for each whether the system took it."""
        ...

    def remove(self) -> None:
        """Remove the place, what runs staged for it, and the ledger's lines about it; idempotent.

        Raises: Refused if the place does not say that transhume made it.
        """
        ...


@runtime_checkable
class HasScratch(Protocol):
    """A target that can be rehearsed beside itself."""

    def scratch(self, number: str) -> Scratch:
        """Return the scratch place of this number (letters and digits); nothing is made yet."""
        ...

    def scratches(self) -> Sequence[str]:
        """Return the numbers of the scratch places of this target that are there and say that transhume made them."""
        ...
