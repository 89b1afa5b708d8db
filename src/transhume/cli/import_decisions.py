"""`transhume import-decisions`: what people decided in the workbook goes into the plan."""

import sys
from pathlib import Path

import click

from transhume.cli.output import Output


@click.command("import-decisions")
@click.argument("workbook", metavar="FILE.xlsx", type=click.Path(path_type=Path))
@click.option("--preview", is_flag=True, help="Only show what would be written.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(output: Output, workbook: Path, *, preview: bool, yes: bool) -> int:
    """Put what was decided in a workbook of 'transhume plan --docs xlsx' into the plan.

    Accepted rows alone are written: a rule from 'change to' in the place of the old one, a spelling behind its name,
    and above each who accepted it. Shows the difference and asks first; no other line of the plan is touched.
    """
    project = output.project()
    found = project.read_decisions(workbook)
    for line in found.lines[2:]:
        output.result(line, {"+": "green", "-": "red"}.get(line[:1], ""))
    for change in found.changes:
        output.line(f"changes: {change}")
    for each in found.waiting:
        output.line(f"not accepted, not written: {each}", "yellow")
    is_written = False
    if found.before == found.after:
        output.result("nothing is to be written: no row is accepted, or all of it stands in the plan already")
    elif not preview:
        if not yes:
            _confirm(found.accepted)
        is_written = project.write_decisions(found)
        output.result(f"written: {found.accepted} decisions; next: 'transhume check'", "green")
    output.emit({**found.to_dict(), "written": is_written})
    return 0


def _confirm(count: int) -> None:
    from transhume.errors import UsageError

    if not sys.stdin.isatty():
        message = "nobody can be asked here: say --yes to write it, or --preview to look only"
        raise UsageError(message)
    click.confirm(f"write {count} decisions into the plan?", abort=True, err=True)
