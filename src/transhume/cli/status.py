"""`transhume status`: where a run stands; another terminal may follow it."""

import time

import click

from transhume.cli.output import Output
from transhume.cli.results import print_run

_SECONDS_BETWEEN_LOOKS = 0.5
_ENDED = frozenset({"finished", "failed", "given up", "stopped", "rolled back", "finalized"})


@click.command("status")
@click.argument("run", required=False)
@click.option("--watch", is_flag=True, help="Follow the run until it ends.")
@click.pass_obj
def command(output: Output, run: str | None, watch: bool) -> int:
    """Say where a run stands: batches, rows, checks. RUN is a run's name; without it, the newest."""
    project = output.project()
    result = project.result(run)
    if watch:
        seen = -1
        while result.state not in _ENDED:
            rows = sum(table.read for table in result.tables)
            if rows != seen:
                output.line(f"run {result.run} {result.state}: {rows:,} rows, {len(result.checks)} checks")
                seen = rows
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            result = project.result(result.run)
    print_run(output, result)
    output.emit(result.to_dict())
    return 0
