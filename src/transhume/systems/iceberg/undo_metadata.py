"""Metadata that takes a run's rows out of a table: back to the tag, or files dropped and rewritten; refs dropped.

Files are written here, no pointer is swapped.
"""

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.table import Table, Transaction
from pyiceberg.table.update import RemoveSnapshotRefUpdate, RemoveSnapshotsUpdate, TableUpdate

from transhume.systems.iceberg.files import LakeFiles
from transhume.systems.iceberg.snapshots import (
    MAIN,
    apply,
    branch_name,
    head_of,
    own_snapshots,
    ref_update,
    scan_file,
    tag_name,
    tasks,
    write_metadata,
)
from transhume.systems.iceberg.undo_rows import LEAVES


def back_to(table: Table, files: LakeFiles, snapshot_id: int) -> tuple[Table, str]:
    """Write metadata in which main is an earlier snapshot; return the table by it, and its location."""
    transaction = Transaction(table)
    apply(transaction, ref_update(MAIN, snapshot_id, "branch"))
    return _written(table, files, transaction)


def without_rows(
    table: Table,
    files: LakeFiles,
    run: str,
    whole: Collection[str],
    fates: Mapping[str, Sequence[str]],
    images: Sequence[pa.Table],
) -> tuple[Table, str]:
    """Write metadata in which main lacks the files `whole` and, of the files in `fates`, the rows that leave.

    `images` are rows that come back, in the table's columns.

    Effects: a file with rows that stay is written anew, all its columns as they are; memory holds one file.
    """
    transaction = Transaction(table)
    properties = {"transhume.undone-run": run}
    overwrite = transaction.update_snapshot(branch=MAIN, snapshot_properties=properties).overwrite()
    overwrite.delete_by_predicate(AlwaysTrue())
    for task in tasks(table, head_of(table, MAIN)):
        path = task.file.file_path
        if path in whole:
            overwrite.delete_data_file(task.file)
        elif path in fates and not LEAVES.isdisjoint(fates[path]):
            overwrite.delete_data_file(task.file)
            batches = list(scan_file(table, task))
            rows = pa.Table.from_batches(batches).filter(pa.array([fate not in LEAVES for fate in fates[path]]))
            if rows.num_rows:
                for made in _dataframe_to_data_files(table_metadata=table.metadata, df=rows, io=files):
                    overwrite.append_data_file(made)
    for rows in images:
        for made in _dataframe_to_data_files(table_metadata=table.metadata, df=rows, io=files):
            overwrite.append_data_file(made)
    updates, _ = overwrite._commit()  # noqa: SLF001  the pointer is swapped by us, with those of all tables
    apply(transaction, *updates)
    return _written(table, files, transaction)


def without_refs(table: Table, files: LakeFiles, run: str) -> str | None:
    """Write metadata without the run's branch and tag, and without its snapshots where no branch or tag holds them.

    Returns the location, None if there is nothing to drop.
    """
    names = [name for name in (branch_name(run), tag_name(run)) if head_of(table, name) is not None]
    if not names:
        return None
    transaction = Transaction(table)
    apply(transaction, *(RemoveSnapshotRefUpdate(ref_name=name) for name in names))
    held = {snapshot for name in table.metadata.refs if name not in names for snapshot in _history(table, name)}
    stale = [snapshot for snapshot in own_snapshots(table, run) if snapshot not in held]
    updates: list[TableUpdate] = [RemoveSnapshotsUpdate(snapshot_ids=stale)] if stale else []
    apply(transaction, *updates)
    return write_metadata(table, files, transaction)


def files_of_all_snapshots(table: Table) -> set[str]:
    """Return the data files that any snapshot of the table names."""
    return {task.file.file_path for one in table.metadata.snapshots for task in tasks(table, one.snapshot_id)}


def _history(table: Table, ref: str) -> list[int]:
    found = []
    snapshot = table.metadata.snapshot_by_name(ref)
    while snapshot is not None:
        found.append(snapshot.snapshot_id)
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.metadata.snapshot_by_id(parent)
    return found


def _written(table: Table, files: LakeFiles, transaction: Transaction) -> tuple[Table, str]:
    where = write_metadata(table, files, transaction)
    return Table(table.name(), transaction.table_metadata, where, files, table.catalog), where
