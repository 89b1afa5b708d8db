"""`transhume run`: the migration itself."""

from pathlib import Path

import click

from transhume.cli.capacity import uses_capacity
from transhume.cli.output import Output
from transhume.cli.progress import Progress
from transhume.cli.results import print_run
from transhume.cli.stopping import PoliteStop


@click.command("run")
@click.option("--fresh", is_flag=True, help="Give an unfinished run up and begin a new one.")
@click.option("--phase", metavar="NAME", help="Bring this wave of a plan that has phases.")
@click.option("--subset", is_flag=True, help="Bring a part of the source, with all that its rows refer to.")
@click.option("--rows", type=int, help="With --subset: rows of each table, before those that they refer to.")
@click.option("--percent", type=float, help="With --subset: percent of each table.")
@click.option("--seed", type=int, default=1, show_default=True, help="With --subset: which rows are chosen.")
@click.option(
    "--replay-rejects",
    "repaired",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Repaired rejects of an earlier run (CSV or XLSX, one file a table).",
)
@uses_capacity
@click.pass_obj
def command(
    output: Output,
    *,
    fresh: bool,
    phase: str | None,
    subset: bool,
    rows: int | None,
    percent: float | None,
    seed: int,
    repaired: tuple[Path, ...],
    jobs: int | None,
    memory_bytes: int | None,
) -> int:
    """Extract, transform, stage, validate, publish; an unfinished run goes on where it stopped.

    A plan with phases is run wave by wave: before a wave those above it are published and its gate's conditions hold,
    else exit 6 names what does not.

    A part that --subset brought is found unchanged by a later run of everything. With --replay-rejects the run goes on
    from the extract of the run whose rejects were repaired; 'transhume rejects' writes them for people.

    Nothing is visible in the target before everything is staged, read back and checked. Ctrl-C or SIGTERM stops at the
    next batch, a second one at once; the same command goes on either way.
    """
    from transhume.errors import UsageError
    from transhume.project import Subset

    if not subset and (rows is not None or percent is not None):
        message = "--rows and --percent are the size of a part: write --subset with them"
        raise UsageError(message)
    if subset and repaired:
        message = "--subset reads a part of the source, --replay-rejects none of it: write one of them"
        raise UsageError(message)
    part = Subset(rows, percent, seed) if subset else None
    project = output.project(jobs, memory_bytes)
    with Progress(output) as progress, PoliteStop(progress, output.line) as stop:
        result = project.run(listener=stop, fresh=fresh, subset=part, repaired=repaired, phase=phase)
    print_run(output, result)
    output.emit(result.to_dict())
    return 0
