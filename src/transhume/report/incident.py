"""The two papers that a rollback leaves: a notice for stakeholders, and a post-mortem filled from the journal.

They hold counts, names of tables and times. No data value and no credential is known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from transhume.journal import Entry
from transhume.systems.undo import UndoneTable, UndoReport

_TOLD_IN_TIMELINE = {
    "run_started": "the run began",
    "run_resumed": "the run went on after an interruption",
    "extract_finished": "the source was read",
    "check_failed": "a check failed",
    "publish_started": "publishing began",
    "published": "the rows became visible to readers of the target",
    "run_finished": "the run ended, every check passed",
    "run_failed": "the run ended by a failed check",
    "run_stopped": "the run stopped midway",
    "run_rollback_started": "the rollback began",
    "run_rolled_back": "the rollback was done and compared",
}
_PREVENTION = (
    "Add the check that would have found the cause before publishing (`checks:` of the table mapping, `then: stop`).",
    "Run the same plan into a scratch schema or namespace first, and take it back there.",
    "Let a failed check after publishing roll back by itself: `rollback: {on_failed_check: automatic}` in the plan.",
    "Have the plan reviewed again: what was changed since the run is listed above.",
)


@dataclass(frozen=True, slots=True)
class Incident:
    """What both papers are made of."""

    plan_name: str
    run: str
    target: str
    cause: str
    report: UndoReport
    entries: Sequence[Entry]
    duration_s: float
    plan_differences: Sequence[str] = field(default=())
    kept_file: str = ""


def incident_notice(incident: Incident) -> str:
    """Return the notice: what happened, when, which rows by count, the state now, the next step. Markdown."""
    report = incident.report
    since = _at(incident, "published") or "never"
    until = _at(incident, "run_rolled_back") or "now"
    lines = [
        f"# Incident: run {incident.run} was rolled back",
        "",
        f"- **What:** the data migration '{incident.plan_name}' into {incident.target} was taken back.",
        f"- **When:** visible to readers from {since} until {until}; the rollback took {incident.duration_s:.1f} s.",
        f"- **Cause:** {incident.cause or 'to be filled in by whoever asked for the rollback'}",
        "",
        "## Rows",
        "",
        *_rows(report.tables),
        "",
        "## State now",
        "",
        *[f"- `{table.table}`: {table.proof_text}" for table in report.tables if table.proof_text],
        *[f"- {note}" for note in report.notes],
        *([] if report.tables else ["- Nothing of the run was ever visible to readers."]),
        "",
        "## Next step",
        "",
        _next_step(incident),
        "",
    ]
    return "\n".join(lines)


def post_mortem(incident: Incident) -> str:
    """Return the post-mortem: timeline, rows, cause, what was changed in the plan since, prevention. Markdown."""
    failed = [
        f"- check `{entry.event.fields.get('name')}` on `{entry.event.fields.get('table')}`: "
        f"{entry.event.fields.get('count')} rows"
        for entry in incident.entries
        if entry.event.kind == "check_failed"
    ]
    lines = [
        f"# Post-mortem of run {incident.run}",
        "",
        f"Plan '{incident.plan_name}', target {incident.target}.",
        "",
        "## Timeline (UTC)",
        "",
        "| at | what |",
        "|---|---|",
        *_timeline(incident.entries),
        "",
        "## Rows",
        "",
        *_rows(incident.report.tables),
        "",
        "## Cause",
        "",
        incident.cause or "*(to be filled in)*",
        *([""] if failed else []),
        *failed,
        "",
        "## The plan since the run",
        "",
        *([f"- {sentence}" for sentence in incident.plan_differences] or ["The plan is what it was."]),
        "",
        "## Prevention",
        "",
        *[f"- [ ] {sentence}" for sentence in _PREVENTION],
        "",
    ]
    return "\n".join(lines)


def _rows(tables: Sequence[UndoneTable]) -> list[str]:
    if not tables:
        return ["No table of the target was touched."]
    lines = [
        "| table | published | removed | edited by others, kept | needed by rows that stay | gone before | restored |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for table in tables:
        numbers = (table.published, table.removed, table.edited, table.needed, table.vanished, table.restored)
        dropped = " (dropped)" if table.dropped else ""
        lines.append(f"| `{table.table}`{dropped} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    return lines


def _timeline(entries: Sequence[Entry]) -> list[str]:
    lines = []
    for entry in entries:
        words = _TOLD_IN_TIMELINE.get(entry.event.kind)
        if words is None:
            continue
        if entry.event.kind == "check_failed":
            words = f"check `{entry.event.fields.get('name')}` on `{entry.event.fields.get('table')}` failed"
        lines.append(f"| {_moment(entry.at)} | {words} |")
    return lines


def _next_step(incident: Incident) -> str:
    if incident.report.kept:
        listed = f", listed in `{incident.kept_file}`" if incident.kept_file else ""
        return (
            f"{incident.report.kept} rows of the run stay because others have edited them or refer to them{listed}: "
            "their owners decide about them. Then mend the cause and run again."
        )
    return "Mend the cause, check the plan, and run again; source and project are as they were."


def _at(incident: Incident, kind: str) -> str:
    found = next((entry.at for entry in reversed(incident.entries) if entry.event.kind == kind), None)
    return "" if found is None else f"{_moment(found)} UTC"


def _moment(at: str) -> str:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S}"
