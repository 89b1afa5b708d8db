"""`transhume rejects`: the rows that a run rejected, for people to repair."""

from pathlib import Path

import click

from transhume.cli.output import Output


@click.command("rejects")
@click.argument("run", required=False)
@click.option("--format", "form", type=click.Choice(["xlsx", "csv"]), default="xlsx", show_default=True)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Folder for the files (out/).")
@click.pass_obj
def command(output: Output, run: str | None, form: str, folder: Path | None) -> int:
    """Write the rejects of RUN (default: the newest) for people to repair, one file a table.

    Change cells, keep the header and the first column; an empty cell is NULL, a cell that begins with an apostrophe
    holds exactly the text behind it. Then: transhume run --replay-rejects FILE.
    """
    project = output.project()
    files = project.write_rejects(run, folder, form)
    for file in files:
        output.result(f"written: {file}")
    if files:
        output.result("next: repair the cells, then 'transhume run --replay-rejects FILE'")
    else:
        output.result("the run has no rejects")
    output.emit({"files": [str(file) for file in files]})
    return 0
