"""`transhume preview`: some rows before and after."""

import click

from transhume.cli.output import Output


@click.command("preview")
@click.argument("table")
@click.option(
    "--rows", default=3, show_default=True, metavar="N", help="Loaded rows, and as many rejects of each kind."
)
@click.pass_obj
def command(output: Output, table: str, rows: int) -> int:
    """Show rows of the mapping TABLE before and after, column by column, with the rule that acted.

    First rows that would be loaded, then one for each reason to reject or filter. All source tables are read.
    """
    found = output.project().preview(table, rows)
    for row in found:
        why = f" ({', '.join(row.reasons)})" if row.reasons else ""
        content = [
            [
                field.column,
                field.rule,
                ", ".join(f"{name}={_text(value)}" for name, value in field.before.items()),
                _text(field.after),
            ]
            for field in row.fields
        ]
        output.table(f"row {row.row}: {row.fate}{why}", ["target column", "rule", "before", "after"], content)
    output.emit({"table": table, "rows": [row.to_dict() for row in found]})
    return 0


def _text(value: object) -> str:
    return "NULL" if value is None else str(value)
