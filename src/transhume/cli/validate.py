"""`transhume validate`: check again what the target shows of a published run."""

import click

from transhume.cli.output import Output


@click.command("validate")
@click.argument("run", required=False)
@click.pass_obj
def command(output: Output, run: str | None) -> int:
    """Check again what readers of the target see of a run: types, keys, references, every value.

    RUN is a run's name; without it, the newest.
    """
    project = output.project()
    checks = [*project.result(run).checks]
    found = project.validate(run)
    rows = [
        [check.name, check.table, "passed" if check.passed else "FAILED", check.count, check.detail or check.covered]
        for check in found
    ]
    output.table("what the target shows now", ["check", "table", "verdict", "wrong rows", "detail"], rows)
    failed = [check for check in found if not check.passed]
    for check in failed:
        if check.sample_keys:
            output.result(f"{check.name} on {check.table}, for example: {', '.join(check.sample_keys)}")
    output.result(f"{len(found) - len(failed)} checks passed, {len(failed)} failed")
    output.emit({"before_publishing": checks, "published": [check.to_dict() for check in found]})
    return 1 if failed else 0
