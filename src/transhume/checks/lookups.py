"""Lookups from tables of other systems: what their catalogs and their rows say against the plan. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from transhume.errors import Finding
from transhume.facts import Catalog
from transhume.plan.model import FileLookup, Plan
from transhume.plan.places import at
from transhume.schema import TEXT, Table, is_convertible
from transhume.words import counted, hint

_WORDS = ("key", "value")


def lookup_findings(plan: Plan, name: str, catalog: Catalog) -> Iterator[Finding]:
    """Yield what the catalog of a lookup's system says against it: no such table or column, no exact text."""
    lookup = plan.system_lookups()[name]
    table = catalog.tables.get(lookup.table or "")
    if table is None:
        message = f"the lookup '{name}' is read from {catalog.identity}, which has no table '{lookup.table}'"
        cure = hint(lookup.table or "", catalog.tables, "its tables are")
        yield at(plan, ("lookups", name, "table"), "unknown_table", message, cure)
        return
    names = [column.name for column in table.columns]
    for word in _WORDS:
        wanted = getattr(lookup, word)
        column = table.column(wanted)
        if column is None:
            message = f"the lookup '{name}': the table '{table.name}' of {catalog.identity} has no column '{wanted}'"
            yield at(plan, ("lookups", name, word), "unknown_column", message, hint(wanted, names, "its columns are"))
        elif column.type is None or not is_convertible(column.type, TEXT):
            message = f"the lookup '{name}': '{table.name}.{wanted}' is {column.type or column.native}, "
            message += "which has no one exact text"
            cure = "name a column of texts, integers, decimals or UUIDs"
            yield at(plan, ("lookups", name, word), "lookup_type", message, cure)


def lookup_table(lookup: FileLookup, catalog: Catalog) -> Table:
    """Return the table of a lookup with its two columns only; nothing stands against it."""
    table = catalog.tables[lookup.table or ""]
    wanted = {lookup.key, lookup.value}
    return replace(table, columns=tuple(column for column in table.columns if column.name in wanted))


def duplicate_finding(plan: Plan, name: str, copies: Mapping[str, int], count: int) -> Finding:
    """Return the error that `count` keys of a lookup stand in more than one row; `copies` gives rows of some."""
    lookup = plan.system_lookups()[name]
    some = ", ".join(f"'{key}' ({counted(rows, 'row')})" for key, rows in copies.items())
    stand = "key of the table stands" if count == 1 else "keys of the table stand"
    message = f"the lookup '{name}': {count:,} {stand} in more than one row of '{lookup.table}': {some}"
    cure = "leave one row a key there, or export the right rows as CSV and write {file: ...}"
    found = at(plan, ("lookups", name), "lookup_duplicate", message + (", ..." if count > len(copies) else ""), cure)
    return replace(found, table=name, count=count, sample_keys=tuple(copies))


def unreadable_finding(plan: Plan, name: str, count: int) -> Finding:
    """Return the error that rows of a lookup hold bytes, or text that is no UTF-8, where a text is needed."""
    lookup = plan.system_lookups()[name]
    message = f"the lookup '{name}': in {counted(count, 'row')} of '{lookup.table}' the key or the value has no text"
    found = at(plan, ("lookups", name), "lookup_value", message, "correct these rows: they hold bytes, or broken text")
    return replace(found, table=name, count=count)


def null_key_finding(plan: Plan, name: str, count: int) -> Finding:
    """Return the note that rows of a lookup have no key, so that nothing finds them."""
    lookup = plan.system_lookups()[name]
    message = f"the lookup '{name}': {counted(count, 'row')} of '{lookup.table}' have no '{lookup.key}'; nothing is "
    return at(plan, ("lookups", name), "lookup_null_key", message + "looked up in them", severity="note")
