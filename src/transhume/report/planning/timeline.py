"""The timeline: phases in days and dates, what they hold, the chance of finishing, machine time. Drawn from numbers."""

from collections.abc import Sequence
from datetime import date

from transhume.report.paper import Bar, Block, Bullets, Cell, Figure, Grid, Label, Line, Paragraph, Section
from transhume.report.planning.known import Known, Timing
from transhume.words import counted

PHASES = {
    "planning": (
        "Planning & Analysis",
        "scope, alignment of those concerned, profile of the source, field mapping, rules, rollback strategy",
    ),
    "development": (
        "Development",
        "the plan file with every rule and lookup, checked and previewed table by table",
    ),
    "testing": (
        "Testing & QA",
        "checks on the whole data, rejects decided, rehearsal with measured rates, rollback drill, corrections",
    ),
    "execution": ("Test Run Execution", "the run on the agreed data in its window, watched live"),
    "review": (
        "Post-Migration Review",
        "validation, analysis of rejects, query times, documents, lessons learned, sign-off",
    ),
}
_WIDTH = 480.0
_LEFT = 96.0
_TICK_ROOM = 44.0
"""What the text of a tick needs."""


def timeline(known: Known) -> Section:
    """Return the table in the request's layout with both drawings, what stands on top, and the machine's time."""
    timing = known.timing
    total = _days(timing.planned_total)
    rows: list[tuple[Cell, ...]] = []
    spans = {span.phase: span for span in timing.spans}
    for number, phase in enumerate(timing.effort.phases, 1):
        name, activities = PHASES[phase]
        span = spans.get(phase)
        dates = f"{span.first:%Y-%m-%d} to {span.last:%Y-%m-%d}" if span else ""
        rows.append((f"{number}. {name}", _days(timing.planned(phase)), _items(timing, phase), dates, activities))
    on_top = sum(timing.effort.items_days.values())
    rows.append(("Total estimated time", f"{total[: -len('Days')]}Working Days", f"{on_top:.1f}", "", ""))
    head = ("phase", "estimated duration", "on top, days", "calendar of the team", "key activities")
    grid = Grid("Phases", head, tuple(rows), sheet="timeline")
    chances = timing.chances
    likely = ", ".join(f"{days:.1f} days with a chance of {percent} %" for percent, days in chances.total.items())
    blocks: list[Block] = [grid]
    if timing.spans:
        blocks.append(gantt(timing))
    blocks += [
        Paragraph(f"With what is open and what was found in the data: {likely}. {_finish(timing)}".strip()),
        curve(timing),
        _on_top(timing),
        *_machine(timing),
    ]
    return Section("Timeline", tuple(blocks), (_notes(known),))


def _notes(known: Known) -> Section:
    schedule = known.plan.schedule
    people = counted(schedule.team, "person") if schedule.team == 1 else f"{schedule.team} people"
    return Section(
        "Notes on the timeline",
        (
            Bullets(
                (
                    (
                        "This timeline is for the test run. A full-scale migration takes more time for its volume, its "
                        "complexity and the coordination of more people; rates that a run measured say how much for "
                        "the machine's part."
                    ),
                    f"Assumed: {people} with {schedule.hours_per_day:g} hours a day for this work"
                    + (f", holidays of {schedule.country}" if schedule.country else "")
                    + "; days count the work of one person, dates that of the team.",
                    (
                        "Days of each table mapping come from its rules, lookups, references and joins, cheaper with "
                        "practice; the chances come from published overruns of planned projects."
                    ),
                    "Plan with the 80 % date; the difference to the planned days is the buffer for the unforeseen.",
                )
            ),
        ),
    )


def _days(days: float) -> str:
    return f"{days:g} {'Day' if days == 1 else 'Days'}"


def _items(timing: Timing, phase: str) -> Cell:
    return f"{timing.effort.items_days[phase]:.1f}"


def _finish(timing: Timing) -> str:
    told = [f"by {day:%A, %Y-%m-%d} with a chance of {percent} %" for percent, day in timing.finish.items()]
    return f"Done {', '.join(told)}." if told else "Write schedule: start: into the plan to see dates."


def _on_top(timing: Timing) -> Grid:
    rows = tuple((PHASES[item.phase][0], item.what, item.hours) for item in timing.effort.items)
    return Grid(
        "On top of the plan: open decisions and findings in the data",
        ("phase", "what", "hours"),
        rows,
        sheet="on top",
        empty="nothing is open, and no wrong row was found",
    )


def _machine(timing: Timing) -> list[Block]:
    machine = timing.machine
    if machine is None:
        return [Paragraph("not predicted yet: no finished run of this project has measured it.", "Machine time:")]
    rows = tuple((stage, round(seconds, 1)) for stage, seconds in machine.stages.items())
    told = ", ".join(f"{seconds:,.0f} s with a chance of {percent} %" for percent, seconds in machine.total.items())
    window = ""
    if machine.window_s is not None and machine.window_chance is not None:
        window = (
            f" It fits the window of {machine.window_s:,.0f} s with a chance of {machine.window_chance * 100:.0f} %."
        )
    return [
        Paragraph(f"{told}.{window}", "Machine time of a run:"),
        Grid("Machine time by stage", ("stage", "seconds"), rows),
        *([_waves(timing)] if timing.waves else []),
    ]


