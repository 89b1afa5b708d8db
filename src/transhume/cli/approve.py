"""`transhume approve`: sign the plan and the state that it was looked at in."""

import click

from transhume.cli.output import Output
from transhume.plan.approval import FILE_NAME


@click.command("approve")
@click.option("--by", required=True, metavar="NAME", help="Who signs.")
@click.option("--role", default="", metavar="ROLE", help="In which role: data owner, platform, security ...")
@click.pass_obj
def command(output: Output, by: str, role: str) -> int:
    """Sign plan, schemas of both systems and row counts, as they are now, into transhume.lock.

    The plan must pass `check`. Commit the file: a run in a protected environment needs it. Several people may sign;
    their signatures stay until something differs from what they signed.
    """
    from transhume.cli.progress import Progress

    with Progress(output) as progress:
        approved = output.project().approve(by, role=role, listener=progress)
    names = ", ".join(signature.by for signature in approved.signatures)
    rows = sum(approved.row_counts.values())
    output.result(f"approved by {names}: plan {approved.plan_hash[:12]}, {rows:,} source rows; commit '{FILE_NAME}'")
    output.emit(
        {
            "plan_hash": approved.plan_hash,
            "tool_version": approved.tool_version,
            "source": approved.source,
            "target": approved.target,
            "row_counts": dict(approved.row_counts),
            "signatures": [{"by": s.by, "role": s.role, "at": s.at} for s in approved.signatures],
        }
    )
    return 0
