"""`transhume backup`: source and target tables are copied, and each copy is proved."""

import click

from transhume.cli.output import Output
from transhume.cli.progress import Progress


@click.command("backup")
@click.pass_obj
def command(output: Output) -> int:
    """Copy the source, logically and physically, and the target's tables; restore each copy and compare it.

    Exit 1 where a copy did not come out as the original. The source is only read.
    """
    project = output.project()
    with Progress(output) as progress:
        result = project.backup(listener=progress)
    rows = [
        [part.side, part.kind, part.state.replace("_", " "), part.size_bytes, part.duration_s, part.restore_s]
        for part in result.manifest.parts
    ]
    header = ["side", "copy", "state", "bytes", "seconds", "seconds to restore"]
    output.table(f"backup {result.manifest.name}", header, rows)
    verified = "every copy was restored and compared" if result.is_verified else "NOT verified: a run cannot rely on it"
    output.result(f"{verified}: {result.folder}", "green" if result.is_verified else "red")
    output.emit(result.to_dict())
    return 0 if result.is_verified else 1
