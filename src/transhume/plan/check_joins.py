"""What is wrong with the joins of a mapping, and with its names of joined columns; without a database."""

from collections.abc import Iterator

from transhume.errors import Finding
from transhume.plan.model import Plan, TableMapping
from transhume.plan.places import at
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
        earlier.append(alias)


def _own_column(
    plan: Plan, mapping: TableMapping, path: tuple[str, ...], name: str, earlier: list[str], alias: str
) -> Finding | None:
    other = name.partition(".")[0]
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

    Without joins a point may belong to a column's name; the source's catalog decides.
    """
    alias, point, _ = name.partition(".")
    if not point or alias in mapping.join or not mapping.join:
        return None
    return f"'{alias}' in '{name}' is no join of '{mapping.name}'", hint(alias, mapping.join, "its joins are")
