"""`transhume draft`: a plan proposed from two systems."""

from pathlib import Path

import click

from transhume.cli.output import Output


@click.command("draft")
@click.option("--source", "source_url", help="URL of the source; without it, the plan's.")
@click.option("--target", "target_url", help="URL of the target; without it, the plan's.")
@click.option("--format", "form", type=click.Choice(["yaml", "tsv"]), default="yaml", help="A plan, or all candidates.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write to a new file, not to the screen.")
@click.option("--names-only", is_flag=True, help="Look at tables and columns, read no row.")
@click.option("--refresh", "is_refresh", is_flag=True, help="Add to the plan what is new; change nothing in it.")
@click.pass_obj
def command(
    output: Output,
    source_url: str | None,
    target_url: str | None,
    form: str,
    out: str | None,
    names_only: bool,
    is_refresh: bool,
) -> int:
    """Propose tables, columns and rules, each with a score, a reason and what else it could be.

    What no machine can know stays TBD, and 'transhume check' lists it. Nothing that a person wrote is changed.
    """
    import os
    from dataclasses import replace

    from transhume.cli.progress import Progress
    from transhume.plan.load import FILE_NAME, find_project, plan_urls
    from transhume.project.drafting import draft
    from transhume.project.scaffolding import refresh

    if out is not None and Path(out).exists():
        message = f"'{out}' exists and is not overwritten"
        raise click.UsageError(message)
    if bool(source_url) != bool(target_url) or (is_refresh and (source_url or out or form == "tsv")):
        message = "--source and --target go together; --refresh takes both from the plan and writes the plan alone"
        raise click.UsageError(message)
    folder = Path.cwd() if source_url else find_project(output.folder)
    urls = (source_url or "", target_url or "")
    if not source_url:
        found = plan_urls(folder / FILE_NAME, os.environ)
        urls = (found[0].reveal(), found[1].reveal())
    # The plan goes to stdout; what is told on the way goes to stderr.
    with Progress(replace(output, as_json=True)) as progress:
        made = draft(*urls, folder, values=not names_only, listener=progress)
    if is_refresh:
        added, refused = refresh(folder, made)
        for each in added:
            output.result(f"added: {each}")
        for each in refused:
            output.result(f"not added: {each}", "yellow")
        output.result("nothing is new" if not added else "next: 'transhume check'")
        output.emit({"added": added, "not_added": refused})
        return 0
    text = (
        made.tsv()
        if form == "tsv"
        else made.plan(folder.name or "plan", source="${SOURCE_URL}", target="${TARGET_URL}")
    )
    if out is not None:
        Path(out).write_text(text, encoding="utf-8")
        output.result(f"written: {out}")
    elif not output.as_json:
        click.echo(text, nl=False)
    output.emit({"draft": text, "tables": len(made.tables)})
    return 0
