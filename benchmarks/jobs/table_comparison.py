"""Two PostgreSQL tables of the same rows compared, value by value: by transhume, reladiff and Google's tool.

All of them look at the tables of one database, which stands until the comparison is over.
"""

import json
import os
import sys
from pathlib import Path

from environments import environment, package_version
from job import Figures, Ground, Job, require_rows
from jobs.transhume import SCHEMA, migrate
from legacy import BIG
from process_memory import run_measured
from transhume.version import __version__

DATABASE = "bench_compared"
COPY = "bench_copy"
"""Schema with the copy of the published table."""
_COLUMNS = (
    "original_source_id", "model_name", "algorithm_type", "model_version", "owner_user_id", "created_at",
    "last_modified_at", "deployment_status", "primary_metric_name", "primary_metric_value", "f1_score",
    "training_dataset_uuid", "model_artifact_uri", "description",
)  # fmt: skip


def prepare(ground: Ground, folder: Path) -> Path:
    """Migrate into the database and copy the big table with its key; return the project of the run."""
    server = ground.postgres
    run = migrate(folder, f"sqlite:///{ground.legacy.path}", server.url(DATABASE, SCHEMA))
    server.run_psql(
        DATABASE,
        f'CREATE SCHEMA {COPY}; CREATE TABLE {COPY}."{BIG}" AS SELECT * FROM {SCHEMA}."{BIG}";'
        f' ALTER TABLE {COPY}."{BIG}" ADD PRIMARY KEY (model_uuid); VACUUM ANALYZE;',
    )
    return run.project


def by_transhume(ground: Ground) -> Figures:
    """Compare the published table with the tables of staged rows, as every validation does; in the server."""
    project, server = ground.prepared["compared"], ground.postgres
    variables = {
        **os.environ,
        "LEGACY_URL": f"sqlite:///{ground.legacy.path}",
        "PLATFORM_URL": server.url(DATABASE, SCHEMA),
    }
    cpu_before = server.cpu_s()
    command = str(Path(sys.executable).with_name("transhume"))
    done = run_measured([command, "--project", project, "--json", "validate", "--sample", "0"], variables)
    (check,) = (
        each
        for each in json.loads(done.output)["published"]
        if each["name"] == "published_rows" and each["table"] == BIG
    )
    require_rows("transhume, differences", check["count"], 0)
    parts = {"whole_validation": done.wall_s}
    server_cpu_s = server.cpu_s() - cpu_before
    return Figures(check["duration_s"], done.cpu_s, server_cpu_s, done.peak_bytes, ground.legacy.models_loaded, parts)


def by_reladiff(ground: Ground) -> Figures:
    """Compare checksums of ranges of keys, by two threads; its join in the server takes twice as long."""
    server = ground.postgres
    server.settle()
    cpu_before = server.cpu_s()
    columns = [part for column in _COLUMNS for part in ("-c", column)]
    done = run_measured(
        [str(environment("reladiff") / "reladiff"), server.loopback_url(DATABASE), f"{SCHEMA}.{BIG}", f"{COPY}.{BIG}",
         "-k", "model_uuid", *columns, "--algorithm", "hashdiff", "--threads", "2"]
    )  # fmt: skip
    require_rows("reladiff, lines of differences", len(done.output.splitlines()), 0)
    rows = ground.legacy.models_loaded
    return Figures(done.wall_s, done.cpu_s, server.cpu_s() - cpu_before, done.peak_bytes, rows)


def by_data_validation(ground: Ground) -> Figures:
    """Compare a hash of each row, joined in the tool's own memory."""
    server = ground.postgres
    home = ground.folder / "connections"
    home.mkdir()
    (home / "bench.connection.json").write_text(
        json.dumps({"source_type": "Postgres", "host": "127.0.0.1", "port": server.port, "user": "postgres",
                    "password": "none", "database": DATABASE})
    )  # fmt: skip
    server.settle()
    cpu_before = server.cpu_s()
    done = run_measured(
        [str(environment("data_validation") / "data-validation"), "validate", "row", "-sc", "bench", "-tc", "bench",
         "-tbls", f"{SCHEMA}.{BIG}={COPY}.{BIG}", "--primary-keys", "model_uuid", "--hash", "*", "--filter-status",
         "fail", "--format", "json"],
        {**os.environ, "PSO_DV_CONN_HOME": str(home)},
    )  # fmt: skip
    failed = [line for line in done.output.splitlines() if '"fail"' in line]
    require_rows("data-validation, rows that differ", len(failed), 0)
    rows = ground.legacy.models_loaded
    return Figures(done.wall_s, done.cpu_s, server.cpu_s() - cpu_before, done.peak_bytes, rows)


_SIZES = ("1000000",)

JOBS = (
    Job(
        "transhume", "two-tables", "transhume, published rows against staged rows",
        "every value, whole records as stored, in the server; keys that only one side has",
        "its time is that of this comparison alone, within `transhume validate`", lambda: __version__, by_transhume,
        _SIZES,
    ),
    Job(
        "reladiff", "two-tables", "reladiff", "every value, by checksums of ranges of keys in the server",
        "-", lambda: package_version("reladiff", "reladiff"), by_reladiff, _SIZES,
    ),
    Job(
        "data-validation", "two-tables", "Google's data validation tool", "a hash of each row, joined in its memory",
        "-", lambda: package_version("data_validation", "google-pso-data-validator"), by_data_validation, _SIZES,
    ),
)  # fmt: skip
