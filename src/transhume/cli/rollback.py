"""`transhume rollback`: shows what goes and what stays, asks, then does it and proves it."""

import sys
from typing import TYPE_CHECKING, Literal

import click

from transhume.cli.output import Output
from transhume.errors import Refused, UsageError

if TYPE_CHECKING:
    from transhume.project.undoing import RollbackPreview, RollbackResult

_NOTHING_TO_DO = {"absent": "nothing of it is in the target", "finalized": "it is finalized"}


@click.command("rollback")
@click.argument("run", required=False)
@click.option("--edited", type=click.Choice(["keep", "remove"]), default="keep", help="Rows that others edited since.")
@click.option(
    "--referenced",
    type=click.Choice(["refuse", "keep", "remove"]),
    default="refuse",
    help="Rows that rows of others refer to: refuse, keep ours, or remove both.",
)
@click.option("--cause", default="", metavar="TEXT", help="Why, for the incident's papers.")
@click.option("--preview", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(
    output: Output,
    run: str | None,
    edited: Literal["keep", "remove"],
    referenced: Literal["refuse", "keep", "remove"],
    cause: str,
    preview: bool,
    yes: bool,
) -> int:
    """Take a run back: exactly its rows go, what others wrote stays. RUN is a run's name; without it, the newest."""
    project = output.project()
    look = project.preview_rollback(run, edited=edited, referenced=referenced)
    _print_preview(output, look)
    if preview:
        output.emit(look.to_dict())
        return 0
    if look.refused:
        listed = [*look.report.later_runs, *map(str, look.report.referring)]
        message = f"run '{look.run}' is not taken back, nothing was changed: {'; '.join(listed)}"
        raise Refused(message)
    if look.report.state in {"open", "published"} and not yes:
        confirm(look.target_name)
    result = project.rollback(look.run, edited=edited, referenced=referenced, cause=cause)
    _print_result(output, result)
    output.emit(result.to_dict())
    return 0


def confirm(name: str) -> None:
    """Ask for the name of the target, typed; raises UsageError where nobody can be asked, Refused for another name."""
    if not sys.stdin.isatty():
        message = "nobody can be asked here: say --yes to do it, or --preview to look only"
        raise UsageError(message)
    typed = click.prompt(f"type the target's name, '{name}', to go on", err=True)
    if typed.strip() != name:
        message = f"'{typed.strip()}' is not '{name}'; nothing was changed"
        raise Refused(message)


def _print_preview(output: Output, look: "RollbackPreview") -> None:
    report = look.report
    if report.state in _NOTHING_TO_DO:
        output.result(f"run {look.run}: {_NOTHING_TO_DO[report.state]}")
        return
    header = ["table", "published", "goes", "edited, stays", "needed, stays", "gone", "restored", "table dropped"]
    rows = [
        [
            t.table,
            t.published,
            t.removed + t.others_removed,
            t.edited,
            t.needed,
            t.vanished,
            t.restored,
            "yes" if t.dropped else "no",
        ]
        for t in report.tables
    ]
    output.table(f"run {look.run} in {look.target}: {report.state.replace('_', ' ')}", header, rows)
    for sentence in (*report.later_runs, *map(str, report.referring)):
        output.result(sentence, "yellow")
    for note in report.notes:
        output.line(f"not restored, or to know: {note}")
    for sentence in look.plan_differences:
        output.line(f"the plan was changed since: {sentence}")


def _print_result(output: Output, result: "RollbackResult") -> None:
    report = result.report
    if report.state in _NOTHING_TO_DO:
        return
    for table in report.tables:
        output.result(f"{table.table}: {table.removed:,} rows removed, {table.restored:,} restored; {table.proof_text}")
        for name, fingerprint in (
            ("before the run", table.fingerprint_before_run),
            ("before the rollback", table.fingerprint_at_start),
            ("now", table.fingerprint_after),
        ):
            output.line(f"  fingerprint {name}: {fingerprint or 'none'}")
    if result.kept_file is not None:
        output.result(f"{report.kept:,} rows stay, listed in {result.kept_file}", "yellow")
    output.result(f"run {result.run} is rolled back; for people: {result.incident} and {result.post_mortem}")
