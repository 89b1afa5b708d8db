"""Where in the plan stands what a check holds a run to."""

from pathlib import Path

from transhume.plan.model import Plan, TableMapping

_KEYS = {
    "accounting": "from",
    "reject_limit": "max_rejects",
    "conflicts": "on_conflict",
    "unique_key": "key",
    "no_key": "key",
    "row_counts": "from",
    "extra_rows": "key",
    "types": "types",
    "stored_types": "types",
    "row_checks": "checks",
}
"""Check to the key of the mapping that decides about it."""
_OF_COLUMNS = frozenset({"references", "domain", "artefact_form", "artefact_exists"})


def place_of(plan: Plan | None, name: str, table: str, covered: str) -> str:
    """Return file, line and column of what decides about a check: its own entry, the column, the key, or the mapping.

    "" where the plan is not known, or says nothing of it.
    """
    if plan is None:
        return ""
    mapping = plan.tables.get(table)
    path = ("performance",) if name == "performance" else () if mapping is None else _path(mapping, name, covered)
    position = plan.position(*path) if path else None
    return "" if position is None else f"{Path(position.file).name}:{position.line}:{position.column}"


def _path(mapping: TableMapping, name: str, covered: str) -> tuple[str | int, ...]:
    here: tuple[str | int, ...] = ("tables", mapping.name)
    kind, _, own = name.partition(":")
    if kind in {"check", "table"}:
        place = next((place for place, check in enumerate(mapping.checks) if check.name == own), None)
        return here if place is None else (*here, "checks", place)
    if name in _OF_COLUMNS:
        # The words begin with the column, or with several of them; the longest name that fits is meant.
        words = covered.removeprefix("what ")
        fitting = [column for column in mapping.columns if words.startswith((f"{column} ", f"{column},"))]
        return (*here, "columns", max(fitting, key=len)) if fitting else here
    return (*here, _KEYS[name]) if name in _KEYS else here
