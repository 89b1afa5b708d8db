"""Keys: the SELECT of keys that stand more than once, and what is said where there is no key."""

from collections.abc import Sequence

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks import CheckResult
from transhume.checks.rows import Rows, rows_of


def duplicate_keys(rows: Rows, key: Sequence[str]) -> exp.Select:
    """Return the SELECT of the keys that more than one row has."""
    columns = [exp.column(name, quoted=True) for name in key]
    count = exp.Count(this=exp.Star())
    return (
        exp.select(*[column.copy() for column in columns])
        .from_(rows_of(rows))
        .group_by(*[column.copy() for column in columns])
        .having(exp.GT(this=count.copy(), expression=exp.Literal.number(1)))
    )


def keyless(table: TargetTable) -> CheckResult:
    """Return the statement that takes the place of `unique_key` where the plan says that nothing identifies a row."""
    return CheckResult(
        "no_key",
        table.mapping,
        0,
        "no key: rows are accounted for by their place in the extract and compared as a multiset",
        severity="warning",
        detail="equal rows are told apart by their number only; a second run into these rows is refused",
    )
