"""Metadata of tables: branches, tags, the one append per table, ancestry. Builds and writes files, swaps no pointer.

pyiceberg names used here that are not part of its documented interface are listed in PRIVATE_NAMES; a contract test
fails when one of them changes.
"""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, _read_all_delete_files, parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import FileScanTask, Table, Transaction
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import (
    RemoveSnapshotsUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
    update_table_metadata,
)
from pyiceberg.table.update.snapshot import _FastAppendFiles, _OverwriteFiles

from transhume.errors import SystemRefused
from transhume.systems.iceberg.files import LakeFiles

PRIVATE_NAMES = (
    "pyiceberg.io.pyarrow._dataframe_to_data_files",
    "pyiceberg.table.Transaction._updates",
    "pyiceberg.table.Transaction._apply",
    "pyiceberg.table.update.snapshot._FastAppendFiles._commit",
    "pyiceberg.table.update.snapshot._OverwriteFiles._commit",
    "pyiceberg.io.pyarrow._read_all_delete_files",
    "pyiceberg.io.pyarrow.ArrowScan._record_batches_from_scan_tasks_and_deletes",
)

MAIN = MAIN_BRANCH
"""The branch that readers see."""

_VERSION = re.compile(r"(\d+)-[0-9a-f-]{36}(\.gz)?\.metadata\.json(\.gz)?")


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """What one mapping of a run brings into a table: its files, and the digest over their hashes.

    `paths` become data files as they are; the rows of `updates` replace others, whose files are written anew.
    """

    run: str
    mapping: str
    batches: int
    paths: tuple[str, ...]
    digest: str
    updates: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing of the table changes."""
        return not self.paths and not self.updates

    @property
    def properties(self) -> dict[str, str]:
        """The snapshot properties by which a resume finds this append again."""
        return {
            "transhume.run": self.run,
            "transhume.mapping": self.mapping,
            "transhume.batches": str(self.batches),
            "transhume.files-sha256": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Replaced:
    """Data files that leave a table, and those that hold their rows from then on."""

    old_files: tuple[DataFile, ...]
    new_paths: tuple[str, ...]


def branch_name(run: str) -> str:
    """Return the branch on which a run stages."""
    return f"wap_{run}"


def tag_name(run: str) -> str:
    """Return the tag of what readers saw before the run."""
    return f"pre_{run}"


def files_digest(hashes: Sequence[str]) -> str:
    """Return one hash over the hashes of files, in their order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def new_table(
    catalog: SqlCatalog,
    files: LakeFiles,
    identifier: tuple[str, ...],
    location: str,
    schema: Schema,
    properties: dict[str, str],
) -> str:
    """Write the first metadata file of a table that no catalog row names; return its location."""
    metadata = new_table_metadata(
        schema=schema,
        partition_spec=UNPARTITIONED_PARTITION_SPEC,
        sort_order=UNSORTED_SORT_ORDER,
        location=location,
        properties={"format-version": "2", **properties},
    )
    where = f"{location}/metadata/00000-{uuid.uuid4()}.metadata.json"
    table = Table(identifier, metadata, where, files, catalog)
    ToOutputFile.table_metadata(table.metadata, files.new_output(where))
    files.sync()
    return where


def head_of(table: Table, ref: str) -> int | None:
    """Return the snapshot that a branch or tag of the table points to."""
    found = table.metadata.refs.get(ref)
    return None if found is None else found.snapshot_id


def is_sealed(table: Table, staged: StagedFiles) -> bool:
    """Tell whether the branch of the run has this very append already: the table's own answer, not the ledger's."""
    wanted = staged.properties
    snapshot = table.metadata.snapshot_by_name(branch_name(staged.run))
    while snapshot is not None:
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        if all(summary.get(name) == value for name, value in wanted.items()):
            return True
        snapshot = _parent(table, snapshot)
    return False


