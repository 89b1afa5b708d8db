"""What is wrong with the joins of a mapping, and with its names of joined columns; without a database."""

from collections.abc import Container, Iterator

from transhume.errors import Finding
from transhume.plan.model import Join, Plan, TableMapping
from transhume.plan.places import at
from transhume.plan.types import untaken_problem
from transhume.words import did_you_mean, hint


def join_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what is wrong with aliases and with what joins are made on."""
    earlier: list[str] = []
    for alias, join in mapping.join.items():
        here = ("tables", mapping.name, "join", alias)
        if not alias or "." in alias:
            message = f"'{alias}' is no alias: columns are written alias.column"
            yield at(plan, here, "alias", message, "use letters, digits and '_'")
        for column, own in join.on.items():
            finding = _own_column(plan, mapping, (*here, "on", column), own, earlier, alias)
            if finding is not None:
                yield finding
        yield from _pivot_findings(plan, here, alias, join)
        earlier.append(alias)


def _pivot_findings(plan: Plan, here: tuple[str, ...], alias: str, join: Join) -> Iterator[Finding]:
    if join.pivot is None:
        if join.ignore:
            message = f"the join '{alias}' ignores keys, and it has no 'pivot' whose keys they could be"
            yield at(plan, (*here, "ignore"), "pivot", message, "remove it, or write 'pivot: {name:, value:, take:}'")
        return
    for word in ("first", "latest"):
        if getattr(join, word) is not None:
            message = f"the join '{alias}' is a pivot, which chooses no row: '{word}' has no meaning there"
            cure = f"remove it; rows that may not count go out by 'where', and one key alone is a join with '{word}'"
            yield at(plan, (*here, word), "pivot", message, cure)
    for place, key in enumerate(join.ignore):
        column = next((name for name, taken in join.pivot.take.items() if taken == key), None)
        if column is not None:
            message = f"the key '{key}' is ignored, and '{alias}.{column}' takes it"
            yield at(plan, (*here, "ignore", place), "pivot", message, "remove it from ignore")


def take_findings(plan: Plan, mapping: TableMapping, read: Container[str]) -> Iterator[Finding]:
    """Yield what a pivot takes and nothing reads; `read` are the mapping's source columns and alias.columns."""
    for alias, join in mapping.join.items():
        for column, key in join.pivot.take.items() if join.pivot is not None else ():
            if f"{alias}.{column}" not in read:
                message = f"the pivot '{alias}' takes '{column}', and nothing reads '{alias}.{column}'"
                cure = f"write a rule for it, or '{key}' under ignore"
                path = ("tables", mapping.name, "join", alias, "pivot", "take", column)
                yield at(plan, path, "take_unused", message, cure, "warning")


def dedupe_columns(mapping: TableMapping) -> dict[str, tuple[str | int, ...]]:
    """Return the columns that a mapping's `dedupe` names, and where below it each stands."""
    dedupe = mapping.dedupe
    if dedupe is None:
        return {}
    columns: dict[str, tuple[str | int, ...]] = {name: ("by", place) for place, name in enumerate(dedupe.by)}
    columns |= {name: ("first", name) for name in dedupe.first or ()}
    return columns | ({dedupe.latest: ("latest",)} if dedupe.latest is not None else {})


def dedupe_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what is wrong with what a mapping's `dedupe` says."""
    here = ("tables", mapping.name, "dedupe")
    for name, below in dedupe_columns(mapping).items():
        if problem := alias_problem(mapping, name):
            yield at(plan, (*here, *below), "alias", *problem)
    if mapping.dedupe is not None and mapping.dedupe.first is None and mapping.dedupe.latest is None:
        message = f"the dedupe of '{mapping.name}' does not say which row wins"
        yield at(plan, here, "dedupe", message, "write 'latest: COLUMN' or 'first: {column: [in this order]}' in it")


def _own_column(
    plan: Plan, mapping: TableMapping, path: tuple[str, ...], name: str, earlier: list[str], alias: str
) -> Finding | None:
    other = name.partition(".")[0]
    if problem := untaken_problem(mapping, name) if other in earlier else None:
        return at(plan, path, "alias", *problem)
    if "." not in name or other in earlier:
        return None
    if other == alias:
        message = f"the join '{alias}' is made on its own column '{name}'"
        cure = "write {column of the joined table: own column}; the joined table's column stands left, without alias"
    elif other in mapping.join:
        message = f"the join '{alias}' uses '{name}', and '{other}' is joined later"
        cure = f"write the join '{other}' above '{alias}'"
    elif did_you_mean(other, earlier):
        message, cure = f"'{other}' in '{name}' is no join of '{mapping.name}'", hint(other, earlier)
    else:
        return None
    return at(plan, path, "alias", message, cure)


def alias_problem(mapping: TableMapping, name: str) -> tuple[str, str] | None:
    """Return (what is wrong, cure) for `alias.column` whose alias is no join, as far as a plan alone can tell.

    Without joins a point may belong to a column's name; the source's catalog decides. For a column that a pivot
    does not take, likewise.
    """
    if problem := untaken_problem(mapping, name):
        return problem
    alias, point, _ = name.partition(".")
    if not point or alias in mapping.join or not mapping.join:
        return None
    return f"'{alias}' in '{name}' is no join of '{mapping.name}'", hint(alias, mapping.join, "its joins are")
