"""The relation of a mapping's `dedupe`: the rows that do not stand for their group, by their position.

Columns: `_row`; `lost`, TRUE for a row that a better one of the same `by` columns stands for, FALSE for one of several
rows that win equally. Every other row of the mapping is not in it: winners, rows alone, rows that `where` leaves out or
cannot read, rows with a NULL or an unreadable value in `by`.

The winner: of the rows of a group those whose `first` column holds the earliest of its values (another value comes
after all of them); of these the one with the greatest `latest` (NULL is the least). Rows win equally where several are
left, or where the `latest` of one among several cannot be read.
"""

from sqlglot import exp

from transhume.compiler.conditions import condition
from transhume.compiler.layers import select_from
from transhume.compiler.reasons import none_of
from transhume.compiler.scope import MappingScope
from transhume.facts import Facts
from transhume.plan.model import Dedupe, Plan, TableMapping
from transhume.rules.rule import ColumnRef
from transhume.rules.trees import every, is_null, is_present, is_true, negated, some
from transhume.schema import BIGINT, BOOLEAN, ROW, LogicalType

LOST = "lost"
_FIRST, _BAD, _LATEST = "_k_first", "_k_bad", "_k_latest"
_TOP, _SIZE, _BADS, _PEAK, _PEERS = "top", "size", "bads", "peak", "peers"
DEDUPE_COLUMNS: dict[str, LogicalType] = {ROW: BIGINT, LOST: BOOLEAN}


def compile_dedupe(plan: Plan, mapping: TableMapping, facts: Facts) -> exp.Select:
    """Return the SELECT over the mapping's whole extract that gives the relation; see the module."""
    assert mapping.dedupe is not None
    scope = MappingScope(plan, mapping, facts, facts.extracts[mapping.from_].paths)
    parts = [scope.key_value(name) for name in mapping.dedupe.by]
    keys = {f"_k{place}": part.value for place, part in enumerate(parts)}
    usable = [is_present(part.value) for part in parts]
    usable += [none_of(part.reasons) for part in parts if part.reasons]
    if mapping.where is not None:
        passed = condition(mapping.where, lambda name: scope.argument(ColumnRef(name)))
        usable += [is_true(passed.value), none_of(passed.reasons)]
    order = _order(scope, mapping.dedupe)
    rows = scope.layers.select({ROW: scope.row, **keys, **order}, where=every(usable))
    ranked = select_from(rows, {ROW: _column(ROW), **_ranks(list(keys))}, "rows")
    is_top = _column(_FIRST).eq(_column(_TOP))
    is_sure = _column(_BADS).eq(exp.Literal.number(0))
    both_null = every([is_null(_column(_LATEST)), is_null(_column(_PEAK))])
    is_best = some([is_true(_column(_LATEST).eq(_column(_PEAK))), both_null])
    lost = some([negated(is_top), every([is_sure, negated(is_best)])])
    tied = [every([is_sure, is_best, _several(_PEERS)]), every([negated(is_sure), _several(_SIZE)])]
    found = select_from(ranked, {ROW: _column(ROW), LOST: lost}, "ranked")
    return found.where(some([lost.copy(), every([is_top, some(tied)])]), copy=False)


def _order(scope: MappingScope, dedupe: Dedupe) -> dict[str, exp.Expression]:
    order: dict[str, exp.Expression] = {
        _FIRST: exp.Literal.number(0),
        _BAD: exp.false(),
        _LATEST: exp.cast(exp.Null(), "INT"),
    }
    for column, texts in (dedupe.first or {}).items():
        text = scope.bind(scope.as_text(ColumnRef(column)).value)
        ranks = [
            exp.If(this=text.copy().eq(exp.Literal.string(value)), true=exp.Literal.number(rank))
            for rank, value in enumerate(texts)
        ]
        order[_FIRST] = exp.Case(ifs=ranks, default=exp.Literal.number(len(texts)))
    if dedupe.latest is not None:
        latest = scope.argument(ColumnRef(dedupe.latest))
        if latest.reasons:
            order[_BAD] = negated(none_of(latest.reasons))
        order[_LATEST] = latest.value
    return order


def _ranks(keys: list[str]) -> dict[str, exp.Expression]:
    bad = exp.Case(ifs=[exp.If(this=_column(_BAD), true=exp.Literal.number(1))])
    return {
        _FIRST: _column(_FIRST),
        _LATEST: _column(_LATEST),
        _TOP: _over(exp.Min(this=_column(_FIRST)), keys),
        _SIZE: _over(exp.Count(this=exp.Star()), [*keys, _FIRST]),
        _BADS: _over(exp.Count(this=bad), [*keys, _FIRST]),
        _PEAK: _over(exp.Max(this=_column(_LATEST)), [*keys, _FIRST]),
        _PEERS: _over(exp.Count(this=exp.Star()), [*keys, _FIRST, _LATEST]),
    }


def _over(function: exp.Expression, partition: list[str]) -> exp.Expression:
    return exp.Window(this=function, partition_by=[_column(name) for name in partition])


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _several(name: str) -> exp.Expression:
    return exp.GT(this=_column(name), expression=exp.Literal.number(1))
