"""Rows of the target by whose they are: this run's, missing, other people's, others that claim a source key."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from transhume.checks.rows import rows_of


def missing_rows(own: Sequence[str], present: str, key: Mapping[str, str]) -> exp.Select:
    """Return the SELECT of the keys that a run loaded and the target does not show.

    `key` gives for each key column of the files `own` the column of the file `present`.
    """
    columns = [exp.column(name, "o", quoted=True) for name in key]
    return exp.select(*columns).from_(rows_of(own, "o")).where(_has_none("o", [present], key))


def other_rows(own: Sequence[str], present: str, key: Mapping[str, str]) -> exp.Select:
    """Return the SELECT of the keys that the target shows and none of the runs behind `own` loaded."""
    columns = [exp.alias_(exp.column(there, "p", quoted=True), there, quoted=True) for there in key.values()]
    reverse = {there: here for here, there in key.items()}
    return exp.select(*columns).from_(rows_of([present], "p")).where(_has_none("p", own, reverse))


def claiming_rows(
    own: Sequence[str],
    present: str,
    key: Mapping[str, str],
    fates: Sequence[str],
    source_key: Sequence[str],
    buckets: Sequence[str],
    bucket: str,
) -> exp.Select:
    """Return the SELECT of other rows whose columns `source_key` hold a source key that this run decided about."""
    same = [
        exp.EQ(
            this=_text(exp.column(name, "p", quoted=True)), expression=_text(exp.column(f"_k{place}", "f", quoted=True))
        )
        for place, name in enumerate(source_key)
    ]
    decided = exp.In(
        this=exp.column(bucket, "f", quoted=True), expressions=[exp.Literal.string(name) for name in buckets]
    )
    known = exp.select("1").from_(rows_of(fates, "f")).where(exp.and_(*same, decided))
    return other_rows(own, present, key).where(exp.Exists(this=known))


def _has_none(alias: str, paths: Sequence[str], key: Mapping[str, str]) -> exp.Expression:
    """Return the condition that no row of other files has the key of a row; `key`: own column to column there."""
    same = [
        exp.EQ(this=exp.column(own, alias, quoted=True), expression=exp.column(there, "x", quoted=True))
        for own, there in key.items()
    ]
    found = exp.select("1").from_(rows_of(paths, "x")).where(exp.and_(*same))
    return exp.Exists(this=found).not_()


def _text(value: exp.Expression) -> exp.Expression:
    return exp.cast(value, "VARCHAR")
