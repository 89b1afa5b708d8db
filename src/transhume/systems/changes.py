"""What a source can say about its rows since an extract, and how writing to it is forbidden for a time. Protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from transhume.schema import Table


@runtime_checkable
class Watched(Protocol):
    """A source whose snapshots have a `mark`, a text by which it can tell later what has changed since."""

    def changed(self, mark: str, tables: Sequence[Table], row_counts: Mapping[str, int]) -> Mapping[str, str]:
        """Return the tables whose rows may be others than at the instant of the mark, by the cheapest reliable sign.

        `row_counts`: rows of each table at that instant. The value says what is known, in words and without values;
        "" where only reading the rows can tell whether they changed. Nothing is written.
        Raises: SystemUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Freezing:
    """Statements that forbid writing to some tables, and those that give it back.

    `state` is what stands there now of what they change, in words; `notes` say who can write all the same.
    """

    freeze: tuple[str, ...]
    unfreeze: tuple[str, ...]
    state: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: list(getattr(self, name)) for name in self.__slots__}


class Freezer(Protocol):
    """How writing to a source's tables is forbidden. It changes rights or triggers, and never a row."""

    identity: str

    def plan(self, tables: Sequence[str]) -> Freezing:
        """Return the exact statements; nothing is changed. Raises: Refused without the right to run them."""
        ...

    def freeze(self, tables: Sequence[str], freezing: Freezing) -> None:
        """Run the statements that do not stand yet, after every transaction that writes to the tables has ended.

        In one transaction where the system has one for them; else a failure may leave some of them: `stands` tells.
        Raises: SystemUnavailable if a transaction does not end in time or the connection is lost, Refused if others
        changed since what the statements change.
        """
        ...

    def stands(self, tables: Sequence[str], freezing: Freezing) -> bool:
        """Say whether anything of the freeze stands, so that there is something to give back."""
        ...

    def unfreeze(self, tables: Sequence[str], freezing: Freezing) -> Sequence[str]:
        """Give back what was forbidden; return what is not as it was before all the same. Idempotent.

        Raises: SystemUnavailable: some of it may stand still.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...
