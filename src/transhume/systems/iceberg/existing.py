"""Existing Iceberg tables in logical terms: columns, key, and what keeps transhume from writing them."""

from pyiceberg.table import Table as IcebergTable

from transhume.schema import Table
from transhume.systems.iceberg.types import BATCH_COLUMN, BATCH_COLUMN_PROPERTY, catalog_column

_FORMAT_VERSION = 2


def as_table(name: str, found: IcebergTable) -> Table:
    """Return an existing table in logical types; the batch column that transhume added itself is left out."""
    schema = found.schema()
    hidden = found.metadata.properties.get(BATCH_COLUMN_PROPERTY)
    columns = tuple(
        catalog_column(field) for field in schema.fields if not (field.name == BATCH_COLUMN and hidden == BATCH_COLUMN)
    )
    key = tuple(schema.find_column_name(field_id) or "" for field_id in schema.identifier_field_ids)
    return Table(
        name=name,
        columns=columns,
        primary_key=key,
        obstacles=tuple(obstacles(name, found)),
        row_count=_row_count(found),
    )


def obstacles(name: str, found: IcebergTable) -> list[str]:
    """Return why an existing table cannot be written, one sentence each."""
    reasons = []
    if found.format_version != _FORMAT_VERSION:
        reasons.append(
            f"table '{name}' has Iceberg format version {found.format_version}; transhume writes version 2 only"
        )
    if not found.spec().is_unpartitioned():
        fields = ", ".join(field.name for field in found.spec().fields)
        reasons.append(f"table '{name}' is partitioned by {fields}; transhume writes tables without partitions only")
    try:
        list(found.scan().plan_files())
    except (ValueError, NotImplementedError):
        reasons.append(f"table '{name}' has equality deletes, which cannot be read here; compact the table first")
    return reasons


def _row_count(found: IcebergTable) -> int | None:
    snapshot = found.current_snapshot()
    if snapshot is None:
        return 0
    total = snapshot.summary.additional_properties.get("total-records") if snapshot.summary else None
    return None if total is None else int(total)
