"""Several mappings into one target table (`into`): one table that all fill alike, or findings that say why not."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from transhume.batches import TargetTable
from transhume.errors import Finding
from transhume.plan.model import Plan, TableMapping
from transhume.plan.places import at, at_mapping
from transhume.schema import Column, Table
from transhume.words import counted


def siblings(plan: Plan, mapping: TableMapping) -> list[TableMapping]:
    """Return the mappings that fill the same target table, this one included, in the plan's order."""
    return [other for other in plan.tables.values() if other.target_table == mapping.target_table]


def shared_target_findings(plan: Plan) -> Iterator[Finding]:
    """Yield what is wrong with mappings into one table, as far as the plan alone tells."""
    spelled: dict[str, str] = {}
    for mapping in plan.tables.values():
        name = mapping.target_table
        known = spelled.setdefault(name.casefold(), name)
        if known != name:
            message = f"the target tables '{known}' and '{name}' differ only in case"
            cure = "write the name alike, so that it is one table, or give them different names"
            yield at_mapping(plan, mapping, "into" if mapping.into else None, "shared_target", message, cure)
        first = siblings(plan, mapping)[0]
        if first is mapping:
            continue
        if mapping.create != first.create:
            message = f"'{first.name}' and '{mapping.name}' fill '{name}', and only one of them has 'create: true'"
            yield at_mapping(plan, mapping, None, "shared_target", message, "write 'create: true' in both, or in none")
        elif mapping.create and set(mapping.columns) != set(first.columns):
            lacking = [column for column in first.columns if column not in mapping.columns]
            more = [column for column in mapping.columns if column not in first.columns]
            owner, column = (mapping, lacking[0]) if lacking else (first, more[0])
            left = counted(len(lacking or more), "column")
            message = f"'{owner.name}' fills the table '{name}', and {left} of it not at all: '{column}' first"
            cure = f"write '{column}: null' under its columns, or a rule"
            yield at_mapping(plan, owner, "columns", "shared_target", message, cure)


def merged(plan: Plan, tables: Mapping[str, TargetTable]) -> tuple[dict[str, TargetTable], list[Finding]]:
    """Return the tables with those that several mappings create made one, and where their columns do not go together.

    A column takes NULL only where it may for every mapping; keys, unique and references of all of them stand.
    """
    made, findings = dict(tables), []
    for name, table in tables.items():
        group = [tables[each.name] for each in siblings(plan, plan.tables[name]) if each.name in tables]
        if len(group) == 1 or not table.create:
            continue
        first = group[0]
        for column in first.table.columns if table is not first else ():
            other = table.table.column(column.name)
            if other is not None and other.type != column.type:
                message = f"'{name}' gives '{column.name}' as {other.type}, and '{first.mapping}' as {column.type}"
                cure = f"write '{column.name}: TYPE' under the types of '{first.mapping}'; it holds for both"
                findings.append(at(plan, ("tables", name, "columns", column.name), "shared_target", message, cure))
        if table.key != first.key:
            keys = f"{', '.join(table.key)} and {', '.join(first.key)}"
            message = f"'{name}' and '{first.mapping}' fill one table and name different keys of it: {keys}"
            cure = f"write 'primary key' behind the same column's type under '{first.mapping}'"
            findings.append(at_mapping(plan, plan.tables[name], "columns", "shared_target", message, cure))
        made[name] = replace(table, table=_one([each.table for each in group]))
    return made, findings


def _one(tables: list[Table]) -> Table:
    columns = [_column(column, tables) for column in tables[0].columns]
    unique = dict.fromkeys(each for table in tables for each in table.unique)
    references = dict.fromkeys(each for table in tables for each in table.foreign_keys)
    return replace(tables[0], columns=tuple(columns), unique=tuple(unique), foreign_keys=tuple(references))


def _column(column: Column, tables: list[Table]) -> Column:
    found = [each for table in tables if (each := table.column(column.name)) is not None]
    return replace(column, nullable=all(each.nullable for each in found))
