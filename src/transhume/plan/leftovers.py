"""Keys of a pivot's table that go nowhere: findings that say which, in how many rows, and what to write."""

from collections.abc import Mapping

from transhume.errors import Finding, Position
from transhume.plan.model import Plan, TableMapping
from transhume.words import counted, did_you_mean, printable

_SHOWN_MAX = 20


def leftover_findings(plan: Plan, mapping: TableMapping, alias: str, counts: Mapping[str | None, int]) -> list[Finding]:
    """Return an error for each key that a pivot neither takes nor ignores, most frequent first; then for the rest.

    `counts` gives each such key its number of rows; None stands for rows whose key is NULL or no text.
    """
    join = mapping.join[alias]
    assert join.pivot is not None
    position = plan.position("tables", mapping.name, "join", alias, "pivot", "take")
    findings = []
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] or ""))
    for key, count in ordered[:_SHOWN_MAX]:
        rows = f"{counted(count, 'row')} of '{join.from_}'"
        if key is None:
            message = f"{rows}: '{join.pivot.name}' is NULL or no text, and the pivot '{alias}' knows no such key"
            cure = f'leave them out by where: "{join.pivot.name} is not null", or correct the source'
        else:
            message = f"{rows}: the key '{key}' is neither taken nor ignored by the pivot '{alias}'"
            near = did_you_mean(key, join.pivot.take.values())
            cure = f"write '{key}' under take or ignore" + (f" ('{near}' is taken)" if near else "")
        findings.append(_finding(mapping, message, cure, count, position))
    rest = dict(ordered[_SHOWN_MAX:])
    if rest:
        message = f"{len(rest):,} further keys of '{join.from_}' are neither taken nor ignored by the pivot '{alias}'"
        cure = "is this a table of keys and values? leave rows out by 'where', or name every key"
        findings.append(_finding(mapping, message, cure, sum(rest.values()), position))
    return findings


def _finding(mapping: TableMapping, message: str, cure: str, count: int, position: Position | None) -> Finding:
    return Finding("pivot_key", "error", printable(message), printable(cure), position, mapping.name, count=count)
