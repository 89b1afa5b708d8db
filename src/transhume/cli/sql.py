"""`transhume sql`: the SQL as it will run."""

from pathlib import Path

import click

from transhume.cli.output import Output


@click.command("sql")
@click.argument("table", required=False)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write numbered .sql files into this folder.")
@click.pass_obj
def command(output: Output, table: str | None, folder: Path | None) -> int:
    """Print the SELECTs of a run, for the mapping TABLE or for all, with their purpose on top."""
    found = output.project().sql(table)
    texts = [f"-- {each.mapping}: {each.purpose} ({each.dialect})\n{each.sql};\n" for each in found]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (each, text) in enumerate(zip(found, texts, strict=True), start=1):
            safe = "".join(sign if sign.isalnum() else "_" for sign in each.mapping)
            (folder / f"{number:03d}_{safe}.sql").write_text(text, encoding="utf-8")
        output.result(f"{len(found)} files in '{folder}'")
    elif not output.as_json:
        click.echo("\n".join(texts), nl=False)
    output.emit(
        {
            "statements": [
                {"mapping": e.mapping, "purpose": e.purpose, "dialect": e.dialect, "sql": e.sql} for e in found
            ]
        }
    )
    return 0
