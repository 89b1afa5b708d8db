"""DuckDB copies every table of a SQLite file unchanged into Parquet. Usage: duckdb_raw.py LEGACY.db FOLDER TABLE..."""

import sys
from importlib.resources import files

import duckdb


def main(legacy: str, folder: str, *tables: str) -> None:
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    extension = files("duckdb_extension_sqlite_scanner").joinpath(
        "extensions", f"v{duckdb.__version__}", "sqlite_scanner.duckdb_extension"
    )
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{legacy}' AS legacy (TYPE sqlite, READ_ONLY)")
    for table in tables:
        connection.execute(f"COPY legacy.{table} TO '{folder}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
        (rows,) = connection.execute(f"SELECT count(*) FROM '{folder}/{table}.parquet'").fetchone()
        print(table, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
