"""What readers get of staged files against the files themselves, in parts for any process. No catalog here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadata

from transhume.batches import TargetTable
from transhume.systems.iceberg.compare import MISMATCHES_MAX, compare_rows, in_own_types
from transhume.systems.iceberg.files import LakeFiles, canonical
from transhume.systems.iceberg.lake import storage_errors
from transhume.systems.iceberg.snapshots import scan_file
from transhume.systems.system import Mismatch


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A staged file as readers come to it: the task of their scan, the hash in the ledger, the batch's name."""

    task: FileScanTask
    sha256: str
    batch: str


@dataclass(frozen=True, slots=True)
class FileVerification:
    """Some files of a table; see `systems.system.Verification`. `files` may hold the storage's credentials."""

    files: LakeFiles = field(repr=False)
    table: TargetTable
    metadata: TableMetadata
    staged: tuple[ShownFile, ...]

    def run(self) -> Sequence[Mismatch]:
        """Compare the files' bytes with the ledger's hashes, then every value that a scan gives with the file's own."""
        name = self.table.table.name
        mismatches: list[Mismatch] = []
        for one in self.staged:
            path = one.task.file.file_path
            if (found := self.files.sha256(path)) != one.sha256:
                there = "no such file" if found is None else "other bytes"
                mismatches.append(Mismatch(name, -1, "(data file)", f"the staged bytes of batch {one.batch}", there))
            else:
                mismatches += self._differences(one.task, path)
            if len(mismatches) >= MISMATCHES_MAX:
                break
        return mismatches[:MISMATCHES_MAX]

    def _differences(self, task: FileScanTask, path: str) -> list[Mismatch]:
        columns = [column.name for column in self.table.table.columns]
        name = self.table.table.name
        found = IcebergTable((name,), self.metadata, "", self.files, NoopCatalog("none"))
        staged = in_own_types(self.table, self.files.table(path))
        with storage_errors(f"reading table '{name}'"):
            scanned = scan_file(found, task, found.schema().select(*columns))
            shown = [canonical(batch, self.table, columns) for batch in scanned]
        return compare_rows(self.table, None, staged, pa.Table.from_batches(shown, staged.schema))
