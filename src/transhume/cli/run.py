"""`transhume run`: the migration itself."""

import click

from transhume.cli.output import Output
from transhume.cli.progress import Progress
from transhume.cli.results import print_run


@click.command("run")
@click.option("--fresh", is_flag=True, help="Give an unfinished run up and begin a new one.")
@click.pass_obj
def command(output: Output, fresh: bool) -> int:
    """Extract, transform, stage, validate, publish; an unfinished run goes on where it stopped.

    Nothing is visible in the target before everything is staged, read back and checked.
    """
    project = output.project()
    with Progress(output) as progress:
        result = project.run(listener=progress, fresh=fresh)
    print_run(output, result)
    output.emit(result.to_dict())
    return 0
