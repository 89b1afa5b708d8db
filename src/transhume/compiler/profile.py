"""The SELECTs of a profile: one pass of aggregates over a table, values by frequency, keys, references.

They read an extract and know no plan. Result columns are numbered by the column's place: `n0` present values,
`d0` distinct ones (estimated), `a0` and `z0` smallest and largest, `s0` and `l0` shortest and longest,
`o0` zero dates, `b0` texts that are no date.
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from transhume import operations as op
from transhume.compiler.layers import select_from
from transhume.compiler.scans import carried, extract_columns, scan
from transhume.facts import ExtractedTable
from transhume.rules.trees import case, every, is_null, is_present, negated
from transhume.schema import Carrier, Column, Kind, physical_names

COLUMNS_MAX = 60
"""Columns of one SELECT; wider tables take several."""
_ORDERED = frozenset(Kind) - {Kind.BYTES, Kind.LIST, Kind.JSON, Kind.UUID}
_DATES = {
    Kind.DATE: (op.ParseDate,),
    Kind.TIMESTAMP: (op.ParseTimestamp, op.ParseDate),
    Kind.TIMESTAMPTZ: (op.ParseInstant, op.ParseTimestamp),
}


def profiled_columns(extracted: ExtractedTable) -> list[Column]:
    """Return the columns that a profile can look at: those that the extract carries and that can be compared."""
    return [c for c in extracted.table.columns if c.type is not None and c.type.kind is not Kind.LIST]


def compile_measures(extracted: ExtractedTable, columns: Sequence[Column]) -> exp.Select:
    """Return one row: what is counted and measured of these columns, in one pass."""
    values = _values(extracted)
    measures: dict[str, exp.Expression] = {"rows": exp.Count(this=exp.Star())}
    for place, column in enumerate(columns):
        measures |= _measures(place, column, values[column.name])
    return select_from(_rows(extracted), measures)


def compile_frequencies(extracted: ExtractedTable, column: Column) -> exp.Select:
    """Return each value of a column (`value`) and its number of rows (`count`); NULL left out."""
    value = _values(extracted)[column.name]
    query = select_from(_rows(extracted), {"value": value, "count": exp.Count(this=exp.Star())})
    return query.where(is_present(value), copy=False).group_by(value.copy(), copy=False)


def compile_distinct_rows(extracted: ExtractedTable, columns: Sequence[str]) -> exp.Select:
    """Return one row: how many different combinations (`count`) these columns have in rows where none is NULL."""
    values = _values(extracted)
    parts = [values[name] for name in columns]
    distinct = _distinct(extracted, parts)
    return select_from(distinct, {"count": exp.Count(this=exp.Star())}, "found")


def compile_orphans(
    child: ExtractedTable, columns: Sequence[str], parent: ExtractedTable, key_columns: Sequence[str]
) -> exp.Select:
    """Return one row: `rows` of the child that have a value in all columns, and `orphans` of them without a parent."""
    own, keys = _values(child), _values(parent)
    given = {f"k{place}": own[name] for place, name in enumerate(columns)}
    left = select_from(_rows(child), given).where(every(map(is_present, given.values())), copy=False)
    right = _distinct(parent, [keys[name] for name in key_columns])
    on = every(exp.EQ(this=_column(name, "c"), expression=_column(name, "p")) for name in given)
    found = {"rows": exp.Count(this=exp.Star()), "orphans": _count_where(is_null(_column("k0", "p")))}
    return select_from(left, found, "c").join(right.subquery("p", copy=False), on=on, join_type="left", copy=False)


def _distinct(extracted: ExtractedTable, parts: Sequence[exp.Expression]) -> exp.Select:
    """Return the different combinations `k0`, `k1` .. of these values in rows where none is NULL."""
    query = select_from(_rows(extracted), {f"k{place}": part for place, part in enumerate(parts)})
    query = query.where(every(map(is_present, parts)), copy=False)
    return query.group_by(*[part.copy() for part in parts], copy=False)


def _measures(place: int, column: Column, value: exp.Expression) -> dict[str, exp.Expression]:
    assert column.type is not None
    kind = column.type.kind
    is_text = column.carrier is Carrier.TEXT or kind in {Kind.TEXT, Kind.JSON}
    found: dict[str, exp.Expression] = {f"n{place}": exp.Count(this=value.copy())}
    found[f"d{place}"] = op.ApproximateDistinct(this=value.copy(), kind=exp.Literal.string(kind.value))
    ordered = op.ParseDouble(this=value.copy()) if is_text and kind is Kind.DECIMAL else value
    if kind in _ORDERED:
        found |= {f"a{place}": exp.Min(this=ordered.copy()), f"z{place}": exp.Max(this=ordered.copy())}
    if is_text:
        length = op.CodePoints(this=value.copy())
        found |= {f"s{place}": exp.Min(this=length), f"l{place}": exp.Max(this=length.copy())}
    if column.carrier is Carrier.TEXT and kind in _DATES:
        zero = op.IsZeroDate(this=value.copy())
        parsed = [is_null(parse(this=value.copy())) for parse in _DATES[kind]]
        bad = every([is_present(value), negated(zero), *parsed])
        found |= {f"o{place}": _count_where(zero.copy()), f"b{place}": _count_where(bad)}
    return found


def _count_where(condition: exp.Expression) -> exp.Expression:
    return exp.Count(this=case([(condition, exp.true())], exp.Null()))


def _rows(extracted: ExtractedTable) -> exp.Expression:
    return scan(extracted.paths, extract_columns(extracted.table))


def _values(extracted: ExtractedTable) -> Mapping[str, exp.Expression]:
    names = physical_names(column.name for column in extracted.table.columns)
    found: dict[str, exp.Expression] = {}
    for column in extracted.table.columns:
        value: exp.Expression = _column(names[column.name])
        if column.type is not None and column.carrier is Carrier.NATIVE and carried(column.type) != column.type:
            value = op.UuidText(this=op.UuidFromBytes(this=value))
        found[column.name] = value
    return found


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.column(name, table=table, quoted=True)
