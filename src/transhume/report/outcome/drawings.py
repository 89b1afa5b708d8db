"""The drawings of a run: where rows went, how long stages took, which source field feeds which target field."""

from collections.abc import Sequence

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


def links(mapping: TableMapping) -> Figure | Grid:
    """Return source fields at the left, target fields at the right, a line for each that feeds one.

    More fields than a page has lines for are a table alone.
    """
    sources = list(dict.fromkeys(name for rule in mapping.columns.values() for name in rule.columns()))
    sources += [name for name in mapping.drop if name not in sources]
    targets = list(mapping.columns)
    place = {name: number for number, name in enumerate(sources)}
    shapes: list[Bar | Label | Line] = [
        Label(0, 12, mapping.from_, "start", "bold"),
        Label(_WIDTH, 12, mapping.target_table, "end", "bold"),
    ]
    for number, rule in enumerate(mapping.columns.values()):
        y = _height_of(number) - 4
        for source in dict.fromkeys(rule.columns()):
            tone = "link" if rule.verb == "copy" else "a"
            shapes.append(Line(((150.0, _height_of(place[source]) - 4), (250.0, y)), tone))
        if rule.verb != "copy":
            shapes.append(Label(255, y + 4, rule.verb, "start", "soft"))
    shapes += [Label(0, _height_of(number), _short(name)) for number, name in enumerate(sources)]
    shapes += [Label(_WIDTH, _height_of(number), _short(name), "end") for number, name in enumerate(targets)]
    rows = tuple(
        (", ".join(dict.fromkeys(rule.columns())) or "(none)", rule.verb, name)
        for name, rule in mapping.columns.items()
    ) + tuple((name, "left out on purpose", "(none)") for name in mapping.drop)
    changed = sum(rule.verb != "copy" for rule in mapping.columns.values())
    says = (
        f"{counted(len(sources), 'source field')} and {counted(len(targets), 'target field')}: "
        f"{changed} by a rule (the word beside the line), {len(targets) - changed} copied (thin lines)."
    )
    height = _height_of(max(len(sources), len(targets)) - 1) + 8
    title = f"{mapping.from_} to {mapping.target_table}"
    grid = Grid(title, ("source fields", "rule", "target field"), rows, frozenset({0, 2}))
    if max(len(sources), len(targets)) > _DRAWN_MAX:
        return grid
    return Figure(title, says, _WIDTH, height, tuple(shapes), grid)


def _height_of(number: int) -> float:
    return 36 + _FIELD * number


def _short(name: str) -> str:
    most = 23
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"
