"""The target tables of a run as they were when it began, kept in its folder: what undoing it goes by.

So a rollback needs neither the source nor the plan as it is by then. No row and no credential is kept here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transhume.batches import TargetTable
from transhume.checks.references import references
from transhume.errors import Refused
from transhume.plan.model import Plan
from transhume.schema import Column, Table, parse_type
from transhume.stages.context import RunFolder
from transhume.stages.files import write_last
from transhume.systems.undo import UndoReference

_FILE = "tables.json"


@dataclass(frozen=True, slots=True)
class RunTables:
    """The tables of a run, one a mapping, and the references between them."""

    tables: tuple[TargetTable, ...]
    references: tuple[UndoReference, ...]


def keep_tables(folder: RunFolder, plan: Plan, tables: Mapping[str, TargetTable]) -> str:
    """Write the tables once, whole or not at all, and return the SHA-256 of what stands there."""
    path = folder.root / _FILE
    if not path.exists():
        content = {
            "tables": [_told(table) for table in tables.values()],
            "references": [
                {
                    "table": each.table,
                    "columns": list(each.columns),
                    "parent": each.parent,
                    "parent_columns": list(each.parent_columns),
                }
                for each in undo_references(plan, tables)
            ],
        }
        write_last(path, json.dumps(content, ensure_ascii=False, indent=1).encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_tables(folder: RunFolder, sha256: str) -> RunTables:
    """Return the tables of a run. Raises: Refused if the file is not the one whose hash the journal has."""
    path: Path = folder.root / _FILE
    content = path.read_bytes() if path.is_file() else b""
    if not content or hashlib.sha256(content).hexdigest() != sha256:
        says = "is not what the run wrote" if content else "is missing"
        message = f"'{path}' {says}: what the run's tables were is not known, so nothing was changed; restore that file"
        raise Refused(message)
    told = json.loads(content)
    return RunTables(
        tuple(_table(each) for each in told["tables"]),
        tuple(
            UndoReference(each["table"], tuple(each["columns"]), each["parent"], tuple(each["parent_columns"]))
            for each in told["references"]
        ),
    )


def undo_references(plan: Plan, tables: Mapping[str, TargetTable]) -> list[UndoReference]:
    """Return the references of the plan between these target tables."""
    return [
        UndoReference(tables[each.child].table.name, each.columns, tables[each.parent].table.name, each.keys)
        for each in references(plan, tables)
    ]


def _told(table: TargetTable) -> dict[str, Any]:
    return {
        "mapping": table.mapping,
        "table": table.table.name,
        "key": list(table.key),
        "create": table.create,
        "primary_key": list(table.table.primary_key),
        **({} if table.replaces is None else {"replaces": table.replaces}),
        "columns": [[column.name, str(column.type), column.nullable] for column in table.table.columns],
    }


def _table(told: Mapping[str, Any]) -> TargetTable:
    columns = tuple(Column(name, parse_type(kind), nullable) for name, kind, nullable in told["columns"])
    table = Table(told["table"], columns, primary_key=tuple(told["primary_key"]))
    return TargetTable(told["mapping"], table, tuple(told["key"]), told["create"], replaces=told.get("replaces"))