def _waves(timing: Timing) -> Grid:
    """Return the machine time of each wave, which reads the tables that it references again."""
    rows: list[tuple[Cell, ...]] = []
    for name, wave in timing.waves.items():
        fits = "" if wave.window_chance is None else f"{wave.window_chance:.0%}"
        rows.append((name, *(round(seconds, 1) for seconds in wave.total.values()), fits))
    percents = next(iter(timing.waves.values())).total
    head = ("wave", *(f"seconds, {percent} % chance" for percent in percents), "fits the window")
    return Grid("Machine time by wave", head, tuple(rows))


def gantt(timing: Timing) -> Figure:
    """Return the phases as bars over the calendar."""
    spans = list(timing.spans)
    first, last = spans[0].first, max([span.last for span in spans])
    days = (last - first).days + 1
    step = (_WIDTH - _LEFT - 8) / days
    height = 34 + 26 * len(spans)
    shapes: list[Bar | Label | Line] = []
    for day, text in _ticks(first, days):
        x = _LEFT + day * step
        shapes.append(Line(((x, 22), (x, height - 6))))
        if x + _TICK_ROOM < _WIDTH:
            shapes.append(Label(x + 2, 15, text, "start", "soft"))
    for number, span in enumerate(spans):
        y = 30 + 26 * number
        width = ((span.last - span.first).days + 1) * step
        x = _LEFT + (span.first - first).days * step
        shapes += [
            Label(0, y + 12, span.phase),
            Bar(x, y, width, 16, "a"),
            _beside(x, width, y + 12, f"{span.working_days} d"),
        ]
    rows = tuple(
        (
            span.phase,
            f"{span.first:%Y-%m-%d}",
            f"{span.last:%Y-%m-%d}",
            span.working_days,
            _blocks(span.first, first, span.last),
        )
        for span in spans
    )
    grid = Grid("Calendar", ("phase", "first day", "last day", "working days", "weeks"), rows, frozenset({4}))
    says = (
        f"The phases one after the other, from {first:%Y-%m-%d} to {last:%Y-%m-%d}, as the team takes them with what "
        "was found in the data."
    )
    return Figure("Phases over the calendar", says, _WIDTH, height, tuple(shapes), grid)


def _beside(x: float, width: float, y: float, text: str) -> Label:
    """Return a label behind a bar, or before it where there is no room behind."""
    room = 8.0 * len(text)
    return (
        Label(x + width + 4, y, text, "start", "soft")
        if x + width + room < _WIDTH
        else Label(x - 4, y, text, "end", "soft")
    )


def _ticks(first: date, days: int) -> list[tuple[int, str]]:
    """Return Mondays (day from the first, text), so many as have room."""
    mondays = [day for day in range(days) if date.fromordinal(first.toordinal() + day).weekday() == 0]
    every = max(1, -(-len(mondays) // 6))
    return [(day, f"{date.fromordinal(first.toordinal() + day):%d %b}") for day in mondays[::every]]


def _blocks(first: date, start: date, last: date) -> str:
    """Return a phase as a row of weeks for formats that cannot draw: a dot before it, a block in it."""
    before = (first - start).days // 7
    length = (last - start).days // 7 - before + 1
    return "\u00b7" * before + "\u2588" * length


def curve(timing: Timing) -> Figure:
    """Return the chance of being done over working days, with the planned days and P50, P80, P90."""
    points = [(days, chance) for days, chance in timing.chances.curve if chance < 0.999]  # noqa: PLR2004 - the flat end
    points = points or list(timing.chances.curve)
    height, left, right = 240.0, 40.0, _WIDTH - 12
    low, high = max(0, points[0][0] - 1), points[-1][0] + 1
    across = (right - left) / max(1, high - low)

    def place(days: float, chance: float) -> tuple[float, float]:
        return left + (days - low) * across, 204 - chance * 184

    shapes: list[Bar | Label | Line] = []
    for percent in (0, 25, 50, 75, 100):
        y = place(low, percent / 100)[1]
        shapes += [Line(((left, y), (right, y))), Label(left - 4, y + 4, f"{percent} %", "end", "soft")]
    every = max(1, (high - low) // 8)
    shapes += [
        Label(place(days, 0)[0], 220, str(days), "middle", "soft") for days in range(low, high + 1) if days % every == 0
    ]
    shapes.append(Label(right, 236, "working days of one person", "end", "soft"))
    shapes.append(Line(tuple(place(days, chance) for days, chance in [(low, 0.0), *points]), "a"))
    labels = []
    for percent, days in timing.chances.total.items():
        x, y = place(days, percent / 100)
        shapes += [Line(((x, 204), (x, y)), "b"), Bar(x - 3, y - 3, 6, 6, "b")]
        labels.append(Label(x + 8, y + 15, f"P{percent}: {days:.1f} d", "start", "bold"))
    # Over the lines of the other chances, which would cross their words.
    shapes += labels
    planned = timing.planned_total
    if low <= planned <= high:
        x = place(planned, 0)[0]
        shapes += [Line(((x, 204), (x, 20)), "link"), Label(x + 4, 32, f"planned {planned:g} d", "start", "soft")]
    chances: Sequence[tuple[Cell, ...]] = [
        (f"P{percent}", round(days, 1)) for percent, days in timing.chances.total.items()
    ]
    within = timing.chances.chance_within(planned) * 100
    says = (
        f"The chance of being done rises with the days: {within:.0f} % within the planned {planned:g} days, "
        + ", ".join(f"{percent} % within {days:.1f}" for percent, days in timing.chances.total.items())
        + f" ({timing.chances.draws:,} simulated projects)."
    )
    grid = Grid("Chances", ("chance", "working days"), tuple(chances))
    return Figure("Chance of finishing", says, _WIDTH, height, tuple(shapes), grid)
