"""Iceberg tables as a target: Parquet files in a folder or bucket, the catalog in SQLite or PostgreSQL.

    iceberg:./lake?namespace=ai                                  files and catalog (lake/catalog.db) in one folder
    iceberg:./lake?catalog=${CATALOG_URL}&namespace=ai           files in a folder, catalog on PostgreSQL
    iceberg:s3://bucket/prefix?catalog=${CATALOG_URL}&namespace=ai&region=eu-central-1

`address.py` documents every option. What a run does here:

    stage     one Parquet file per batch in the table's data folder, then its line in the ledger
    seal      one snapshot with all files of a table, on the branch `wap_<run>`; `pre_<run>` tags what readers see
    publish   new metadata files, then ONE transaction in the catalog's database swaps the pointers of all tables
              and sets the run to published; a table that the run creates has no catalog row before that moment

The ledger (`transhume_*` tables) lives in the catalog's database, so that no state can lie between both.
A reader that opens two tables by two look-ups of the catalog may still see one table before and one after:
Iceberg readers have no transaction over tables.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from transhume.errors import DriverMissing
from transhume.systems.iceberg.address import parse_address

if TYPE_CHECKING:
    from transhume.systems.system import Target


def open_target(url: str, base: Path) -> "Target":
    """Return the lake that `url` names; a relative folder is relative to `base`.

    Effects: none. A lake that does not exist is made by the first `open_run`.
    Raises: UsageError if the address cannot be read; DriverMissing names the extra.
    """
    address = parse_address(url, base)
    try:
        from transhume.systems.iceberg.target import IcebergTarget  # pyiceberg takes seconds to import
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"pyiceberg", "sqlalchemy"}:
            raise
        message = "target 'iceberg:' needs a driver that is not installed: pip install 'transhume[iceberg]'"
        raise DriverMissing(message) from error
    return IcebergTarget(url, address)


__all__ = ["open_target"]
