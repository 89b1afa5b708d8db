"""Where the rows of a check stand: Parquet files of a run, or a table of a database. No check stands here."""

from collections.abc import Sequence

from sqlglot import exp

from transhume.operations import ParquetFiles

Rows = Sequence[str] | exp.Table | exp.Query
"""Paths of Parquet files, a table by its name, or what a query gives."""


def rows_of(rows: Rows, alias: str = "") -> exp.Table | exp.Subquery:
    """Return the rows as a SELECT reads them, under an alias if one is given."""
    if isinstance(rows, exp.Query):
        return rows.subquery(alias and exp.to_identifier(alias, quoted=True))
    if isinstance(rows, exp.Table):
        table = rows.copy()
    else:
        table = exp.Table(this=ParquetFiles(expressions=[exp.Literal.string(path) for path in rows]))
    if alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return table


def table_named(name: str, schema: str = "") -> exp.Table:
    """Return a table of a database by its name, in a schema if one is given."""
    place = exp.to_identifier(schema, quoted=True) if schema else None
    return exp.Table(this=exp.to_identifier(name, quoted=True), db=place)
