"""Types: what the target's columns are, against what the plan says they are."""

from transhume.batches import TargetTable
from transhume.checks import CheckResult
from transhume.schema import Table, is_contained


def column_types(expected: TargetTable, found: Table | None) -> CheckResult:
    """Return the columns whose type in the target does not hold every value of the plan's, or whose NULLs differ.

    A system without bounded texts or a JSON type holds them as text; the rules have kept the bounds.
    """
    covered = f"{len(expected.table.columns)} columns"
    name = expected.mapping
    if found is None:
        return CheckResult("types", name, 1, covered, detail=f"table '{expected.table.name}' is not in the target")
    wrong = []
    for column in expected.table.columns:
        there = found.column(column.name)
        if there is None:
            wrong.append(f"column '{column.name}' is missing")
        elif column.type is None or there.type is None or not is_contained(column.type, there.type):
            wrong.append(f"column '{column.name}' is {there.native or there.type}, expected {column.type}")
        elif expected.create and not column.nullable and there.nullable:
            wrong.append(f"column '{column.name}' takes NULL, expected NOT NULL")
    return CheckResult("types", name, len(wrong), covered, detail="; ".join(wrong) or "as the plan says")
