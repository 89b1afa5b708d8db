"""`transhume sql`: the SQL as it will run, and the scripts that a person runs by hand."""

from pathlib import Path

import click

from transhume.cli.output import Output


@click.command("sql")
@click.argument("table", required=False)
@click.option(
    "--kind",
    type=click.Choice(["run", "validation", "rollback"]),
    default="run",
    help="What a run does, its checks, or its undoing.",
)
@click.option("--dialect", help="Of validation scripts: sqlite, postgres, mysql, duckdb, spark, tsql, oracle, ...")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write numbered .sql files into this folder.")
@click.pass_obj
def command(output: Output, table: str | None, kind: str, dialect: str | None, folder: Path | None) -> int:
    """Print the SELECTs of a run, for the mapping TABLE or for all, with their purpose on top.

    With --kind validation: scripts for the source (before) and the target (after) that a person runs by hand, in
    each side's own dialect or in the one that is asked for. With --kind rollback: the undoing of the newest run, as one
    script for psql, or of a lake for Python with pyiceberg.
    """
    if kind == "rollback":
        if table is not None or dialect is not None:
            message = "the script of a rollback takes a whole run back, in its target's own dialect"
            raise click.UsageError(message)
        return _rollback(output, folder)
    if kind == "validation":
        if table is not None:
            message = "the scripts of a validation are written for all tables together; leave TABLE out"
            raise click.UsageError(message)
        return _validation(output, dialect, folder)
    if dialect is not None:
        message = "a run has one dialect, its engine's; --dialect goes with --kind validation"
        raise click.UsageError(message)
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


def _rollback(output: Output, folder: Path | None) -> int:
    files = output.project().rollback_scripts()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file.path).write_text(file.text, encoding="utf-8", newline="\n")
            output.result(f"written: {folder / file.path}")
    elif not output.as_json:
        click.echo("\n".join(file.text for file in files), nl=False)
    output.emit({"files": [{"path": f.path, "side": f.side, "dialect": f.dialect, "text": f.text} for f in files]})
    return 0


def _validation(output: Output, dialect: str | None, folder: Path | None) -> int:
    files = output.project().scripts(dialect)
    if folder is not None:
        for side in ("source", "target"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            for old in (folder / side).glob("[0-9][0-9][0-9]_*.sql"):
                old.unlink()  # a script of an earlier plan would be run with the others
        for file in files:
            (folder / file.path).write_text(file.text, encoding="utf-8", newline="\n")
        output.result(f"{len(files) - 1} scripts in '{folder}'; README.txt there says what they do not cover")
    elif not output.as_json:
        click.echo("\n".join(file.text for file in files if file.side), nl=False)
    output.emit({"files": [{"path": f.path, "side": f.side, "dialect": f.dialect, "text": f.text} for f in files]})
    return 0
