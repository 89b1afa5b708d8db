"""Columns of a profile as rows of a table, on a terminal and in documents; what looks personal is masked."""

from typing import Any

from transhume.checks.personal import masked
from transhume.facts import ColumnProfile
from transhume.words import counted

HEAD = ("column", "type", "NULL", "different", "smallest", "largest", "most frequent", "patterns", "to look at")
_WIDTH_MAX = 40


def profile_row(column: ColumnProfile, *, show_values: bool) -> list[str | int]:
    """Return a column's cells under HEAD; values of a column that looks personal are masked unless asked for."""
    hidden = shown_values(column, show_values=show_values)
    top = hidden.get("top", column.top)[:3]
    distinct = f"{column.distinct:,}" if column.distinct_exact else f"about {column.distinct:,}"
    remarks = [column.likely] if column.likely else []
    remarks += [f"{count:,} {kind}" for kind, count in column.classes.items()]
    remarks += [counted(column.zero_dates, "zero date")] if column.zero_dates else []
    remarks += [counted(column.bad_dates, "impossible date")] if column.bad_dates else []
    return [
        column.name,
        column.type,
        column.null_count,
        distinct,
        _short(hidden.get("minimum", column.minimum)),
        _short(hidden.get("maximum", column.maximum)),
        ", ".join(f"{_short(value)} ({count:,})" for value, count in top),
        ", ".join(_short(pattern) for pattern, _ in column.patterns[:3]),
        "; ".join(remarks),
    ]


def _short(text: str | None) -> str:
    if text is None:
        return ""
    line = text.replace("\n", " ")
    return line if len(line) <= _WIDTH_MAX else f"{line[: _WIDTH_MAX - 1]}…"


def shown_values(column: ColumnProfile, *, show_values: bool) -> dict[str, Any]:
    """Return what stands in the place of a column's values: masked ones where it looks personal, else nothing."""
    if show_values or not column.likely:
        return {}
    hidden = {
        "minimum": None if column.minimum is None else masked(column.minimum),
        "maximum": None if column.maximum is None else masked(column.maximum),
        "top": [(masked(value), count) for value, count in column.top],
        "values": None,
        "examples": [],
    }
    return {**hidden, "masked": True}
