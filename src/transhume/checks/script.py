"""One script of a validation: a SELECT with what it is for, what is expected, and where the plan decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from transhume.schema import LogicalType


@dataclass(frozen=True, slots=True)
class Script:
    """What a person runs on one side: `select` gives wrong rows, or numbers where `expectation` says so.

    `side` is "source" or "target"; `severity` "error", "warning" or "note". `path` leads to the place in the plan.
    `types` gives the types of the columns that it reads, as the database stores them, by alias and name.
    """

    side: str
    name: str
    table: str
    purpose: str
    expectation: str
    severity: str
    path: tuple[str | int, ...]
    select: exp.Select
    types: Mapping[str, Mapping[str, LogicalType]]
    column: str = ""
    text: str = ""
    """The plan's own SQL, in place of `select`, in this `dialect` and no other."""
    dialect: str = ""

    def type_of(self, column: exp.Column) -> LogicalType | None:
        """Return the type of a column of the SELECT, None where nothing is known of it."""
        return self.types.get(column.table, {}).get(column.name)


@dataclass(frozen=True, slots=True)
class Unsaid:
    """A check for which there is no script: `reason` says why."""

    side: str
    name: str
    table: str
    column: str
    reason: str


NO_ROWS = "no rows"
Types = Mapping[str, LogicalType]
Place = Callable[[str], exp.Table]
"""Gives a table of one side by its name, with its schema where it has one."""
