"""dlt copies tables unchanged (`programs/dlt_copy.py`): https://dlthub.com/docs ."""

import os
from pathlib import Path

from environments import environment, package_version
from job import Figures, Ground, Job, require_rows
from process_memory import run_measured

_PROGRAM = Path(__file__).parent / "programs" / "dlt_copy.py"


def run(ground: Ground) -> Figures:
    """Load the five tables."""
    server, tables = ground.postgres, ground.legacy.key.tables.values()
    variables = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(ground.folder / "dlt")}
    with server.database("bench_dlt") as connection:
        server.settle()
        cpu_before = server.cpu_s()
        done = run_measured(
            [str(environment("dlt") / "python"), str(_PROGRAM), str(ground.legacy.path),
             server.loopback_url("bench_dlt"), str(ground.folder / "pipelines"),
             *(answer.source for answer in tables)],
            variables,
            folder=ground.folder,
        )  # fmt: skip
        server_cpu_s = server.cpu_s() - cpu_before
        rows = 0
        for answer in tables:
            found = connection.execute(f'SELECT count(*) FROM copied."{answer.source}"').fetchone()
            assert found is not None
            require_rows(f"dlt, {answer.source}", found[0], answer.read)
            rows += found[0]
    return Figures(done.wall_s, done.cpu_s, server_cpu_s, done.peak_bytes, rows)


JOBS = (
    Job(
        "dlt", "sqlite-postgres", "dlt, raw, by Arrow and CSV", "five tables as they are; resumes its own packages",
        "no rule, no key, no comparison, no undo", lambda: package_version("dlt", "dlt"), run, ("200000", "1000000"),
    ),
)  # fmt: skip
