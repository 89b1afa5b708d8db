"""References: which ones a plan makes, and the SELECT of rows whose reference finds no row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks.rows import Rows, rows_of
from transhume.plan.model import Plan
from transhume.plan.types import uuid_column
from transhume.schema import ROW


@dataclass(frozen=True, slots=True)
class Reference:
    """Target columns of mapping `child` that point to the columns `keys` of mapping `parent`'s target table."""

    child: str
    columns: tuple[str, ...]
    parent: str
    keys: tuple[str, ...]


def references(plan: Plan, tables: Mapping[str, TargetTable]) -> Iterator[Reference]:
    """Yield every reference that the plan's rules make or that the target's tables declare, each once.

    A lake declares none, so the rules count as much as the tables.
    """
    seen = set()
    for name, table in tables.items():
        mapping = plan.tables[name]
        found = []
        for column, rule in mapping.columns.items():
            for need in rule.needs() if rule.verb == "ref" else ():
                key = uuid_column(plan.tables[need.subject]) if need.kind == "parents" else None
                if key is not None:
                    found.append(Reference(name, (column,), need.subject, (key,)))
        for declared in table.table.foreign_keys:
            parent = next((each.mapping for each in tables.values() if each.table.name == declared.table), None)
            if parent is not None:
                found.append(Reference(name, declared.columns, parent, declared.target_columns))
        for reference in found:
            if reference not in seen:
                seen.add(reference)
                yield reference


def orphans(children: Rows, columns: Sequence[str], parents: Rows, keys: Sequence[str]) -> exp.Select:
    """Return the SELECT of `columns` of each row of `children` whose values no row of `parents` has as `keys`.

    A reference with a NULL part refers to nothing and is not wrong (SQL's MATCH SIMPLE).
    """
    conditions = [
        exp.EQ(this=exp.column(key, "p", quoted=True), expression=exp.column(column, "c", quoted=True))
        for column, key in zip(columns, keys, strict=True)
    ]
    present = [exp.column(column, "c", quoted=True).is_(exp.null()).not_() for column in columns]
    values = [exp.column(column, "c", quoted=True) for column in columns]
    found = exp.select("1").from_(rows_of(parents, "p")).where(exp.and_(*conditions))
    return exp.select(*values).from_(rows_of(children, "c")).where(exp.and_(*present, exp.Exists(this=found).not_()))


def chosen_parents(
    children: Sequence[str], columns: Sequence[str], parents: Sequence[str], keys: Sequence[str], chosen: str
) -> exp.Select:
    """Return the SELECT of `_row` of each row in files `parents` that a chosen row of files `children` refers to.

    `chosen` is a file with the `_row` of the chosen children; parents and children have a column `_row` too.
    """
    here = exp.EQ(this=exp.column(ROW, "n", quoted=True), expression=exp.column(ROW, "c", quoted=True))
    same = [
        exp.EQ(this=exp.column(key, "p", quoted=True), expression=exp.column(column, "c", quoted=True))
        for column, key in zip(columns, keys, strict=True)
    ]
    rows = exp.select(exp.column(ROW, "p", quoted=True)).distinct().from_(rows_of(parents, "p"))
    return rows.join(rows_of(children, "c"), on=exp.and_(*same)).join(rows_of([chosen], "n"), on=here)
