"""Types: what the target's columns are, against what the plan says they are."""

from transhume.batches import TargetTable
from transhume.checks import CheckResult
from transhume.schema import Table


def column_types(expected: TargetTable, found: Table | None) -> CheckResult:
    """Return the columns whose declared type or nullability in the target is not the plan's."""
    covered = f"{len(expected.table.columns)} columns"
    name = expected.mapping
    if found is None:
        return CheckResult("types", name, 1, covered, detail=f"table '{expected.table.name}' is not in the target")
    wrong = []
    for column in expected.table.columns:
        there = found.column(column.name)
        if there is None:
            wrong.append(f"column '{column.name}' is missing")
        elif there.type != column.type:
            wrong.append(f"column '{column.name}' is {there.native or there.type}, expected {column.type}")
        elif expected.create and not column.nullable and there.nullable:
            wrong.append(f"column '{column.name}' takes NULL, expected NOT NULL")
    return CheckResult("types", name, len(wrong), covered, detail="; ".join(wrong) or "as the plan says")
