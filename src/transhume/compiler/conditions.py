"""Portable expressions of the plan inside compiled SELECTs: `where` and row checks."""

from collections.abc import Callable, Iterable

from transhume.rules.rule import Sql


def condition(text: str, column: Callable[[str], Sql]) -> Sql:
    """Return a condition of the plan over these columns, with the reasons of the columns that it reads."""
    raise NotImplementedError


def columns_of(text: str) -> Iterable[str]:
    """Return the names of the columns that a condition reads."""
    raise NotImplementedError
