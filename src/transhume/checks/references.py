"""References: the SELECT of rows whose reference finds no row."""

from collections.abc import Sequence

from sqlglot import exp

from transhume.operations import ParquetFiles


def orphans(child: str, columns: Sequence[str], parents: Sequence[str], keys: Sequence[str]) -> exp.Select:
    """Return the SELECT of the values of `columns` in file `child` that no file of `parents` has as `keys`, with `n`.

    A reference with a NULL part refers to nothing and is not wrong (SQL's MATCH SIMPLE).
    """
    conditions = [
        exp.EQ(this=exp.column(key, "p", quoted=True), expression=exp.column(column, "c", quoted=True))
        for column, key in zip(columns, keys, strict=True)
    ]
    present = [exp.column(column, "c", quoted=True).is_(exp.null()).not_() for column in columns]
    values = [exp.column(column, "c", quoted=True) for column in columns]
    parent = exp.alias_(ParquetFiles(expressions=[exp.Literal.string(path) for path in parents]), "p", table=True)
    found = exp.select("1").from_(parent).where(exp.and_(*conditions))
    return (
        exp.select(*values, exp.alias_(exp.Count(this=exp.Star()), "n", quoted=True))
        .from_(exp.alias_(ParquetFiles(expressions=[exp.Literal.string(child)]), "c", table=True))
        .where(exp.and_(*present, exp.Exists(this=found).not_()))
        .group_by(*[value.copy() for value in values])
    )
