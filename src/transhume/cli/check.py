"""`transhume check`: everything that is wrong with the plan, at once."""

import os

import click

from transhume.cli.output import Output, finding_dict
from transhume.plan.load import check_files, find_project
from transhume.plan.open import OPEN_CODE


@click.command("check")
@click.option("--offline", is_flag=True, help="Look at the files only, not at the databases.")
@click.option("--schemas", is_flag=True, help="Look at the files and the databases' tables, read no row.")
@click.pass_obj
def command(output: Output, offline: bool, schemas: bool) -> int:
    """Say everything that is wrong with the plan: file, line, column, the line itself, the cure.

    Errors make a run impossible (exit 3); warnings say how many rows would be rejected, and why.
    """
    if offline:
        # Without the library's front door, which brings drivers and engine: an editor calls this on every save.
        findings = check_files(find_project(output.folder), os.environ)
    else:
        from transhume.cli.progress import Progress

        with Progress(output) as progress:
            findings = output.project().check(data=not schemas, listener=progress).findings
    output.findings(findings)
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    seen = "files only" if offline else "files and tables" if schemas else "files, tables, all rows"
    if not offline and any(finding.code == OPEN_CODE for finding in findings):
        seen = "files and tables; rows when nothing is open"
    output.result(f"{errors} errors, {warnings} warnings ({seen})", style="red" if errors else "green")
    output.emit({"errors": errors, "warnings": warnings, "findings": [finding_dict(f) for f in findings]})
    return 3 if errors else 0
