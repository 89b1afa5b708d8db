"""`transhume plan`: what a run would do."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transhume.cli.output import Output, finding_dict
from transhume.plan.open import OPEN_CODE
from transhume.words import counted

if TYPE_CHECKING:
    from transhume.project.outlook import Outlook


@click.command("plan")
@click.option("--diff-approved", is_flag=True, help="Say only what differs from what was approved.")
@click.option("--docs", "formats", metavar="FORMATS", help="Write the plan document: html,docx,xlsx,md.")
@click.option("--out", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Where to (default: out/).")
@click.pass_obj
def command(output: Output, diff_approved: bool, formats: str | None, folder: Path | None) -> int:
    """Say what a run would do: order, rows, tables it makes, expected rejects by reason, checks.

    With --docs: write one document for people, with mapping, rules, validation, rollback, timeline, risks, sign-off.

    Reads all source tables and writes nothing. With --diff-approved: exit 6 if plan or schemas are not as approved.
    """
    from transhume.cli.progress import Progress

    if formats is not None:
        return _documents(output, formats, folder)
    with Progress(output) as progress:
        found = output.project().outlook(listener=progress)
    if not diff_approved:
        _steps(output, found)
    _approval(output, found)
    output.emit({**found.to_dict(), "findings": [finding_dict(finding) for finding in found.findings]})
    if diff_approved:
        return 6 if found.approved is None or found.changes else 0
    return 3 if any(finding.severity == "error" for finding in found.findings) else 0


def _documents(output: Output, formats: str, folder: Path | None) -> int:
    from transhume.cli.progress import Progress

    with Progress(output) as progress:
        named = [name.strip() for name in formats.split(",") if name.strip()]
        project = output.project()
        written = project.write_documents(named, folder, listener=progress)
    for path in written:
        output.result(f"written: {path}")
    undecided = sum(finding.code == OPEN_CODE for finding in project.check(offline=True).findings)
    if undecided:
        said = f"drafts: {counted(undecided, 'decision')} open, and no run before; the documents begin with them"
        output.result(said, style="yellow")
    output.emit({"documents": [str(path) for path in written], "open_decisions": undecided})
    return 0


def _steps(output: Output, found: "Outlook") -> None:
    rows = []
    for number, step in enumerate(found.steps, start=1):
        expected = step.expected
        good = expected.read - expected.rejected - expected.filtered
        rows.append(
            [
                number,
                f"{step.source_table} -> {step.target_table}",
                "new table" if step.creates else "existing table",
                expected.read,
                good,
                expected.rejected,
                expected.filtered,
            ]
        )
    header = ["", "tables", "target", "rows to read", "expected good", "expected rejects", "filtered"]
    output.table("what a run would do, in this order", header, rows)
    for step in found.steps:
        if step.creates:
            output.line(f"makes '{step.target_table}': {', '.join(step.columns)}")
        for reason, count in sorted(step.expected.reasons.items()):
            output.line(f"  '{step.mapping}' would reject {count:,}: {reason}")
        if step.checks:
            output.line(f"  '{step.mapping}' is checked for {', '.join(step.checks)}")
    output.line("before publishing: accounting, every staged value, keys, references; after it: every value again")
    errors = [finding for finding in found.findings if finding.severity == "error"]
    output.findings(errors)
    if errors:
        output.result(f"{len(errors)} errors stand against a run", style="red")


def _approval(output: Output, found: "Outlook") -> None:
    if found.approved is None:
        output.result("nobody has approved this plan")
        return
    for signature in found.approved.signatures:
        role = f" ({signature.role})" if signature.role else ""
        output.result(f"approved by {signature.by}{role} at {signature.at}")
    for change in found.changes:
        output.result(f"not as approved: {change}", style="red")
    for change in found.growth:
        output.line(f"since the approval: {change}")
    if not found.changes:
        output.result("plan and schemas are what was approved", style="green")
