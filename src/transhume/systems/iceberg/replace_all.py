"""Truncate and reload: all data files of a table leave in the snapshot in which the staged ones come."""

from pyiceberg.table import Table

from transhume.batches import TargetTable
from transhume.errors import CheckFailed
from transhume.systems.backup import ABSENT
from transhume.systems.iceberg.fingerprint import Fingerprints
from transhume.systems.iceberg.ledger import TableState
from transhume.systems.iceberg.snapshots import MAIN, Replaced, head_of, tasks


def leaving_files(found: Table, state: TableState, table: TargetTable) -> Replaced | None:
    """Return the data files that leave with the first append of the run to this table; None: none do.

    Raises: CheckFailed if the table is not what its snapshot holds.
    """
    require_snapshot(found, state, table)
    head = head_of(found, MAIN)
    kept = ABSENT if head is None else str(Fingerprints().of_snapshot(found, head))
    if kept not in {table.replaces, ABSENT}:
        raise _changed(table)
    if state.sealed:
        # Several mappings fill the table: the first one has emptied it.
        return None
    files = tuple(task.file for task in tasks(found, head))
    return Replaced(files, ()) if files else None


def require_snapshot(found: Table, state: TableState, table: TargetTable) -> None:
    """Raise CheckFailed if others wrote into a table that is to be replaced, since the run looked at it first."""
    if table.replaces is not None and head_of(found, MAIN) != state.base_snapshot:
        raise _changed(table)


def _changed(table: TargetTable) -> CheckFailed:
    message = (
        f"nothing was published: '{table.table.name}' changed since the snapshot was made, and what others wrote would "
        "be lost. Make another snapshot by 'transhume backup', then begin a new run with --fresh."
    )
    return CheckFailed(message)
