"""dlt copies tables of a SQLite file unchanged into PostgreSQL, as Arrow tables written as CSV and sent by COPY.

Usage: dlt_copy.py LEGACY.db POSTGRES_URL WORK_FOLDER TABLE...
"""

import sys

import dlt
from dlt.sources.sql_database import sql_database


def main(legacy: str, target: str, folder: str, *tables: str) -> None:
    source = sql_database(f"sqlite:///{legacy}", table_names=list(tables), backend="pyarrow", chunk_size=100_000)
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=folder, destination=dlt.destinations.postgres(target), dataset_name="copied"
    )
    print(pipeline.run(source, write_disposition="replace", loader_file_format="csv"))


if __name__ == "__main__":
    main(*sys.argv[1:])
