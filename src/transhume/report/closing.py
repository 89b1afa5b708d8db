"""The closing report: what was planned against what it took, phase by phase, and what the next migration learns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from transhume.checks.counts import TableTally
from transhume.estimate.comparison import Compared, pace, remaining
from transhume.estimate.effort import Item
from transhume.estimate.risks import Risk
from transhume.report.paper import Block, Bullets, Cell, Grid, Mark, Paper, Paragraph, Section
from transhume.report.planning.timeline import PHASES
from transhume.words import counted

_LATE = 1.1
_EARLY = 0.9
_REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run of the migration: what it brought, how it ended, whether it was validated since."""

    run: str
    phase: str
    state: str
    tallies: Sequence[TableTally]
    duration_s: float
    validated: str
    """When, "" where nobody has."""
    failed: Sequence[str]
    """Checks of the validation that failed."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What a closing report is made of. `predicted` are seconds by stage as the rehearsals told, `taken` of a run."""

    plan_name: str
    compared: Sequence[Compared]
    items: Sequence[Item]
    runs: Sequence[RunLine]
    predicted: Mapping[str, float]
    taken: Mapping[str, float]
    risks: Sequence[Risk]
    lessons: Sequence[str]
    made_at: str
    version: str


def closing_paper(closing: Closing) -> Paper:
    """Return the closing report."""
    return Paper(
        title=closing.plan_name,
        subtitle="Closing report: planned against actual, lessons learned",
        facts=(("Report made", f"{closing.made_at} by transhume {closing.version}"),),
        verdict=_verdict(closing),
        sections=(_phases(closing), _runs(closing), _machine(closing), _risks(closing), _lessons(closing)),
    )


def _verdict(closing: Closing) -> Mark:
    over = [each for each in closing.compared if each.actual is not None]
    if not over:
        return Mark("No phase is over yet: write what each took under 'schedule: actuals:' in the plan.", "doubt")
    taken, expected = sum(each.actual or 0 for each in over), sum(each.expected for each in over)
    said = f"{counted_days(taken)} taken where {counted_days(expected)} were expected ({taken / expected - 1:+.0%})"
    left = len(closing.compared) - len(over)
    if left:
        return Mark(f"Not closed: {said}; {counted(left, 'phase')} not over.", "doubt")
    return Mark(f"Closed: {said}.", "good" if taken <= _LATE * expected else "doubt")


def counted_days(days: float) -> str:
    """Return days of the team in words."""
    return f"{days:.1f}".removesuffix(".0") + (" day" if days == 1 else " days")


def _phases(closing: Closing) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for number, each in enumerate(closing.compared, 1):
        name = f"{number}. {PHASES[each.phase][0]}"
        if each.actual is None:
            rows.append((name, round(each.planned, 1), round(each.expected, 1), "", "", Mark("not over", "doubt")))
            continue
        late = each.ratio is not None and each.ratio > _LATE
        verdict = Mark(each.verdict(), "doubt" if late else "good")
        gap = f"{each.actual - each.expected:+.1f}"
        rows.append((name, round(each.planned, 1), round(each.expected, 1), each.actual, gap, verdict))
    total = sum(each.actual or 0 for each in closing.compared)
    planned, expected = (sum(getattr(each, key) for each in closing.compared) for key in ("planned", "expected"))
    rows.append(("In all", round(planned, 1), round(expected, 1), round(total, 1), "", ""))
    head = ("phase", "planned", "with findings", "actual", "difference", "how that lies to the chances")
    blocks: list[Block] = [Grid("Working days of the team", head, tuple(rows))]
    found = pace(closing.compared)
    if found is not None and any(each.actual is None for each in closing.compared):
        rest = counted_days(remaining(closing.compared))
        blocks.append(Paragraph(f"At the pace of what is over ({found:.2f} days a day) the rest takes {rest}."))
    return Section("Planned against actual", tuple(blocks))


def _runs(closing: Closing) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for each in closing.runs:
        counts = [sum(getattr(tally, name) for tally in each.tallies) for name in ("loaded", "rejected", "filtered")]
        validated = f"failed: {', '.join(each.failed)}" if each.failed else each.validated[:10] or "not validated"
        tone = Mark(validated, "bad" if each.failed else "good" if each.validated else "doubt")
        rows.append((each.run, each.phase, each.state, *counts, round(each.duration_s, 1), tone))
    head = ("run", "wave", "state", "loaded", "rejected", "filtered", "seconds", "validated")
    return Section("Runs", (Grid("Runs of this project, oldest first", head, tuple(rows), frozenset({0})),))


