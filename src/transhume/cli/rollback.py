"""`transhume rollback`: shows what goes and what stays, asks, then does it and proves it."""

import sys
from typing import TYPE_CHECKING, Literal

import click

from transhume.cli.output import Output
from transhume.errors import Refused, UsageError

if TYPE_CHECKING:
    from transhume.project.drilling import DrillResult
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
@click.option("--restore-snapshot", is_flag=True, help="Bring the tables back from the backup: others' work is lost.")
@click.option("--preview", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--drill", is_flag=True, help="Run and undo in a scratch place beside the target, and prove the undo.")
@click.option("--rows", type=click.IntRange(min=1), metavar="N", help="Of a drill: rows of each table (1,000).")
@click.option("--all", "whole", is_flag=True, help="Of a drill: all rows.")
@click.option("--seed", type=int, default=1, metavar="N", help="Of a drill: chooses the rows.")
@click.pass_obj
def command(
    output: Output,
    run: str | None,
    *,
    edited: Literal["keep", "remove"],
    referenced: Literal["refuse", "keep", "remove"],
    cause: str,
    restore_snapshot: bool,
    preview: bool,
    yes: bool,
    drill: bool,
    rows: int | None,
    whole: bool,
    seed: int,
) -> int:
    """Take a run back: exactly its rows go, what others wrote stays. RUN is a run's name; without it, the newest.

    With --drill nothing of the target is touched: the plan runs into a scratch schema or namespace, rows of others are
    planted there, the run is taken back, and what is left is compared. Exit 1 where the undo is not proved.

    With --restore-snapshot the tables go back to the backup from before the run; what others wrote since is lost.
    """
    if restore_snapshot:
        return _restore(output, run, cause, preview=preview, yes=yes)
    if drill:
        if run or preview:
            message = "a drill runs the plan itself: leave out RUN and --preview"
            raise UsageError(message)
        return run_drill(output, rows, seed, whole=whole)
    if whole or rows:
        message = "--rows and --all belong to --drill: a rollback takes the whole run back"
        raise UsageError(message)
    project = output.project()
    if preview or not yes:
        # Nobody waits for the answer after --yes; what would stop the look stops the rollback, too.
        look = project.preview_rollback(run, edited=edited, referenced=referenced)
        _print_preview(output, look)
        if preview:
            output.emit(look.to_dict())
            return 0
        if look.refused:
            listed = [*look.report.later_runs, *map(str, look.report.referring)]
            message = f"run '{look.run}' is not taken back, nothing was changed: {'; '.join(listed)}"
            raise Refused(message)
        if look.report.state in {"open", "published"}:
            confirm(look.target_name)
        run = look.run
    result = project.rollback(run, edited=edited, referenced=referenced, cause=cause)
    _print_result(output, result)
    output.emit(result.to_dict())
    return 0


def run_drill(output: Output, rows: int | None, seed: int, *, whole: bool) -> int:
    """Drill the rollback and print what was found; return 0 if the undo is proved, else 1."""
    from transhume.cli.progress import Progress

    project = output.project()
    with Progress(output) as progress:
        result = project.drill(rows=rows, whole=whole, seed=seed, listener=progress)
    print_drill(output, result)
    output.emit(result.to_dict())
    return 0 if result.passed else 1


def print_drill(output: Output, result: "DrillResult") -> None:
    """Print a drill: the tables, what could not be planted, the verdict."""
    header = ["table", "before", "published", "added", "edited", "referring", "stay", "must be left", "left", "equal"]
    rows = [
        [
            t.table,
            t.before,
            t.published,
            t.added,
            t.edited,
            t.referring,
            t.kept,
            t.expected,
            t.left,
            "yes" if t.is_equal else "NO",
        ]
        for t in result.tables
    ]
    if rows:
        output.table(f"drill in {result.scratch}: {result.subset}", header, rows)
    for note in result.notes:
        output.line(f"to know: {note}")
    for problem in result.problems:
        output.result(problem, "red")
    if result.passed:
        output.result(
            f"the undo is proved: what is left is what others wrote and what was there; {result.run.duration_s:.1f} s "
            f"to run, {result.restore_s:.1f} s to restore",
            "green",
        )
    else:
        output.result(f"the drill failed; its journal: {result.journal}", "red")


def _restore(output: Output, run: str | None, cause: str, *, preview: bool, yes: bool) -> int:
    """Bring the tables back from the snapshot that was made before the run."""
    project = output.project()
    look = project.preview_restore(run)
    rows = [
        [name, now.partition(":")[0], look.snapshot.get(name, "").partition(":")[0], "" if now == kept else "changes"]
        for name, now in look.now.items()
        for kept in [look.snapshot.get(name)]
    ]
    title = f"backup {look.backup} of {look.made_at} into {look.target}"
    output.table(title, ["table", "rows now", "rows in the snapshot", ""], rows)
    output.result("everything that anybody wrote into these tables since is lost", "yellow")
    if preview:
        output.emit(look.to_dict())
        return 0
    if not yes:
        confirm(look.target_name)
    result = project.restore_snapshot(run, cause=cause)
    for table in result.tables:
        output.result(f"{table.table}: {'dropped' if table.dropped else 'as in the snapshot'}")
        output.line(
            f"  fingerprint before: {table.fingerprint_at_start}, now and in the snapshot: {table.fingerprint_after}"
        )
    for path in result.papers:
        output.line(f"for people: {path}")
    output.result(f"restored in {result.duration_s:.1f} s; runs taken back with it: {', '.join(result.runs) or 'none'}")
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
        output.result(f"run {result.run}: {_NOTHING_TO_DO[report.state]}")
        return
    for note in report.notes:
        output.line(f"not restored, or to know: {note}")
    for table in report.tables:
        output.result(f"{table.table}: {table.removed:,} rows removed, {table.restored:,} restored; {table.proof_text}")
        for name, fingerprint, otherwise in (
            ("before the run", table.fingerprint_before_run, "not recorded"),
            ("before the rollback", table.fingerprint_at_start, "not taken"),
            ("now", table.fingerprint_after, "not taken"),
        ):
            told = fingerprint or ("no table" if table.dropped and name == "now" else otherwise)
            output.line(f"  fingerprint {name}: {told}")
    if result.kept_file is not None:
        output.result(f"{report.kept:,} rows stay, listed in {result.kept_file}", "yellow")
    output.result(f"run {result.run} is rolled back; for people: {result.incident} and {result.post_mortem}")
