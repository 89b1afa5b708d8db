"""Findings that point into a plan. What is found wrong is decided by whoever calls."""

from collections.abc import Sequence

from transhume.errors import Finding
from transhume.plan.model import Plan, TableMapping
from transhume.words import printable


def at(
    plan: Plan, path: Sequence[str | int], code: str, message: str, cure: str = "", severity: str = "error"
) -> Finding:
    """Return a finding that points to a key of the plan."""
    is_column = len(path) > 3 and path[2] == "columns"  # noqa: PLR2004 - tables, mapping, columns, column
    table = str(path[1]) if path[:1] == ("tables",) and len(path) > 1 else None
    column = str(path[3]) if is_column else None
    return Finding(code, severity, printable(message), printable(cure), plan.position(*path), table, column)


def at_mapping(
    plan: Plan, mapping: TableMapping, key: str | None, code: str, message: str, cure: str = "", severity: str = "error"
) -> Finding:
    """Return a finding that points to a key of a mapping (`from`, `key`, `where` ...), or to the mapping itself."""
    path = ("tables", mapping.name, key) if key else ("tables", mapping.name)
    return at(plan, path, code, message, cure, severity)


def at_column(
    plan: Plan, mapping: TableMapping, column: str, code: str, message: str, cure: str = "", severity: str = "error"
) -> Finding:
    """Return a finding that points to a target column's rule."""
    return at(plan, ("tables", mapping.name, "columns", column), code, message, cure, severity)
