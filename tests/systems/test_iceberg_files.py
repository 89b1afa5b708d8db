"""Data files of a lake: what they hold beside the rows."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transhume.systems.iceberg.files import LakeFiles

ROWS = 10_000


def test_values_that_come_again_have_a_dictionary_and_others_have_none(tmp_path: Path) -> None:
    """Text, numbers and keys alike: the file says so of each column, and gives every value back."""
    keys = [uuid.UUID(int=number).bytes for number in range(ROWS)]
    columns = {
        "key": pa.ExtensionArray.from_storage(pa.uuid(), pa.array(keys, pa.binary(16))),
        "owner": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([keys[n % 7] for n in range(ROWS)], pa.binary(16))),
        "name": pa.array([f"name {n}" for n in range(ROWS)]),
        "state": pa.array(["active", "archived", None, "active"] * (ROWS // 4)),
        "size": pa.array(range(ROWS), pa.int64()),
        "nothing": pa.nulls(ROWS, pa.string()),
        "tags": pa.array([["a", "b"]] * ROWS),
    }
    table = pa.table(columns)
    path = tmp_path / "rows.parquet"
    LakeFiles().write_durably(path.as_uri(), table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    held = {group.column(n).path_in_schema: group.column(n).has_dictionary_page for n in range(group.num_columns)}
    assert {name for name, has in held.items() if has} == {"owner", "state", "nothing"}
    for name, expected in table.to_pydict().items():
        assert pq.read_table(path)[name].to_pylist() == expected
