"""The plan document from title to signatures, in the order of the request that this program answers."""

from transhume.report.paper import Block, Bullets, Cell, Grid, Mark, Paper, Paragraph, Section
from transhume.report.planning.known import Known
from transhume.report.planning.mapping import field_mapping, rules, source_and_target
from transhume.report.planning.open_decisions import open_decisions
from transhume.report.planning.runbook import runbook
from transhume.report.planning.source_profile import source_profile
from transhume.report.planning.steps import next_steps, recommendations, risks, sign_off
from transhume.report.planning.timeline import timeline
from transhume.report.planning.undo import rollback
from transhume.report.planning.validation import validation
from transhume.words import counted


def plan_paper(known: Known) -> Paper:
    """Return the document of a plan; see `Known` for what it is made of."""
    return Paper(
        title=known.plan.name,
        subtitle="Data migration plan: field mapping, transformation rules, validation, rollback, timeline",
        facts=_facts(known),
        verdict=_verdict(known),
        sections=(
            *([open_decisions(known)] if known.undecided else []),
            _project(known),
            _approach(known),
            source_and_target(known),
            source_profile(known),
            field_mapping(known),
            rules(known),
            validation(known),
            rollback(known),
            timeline(known),
            risks(known),
            recommendations(known),
            next_steps(known),
            runbook(known),
            sign_off(known),
        ),
    )


def _facts(known: Known) -> tuple[tuple[str, str], ...]:
    timing = known.timing
    approvers = ", ".join(each.by for each in known.approved.signatures) if known.approved else ""
    approval = f"by {approvers}" + (", changed since" if known.changes else "") if approvers else "not approved"
    return (
        ("Plan", known.plan_hash[:16]),
        *((("Environment", known.environment),) if known.environment else ()),
        ("Made", f"{known.made_at} by transhume {known.version}"),
        ("Approved", approval),
        (
            "Estimated",
            f"{timing.planned_total:g} working days, {timing.chances.total[80]:.0f} with a chance of 80 %",
        ),
    )


def _verdict(known: Known) -> Mark:
    errors = known.errors()
    if known.undecided:
        others = len(errors) - len(known.undecided)
        more = f"; beside them {counted(others, 'error')}" if others else ""
        return Mark(f"Draft: {counted(len(known.undecided), 'open decision')}{more}. No run before these.", "bad")
    if errors:
        return Mark(f"Not ready: {counted(len(errors), 'error')} stand against a run.", "bad")
    if not known.tallies:
        return Mark("The plan was read; the data were not looked at.", "doubt")
    read = sum(tally.read for tally in known.tallies.values())
    rejected = sum(tally.rejected for tally in known.tallies.values())
    filtered = sum(tally.filtered for tally in known.tallies.values())
    good = sum(known.good(name) for name in known.tallies)
    rest = read - good - rejected - filtered
    text = (
        f"Ready for a test run: of {counted(read, 'row')}, {good:,} would be loaded, {rejected:,} rejected and "
        f"{filtered + rest:,} left out by the plan."
    )
    return Mark(text, "doubt" if rejected else "good")


def _project(known: Known) -> Section:
    plan = known.plan
    tables = ", ".join(mapping.from_ for mapping in known.mappings())
    return Section(
        "The project",
        (
            Paragraph(plan.name, "Project title:"),
            Paragraph(_or_open(plan.description, "description"), "Description:"),
            Paragraph(_or_open(plan.goal, "goal"), "Migration goal:"),
        ),
        (
            Section(
                "Scope",
                (
                    Paragraph(_or_open(plan.scope, "scope")),
                    Paragraph(f"{counted(len(plan.tables), 'table')}: {tables}.", "Migrated:"),
                    _exclusions(known),
                ),
            ),
        ),
    )


def _or_open(text: str, key: str) -> str:
    return text.strip() or f"not stated; write '{key}:' into the plan"


def _exclusions(known: Known) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for mapping in known.mappings():
        if mapping.where:
            tally = known.tallies.get(mapping.name)
            count: Cell = tally.filtered if tally is not None else Mark("not counted", "quiet")
            rows.append((f"rows of {mapping.from_}", f"not ({mapping.where})", count))
        rows += [(f"{mapping.from_}.{name}", "source field that goes nowhere, on purpose", "") for name in mapping.drop]
    for name in known.plan.ignored_tables:
        table = known.source.tables.get(name)
        found = known.rows.get(name, table.row_count if table is not None else None)
        rows.append((name, "whole table, on purpose", Mark("not counted", "quiet") if found is None else found))
    return Grid("Excluded", ("what", "why", "rows"), tuple(rows), frozenset({0, 1}))


def _approach(known: Known) -> Section:
    blocks: list[Block] = [
        Paragraph(
            "A phased approach: a test run of a critical part first, then the rest, each with the same gates. It "
            "allows testing, validation and refinement with little impact."
        ),
        Bullets(
            (
                "Plan: profile the source, map fields, write rules and lookups: one file that people review.",
                "Check: every row is put through the rules before anything is written; rejects are decided.",
                "Test run: extract at one instant, transform, stage, compare every value, publish in one transaction.",
                "Prove: validate what readers see; drill the rollback.",
                "Sign: the report goes to those who decide; then the undo data is dropped.",
            ),
            numbered=True,
        ),
    ]
    rows = tuple(_wave(known, name) for name in known.plan.phases)
    if rows:
        head = ("wave", "tables", "rows to read", "before it", "published by run")
        blocks.append(Grid("Waves of the plan, in order", head, rows, frozenset({1})))
        left = [
            name for name in known.plan.tables if not any(name in each.tables for each in known.plan.phases.values())
        ]
        if left:
            blocks.append(Paragraph(f"{', '.join(left)}: no wave brings them.", "In no wave:"))
    else:
        order = ", ".join(mapping.target_table for mapping in known.mappings())
        blocks.append(Paragraph(f"All tables go in one wave: {order}. Tables that others refer to are loaded first."))
    return Section("Approach and phases", tuple(blocks))


def _wave(known: Known, name: str) -> tuple[Cell, ...]:
    phase = known.plan.phases[name]
    counts = [known.rows.get(known.plan.tables[table].from_) for table in phase.tables]
    rows: Cell = Mark("not counted", "quiet") if None in counts else sum(count or 0 for count in counts)
    is_first = name == next(iter(known.plan.phases))
    before = [*([] if is_first else ["every wave above is published"]), *phase.conditions()]
    run = known.waves.get(name)
    return (name, ", ".join(phase.tables), rows, "; ".join(before) or "nothing", Mark(run, "good") if run else "")
