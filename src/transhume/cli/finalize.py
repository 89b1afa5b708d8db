"""`transhume finalize`: the point of no return."""

import click

from transhume.cli.output import Output


@click.command("finalize")
@click.argument("run", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(output: Output, run: str | None, yes: bool) -> int:
    """Drop what a rollback needs: staged rows, before-images, branches, extracts. Afterwards there is no way back.

    RUN is a run's name; without it, the newest.
    """
    from transhume.cli.rollback import confirm

    project = output.project()
    look = project.preview_rollback(run)
    if not yes:
        output.line(f"run {look.run} in {look.target} cannot be rolled back any more after this")
        confirm(look.target_name)
    result = project.finalize(look.run)
    for sentence in result.dropped:
        output.result(f"dropped: {sentence}")
    output.result(f"run {result.run} is finalized")
    output.emit(result.to_dict())
    return 0
