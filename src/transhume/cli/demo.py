"""`transhume demo`: the example migration, made and taken through its whole life."""

from contextlib import nullcontext
from pathlib import Path

import click

from transhume.cli.output import Output
from transhume.cli.progress import Progress
from transhume.cli.results import print_run


@click.command("demo")
@click.argument("folder", default="demo", metavar="[DIR]")
@click.option("--target", type=click.Choice(["lake", "postgres"]), default="lake", help="Where the tables go.")
@click.option("--url", help="URL of the target; without it a lake in DIR, or an embedded PostgreSQL.")
@click.option("--rows", "models", default=2000, show_default=True, metavar="N", help="Models in the legacy database.")
@click.pass_obj
def command(output: Output, folder: str, target: str, url: str | None, models: int) -> int:
    """Make the example's legacy database with planted defects and an empty target in DIR, then migrate it.

    Every count is held against the answer key, which was made by planting, not by migrating.
    """
    from transhume import demonstration
    from transhume.project import Project

    place = Path(folder)
    server = demonstration.embedded_postgres(place) if target == "postgres" and not url else nullcontext(url)
    if place.exists() and not (place / "legacy.db").exists() and any(place.iterdir()):
        message = f"'{place}' holds something else; name an empty folder or a new one"
        raise click.UsageError(message)
    place.mkdir(parents=True, exist_ok=True)
    with server as target_url:
        output.line(f"making the legacy database with {models:,} models in '{place}'")
        key = demonstration.make_demo(place, models, target_url or demonstration.LAKE_URL)
        with Progress(output) as progress:
            report = Project(place).check(listener=progress)
            warned = sum(finding.count or 0 for finding in report.findings)
            output.line(f"check: {len(report.errors)} errors; {warned:,} reasons to reject a row are predicted")
            first, second, comparisons = demonstration.take_through_life(place, key, progress)
        print_run(output, first)
        validation = Project(place).validate(first.run)
        checks = validation.checks
    wrong = [each for each in comparisons if not each.agrees]
    rows = [
        [each.table, each.what, each.expected, each.found, "" if each.agrees else "DIFFERS"] for each in comparisons
    ]
    output.table("against the answer key", ["table", "what", "planted", "found", ""], rows)
    failed = validation.failed
    output.result(
        f"{len(comparisons) - len(wrong)} of {len(comparisons)} numbers equal the answer key; "
        f"{len(checks) - len(failed)} of {len(checks)} checks of the published target passed",
        style="red" if wrong or failed else "green",
    )
    output.result(f"the project is in '{place}': look at transhume.yaml, then 'transhume -p {place} preview ml_models'")
    output.emit(
        {
            "folder": str(place),
            "run": first.to_dict(),
            "second_run": second.to_dict(),
            "comparisons": [[each.table, each.what, each.expected, each.found] for each in comparisons],
            "checks": [check.to_dict() for check in checks],
            "differences": len(wrong),
        }
    )
    return 1 if wrong or failed else 0
