"""`transhume profile`: what the rows of a system are like."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transhume.cli.output import Output
from transhume.words import counted

if TYPE_CHECKING:
    from transhume.facts import Profile, TableProfile


@click.command("profile")
@click.argument("tables", nargs=-1)
@click.option("--side", type=click.Choice(["source", "target"]), default="source", help="Which side of the plan.")
@click.option("--url", help="Another system than the plan's; no project is needed then.")
@click.option("--rows-max", default=2_000_000, show_default=True, metavar="N", help="Sample tables of more rows.")
@click.option("--show-values", is_flag=True, help="Show values of columns that look personal or secret.")
@click.pass_obj
def command(
    output: Output, tables: tuple[str, ...], side: str, url: str | None, rows_max: int, show_values: bool
) -> int:
    """Say of each column: NULLs, different values, range, patterns, most frequent values, zero dates, likely secrets.

    Then keys, duplicates, references and orphans. TABLES are names or patterns such as 'dim_*'; without any, all.
    Every row is read; a table of more than N rows is sampled evenly, and the report says so.
    """
    from transhume.cli.progress import Progress
    from transhume.project.profiling import profile_url
    from transhume.stages.profile import ProfileBounds

    if rows_max < 1:
        message = "--rows-max is at least 1"
        raise click.UsageError(message)
    bounds = ProfileBounds(rows_max=rows_max)
    with Progress(output) as progress:
        if url is not None:
            profile = profile_url(url, Path.cwd(), tables=tables, bounds=bounds, listener=progress)
        else:
            profile = output.project().profile(tables, side=side, bounds=bounds, listener=progress)
    for table in profile.tables.values():
        _print_table(output, table, show_values=show_values)
    output.emit(profile_dict(profile, show_values=show_values))
    return 0


def profile_dict(profile: "Profile", *, show_values: bool) -> dict[str, Any]:
    """Return a profile as JSON values; values of columns that look personal are masked unless they are asked for."""
    from dataclasses import asdict

    from transhume.report.profile_rows import shown_values

    result = asdict(profile)
    for name, table in profile.tables.items():
        shown = result["tables"][name]
        shown["sampled"] = table.sampled
        shown["columns"] = {
            each.name: {**asdict(each), **shown_values(each, show_values=show_values)}
            for each in table.columns.values()
        }
    return result


def _print_table(output: Output, table: "TableProfile", *, show_values: bool) -> None:
    from transhume.report.profile_rows import HEAD, profile_row

    every = -(-table.row_count // max(1, table.rows_read))
    read = f", {table.rows_read:,} of them looked at (every one in {every})" if table.sampled else ""
    title = f"{table.table}: {counted(table.row_count, 'row')}{read}"
    if table.unread:
        output.result(f"{table.table}: not read: {table.unread}")
        return
    output.table(title, HEAD, [profile_row(column, show_values=show_values) for column in table.columns.values()])
    if table.keys:
        output.result(f"  keys by their values: {'; '.join(', '.join(key) for key in table.keys)}")
    if table.duplicates:
        output.result(f"  {table.duplicates:,} rows repeat the declared key {', '.join(table.key)}", "yellow")
    for each in table.references:
        kind = "refers" if each.declared else "seems to refer"
        text = f"  {', '.join(each.columns)} {kind} to {each.table}.{', '.join(each.key_columns)}: "
        output.result(
            f"{text}{counted(each.orphans, 'orphan')} in {counted(each.rows, 'row')}", "yellow" if each.orphans else ""
        )
