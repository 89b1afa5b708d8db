"""Risks, recommendations, next steps and sign-off, from what is known now: nothing here is said by rote."""

from collections.abc import Iterator

from transhume.report.paper import Bullets, Cell, Grid, Mark, Paragraph, Section, Tone
from transhume.report.planning.known import Known
from transhume.words import counted

_LEVELS = {1: "very low", 2: "low", 3: "medium", 4: "high", 5: "very high"}
_ROLES = (
    "Migration owner",
    "Source data owner",
    "Target platform owner",
    "Database administrator",
    "Quality assurance",
)


def risks(known: Known) -> Section:
    """Return the register with the evidence that moved each risk."""
    rows: list[tuple[Cell, ...]] = []
    for risk in known.timing.risks:
        state = Mark("closed", "good") if risk.is_closed else "open"
        likelihood, impact = _LEVELS[risk.likelihood], _LEVELS[risk.impact]
        rows.append((risk.name, likelihood, impact, state, risk.mitigation, "; ".join(risk.reasons), risk.owner))
    head = ("risk", "likelihood", "impact", "state", "mitigation strategy", "evidence", "owner")
    return Section(
        "Risks and mitigation",
        (
            Paragraph(
                "Likelihoods are judged by evidence; what nobody has looked at counts against a risk, proof closes it."
            ),
            Grid("Register, the gravest first", head, tuple(rows), sheet="risks"),
        ),
    )


def recommendations(known: Known) -> Section:
    """Return what should be done about the findings, one line a kind, with the cure."""
    rows: list[tuple[Cell, ...]] = []
    decidable = []
    seen: set[tuple[str, str]] = set()
    order = {"error": 0, "warning": 1, "note": 2}
    for finding in sorted(known.findings, key=lambda each: (order.get(each.severity, 3), -(each.count or 0))):
        said = (finding.table or "", finding.message)
        if said in seen:
            continue
        seen.add(said)
        tone: Tone = "bad" if finding.severity == "error" else "doubt" if finding.severity == "warning" else "quiet"
        place = f"{finding.position.file}:{finding.position.line}" if finding.position else ""
        count: Cell = "" if finding.count is None else finding.count
        rows.append(
            (Mark(finding.severity, tone), finding.table or "", known.message(finding), count, finding.cure, place)
        )
        decidable.append(known.decidable_finding(finding))
    head = ("severity", "table mapping", "finding", "rows", "recommended", "plan")
    return Section(
        "Recommendations",
        (
            Bullets(tuple(_advice(known))),
            Grid(
                "Open findings",
                head,
                tuple(rows),
                frozenset({1, 5}),
                sheet="findings",
                decisions=tuple(decidable),
                state=known.state,
                empty="none: nothing stands against a run, and no row would be rejected",
            ),
        ),
    )


def _advice(known: Known) -> Iterator[str]:
    errors = known.errors()
    if known.undecided:
        yield (
            f"Make the {counted(len(known.undecided), 'open decision')} with those who know source and target: in the "
            "plan, or in the workbook ('transhume import-decisions'). Only then can rejects be predicted."
        )
    elif errors:
        yield f"Decide the {counted(len(errors), 'error')} first: no run is possible before."
    rejected = sum(tally.rejected for tally in known.tallies.values())
    read = sum(tally.read for tally in known.tallies.values())
    if rejected:
        yield (
            f"Look at the {counted(rejected, 'row')} of {read:,} that would be rejected with those who know the data: "
            "correct them in the source, or decide about them in the plan. What stays rejected is kept whole."
        )
    filtered = sum(tally.filtered for tally in known.tallies.values())
    if filtered:
        yield f"Confirm with the data owner that {counted(filtered, 'row')} stay behind by 'where'."
    if known.plan.rollback.backup != "required":
        yield "Make backups a condition of the run: 'rollback: {backup: required}' in the plan."
    for risk in known.timing.risks:
        if not risk.is_closed and risk.score >= 12:  # noqa: PLR2004 - high times medium
            yield f"{risk.name}: {risk.mitigation}."
    yield "Begin with the test run, keep it small, and let every change of the plan go through an approval."


def next_steps(known: Known) -> Section:
    """Return what comes next, in order, leaving out what is done."""
    steps = []
    if known.undecided:
        steps.append(f"Make the {counted(len(known.undecided), 'open decision')} (section 1) and check again.")
    elif known.errors():
        steps.append(f"Resolve the {counted(len(known.errors()), 'error')} above and check again (transhume check).")
    if known.profile is None:
        steps.append(f"Look at schema, types, constraints and data of {known.plan.namespace} (transhume profile).")
    if known.tallies and any(tally.rejected for tally in known.tallies.values()):
        steps.append("Decide about the rows that would be rejected; note the decisions beside the findings.")
    steps.append("Review the field mapping with those who know source and target, table by table (transhume preview).")
    if not known.plan.people:
        steps.append("Name the people who sign: 'people:' in the plan.")
    if known.plan.schedule.start is None:
        steps.append("Agree on a start: 'schedule: {start: ..., country: ..., team: ...}' in the plan.")
    steps.append("Back up source and target; each copy is proved by restoring it (transhume backup).")
    if not known.runs:
        steps.append("Make the test run into a scratch place (transhume run), validate it, and drill the rollback.")
    if known.approved is None:
        steps.append("Have the plan approved (transhume approve --by NAME).")
    elif known.changes:
        steps.append(f"Have the plan approved again: {len(known.changes)} differences to what was approved.")
    steps += [
        "Run in the agreed window, validate, and send the report to those who sign.",
        "Keep the undo data until everybody has signed; then finalize.",
    ]
    return Section("Next steps", (Bullets(tuple(steps), numbered=True),))


def sign_off(known: Known) -> Section:
    """Return who signs; those who approved stand with their date, the others with room to write."""
    rows: list[tuple[Cell, ...]] = []
    signed = {} if known.approved is None else {each.by: each for each in known.approved.signatures}
    for role, name in _people(known):
        found = signed.pop(name, None)
        state = Mark("approved", "good") if found and not known.changes else ""
        rows.append((role, name, state, found.at[:10] if found else "", ""))
    for each in signed.values():
        state = Mark("approved", "good") if not known.changes else Mark("approved an earlier state", "doubt")
        rows.append((each.role or "approver", each.by, state, each.at[:10], ""))
    changed = Bullets(tuple(f"Since the approval: {change}" for change in known.changes))
    return Section(
        "Sign-off",
        (
            Paragraph(
                f"Who signs agrees with the plan of the hash {known.plan_hash[:16]} on the systems named above. A "
                "change of plan or schemas asks for a new signature ('transhume plan --diff-approved' shows it)."
            ),
            *([changed] if known.changes else []),
            Grid("Signatures", ("role", "name", "decision", "date", "signature"), tuple(rows), sheet="sign-off"),
        ),
    )


def _people(known: Known) -> Iterator[tuple[str, str]]:
    if not known.plan.people:
        yield from ((role, "") for role in _ROLES)
        return
    for role, who in known.plan.people.items():
        for name in who:
            yield str(role).replace("_", " ").replace("-", " ").capitalize(), str(name)
