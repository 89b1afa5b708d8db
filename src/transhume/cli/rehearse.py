"""`transhume rehearse`: the whole road beside the target, before it counts."""

from typing import TYPE_CHECKING

import click

from transhume.cli.capacity import uses_capacity
from transhume.cli.output import Output

if TYPE_CHECKING:
    from transhume.project.rehearsing import Rehearsal


@click.command("rehearse")
@click.option("--rows", type=click.IntRange(min=1), metavar="N", help="Rows of each table by chance (1,000).")
@click.option("--percent", type=float, metavar="P", help="Or so much of each table.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Chooses the rows.")
@uses_capacity
@click.pass_obj
def command(
    output: Output,
    rows: int | None,
    percent: float | None,
    seed: int,
    jobs: int | None,
    memory_bytes: int | None,
) -> int:
    """Run a part of the source into a scratch place beside the target, with all checks and the rollback's drill.

    The part holds a row for every way that a row can go (branches, codes, names, reject reasons, NULLs, extremes), then
    rows by chance, and every row that these refer to. It runs at two sizes, so that `estimate` can predict the whole.
    Exit 1 where a check fails or the undo is not proved.
    """
    from transhume.cli.progress import Progress
    from transhume.cli.rollback import print_drill

    project = output.project(jobs, memory_bytes)
    with Progress(output) as progress:
        found = project.rehearse(rows=rows, percent=percent, seed=seed, listener=progress)
    _coverage(output, found)
    _rates(output, found)
    for check in found.failed:
        output.result(f"check '{check.name}' of '{check.table}' failed: {check.detail or check.covered}", "red")
    output.result(f"{len(found.validation.checks) - len(found.failed)} checks passed, {len(found.failed)} failed")
    print_drill(output, found.drill)
    output.result("next: 'transhume estimate' predicts the machine time of all rows from these rates")
    output.emit(found.to_dict())
    return 0 if found.passed else 1


def _coverage(output: Output, found: "Rehearsal") -> None:
    rows = [[each.mapping, each.rows, len(each.covered), len(each.missing)] for each in found.coverage]
    output.table("what the part holds", ["mapping", "rows", "ways covered", "ways that no row goes"], rows)
    for each in found.coverage:
        for way in each.missing:
            output.line(f"not covered, because no row was found that goes this way: {each.mapping}: {way}", "yellow")


def _rates(output: Output, found: "Rehearsal") -> None:
    rows = [
        [
            rate.stage,
            f"{rate.fixed_s:.2f}",
            f"{1 / rate.seconds_per_row:,.0f}" if rate.seconds_per_row else "-",
            f"{rate.spread:.0%}",
        ]
        for rate in found.rates
    ]
    sizes = " and ".join(f"{sum(table.read - table.outside for table in run.tables):,}" for run in found.runs)
    output.table(f"rates, from runs of {sizes} rows", ["stage", "fixed seconds", "rows a second", "spread"], rows)
