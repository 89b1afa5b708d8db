"""The page of a run: the verdict, then what failed, what moved, what was rejected and why, what nobody checked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transhume.errors import Finding
from transhume.plan.artefacts import artefact_columns, verified
from transhume.plan.reasons import REASONS, findings_from_reasons
from transhume.report.outcome import drawings
from transhume.report.outcome.outcome import Check, Outcome
from transhume.report.paper import Block, Bullets, Cell, Code, Grid, Mark, Paper, Paragraph, Section, Tone
from transhume.words import counted

_TONES: Mapping[str, Tone] = {"passed": "good", "failed": "bad", "warned": "doubt", "noted": "quiet"}
_TABLES_MAX = 40
_CHECKS_MAX = 3_000
_NAMED_MAX = 6
_STATEMENTS_MAX = 20
_STATEMENT_LENGTH_MAX = 4_000
_OF_ORACLE = frozenset({"oracle", "published_rows"})
_WHEN = {"run": "during the run", "validation": "after it"}


def outcome_paper(outcome: Outcome) -> Paper:
    """Return the report of a run."""
    return Paper(
        title=f"Run {outcome.run}",
        subtitle=f"Report of the data migration '{outcome.plan_name}'",
        verdict=_verdict(outcome),
        facts=_facts(outcome),
        sections=tuple(_sections(outcome)),
    )


def _sections(outcome: Outcome) -> Iterator[Section]:
    failed = outcome.failed()
    if failed:
        yield _failed(outcome, failed)
    gate = outcome.last("gate_passed")
    if gate:
        rows = tuple((each["condition"], each["evidence"]) for each in gate["conditions"])
        grid = Grid("What held before the phase", ("condition", "evidence"), rows)
        yield Section(f"Gate of the phase '{gate['phase']}'", (grid,))
    yield _moved(outcome)
    yield _all_checks(outcome)
    yield _rejects(outcome)
    if outcome.stages_s:
        blocks: list[Block] = [drawings.stages(dict(outcome.stages_s))]
        if outcome.resumed:
            blocks.append(Paragraph("The run was interrupted and went on; times are those of its newest process."))
        yield Section("Time by stage", tuple(blocks))
    yield _links(outcome)
    undone = outcome.last("run_rolled_back")
    if undone:
        yield _undone(undone)
    yield Section("What was not checked", (Bullets(tuple(not_checked(outcome))),))
    yield _sign_off(outcome)


def _verdict(outcome: Outcome) -> Mark:
    there = outcome.total("loaded") + outcome.total("updated") + outcome.total("unchanged")
    read, rejected = outcome.total("read"), outcome.total("rejected")
    rows = f"{counted(there, 'row')} of {read:,} are in the target, {rejected:,} rejected"
    checks = len(outcome.checks())
    match outcome.verdict:
        case "passed":
            return Mark(f"Passed: {rows}; {checks} checks, none failed.", "good")
        case "unproved":
            text = (
                f"Finished, not validated since: {rows}; {checks} checks of the run passed. Run 'transhume validate'."
            )
            return Mark(text, "doubt")
        case "failed":
            names = ", ".join(_few(list(dict.fromkeys(check.name for check in outcome.failed()))))
            seen = "its rows are visible" if outcome.published else "nothing of it is visible"
            return Mark(f"Failed: {names or 'a check'}; {seen}.", "bad")
        case "rolled back":
            return Mark("Rolled back: the run's rows were taken out of the target again.", "doubt")
        case "given up":
            return Mark("Given up: nothing of the run is visible.", "doubt")
    return Mark("Not finished: the same command goes on with the run; nothing of it is visible yet.", "doubt")


def _few(names: list[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    more = len(names) - _NAMED_MAX
    return names if more <= 0 else [*names[:_NAMED_MAX], f"{more} more"]


def _facts(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    binding = outcome.binding
    instant = str(outcome.last("extract_finished").get("instant", ""))
    facts = {
        "Run": outcome.run,
        "Phase": str(binding.get("phase") or ""),
        "State": outcome.state,
        "Plan": f"{str(binding.get('plan_hash', ''))[:16]}{'' if outcome.plan else ' (changed since)'}",
        "Run by version": str(binding.get("tool_version", "")),
        "Source": str(binding.get("source", "")),
        "Target": str(binding.get("target", "")),
        "Source as of": instant,
        "Began": _moment(outcome.at("run_started")),
        "Visible since": _moment(outcome.at("published")) or "never",
        "Took": f"{outcome.duration_s:,.1f} s",
        "Validated": _moment(str((outcome.validation or {}).get("at", ""))) or "not since the run",
        "Backup": str(outcome.last("run_started").get("backup") or ""),
        "Journal": outcome.head[:16],
        "Report made": f"{outcome.made_at} by transhume {outcome.version}",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _moment(at: str) -> str:
    return f"{at[:10]} {at[11:19]} UTC" if at else ""


def _moved(outcome: Outcome) -> Section:
    if not outcome.tallies:
        return Section("What moved", (Paragraph("No batch was staged."),))
    figure = drawings.moved(outcome.tallies)
    buckets = figure.grid.head[1:]
    rows: list[tuple[Cell, ...]] = []
    for tally in outcome.tallies:
        counts = [int(getattr(tally, bucket)) for bucket in buckets]
        adds_up = Mark("adds up", "good") if tally.read == tally.accounted else Mark("DOES NOT ADD UP", "bad")
        rows.append((tally.mapping, tally.read, *counts, tally.compared, adds_up))
    grid = Grid("Every source row is in exactly one bucket", ("table", "read", *buckets, "compared", ""), tuple(rows))
    blocks: list[Block] = [figure, grid]
    if outcome.fed:
        fed = tuple((name, rows_read) for name, rows_read in outcome.fed.items())
        blocks.append(Grid("Tables that only feed joins", ("source table", "rows"), fed, frozenset({0})))
    vanished = sum(tally.vanished for tally in outcome.tallies)
    if vanished:
        blocks.append(
            Paragraph(f"{counted(vanished, 'key')} of earlier runs are gone from the source; nothing was deleted.")
        )
    return Section("What moved", tuple(blocks))


def _all_checks(outcome: Outcome) -> Section:
    checks = outcome.checks()
    blocks: list[Block] = []
    if outcome.validation is None:
        text = "No validation of this run is on record: the checks below are those that it made itself."
        blocks.append(Paragraph(text))
    blocks.append(_checks(checks[:_CHECKS_MAX], "All checks, those that found something first", with_keys=False))
    if len(checks) > _CHECKS_MAX:
        more = counted(len(checks) - _CHECKS_MAX, "check")
        blocks.append(Paragraph(f"{more} more are in results.json; none of them found more than these."))
    oracle = (outcome.validation or {}).get("oracle", {})
    if oracle:
        rows = tuple(
            (name, int(found["rows"]), int(found["of"]), int(found["values"]), int(found["differences"]))
            for name, found in oracle.items()
        )
        head = ("table", "rows recomputed", "of", "values compared", "differences")
        blocks.append(Grid("Recomputed from the source by a second implementation", head, rows))
        if outcome.worksheet:
            text = "The rows of the sample side by side, source, expected and found, with each rule:"
            blocks.append(Paragraph(text, file=outcome.worksheet))
    return Section("Checks", tuple(blocks))


def _failed(outcome: Outcome, failed: list[Check]) -> Section:
    """Return the checks that failed, then for each where the plan decides and what shows its rows on the target."""
    blocks: list[Block] = [_checks(failed, "Failed checks", with_keys=True)]
    shown = [check for check in failed if check.sql][:_STATEMENTS_MAX]
    system = str(outcome.binding.get("target", ""))
    if shown:
        text = f"What shows the wrong rows to a person, by hand, on {system or 'the target'}; it only reads."
        blocks.append(Paragraph(text))
    for check in shown:
        place = f", decided in {check.plan}" if check.plan else ""
        blocks.append(Paragraph(f"on {check.table}: {check.covered}{place}", check.name))
        whole = len(check.sql) <= _STATEMENT_LENGTH_MAX
        cut = f"{check.sql[:_STATEMENT_LENGTH_MAX]}\n... the rest is written by: transhume sql --kind validation"
        blocks.append(Code(f"{check.sql};" if whole else cut))
    if any(check.name in _OF_ORACLE for check in failed) and outcome.worksheet:
        blocks.append(Paragraph("The rows of the sample side by side:", file=outcome.worksheet))
    return Section("Failed checks", tuple(blocks))


def _checks(checks: list[Check], caption: str, *, with_keys: bool) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for check in checks:
        result: Cell = Mark(check.state, _TONES[check.state])
        said = check.detail
        if with_keys and check.sample_keys:
            said = f"{said}\nfor example {', '.join(check.sample_keys)}".strip()
        looked = f"{check.covered}\n{check.plan}" if with_keys and check.plan else check.covered
        rows.append((check.name, check.table, result, check.count, looked, said, _WHEN[check.when]))
    head = ("check", "table", "result", "wrong rows", "looked at", "found", "when")
    return Grid(caption, head, tuple(rows), frozenset({0, 1}), empty="none was run")


def _rejects(outcome: Outcome) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for tally in outcome.tallies:
        mapping = outcome.plan.tables.get(tally.mapping) if outcome.plan is not None else None
        for reason, count in sorted(tally.reasons.items(), key=lambda each: (-each[1], each[0])):
            found: Finding | None = None
            if outcome.plan is not None and mapping is not None:
                found = next(iter(findings_from_reasons(outcome.plan, mapping, [(reason, count, ())])), None)
            meaning, cure = _meaning(reason)
            place = f"{Path(found.position.file).name}:{found.position.line}" if found and found.position else ""
            cure = found.cure if found else cure
            rows.append((reason, tally.mapping, count, meaning, cure, place))
    head = ("reason", "table", "rows", "what it means", "what lets such rows pass", "plan")
    grid = Grid("Rejects by reason", head, tuple(rows), frozenset({0, 1, 5}), empty="no row was rejected")
    text = (
        "A rejected row is kept whole, with its key and all of its reasons, in the folder 'rejects' of the run; no "
        "value of one stands here. A row with several reasons counts for each."
    )
    return Section("Rejects", (Paragraph(text), grid))


def _meaning(reason: str) -> tuple[str, str]:
    """Return what a reason says of a row, and what lets such rows pass."""
    kind, _, column = reason.partition(":")
    meaning = REASONS.get(kind)
    if meaning is None:
        return reason, ""
    words = {"kind": kind, "column": column, "target": column}
    return meaning.what.format(**words), meaning.cure.format(**words)


def _links(outcome: Outcome) -> Section:
    if outcome.plan is None:
        text = "The plan is no longer the one that ran, so its fields are not drawn; the run's folder keeps that plan."
        return Section("How fields are linked", (Paragraph(text),))
    ran = {tally.mapping for tally in outcome.tallies}
    mappings = [mapping for name, mapping in outcome.plan.tables.items() if name in ran or not ran]
    profile = outcome.profile
    blocks: list[Block] = [drawings.links(each, profile.get(each.name, {})) for each in mappings[:_TABLES_MAX]]
    if not profile:
        blocks.insert(0, Paragraph("Numbers of the fields are there once 'transhume validate' has counted them."))
    if len(mappings) > _TABLES_MAX:
        more = counted(len(mappings) - _TABLES_MAX, "table")
        blocks.append(Paragraph(f"{more} more are not drawn; the plan document has the fields of all."))
    return Section("How fields are linked", tuple(blocks))


def _undone(fields: Mapping[str, Any]) -> Section:
    tables = fields.get("report", {}).get("tables", ())
    rows = tuple(
        (
            str(table.get("table", "")),
            int(table.get("published", 0)),
            int(table.get("removed", 0)),
            int(table.get("restored", 0)),
            int(table.get("edited", 0)) + int(table.get("needed", 0)),
            str(table.get("proof_text", "")),
        )
        for table in tables
    )
    head = ("table", "published", "removed", "restored", "stay", "proved")
    return Section("Rollback", (Grid("What was taken back", head, rows, frozenset({0})),))


_NOT_ASKED = "not asked: "
"""How a check begins that says why it looked at nothing."""


def not_checked(outcome: Outcome) -> Iterator[str]:
    """Yield what this report cannot vouch for, one sentence each."""
    validation = outcome.validation
    if validation is None:
        yield "What readers of the target see now: no validation since the run is on record ('transhume validate')."
        yield "That the rules do what the plan means: no row was recomputed by the second implementation."
    else:
        yield "What others changed in the target after the validation's time."
        for each in outcome.checks():
            if each.state == "noted" and each.detail.startswith(_NOT_ASKED):
                yield f"'{each.name}' of '{each.table}': {each.detail}."
        for name, found in validation.get("oracle", {}).items():
            if found["rows"] < found["of"]:
                left = counted(int(found["of"]) - int(found["rows"]), "row")
                yield f"'{name}': {left} were not recomputed by the second implementation ('validate --all' does)."
    yield "That the source is right: only what the plan's rules and checks ask about it."
    yield "A misunderstanding that the rule and its second implementation share."
    if outcome.plan is not None:
        yield from _not_checked_of_plan(outcome)
    else:
        yield "Which fields the plan mapped: it was changed since the run."
    if not outcome.last("run_rolled_back"):
        yield (
            "That this run can be taken back: no rollback of it was made; 'transhume rollback --drill' proves one in a "
            "scratch place."
        )
    started = outcome.last("run_started")
    if not started.get("backup"):
        yield "Backups of source and target: none is known to stand behind this run ('transhume backup')."


def _not_checked_of_plan(outcome: Outcome) -> Iterator[str]:
    assert outcome.plan is not None
    plan = outcome.plan
    unseen = [
        f"{mapping.target_table}.{column.name}"
        for mapping in plan.tables.values()
        if not verified(plan, mapping)
        for column in artefact_columns(mapping)
    ]
    if unseen:
        yield f"Whether what {', '.join(unseen)} lead to is there (the plan does not say 'verify_artifacts: true')."
    if plan.ignored_tables:
        yield f"Tables that the plan leaves out: {', '.join(plan.ignored_tables)}."
    dropped = [f"{mapping.from_}.{name}" for mapping in plan.tables.values() for name in mapping.drop]
    if dropped:
        yield f"Source fields that go nowhere, on purpose: {', '.join(dropped)}."
    keyless = [name for name, mapping in plan.tables.items() if not mapping.key]
    if keyless:
        yield f"Which of two equal rows is which, in {', '.join(keyless)}: nothing identifies them."
    if not plan.performance:
        yield "How fast the target answers: the plan declares no query to time ('performance:')."


def _sign_off(outcome: Outcome) -> Section:
    people = outcome.plan.people if outcome.plan is not None else {}
    named = [(role, name) for role, who in people.items() for name in who]
    named = named or [("Migration owner", ""), ("Data owner", "")]
    rows = tuple((role, name, "", "", "") for role, name in named)
    text = f"Who signs has read this report of the journal {outcome.head[:16]} and what was not checked."
    return Section(
        "Sign-off",
        (Paragraph(text), Grid("Signatures", ("role", "name", "decision", "date", "signature"), rows)),
    )