def append_to_branch(
    table: Table, files: LakeFiles, staged: StagedFiles, replaced: Replaced | None = None
) -> str | None:
    """Write metadata in which the run's branch holds these files and main is what it was; return its location.

    The branch begins at what readers see, and a tag keeps that. `replaced` files leave the branch in the same
    snapshot. Returns None if nothing is to be added.
    """
    if not staged.paths and replaced is None:
        return None
    transaction = Transaction(table)
    head = head_of(table, MAIN_BRANCH)
    if head is not None and head_of(table, branch_name(staged.run)) is None:
        branch, tag = branch_name(staged.run), tag_name(staged.run)
        apply(transaction, ref_update(branch, head, "branch"), ref_update(tag, head, "tag"))
    _append(transaction, table, files, staged, replaced)
    return write_metadata(table, files, transaction)


def advance_main(table: Table, files: LakeFiles, run: str) -> tuple[str | None, int | None]:
    """Write metadata in which main is the run's branch; return its location and main's snapshot.

    Main must be an ancestor of the branch (`is_based_on_main`). The location is None if main is there already.
    """
    head = head_of(table, branch_name(run))
    if head is None or head == head_of(table, MAIN_BRANCH):
        return None, head_of(table, MAIN_BRANCH)
    transaction = Transaction(table)
    apply(transaction, ref_update(MAIN_BRANCH, head, "branch"))
    return write_metadata(table, files, transaction), head


def rebase_and_advance(
    table: Table,
    files: LakeFiles,
    run: str,
    appends: Sequence[StagedFiles],
    replace: Callable[[Table, StagedFiles], Replaced | None],
) -> tuple[str, int]:
    """Write metadata in which the same files stand on top of what main is now; return its location and main's snapshot.

    The branch and the tag move to the new base; the snapshots of the first seal leave the table. `replace` gives
    what an append replaces, for a table whose branch is as it will be before that append.
    """
    head = head_of(table, MAIN_BRANCH)
    stale = own_snapshots(table, run)
    transaction = Transaction(table)
    branch = branch_name(run)
    if head is not None:
        apply(transaction, ref_update(branch, head, "branch"), ref_update(tag_name(run), head, "tag"))
    for staged in appends:
        grown = Table(table.name(), transaction.table_metadata, table.metadata_location, files, table.catalog)
        replaced = replace(grown, staged)
        if staged.paths or replaced is not None:
            _append(transaction, table, files, staged, replaced)
    tip = transaction.table_metadata.refs[branch].snapshot_id
    apply(transaction, ref_update(MAIN_BRANCH, tip, "branch"), RemoveSnapshotsUpdate(snapshot_ids=stale))
    return write_metadata(table, files, transaction), tip


def is_based_on_main(table: Table, run: str) -> bool:
    """Tell whether main, as it is now, is an ancestor of the run's branch, so that main can move there."""
    main = head_of(table, MAIN_BRANCH)
    snapshot = table.metadata.snapshot_by_name(branch_name(run))
    if snapshot is None or main is None:
        return main is None
    while snapshot is not None:
        if snapshot.snapshot_id == main:
            return True
        snapshot = _parent(table, snapshot)
    return False


def live_files(table: Table, snapshot_id: int) -> dict[str, frozenset[str]]:
    """Return the data files of a snapshot by location, each with the delete files that apply to it."""
    if table.metadata.snapshot_by_id(snapshot_id) is None:
        return {}
    return {
        task.file.file_path: frozenset(delete.file_path for delete in task.delete_files)
        for task in table.scan(snapshot_id=snapshot_id).plan_files()
    }


