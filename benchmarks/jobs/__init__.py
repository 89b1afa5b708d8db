"""All jobs, one module a tool. A new peer: a module with JOBS, and its name here."""

from job import Job
from jobs import dlt, handwritten, parquet_scripts, pgloader, psql_copy, sling, table_comparison, transhume

JOBS: tuple[Job, ...] = (
    *transhume.JOBS,
    *psql_copy.JOBS,
    *pgloader.JOBS,
    *sling.JOBS,
    *dlt.JOBS,
    *handwritten.JOBS,
    *parquet_scripts.JOBS,
    *table_comparison.JOBS,
)
"""In the order of the report."""
