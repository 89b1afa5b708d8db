"""`transhume report`: the page of a run that people sign, and the same for programs."""

from pathlib import Path

import click

from transhume.cli.output import Output

_STYLES = {"passed": "green", "failed": "red"}


@click.command("report")
@click.argument("run", required=False)
@click.option("--out", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Where to (default: out/).")
@click.option("--closing", is_flag=True, help="Write the closing report of the whole migration instead.")
@click.option("--offline", is_flag=True, help="With --closing: look at no database.")
@click.pass_obj
def command(output: Output, run: str | None, folder: Path | None, *, closing: bool, offline: bool) -> int:
    """Write one page about a run: verdict, failed checks, what moved, rejects, times, what was not checked.

    RUN is a run's name; without it, the newest. The page needs no other file; results.json and junit.xml stand beside
    it. Made of the run's journal and the newest 'transhume validate'; no system is opened, and no value of a rejected
    row is shown. Exit 1 if a check failed.

    With --closing: planned against actual days by phase ('schedule: {actuals: ..., lessons: ...}' in the plan), runs,
    predicted against measured machine time, risks, lessons learned, as HTML and Markdown.
    """
    if closing:
        return _closing(output, folder, offline=offline)
    made = output.project().report(run, folder)
    output.result(f"run {made.run}: {made.verdict}", style=_STYLES.get(made.verdict, "yellow"))
    for path in (made.page, made.results, made.junit):
        output.result(f"written: {path}")
    output.emit(made.to_dict())
    return 1 if made.failed or made.verdict == "failed" else 0


def _closing(output: Output, folder: Path | None, *, offline: bool) -> int:
    from transhume.cli.progress import Progress

    with Progress(output) as progress:
        written = output.project().write_closing_report(folder=folder, offline=offline, listener=progress)
    for path in written:
        output.result(f"written: {path}")
    output.emit({"documents": [str(path) for path in written]})
    return 0
