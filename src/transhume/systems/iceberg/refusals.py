"""Reasons, found before anything is written, why rows cannot be carried exactly into a lake."""

import os
import re
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sql
from pyiceberg.table import Table as IcebergTable

from transhume.batches import TargetTable
from transhume.schema import Kind, LogicalType
from transhume.systems.iceberg.address import LakeAddress
from transhume.systems.iceberg.compare import compare_schema
from transhume.systems.iceberg.existing import obstacles
from transhume.systems.iceberg.lake import Lake
from transhume.systems.iceberg.ledger import LOCKS, has_ledger, plain_errors
from transhume.systems.iceberg.types import BATCH_COLUMN, BATCH_COLUMN_PROPERTY, file_schema, same_type

_NAME_MAX = 255
_FREE_BYTES_MIN = 64 * 2**20
_BAD_TABLE_NAME = re.compile(r"[./\\\x00-\x1f\x7f]")
_BAD_COLUMN_NAME = re.compile(r"[.\x00-\x1f\x7f]")


def folder_refusals(address: LakeAddress) -> list[str]:
    """Return why the folders of a local lake cannot be written."""
    reasons = []
    folders = {address.folder, None if address.catalog_file is None else address.catalog_file.parent}
    for folder in sorted(folder for folder in folders if folder is not None):
        there = _first_existing(folder)
        if not there.is_dir():
            reasons.append(f"'{there}' is a file, so the lake's folder '{folder}' cannot be there")
        elif not os.access(there, os.W_OK | os.X_OK):
            reasons.append(f"the folder '{there}' cannot be written by this user, so the lake '{folder}' cannot be")
        else:
            free = os.statvfs(there)
            if free.f_bavail * free.f_frsize < _FREE_BYTES_MIN:
                reasons.append(f"the disk of '{folder}' has less than {_FREE_BYTES_MIN >> 20} MiB free")
    return reasons


def catalog_refusals(lake: Lake | None) -> list[str]:
    """Return why the catalog's database cannot take the ledger and the tables; None where it is not there yet."""
    if lake is None:
        return []
    file = lake.address.catalog_file
    if file is not None:
        return [] if os.access(file, os.W_OK) else [f"the catalog '{file}' cannot be written by this user"]
    with plain_errors("asking for rights"), lake.engine.connect() as connection:
        if has_ledger(connection):
            may = sql.func.has_table_privilege(LOCKS.name, "INSERT, UPDATE")
        else:
            may = sql.func.has_schema_privilege(sql.func.current_schema(), "CREATE")
        if connection.execute(sql.select(may)).scalar():
            return []
        user = connection.execute(sql.select(sql.literal_column("current_user"))).scalar()
    return [f"user '{user}' may not write the ledger in the lake's catalog; grant CREATE on its schema"]


def drift(table: TargetTable, found: IcebergTable, written: pa.Schema) -> list[str]:
    """Return what others have changed of an existing table since `written`, the schema of a staged file, was made."""
    reasons = obstacles(table.table.name, found) + _existing_refusals(table, found)
    if not reasons:
        changed = compare_schema(table.table.name, file_schema(found.schema(), table), written)
        reasons = [f"table '{change.table}': column '{change.column}' has changed" for change in changed]
    return reasons


def table_refusals(table: TargetTable, found: IcebergTable | None) -> list[str]:
    """Return why one table cannot be written exactly; `found` is the table that is there."""
    reasons = _key_refusals(table)
    if found is not None:
        reasons += _keyless_refusals(table, found)
        return reasons + obstacles(table.table.name, found) + _existing_refusals(table, found)
    if not table.create:
        return [f"table '{table.table.name}' is not there and the plan does not create it; write 'create: true'"]
    return reasons + _name_refusals(table) + _type_refusals(table)


def _first_existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _key_refusals(table: TargetTable) -> list[str]:
    known = {column.name for column in table.table.columns}
    return [
        f"table '{table.table.name}': key column '{name}' is not among its mapped columns"
        for name in table.key
        if name not in known
    ]


def _keyless_refusals(table: TargetTable, found: IcebergTable) -> list[str]:
    """Rows without a key cannot be told from rows that are there: a second run would write all of them twice."""
    name, identifiers = table.table.name, found.schema().identifier_field_names()
    if table.key:
        return []
    if identifiers:
        listed = ", ".join(sorted(identifiers))
        return [
            f"table '{name}' is identified by ({listed}), and the plan says 'key: []': name the key's columns there"
        ]
    if any(True for _ in found.scan().plan_files()):
        return [
            f"table '{name}' has rows, and the plan says 'key: []': new rows could not be told from those; empty it"
        ]
    return []


def _name_refusals(table: TargetTable) -> list[str]:
    name = table.table.name
    reasons = []
    if _BAD_TABLE_NAME.search(name) or not name or len(name.encode()) > _NAME_MAX:
        reasons.append(
            f"'{name}' cannot be a table's name in a lake: no '.', '/', '\\', control character, 1-255 bytes"
        )
    seen: dict[str, str] = {}
    for column in table.table.columns:
        if _BAD_COLUMN_NAME.search(column.name) or not column.name or len(column.name.encode()) > _NAME_MAX:
            reasons.append(
                f"table '{name}': '{column.name}' cannot be a column's name: no '.', no control character, 1-255 bytes"
            )
        folded = column.name.casefold()
        if folded in seen:
            reasons.append(
                f"table '{name}': columns '{seen[folded]}' and '{column.name}' differ only in case, "
                "which Spark, Trino and DuckDB cannot tell apart"
            )
        seen[folded] = column.name
    return reasons


def _type_refusals(table: TargetTable) -> list[str]:
    return [
        f"table '{table.table.name}': column '{column.name}' has no type that a lake can carry"
        for column in table.table.columns
        if column.type is None or not _carried(column.type)
    ]


def _carried(logical: LogicalType) -> bool:
    if logical.kind is Kind.LIST:
        return logical.element is not None and _carried(logical.element)
    return True


def _existing_refusals(table: TargetTable, found: IcebergTable) -> list[str]:
    name = table.table.name
    schema = found.schema()
    fields = {field.name: field for field in schema.fields}
    reasons = []
    for column in table.table.columns:
        field = fields.pop(column.name, None)
        if field is None:
            reasons.append(f"table '{name}' has no column '{column.name}'; add it, or take it out of the plan")
        elif column.type is None or not same_type(field.field_type, column.type):
            reasons.append(
                f"table '{name}': column '{column.name}' is {field.field_type} there and {column.type} in the plan"
            )
        elif field.required and column.nullable:
            reasons.append(f"table '{name}': column '{column.name}' is required there, and the plan lets it be NULL")
    for field in fields.values():
        ours = field.name == BATCH_COLUMN and BATCH_COLUMN_PROPERTY in found.metadata.properties
        if field.required and not ours:
            reasons.append(f"table '{name}': column '{field.name}' is required there, and the plan does not fill it")
    return reasons
