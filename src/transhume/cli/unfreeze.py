"""`transhume unfreeze`: gives back what `freeze: enforce` has forbidden at the source."""

import click

from transhume.cli.output import Output


@click.command("unfreeze")
@click.option("--preview", is_flag=True, help="Only print the statements: of the freeze, and those that give back.")
@click.pass_obj
def command(output: Output, preview: bool) -> int:
    """Give the rights to write to the source back, after a run with 'freeze: enforce' was killed.

    A run does this itself when it ends or fails. With --preview nothing is changed, and where nothing is frozen the
    statements are those that a run would use.
    """
    project = output.project()
    standing = project.standing_freeze()
    if preview:
        found = standing.freezing if standing else project.freeze_statements()
        output.result("-- freeze" + (f" (stands since {standing.at})" if standing else ""))
        for statement in found.freeze:
            output.result(f"{statement};")
        output.result("-- unfreeze")
        for statement in found.unfreeze:
            output.result(f"{statement};")
        for note in found.notes:
            output.result(f"-- {note}")
        output.emit({"frozen": standing is not None, **found.to_dict()})
        return 0
    if standing is not None:
        for statement in standing.freezing.unfreeze:
            output.line(f"{statement};")
    result = project.unfreeze()
    if result.record is None:
        output.result("nothing is frozen")
    else:
        output.result(f"{result.record.source} can be written to again (it was frozen since {result.record.at})")
    for sentence in result.differing:
        output.result(f"not as it was before, because others changed rights: {sentence}", "yellow")
    output.emit(result.to_dict())
    return 0
