"""The scripts that look at a target after a run, one SELECT a check. Nothing is read here."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks.business import business_rules, wrong_rows
from transhume.checks.counts import BUCKETS, TableTally
from transhume.checks.keys import duplicate_keys
from transhume.checks.references import orphans, references
from transhume.checks.rows import rows_of
from transhume.checks.script import NO_ROWS, Place, Script, Unsaid
from transhume.checks.table_scripts import target_table_scripts
from transhume.plan.model import Plan
from transhume.rules.copy import Copy
from transhume.rules.rule import ColumnRef
from transhume.rules.trees import every, is_present
from transhume.schema import LogicalType

_PRESENT = ("loaded", "unchanged", "updated", "skipped", "conflict")
"""Buckets whose rows readers of the target see."""


def after_scripts(
    plan: Plan, tables: Mapping[str, TargetTable], place: Place, tallies: Mapping[str, TableTally], identity: str
) -> Iterator[Script | Unsaid]:
    """Yield the scripts for a target, those of one mapping together; `tallies` are those of a finished run, if any.

    `identity` is the target's.
    """
    shared = defaultdict(list)
    for name, target in tables.items():
        shared[target.table.name].append(name)
    for table, names in shared.items():
        yield _counts(table, names, place, tallies)
    for name, target in tables.items():
        yield from _keys(plan, target, place, alone=len(shared[target.table.name]) == 1)
        mapping = plan.tables[name]
        columns = {column.name: column.name for column in target.table.columns}
        for rule in business_rules(plan, mapping, target, columns):
            path = ("tables", name, "columns", rule.column)
            if rule.name.startswith("check:"):
                # Names are told apart within a mapping, whatever a check is about.
                checks = [f"check:{check.name}" for check in mapping.checks]
                path = ("tables", name, "checks", checks.index(rule.name))  # type: ignore[assignment]
            select = wrong_rows(rule, target, columns, place(target.table.name))
            purpose = f"rows of '{target.table.name}' that break a rule: {rule.covered}"
            yield Script("target", rule.name, target.table.name, purpose, f"{NO_ROWS}; NULL passes",
                         rule.severity, path, select, {"p": _types(target)}, rule.column)  # fmt: skip
        yield from target_table_scripts(mapping, target, place, identity)
    for reference in references(plan, tables):
        child, parent = tables[reference.child], tables[reference.parent]
        select = orphans(place(child.table.name), reference.columns, place(parent.table.name), reference.keys)
        key = [exp.column(part, "c", quoted=True) for part in _shown_key(plan, child) if part not in reference.columns]
        select.set("expressions", [*key, *select.expressions])
        shown = ", ".join(reference.columns)
        purpose = (
            f"rows of '{child.table.name}' whose {shown} is no {', '.join(reference.keys)} of '{parent.table.name}'"
        )
        path = ("tables", reference.child, "columns", reference.columns[0])
        yield Script("target", "references", child.table.name, purpose, NO_ROWS, "error", path, select,
                     {"c": _types(child), "p": _types(parent)}, shown)  # fmt: skip


def _counts(table: str, names: list[str], place: Place, tallies: Mapping[str, TableTally]) -> Script:
    known = [tallies[name] for name in names if name in tallies]
    numbers: list[exp.Expr] = [exp.alias_(exp.Count(this=exp.Star()), "found_rows", quoted=True)]
    purpose = f"rows of '{table}'"
    expectation = "the rows that the source's scripts count, less what the plan filters and rejects"
    if len(known) == len(names):
        read = sum(tally.read for tally in known)
        found = {bucket: sum(getattr(tally, bucket) for tally in known) for bucket in BUCKETS}
        present = sum(found[bucket] for bucket in _PRESENT)
        buckets = {bucket: count for bucket, count in found.items() if count and bucket != "loaded"}
        shown = {"expected_rows": present, "source_rows_read": read, "loaded": found["loaded"], **buckets}
        shown["in_no_bucket"] = read - sum(found.values())
        numbers += [exp.alias_(_number(count), name, quoted=True) for name, count in shown.items()]
        purpose += f" against the journal of the run: {read} read = " + " + ".join(
            f"{bucket} {count}" for bucket, count in found.items() if count
        )
        expectation = "found_rows equals expected_rows (rows of other writers come on top); in_no_bucket is 0"
    select = exp.select(*numbers).from_(rows_of(place(table), "p"))
    return Script("target", "row_counts", table, purpose, expectation, "error", ("tables", names[0]), select, {})


def _number(count: int) -> exp.Expression:
    number = exp.Literal.number(abs(count))
    return exp.Neg(this=number) if count < 0 else number


def _keys(plan: Plan, target: TargetTable, place: Place, *, alone: bool) -> Iterator[Script]:
    mapping, types = plan.tables[target.mapping], _types(target)
    found: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    if target.key:
        found.append(("unique_key", target.key, ("tables", mapping.name, "key")))
    copied = _source_key(plan, target)
    if alone and copied and set(copied) != set(target.key):
        found.append(("unique_source_key", copied, ("tables", mapping.name, "columns", copied[0])))
    for name, key, path in found:
        select = duplicate_keys(place(target.table.name), key)
        select = select.where(every([is_present(exp.column(part, quoted=True)) for part in key]))
        purpose = f"values of {', '.join(key)} that more than one row of '{target.table.name}' has"
        yield Script("target", name, target.table.name, purpose, NO_ROWS, "error", path, select, {"": types})


def _shown_key(plan: Plan, target: TargetTable) -> tuple[str, ...]:
    return (*target.key, *(part for part in _source_key(plan, target) if part not in target.key))


def _source_key(plan: Plan, target: TargetTable) -> tuple[str, ...]:
    """Return the target columns that copy the source's key, as `original_source_id` does; empty if not all do."""
    mapping = plan.tables[target.mapping]
    copies: dict[str, str] = {}
    for name, rule in mapping.columns.items():
        if isinstance(rule, Copy) and isinstance(rule.column, ColumnRef):
            copies.setdefault(rule.column.name, name)
    return tuple(copies[part] for part in mapping.key) if mapping.key and set(mapping.key) <= set(copies) else ()


def _types(target: TargetTable) -> dict[str, LogicalType]:
    return {column.name: column.type for column in target.table.columns if column.type is not None}
