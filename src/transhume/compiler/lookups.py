"""What is asked of a lookup that was read from a table: which keys stand in more than one row, and one row of each."""

from sqlglot import exp

from transhume.compiler.layers import select_from, sorted_by
from transhume.compiler.scans import parquet


def compile_repeated_keys(path: str, shown_max: int) -> exp.Select:
    """Return the SELECT of the first repeated keys: `key`, `row_count` each, `key_count` of all repeated ones."""
    key, rows = exp.column("key", quoted=True), exp.column("row_count", quoted=True)
    counted = select_from(parquet([path]), {"key": key, "row_count": exp.Count(this=exp.Star())}, "entries")
    counted = counted.group_by(key.copy(), copy=False)
    several = exp.GT(this=rows.copy(), expression=exp.Literal.number(1))
    everywhere = exp.Window(this=exp.Count(this=exp.Star()))
    repeated = select_from(counted, {"key": key.copy(), "row_count": rows.copy(), "key_count": everywhere}, "keys")
    return sorted_by(repeated.where(several, copy=False), ["key"]).limit(shown_max, copy=False)


def compile_one_entry_a_key(path: str) -> exp.Select:
    """Return the SELECT of `key` and its least `value`, one row a key: to look at the rest of a plan by."""
    key = exp.column("key", quoted=True)
    least = exp.Min(this=exp.column("value", quoted=True))
    entries = select_from(parquet([path]), {"key": key, "value": least}, "entries")
    return entries.group_by(key.copy(), copy=False)
