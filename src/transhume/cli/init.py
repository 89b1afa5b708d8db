"""`transhume init`: a new project from two URLs."""

from pathlib import Path

import click

from transhume.cli.output import Output


@click.command("init")
@click.argument("folder", default=".", metavar="[DIR]")
@click.option("--source", required=True, help="URL of the source: sqlite:///legacy.db, mysql://user@host/db ...")
@click.option("--target", required=True, help="URL of the target: postgresql://user@host/db?schema=x ...")
@click.option("--name", help="What the migration is called; without it, as the folder is.")
@click.pass_obj
def command(output: Output, folder: str, source: str, target: str, name: str | None) -> int:
    """Make a project in DIR: a drafted plan with everything listed, secrets in .env, a schema for editors.

    What no machine can know is TBD in the plan; 'transhume check' lists it. Nothing is overwritten.
    """
    from transhume.cli.progress import Progress
    from transhume.project import Project
    from transhume.project.scaffolding import scaffold

    place = Path(folder)
    with Progress(output) as progress:
        made = scaffold(place, source, target, name=name, listener=progress)
    findings = Project(place).check(offline=True).findings
    to_decide = sum(finding.code == "open_decision" for finding in findings)
    output.result(f"made '{place / 'transhume.yaml'}': {len(made.tables)} table mappings, {to_decide} open decisions")
    output.result(f"next: 'transhume -p {place} check' lists what is open, with place and cure")
    output.emit({"folder": str(place), "tables": len(made.tables), "open_decisions": to_decide})
    return 0
