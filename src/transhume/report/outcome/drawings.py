"""The drawings of a run: where rows went, how long stages took, which source field feeds which target field."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from transhume.checks.counts import BUCKETS, TableTally
from transhume.plan.model import TableMapping
from transhume.report.paper import Bar, Cell, Figure, Grid, Label, Line
from transhume.words import counted

_TONES = {
    "loaded": "a",
    "unchanged": "d",
    "updated": "g",
    "skipped": "f",
    "conflict": "e",
    "rejected": "b",
    "filtered": "c",
    "deduplicated": "e",
    "outside": "quiet",
}
_WIDTH = 480.0
_ROW = 40.0
_FIELD = 19.0
_NUMBERS = 13.0
"""Height of the line with a field's numbers, under its name."""
_TOP = 36.0
_LEFT, _RIGHT = 165.0, 255.0
"""Between these points lie the lines of a mapping."""
_DRAWN_MAX = 50
_LEAST = 1.5
"""A bar that stands for at least one row is seen."""


def moved(tallies: Sequence[TableTally]) -> Figure:
    """Return one bar a table, as long as its rows, in the buckets' colours."""
    most = max((tally.read for tally in tallies), default=1) or 1
    used = [bucket for bucket in BUCKETS if any(getattr(tally, bucket) for tally in tallies)]
    shapes: list[Bar | Label | Line] = []
    for number, tally in enumerate(tallies):
        y = _ROW * number
        shapes.append(Label(0, y + 13, tally.mapping))
        shapes.append(Label(_WIDTH, y + 13, counted(tally.read, "row"), "end", "soft"))
        x = 0.0
        for bucket in used:
            rows = getattr(tally, bucket)
            if rows:
                width = max(_LEAST, rows / most * _WIDTH)
                shapes.append(Bar(x, y + 19, min(width, _WIDTH - x), 12, _TONES[bucket]))
                x += width
    rows = tuple((tally.mapping, *(getattr(tally, bucket) for bucket in used)) for tally in tallies)
    told = ", ".join(f"{sum(getattr(tally, bucket) for tally in tallies):,} {bucket}" for bucket in used)
    return Figure(
        "Rows by table",
        f"Of {sum(tally.read for tally in tallies):,} rows read: {told or 'none'}.",
        _WIDTH,
        max(_ROW, _ROW * len(tallies)),
        tuple(shapes),
        Grid("Rows", ("table", *used), rows),
        {_TONES[bucket]: bucket for bucket in used},
    )


def stages(stages_s: dict[str, float]) -> Figure:
    """Return one bar a stage, as long as it took."""
    most = max(stages_s.values(), default=1.0) or 1.0
    shapes: list[Bar | Label | Line] = []
    for number, (name, seconds) in enumerate(stages_s.items()):
        y = 26.0 * number
        width = max(_LEAST, seconds / most * (_WIDTH - 150))
        shapes += [Label(0, y + 14, name), Bar(80, y + 3, width, 14, "a")]
        shapes.append(Label(84 + width, y + 14, f"{seconds:,.1f} s", "start", "soft"))
    rows: tuple[tuple[Cell, ...], ...] = tuple((name, round(seconds, 2)) for name, seconds in stages_s.items())
    slowest = max(stages_s, key=lambda name: stages_s[name])
    says = f"{sum(stages_s.values()):,.1f} seconds in all; '{slowest}' took longest."
    grid = Grid("Seconds by stage", ("stage", "seconds"), rows)
    return Figure("Time by stage", says, _WIDTH, max(26.0, 26.0 * len(stages_s)), tuple(shapes), grid)


