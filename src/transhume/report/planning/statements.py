"""Statements that a person can run by hand to look at what a check looks at. Names are quoted, values are literals.

They stand in documents; transhume's own checks are made elsewhere and look at more.
"""

from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import exp


def row_count(table: str) -> str:
    """Return the statement that counts a table's rows."""
    return _count().from_(_table(table)).sql()


def nulls(table: str, columns: Iterable[str]) -> str:
    """Return the statement that counts rows in which one of these columns is NULL."""
    missing = [exp.Is(this=_column(name), expression=exp.null()) for name in columns]
    return _count().from_(_table(table)).where(exp.or_(*missing)).sql()


def repeated(table: str, columns: Iterable[str]) -> str:
    """Return the statement that lists keys that stand more than once."""
    key = [_column(name) for name in columns]
    total = exp.Count(this=exp.Star())
    wanted = exp.GT(this=total.copy(), expression=exp.Literal.number(1))
    return exp.select(*key, total).from_(_table(table)).group_by(*[each.copy() for each in key]).having(wanted).sql()


def spellings(table: str, column: str) -> str:
    """Return the statement that lists the values of a column with their number of rows."""
    total = exp.Count(this=exp.Star())
    return exp.select(_column(column), total).from_(_table(table)).group_by(_column(column)).sql()


def dangling(child: str, parent: str, pairs: Mapping[str, str]) -> str:
    """Return the statement that counts rows whose reference finds no row; `pairs` is child column to parent column."""
    equal = [exp.EQ(this=_column(mine, "c"), expression=_column(theirs, "p")) for mine, theirs in pairs.items()]
    given = [exp.Is(this=_column(name, "c"), expression=exp.null()).not_() for name in pairs]
    missing = [exp.Is(this=_column(name, "p"), expression=exp.null()) for name in pairs.values()]
    return (
        _count()
        .from_(_table(child, "c"))
        .join(_table(parent, "p"), on=exp.and_(*equal), join_type="left")
        .where(exp.and_(*given, *missing[:1]))
        .sql()
    )


def outside(table: str, column: str, allowed: Iterable[str]) -> str:
    """Return the statement that counts values which are none of these."""
    texts = [exp.Literal.string(text) for text in allowed]
    unknown = exp.In(this=_column(column), expressions=texts).not_()
    return _count().from_(_table(table)).where(unknown).sql()


def breaking(table: str, condition: str) -> str:
    """Return the statement that counts rows for which a portable condition is false; '' where it cannot be read."""
    try:
        read = sqlglot.parse_one(condition)
    except sqlglot.errors.SqlglotError:
        return ""
    return _count().from_(_table(table)).where(exp.not_(read)).sql()


def by_key(table: str, column: str) -> str:
    """Return the statement that a reader of the target would use to find one row."""
    wanted = exp.EQ(this=_column(column), expression=exp.Placeholder())
    return exp.select(exp.Star()).from_(_table(table)).where(wanted).sql()


def _count() -> exp.Select:
    return exp.select(exp.Count(this=exp.Star()))


def _table(name: str, alias: str = "") -> exp.Table:
    table = exp.Table(this=exp.to_identifier(name, quoted=True))
    if alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return table


def _column(name: str, table: str = "") -> exp.Column:
    return exp.Column(this=exp.to_identifier(name, quoted=True), table=exp.to_identifier(table) if table else None)
