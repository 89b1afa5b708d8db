"""`transhume validate`: the state of the source before a run, and what the target shows after one."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from transhume.cli.capacity import uses_capacity
from transhume.cli.output import Output, finding_dict

if TYPE_CHECKING:
    from transhume.project import SourceReport, ValidationResult


@click.command("validate")
@click.argument("run", required=False)
@click.option("--before", is_flag=True, help="Look at the source before a run.")
@click.option("--after", is_flag=True, help="Check the target after a run (the default).")
@click.option("--sample", type=click.IntRange(min=0), default=10, show_default=True, help="Rows a table by chance.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which rows chance takes.")
@click.option("--all", "whole", is_flag=True, help="Recompute every row, with all processors.")
@click.option("--show-values", is_flag=True, help="Show values that look personal in the worksheet.")
@uses_capacity
@click.pass_obj
def command(
    output: Output,
    run: str | None,
    *,
    before: bool,
    after: bool,
    sample: int,
    seed: int,
    whole: bool,
    show_values: bool,
    jobs: int | None,
    memory_bytes: int | None,
) -> int:
    """Look at the source before a run (--before), or check again what readers of the target see of one.

    RUN is a run's name; without it, the newest. Counts, types, keys, references, rules and every value
    are checked. Beside the comparison with what was staged, an oracle
    recomputes rows from the extract: so many by chance, at least one for every way that a row can go, or all.
    """
    from transhume.cli.progress import Progress

    if before and (after or run):
        message = "--before looks at the source, --after at a run; name one of them"
        raise click.UsageError(message)
    project = output.project(jobs, memory_bytes)
    if before:
        with Progress(output) as progress:
            return _print_source(output, project.validate_source(listener=progress))
    earlier = [*project.result(run).checks]
    with Progress(output) as progress:
        found = project.validate(
            run,
            sample=sample,
            seed=seed,
            whole=whole,
            worksheets=project.folder / "out",
            show_values=show_values,
            listener=progress,
        )
    print_validation(output, found)
    output.emit({"before_publishing": earlier, **found.to_dict()})
    return 1 if found.failed else 0


def _print_source(output: Output, report: "SourceReport") -> int:
    output.findings(report.findings)
    counts = Counter(finding.severity for finding in report.findings)
    output.result(
        f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes on the source",
        style="red" if report.errors else "green",
    )
    found = [finding_dict(finding) for finding in report.findings]
    output.emit({"findings": found, "reasons": {name: dict(each) for name, each in report.reasons.items()}})
    return 1 if report.errors else 0


def print_validation(output: Output, found: "ValidationResult") -> None:
    """Print every check, what the oracle covered, and the verdict."""
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
    covered, rules = [verb for verb, count in found.rules.items() if count], found.rules
    of_rules = f"all {len(rules)} rules" if len(covered) == len(rules) else f"{len(covered)} of the {len(rules)} rules"
    output.result(
        f"the oracle recomputed {recomputed:,} of {total:,} rows by {of_rules} of the plan and compared {values:,} "
        f"values: {differences:,} differences"
    )
    if len(covered) < len(rules):
        output.result(f"no value was compared of: {', '.join(sorted(rules.keys() - set(covered)))}")
    for path in found.worksheets:
        output.result(f"the sample side by side: {path}")
    passed, failed = sum(check.passed for check in found.checks), len(found.failed)
    output.result(
        f"{passed} checks passed, {failed} failed, {len(found.checks) - passed - failed} to look at",
        style="red" if found.failed else "green",
    )


def verdict(severity: str, *, passed: bool) -> str:
    """Return one word for what a check says."""
    return "passed" if passed else {"error": "FAILED", "warning": "warning"}.get(severity, "note")
