"""`transhume check`: everything that is wrong with the plan, at once."""

import click

from transhume.cli.output import Output, finding_dict


@click.command("check")
@click.option("--offline", is_flag=True, help="Look at the files only, not at the databases.")
@click.option("--schemas", is_flag=True, help="Look at the files and the databases' tables, read no row.")
@click.pass_obj
def command(output: Output, offline: bool, schemas: bool) -> int:
    """Say everything that is wrong with the plan: file, line, column, the line itself, the cure.

    Errors make a run impossible (exit 3); warnings say how many rows would be rejected, and why.
    """
    from transhume.project import Project

    report = Project(output.folder).check(offline=offline, data=not schemas)
    output.findings(report.findings)
    errors = len(report.errors)
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    seen = "files only" if offline else "files and tables" if schemas else "files, tables, all rows"
    output.result(f"{errors} errors, {warnings} warnings ({seen})", style="red" if errors else "green")
    output.emit({"errors": errors, "warnings": warnings, "findings": [finding_dict(f) for f in report.findings]})
    return 3 if errors else 0
