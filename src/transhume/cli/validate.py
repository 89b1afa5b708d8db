"""`transhume validate`: check again what the target shows of a published run."""

from typing import TYPE_CHECKING

import click

from transhume.cli.output import Output

if TYPE_CHECKING:
    from transhume.project import ValidationResult


@click.command("validate")
@click.argument("run", required=False)
@click.option("--after", is_flag=True, help="Check the target after a run (the default).")
@click.option("--sample", type=click.IntRange(min=0), default=10, show_default=True, help="Rows a table by chance.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which rows chance takes.")
@click.option("--all", "whole", is_flag=True, help="Recompute every row, with all processors.")
@click.pass_obj
def command(output: Output, run: str | None, after: bool, sample: int, seed: int, whole: bool) -> int:
    """Check again what readers of the target see of a run: counts, types, keys, references, rules, every value.

    RUN is a run's name; without it, the newest. Beside every value's comparison with what was staged, an oracle
    recomputes rows from the extract: so many by chance, at least one for every way that a row can go, or all.
    """
    from transhume.cli.progress import Progress

    del after
    project = output.project()
    before = [*project.result(run).checks]
    with Progress(output) as progress:
        found = project.validate(run, sample=sample, seed=seed, whole=whole, listener=progress)
    _print(output, found)
    output.emit({"before_publishing": before, **found.to_dict()})
    return 1 if found.failed else 0


def _print(output: Output, found: "ValidationResult") -> None:
    rows = [
        [
            check.name,
            check.table,
            verdict(check.severity, passed=check.passed),
            check.count,
            check.detail or check.covered,
        ]
        for check in found.checks
    ]
    output.table("what the target shows now", ["check", "table", "verdict", "wrong rows", "detail"], rows)
    for check in found.checks:
        if not check.passed and check.sample_keys:
            output.result(f"{check.name} on {check.table}, for example: {', '.join(check.sample_keys)}")
    values = sum(proof.values for proof in found.proofs.values())
    recomputed = sum(proof.rows for proof in found.proofs.values())
    total = sum(proof.total for proof in found.proofs.values())
    differences = sum(proof.difference_count for proof in found.proofs.values())
    output.result(
        f"the oracle recomputed {recomputed:,} of {total:,} rows and compared {values:,} values: "
        f"{differences:,} differences"
    )
    passed, failed = sum(check.passed for check in found.checks), len(found.failed)
    output.result(
        f"{passed} checks passed, {failed} failed, {len(found.checks) - passed - failed} to look at",
        style="red" if found.failed else "green",
    )


def verdict(severity: str, *, passed: bool) -> str:
    """Return one word for what a check says."""
    return "passed" if passed else {"error": "FAILED", "warning": "warning"}.get(severity, "note")