def _machine(closing: Closing) -> Section:
    if not closing.predicted or not closing.taken:
        text = "There is no finished run of everything beside a rehearsal of the plan as it is now."
        return Section("Machine time", (Paragraph(text),))
    rows: list[tuple[Cell, ...]] = [
        (stage, round(closing.predicted[stage], 1), round(seconds, 1), f"{seconds - closing.predicted[stage]:+.1f}")
        for stage, seconds in closing.taken.items()
        if stage in closing.predicted
    ]
    predicted = sum(closing.predicted[stage] for stage in closing.taken if stage in closing.predicted)
    taken = sum(seconds for stage, seconds in closing.taken.items() if stage in closing.predicted)
    rows.append(("in all", round(predicted, 1), round(taken, 1), f"{taken - predicted:+.1f}"))
    head = ("stage", "seconds predicted by the rehearsal", "seconds taken", "difference")
    return Section("Machine time", (Grid("The newest finished run", head, tuple(rows)),))


def _risks(closing: Closing) -> Section:
    rows = tuple(
        (risk.name, Mark("closed", "good") if risk.is_closed else Mark("open", "doubt"), "; ".join(risk.reasons))
        for risk in closing.risks
    )
    return Section("Risks at the end", (Grid("Register", ("risk", "state", "evidence"), rows),))


def _lessons(closing: Closing) -> Section:
    own = Bullets(tuple(closing.lessons))
    asked = Paragraph("none written yet: put them under 'schedule: lessons:' in the plan.", "By the team:")
    found = tuple(_learned(closing))
    return Section(
        "Lessons learned",
        (
            *((Paragraph("", "By the team:"), own) if closing.lessons else (asked,)),
            Paragraph("", "From the numbers:"),
            Bullets(found or ("nothing stands out",)),
        ),
    )


def _learned(closing: Closing) -> Iterator[str]:
    """Yield what the numbers say to whoever plans the next migration."""
    for each in closing.compared:
        if each.ratio is None or each.actual is None:
            continue
        name = PHASES[each.phase][0]
        if each.ratio > _LATE:
            on_top = [item.what for item in closing.items if item.phase == each.phase]
            beside = f" On top of the plan stood: {'; '.join(on_top[:_REASONS_SHOWN])}." if on_top else ""
            yield (
                f"{name} took {counted_days(each.actual)} where {counted_days(each.expected)} were expected, "
                f"{each.verdict()}.{beside}"
            )
        elif each.ratio < _EARLY:
            yield (
                f"{name} took {counted_days(each.actual)} and {counted_days(each.expected)} were expected: "
                "plan it shorter where the same people do it again."
            )
    found = pace(closing.compared)
    if found is not None and not _EARLY <= found <= _LATE:
        yield f"Over all, a planned day took {found:.2f} days: scale the next plan of this kind by that."
    yield from _of_runs(closing)
    for risk in closing.risks:
        if not risk.is_closed:
            yield f"Still open: {risk.name} ({'; '.join(risk.reasons)})."


def _of_runs(closing: Closing) -> Iterator[str]:
    finished = [each for each in closing.runs if each.state in {"finished", "finalized"}]
    for each in closing.runs:
        if each.state in {"failed", "rolled back", "given up"}:
            yield f"Run {each.run} ended as '{each.state}': its report says why; the cause belongs into a check."
    reasons: dict[str, int] = {}
    for tally in finished[-1].tallies if finished else ():
        for reason, count in tally.reasons.items():
            reasons[f"{reason} in {tally.mapping}"] = count
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1])[:_REASONS_SHOWN]:
        yield f"{counted(count, 'row')} stayed behind for {reason}: correct them in the source, or decide by rule."
    slow = {
        stage: seconds / closing.predicted[stage]
        for stage, seconds in closing.taken.items()
        if closing.predicted.get(stage, 0) > 1
    }
    for stage, ratio in slow.items():
        if not 1 / 1.3 <= ratio <= 1.3:  # noqa: PLR2004 - what a rehearsal is held to
            yield f"The stage '{stage}' took {ratio:.1f} times what the rehearsal predicted: rehearse a larger part."
