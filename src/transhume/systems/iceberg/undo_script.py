"""The rollback of a published run in a lake as a script that a person can run with Python and pyiceberg alone.

Its text is that of `by_hand`, with what the ledger says of the run filled in; no credential is in it.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from transhume.batches import TargetTable
from transhume.errors import SystemRefused
from transhume.systems.iceberg import by_hand
from transhume.systems.iceberg.lake import Lake
from transhume.systems.iceberg.ledger import Line, TableState
from transhume.systems.iceberg.snapshots import head_of, tag_name
from transhume.systems.iceberg.undo_rows import inserted
from transhume.systems.undo import UndoReport, UndoScript

_HEAD = """\
# Takes run {run} out of the lake's namespace {namespace} by hand, where 'transhume rollback' cannot be used.
#   python THIS_FILE --preview      counts by table; nothing is changed
#   python THIS_FILE                one commit a table, then the ledger; stopped midway, the same command goes on
# Needs: pip install 'pyiceberg[pyarrow,sql-sqlite]' (sql-postgres for a catalog there); memory for the largest table,
# three times. The catalog's URL with its password: LAKE_CATALOG in the environment; of S3 as pyiceberg reads it.
# Rows of the run that others edited since stay; rows that it changed get their former content back; others' rows stay.
# Not done: readers see tables that are done beside others that are not; rows of others that refer to rows of the run
# are not looked for; files and snapshots stay. Nobody else, and no transhume, may write meanwhile.
"""


def undo_script(
    lake: Lake, scope: str, run: str, tables: Mapping[str, Sequence[TargetTable]], ledger: Mapping[str, Any]
) -> UndoScript:
    """Return the script; `ledger` holds each table's state and lines. Nothing is changed.

    Raises: SystemRefused for a table whose mappings have several keys.
    """
    told = [_table(lake, run, name, mappings, *ledger[name]) for name, mappings in tables.items()]
    # Where the run changed nothing there is no snapshot of before, and nothing to be undone.
    told = [each for each in told if each["created"] or each["inserted"] or each["updated"]]
    report = UndoReport(run, "published", notes=("taken back by hand, by the script of 'transhume sql'",))
    content = {
        "run": run,
        "scope": scope,
        "namespace": lake.address.namespace,
        "catalog": lake.address.catalog_url if lake.address.catalog_file is not None else "",
        "catalog_name": lake.address.catalog_name,
        "tables": told,
        "report": json.dumps(report.to_dict()),
    }
    filled = inspect.getsource(by_hand).replace('RUN = "{}"', f"RUN = {json.dumps(content)!r}", 1)
    head = _HEAD.format(run=run, namespace=lake.address.namespace)
    return UndoScript(head + filled, "py", "Python with pyiceberg")


def _table(
    lake: Lake, run: str, name: str, mappings: Sequence[TargetTable], state: TableState, lines: Sequence[Line]
) -> dict[str, Any]:
    keys = {mapping.key for mapping in mappings}
    if len(keys) != 1:
        message = f"table '{name}' is filled by mappings with several keys: 'transhume rollback {run}' takes it back"
        raise SystemRefused(message)
    found = lake.table(name)
    columns = dict.fromkeys(column.name for mapping in mappings for column in mapping.table.columns)
    return {
        "table": name,
        "created": state.created,
        "before": None if state.created or found is None else head_of(found, tag_name(run)),
        "published": state.published_snapshot,
        "key": list(keys.pop()),
        "columns": list(columns) if found is None else [field.name for field in found.schema().fields],
        "inserted": sum(map(inserted, lines)),
        "updated": sum(len(line.staged.updated) for line in lines),
    }
