"""The SELECTs of a run as text, for people: the trees that a run compiles, over file names that say what they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.compiler import (
    compile_dedupe,
    compile_duplicates,
    compile_gather,
    compile_join,
    compile_transform,
    needs,
    relation_columns,
    table_order,
)
from transhume.dialects import DIALECTS
from transhume.facts import Catalog, ExtractedTable, Facts, Need, Relation
from transhume.plan.model import Plan, TableMapping
from transhume.rules.utc import zone_columns
from transhume.schema import TEXT, LogicalType

_SOME_ROWS = 1
"""Relations count as not empty, so that every join is shown that a run may make."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SELECT: which mapping it is for, what it gives, its text in `dialect`."""

    mapping: str
    purpose: str
    dialect: str
    sql: str


def statements(
    plan: Plan, source: Catalog, tables: Mapping[str, TargetTable], dialect: str = "duckdb"
) -> list[Statement]:
    """Return for each mapping, in the order of a run: its joins, its duplicate keys, its transformation.

    `extract/TABLE.parquet` stands for a table's segments, `relations/NEED.parquet` for a relation. Columns whose
    values turn out to be of mixed storage classes (SQLite) get further conditions in a run.
    """
    extracts = {
        name: ExtractedTable(table, (f"extract/{name}.parquet",), _SOME_ROWS) for name, table in source.tables.items()
    }
    relations: dict[str, Relation] = {}
    found = []
    for group in table_order(plan):
        for name in group:
            mapping = plan.tables[name]
            facts = Facts(extracts, relations)
            for need in needs(mapping):
                relations[str(need)] = Relation(_path(need), _columns(plan, mapping, need, facts), _SOME_ROWS)
            for alias in mapping.join:
                select = compile_join(plan, mapping, alias, facts)
                found.append(
                    _statement(mapping, f"rows of '{mapping.join[alias].from_}' joined as '{alias}'", select, dialect)
                )
            if mapping.dedupe is not None:
                select = compile_dedupe(plan, mapping, facts)
                found.append(_statement(mapping, "rows that another one stands for", select, dialect))
            for need in needs(mapping):
                if need.kind == "gather":
                    purpose = f"rows of '{need.subject}' gathered into one object each"
                    found.append(_statement(mapping, purpose, compile_gather(plan, need, facts), dialect))
            select = compile_duplicates(plan, mapping, facts)
            found.append(_statement(mapping, "keys that stand more than once", select, dialect))
            select = compile_transform(plan, mapping, facts, tables[name], [f"extract/{mapping.from_}.parquet"])
            purpose = f"every row of '{mapping.from_}': fate, reasons, columns of '{mapping.target_table}'"
            found.append(_statement(mapping, purpose, select, dialect))
    return found


def _columns(plan: Plan, mapping: TableMapping, need: Need, facts: Facts) -> Mapping[str, LogicalType]:
    match need.kind:
        case "lookup":
            return {"key": TEXT, "value": TEXT}
        case "names":
            return {"raw": TEXT, "canonical": TEXT}
        case "zone":
            return zone_columns()
        case "parents":
            return relation_columns(plan.tables[need.subject], need, facts)
        case _:
            return relation_columns(mapping, need, facts)


def _path(need: Need) -> str:
    return f"relations/{str(need).replace('/', '-').replace(':', '-')}.parquet"


def _statement(mapping: TableMapping, purpose: str, select: exp.Select, dialect: str) -> Statement:
    lowered = DIALECTS[dialect].lower(select)
    text = lowered.sql(dialect=DIALECTS[dialect].printer, identify=True, pretty=True, comments=False)
    return Statement(mapping.name, purpose, dialect, text)