def links(mapping: TableMapping, profile: Mapping[str, Any]) -> Figure | Grid:
    """Return source fields at the left, target fields at the right, a line for each that feeds one.

    `profile` holds the numbers of both sides, as a validation counted them, or nothing; they stand under the names.
    More fields than a page has lines for are a table alone.
    """
    sources = list(dict.fromkeys(name for rule in mapping.columns.values() for name in rule.columns()))
    sources += [name for name in mapping.drop if name not in sources]
    targets = list(mapping.columns)
    field = _FIELD + (_NUMBERS if profile else 0)
    place = {name: _TOP + field * number for number, name in enumerate(sources)}
    shapes: list[Bar | Label | Line] = [
        Label(0, 12, mapping.from_, "start", "bold"),
        Label(_WIDTH, 12, mapping.target_table, "end", "bold"),
    ]
    for number, rule in enumerate(mapping.columns.values()):
        y = _TOP + field * number - 4
        for source in dict.fromkeys(rule.columns()):
            tone = "link" if rule.verb == "copy" else "a"
            shapes.append(Line(((_LEFT, place[source] - 4), (_RIGHT, y)), tone))
        if rule.verb != "copy":
            shapes.append(Label(_RIGHT + 5, y + 4, rule.verb, "start", "soft"))
    shapes += list(_fields(sources, 0, field, profile.get("source", {})))
    shapes += list(_fields(targets, _WIDTH, field, profile.get("target", {})))
    changed = sum(rule.verb != "copy" for rule in mapping.columns.values())
    says = (
        f"{counted(len(sources), 'source field')} and {counted(len(targets), 'target field')}: "
        f"{changed} by a rule (the word beside the line), {len(targets) - changed} copied (thin lines)."
    )
    if profile:
        says += " Under each field: rows without a value, and about how many values differ."
    title = f"{mapping.from_} to {mapping.target_table}"
    grid = _link_grid(mapping, title, profile)
    if max(len(sources), len(targets)) > _DRAWN_MAX:
        return grid
    height = _TOP + field * (max(len(sources), len(targets)) - 1) + 8 + (_NUMBERS if profile else 0)
    return Figure(title, says, _WIDTH, height, tuple(shapes), grid)


def _fields(names: Sequence[str], x: float, field: float, side: Mapping[str, Any]) -> Iterator[Label]:
    """Yield the names of one side's fields, and under each its numbers where they are known."""
    anchor: Literal["start", "end"] = "end" if x else "start"
    for number, name in enumerate(names):
        y = _TOP + field * number
        yield Label(x, y, _short(name), anchor)
        numbers = side.get("fields", {}).get(name)
        if numbers is not None:
            nulls, distinct = numbers
            told = f"{_share(nulls, int(side['rows']))} NULL, {distinct:,} differ"
            yield Label(x, y + _NUMBERS, told, anchor, "small")


def _share(part: int, whole: int) -> str:
    """Return a share in per cent that is 0 or 100 only where none or all are meant."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    return "100 %" if part == whole else f"{min(max(percent, 0.1), 99.9):.1f} %"


def _link_grid(mapping: TableMapping, title: str, profile: Mapping[str, Any]) -> Grid:
    own, other = (profile.get(side, {}).get("fields", {}) for side in ("source", "target"))
    rows: list[tuple[Cell, ...]] = []
    for name, rule in mapping.columns.items():
        fields = list(dict.fromkeys(rule.columns()))
        rows.append((", ".join(fields) or "(none)", *_told(own, fields), rule.verb, name, *_told(other, [name])))
    rows += [(name, *_told(own, [name]), "left out on purpose", "(none)", "", "") for name in mapping.drop]
    if profile:
        head: tuple[str, ...] = ("source fields", "NULL", "differ", "rule", "target field", "NULL", "differ")
        return Grid(title, head, tuple(rows), frozenset({0, 4}))
    plain = tuple((row[0], row[3], row[4]) for row in rows)
    return Grid(title, ("source fields", "rule", "target field"), plain, frozenset({0, 2}))


def _told(side: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, str]:
    """Return the numbers of some fields as texts, one for each field that has some."""
    found = [side[name] for name in fields if name in side]
    nulls = ", ".join(f"{nulls:,}" for nulls, _ in found)
    return nulls, ", ".join(f"{distinct:,}" for _, distinct in found)


def _short(name: str) -> str:
    most = 23
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"
