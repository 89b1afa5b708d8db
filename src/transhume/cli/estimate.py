"""`transhume estimate`: how long the migration takes."""

from typing import TYPE_CHECKING

import click

from transhume.cli.output import Output

if TYPE_CHECKING:
    from transhume.project import Estimate

_CURVE_LINES = 12
_BAR = 40


@click.command("estimate")
@click.option("--offline", is_flag=True, help="Look at the plan alone, at no database.")
@click.option("--seed", default=1, show_default=True, help="Of the simulation; the same seed gives the same chances.")
@click.pass_obj
def command(output: Output, offline: bool, seed: int) -> int:
    """Say how long the migration takes, by phase and with chances, and where each number comes from.

    Working days come from the plan's table mappings; open decisions and wrong rows, as `check` finds them, stand on
    top. Machine time comes from what finished runs of this project took.
    """
    from transhume.cli.progress import Progress

    project = output.project()
    with Progress(output) as progress:
        found = project.estimate(offline=offline, seed=seed, listener=progress)
    _effort(output, found)
    _phases(output, found)
    _comparison(output, found)
    _curve(output, found)
    _machine(output, found)
    _risks(output, found)
    output.emit(found.to_dict())
    return 0


def _effort(output: Output, found: "Estimate") -> None:
    rows = [
        [
            each.complexity.mapping,
            each.complexity.class_.name,
            each.complexity.points,
            each.complexity.class_.days,
            f"{each.factor:.2f}",
            f"{each.days:.1f}",
        ]
        for each in found.effort.mappings
    ]
    output.table(
        "table mappings, the largest first", ["mapping", "class", "points", "days", "learning", "days after"], rows
    )
    for item in found.effort.items:
        output.line(f"  + {item.hours:g} h in {item.phase}: {item.what}")
    if not found.checked:
        output.line("databases and data were not looked at: open decisions and wrong rows are not in these days")


def _phases(output: Output, found: "Estimate") -> None:
    rows = []
    for name in found.effort.phases:
        chances = found.chances.phases[name]
        planned = found.decided.get(name, found.effort.planned[name])
        items, actual = found.effort.items_days[name], found.actuals.get(name)
        rows.append([name, f"{planned:g}", f"{items:.1f}", *(f"{chances[key]:.1f}" for key in chances), _shown(actual)])
    totals = found.chances.total
    items = sum(found.effort.items_days.values())
    actual = sum(found.actuals.values()) if found.actuals else None
    rows.append(
        ["all", f"{found.planned_total:g}", f"{items:.1f}", *(f"{totals[key]:.1f}" for key in totals), _shown(actual)]
    )
    output.table("working days of one person", ["phase", "planned", "findings", "P50", "P80", "P90", "actual"], rows)
    if found.spans:
        dates = [[span.phase, span.first.isoformat(), span.last.isoformat(), span.working_days] for span in found.spans]
        output.table("calendar of the team, as planned", ["phase", "first day", "last day", "working days"], dates)
        for percent, day in found.finish.items():
            output.result(f"done by {day:%A, %Y-%m-%d} with a chance of {percent} %")


def _comparison(output: Output, found: "Estimate") -> None:
    from transhume.estimate.comparison import pace, remaining

    over = [each for each in found.compared if each.actual is not None]
    rate = pace(found.compared)
    if rate is None:
        return
    rows = [
        [each.phase, f"{each.planned:.1f}", f"{each.expected:.1f}", _shown(each.actual),
         f"{(each.actual or 0) - each.expected:+.1f}", each.verdict()]
        for each in over
    ]  # fmt: skip
    header = ["phase", "planned", "with findings", "actual", "difference", ""]
    output.table("planned against actual, days of the team", header, rows)
    if len(over) < len(found.compared):
        output.result(f"at this pace ({rate:.2f} days a day) the rest takes {remaining(found.compared):.1f} days")
    else:
        output.result("all phases are over: 'transhume report --closing' writes the closing report")


def _curve(output: Output, found: "Estimate") -> None:
    curve = [point for point in found.chances.curve if 0.005 < point[1] < 0.995]  # noqa: PLR2004 - the ends are flat
    step = max(1, len(curve) // _CURVE_LINES)
    output.line("chance to be done, by working days of one person:")
    for day, chance in curve[::step]:
        output.line(f"  {day:>4} {'#' * round(chance * _BAR):<{_BAR}} {chance:4.0%}")


def _machine(output: Output, found: "Estimate") -> None:
    machine = found.machine
    if machine is None:
        output.line("machine time: no finished run of this project has been measured, or the rows are not known")
        return
    rows = [
        [rate.stage, f"{rate.fixed_s:.1f}", f"{1 / rate.seconds_per_row:,.0f}" if rate.seconds_per_row else "-",
         f"{rate.spread:.0%}", rate.points, f"{machine.stages[rate.stage]:,.1f}"]
        for rate in found.rates
    ]  # fmt: skip
    output.table("machine time", ["stage", "fixed s", "rows/s", "spread", "runs", "seconds"], rows)
    told = ", ".join(f"P{percent} {seconds:,.0f} s" for percent, seconds in machine.total.items())
    output.result(f"a run takes {told}")
    if machine.window_s is not None:
        chance = machine.window_chance or 0.0
        output.result(f"it fits the window of {machine.window_s:,.0f} s with a chance of {chance:.0%}")
    for name, wave in found.waves.items():
        told = ", ".join(f"P{percent} {seconds:,.0f} s" for percent, seconds in wave.total.items())
        fits = f"; fits the window with a chance of {wave.window_chance:.0%}" if wave.window_chance is not None else ""
        output.result(f"the wave '{name}' takes {told}{fits}")


def _risks(output: Output, found: "Estimate") -> None:
    rows = [
        [
            risk.name,
            risk.likelihood,
            risk.impact,
            "closed" if risk.is_closed else "open",
            "; ".join(risk.reasons),
            risk.mitigation,
        ]
        for risk in found.risks
    ]
    output.table("risks (1 very low - 5 very high)", ["risk", "chance", "impact", "", "evidence", "mitigation"], rows)


def _shown(days: float | None) -> str:
    return "" if days is None else f"{days:g}"
