"""The accounting by row: every row of the extract has exactly one fate, and no fate is without a row."""

from collections.abc import Sequence

from sqlglot import exp

from transhume.compiler.layers import select_from
from transhume.compiler.scans import scan
from transhume.facts import Facts
from transhume.plan.model import TableMapping
from transhume.rules.trees import some
from transhume.schema import BIGINT, ROW


def compile_accounting(mapping: TableMapping, facts: Facts, fates_paths: Sequence[str]) -> exp.Select:
    """Return the SELECT of one number, `row_count`: rows that are not exactly once in the extract and in the fates."""
    return select_from(_unbalanced(mapping, facts, fates_paths), {"row_count": exp.Count(this=exp.Star())}, "rows")


def compile_unaccounted(mapping: TableMapping, facts: Facts, fates_paths: Sequence[str]) -> exp.Select:
    """Return the SELECT of those rows: `_row`, `extract_count` and `fate_count`, of which one is not 1."""
    return _unbalanced(mapping, facts, fates_paths)


def _unbalanced(mapping: TableMapping, facts: Facts, fates_paths: Sequence[str]) -> exp.Select:
    row = exp.column(ROW, quoted=True)
    one, none = exp.Literal.number(1), exp.cast(exp.Null(), "INT")
    extract = select_from(
        scan(facts.extracts[mapping.from_].paths, {ROW: BIGINT}), {ROW: row, "in_extract": one, "in_fates": none}
    )
    fates = select_from(scan(fates_paths, {ROW: BIGINT}), {ROW: row, "in_extract": none, "in_fates": one})
    counts = {
        name: exp.Count(this=exp.column(column, quoted=True))
        for name, column in (("extract_count", "in_extract"), ("fate_count", "in_fates"))
    }
    wrong = some(exp.NEQ(this=count.copy(), expression=one.copy()) for count in counts.values())
    both = exp.union(extract, fates, distinct=False, copy=False)
    return select_from(both, {ROW: row, **counts}, "sides").group_by(row.copy(), copy=False).having(wrong, copy=False)