def scan(
    table: Table, snapshot_id: int, columns: Sequence[str], only: AbstractSet[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield these columns of a snapshot's rows as readers get them, deletes applied, one file after the other.

    The columns are those of the table now: the snapshot may be older than a name or a type of theirs.
    `only` limits the scan to data files at these locations. Memory does not grow with rows or files.
    """
    if table.metadata.snapshot_by_id(snapshot_id) is None:
        message = f"snapshot {snapshot_id} of table '{table.name()[-1]}' was expired by others; begin a new run"
        raise SystemRefused(message)
    projection = table.schema().select(*columns)
    for task in table.scan(snapshot_id=snapshot_id).plan_files():
        if only is None or task.file.file_path in only:
            yield from scan_file(table, task, projection)


def scan_files(
    table: Table, snapshot_id: int, columns: Sequence[str] = ("*",), only: AbstractSet[str] | None = None
) -> Iterator[tuple[DataFile, Schema, Iterator[pa.RecordBatch]]]:
    """Yield the data files of a snapshot, each with these columns of its rows as readers get them, and their schema.

    `only` limits the scan to data files at these locations. The rows of one file are read before the next is asked for.
    """
    plan = table.scan(snapshot_id=snapshot_id)
    projection = plan.projection() if "*" in columns else table.schema().select(*columns)
    for task in plan.plan_files():
        if only is None or task.file.file_path in only:
            yield task.file, projection, scan_file(table, task, projection)


def scan_file(table: Table, task: FileScanTask, projection: Schema | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one data file as readers get them, deletes applied; all columns unless a projection says."""
    arrow = ArrowScan(table.metadata, table.io, projection or table.schema(), AlwaysTrue())
    # The public way collects a whole file, and all files ahead of the reader, in memory.
    deletes = _read_all_delete_files(table.io, [task])
    yield from arrow._record_batches_from_scan_tasks_and_deletes([task], deletes)  # noqa: SLF001


def tasks(table: Table, snapshot_id: int | None) -> Iterator[FileScanTask]:
    """Yield the data files of a snapshot, each with the delete files that apply to it; none for no snapshot."""
    if snapshot_id is not None and table.metadata.snapshot_by_id(snapshot_id) is not None:
        yield from table.scan(snapshot_id=snapshot_id).plan_files()


def _append(
    transaction: Transaction, table: Table, files: LakeFiles, staged: StagedFiles, replaced: Replaced | None = None
) -> None:
    update = transaction.update_snapshot(branch=branch_name(staged.run), snapshot_properties=staged.properties)
    append: _FastAppendFiles | _OverwriteFiles = update.overwrite() if replaced else update.fast_append()
    for path in (*staged.paths, *(replaced.new_paths if replaced else ())):
        append.append_data_file(parquet_file_to_data_file(files, table.metadata, path))
    for file in replaced.old_files if replaced else ():
        append.delete_data_file(file)
    # Its public commit demands that a table without snapshots is first written on main, where readers look.
    # What the requirements protect, the conditional swap of the pointer does.
    updates, _ = append._commit()  # noqa: SLF001
    apply(transaction, *updates)


def ref_update(name: str, snapshot_id: int, kind: str) -> SetSnapshotRefUpdate:
    """Return the update that points a branch or tag to a snapshot."""
    return SetSnapshotRefUpdate(ref_name=name, type=kind, snapshot_id=snapshot_id)


def apply(transaction: Transaction, *updates: TableUpdate) -> None:
    """Add updates to a transaction that is not committed by pyiceberg."""
    transaction._apply(updates)  # noqa: SLF001  its public verbs commit each on its own


def write_metadata(table: Table, files: LakeFiles, transaction: Transaction) -> str:
    """Write the metadata file that a transaction has come to, durably, and return its location."""
    metadata = update_table_metadata(
        table.metadata,
        transaction._updates,  # noqa: SLF001  the pointer is swapped by us, with those of all tables
        metadata_location=table.metadata_location,
    )
    match = _VERSION.fullmatch(table.metadata_location.rsplit("/", 1)[-1])
    version = int(match[1]) + 1 if match else 0
    where = str(table.location_provider().new_table_metadata_file_location(version))
    ToOutputFile.table_metadata(metadata, files.new_output(where))
    files.sync()
    return where


def own_snapshots(table: Table, run: str) -> list[int]:
    """Return the snapshots that a run has made."""
    own = []
    for snapshot in table.metadata.snapshots:
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        if summary.get("transhume.run") == run:
            own.append(snapshot.snapshot_id)
    return own


def _parent(table: Table, snapshot: Snapshot) -> Snapshot | None:
    if snapshot.parent_snapshot_id is None:
        return None
    return table.metadata.snapshot_by_id(snapshot.parent_snapshot_id)
