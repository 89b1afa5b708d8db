"""Keys: the SELECT of keys that stand more than once."""

from collections.abc import Sequence

from sqlglot import exp

from transhume.operations import ParquetFiles


def duplicate_keys(paths: Sequence[str], key: Sequence[str]) -> exp.Select:
    """Return the SELECT of the keys that more than one row of some Parquet files has."""
    columns = [exp.column(name, quoted=True) for name in key]
    count = exp.Count(this=exp.Star())
    return (
        exp.select(*[column.copy() for column in columns])
        .from_(ParquetFiles(expressions=[exp.Literal.string(path) for path in paths]))
        .group_by(*[column.copy() for column in columns])
        .having(exp.GT(this=count.copy(), expression=exp.Literal.number(1)))
    )
