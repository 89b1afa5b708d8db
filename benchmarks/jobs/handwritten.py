"""The peer that most teams have: a script of one's own (`programs/handwritten.py`), in Python with psycopg."""

from pathlib import Path

from environments import environment, package_version
from job import Figures, Ground, Job, require_rows
from process_memory import run_measured
from rows_digest import rows_digest
from transhume.demo import write_project

_SCRIPT = Path(__file__).parent / "programs" / "handwritten.py"


def run(ground: Ground) -> Figures:
    """Run the script into an empty database; its rows must be bit by bit those that transhume publishes."""
    server = ground.postgres
    write_project(ground.folder / "project")
    identity = ground.folder / "project" / "lookups" / "identity.csv"
    with server.database("bench_script") as connection:
        server.settle()
        cpu_before = server.cpu_s()
        python = str(environment("script") / "python")
        done = run_measured(
            [python, str(_SCRIPT), str(ground.legacy.path), str(identity), server.url("bench_script"),
             str(ground.folder / "rejects.csv")]
        )  # fmt: skip
        server_cpu_s = server.cpu_s() - cpu_before
        rows, digest = rows_digest(connection, "ml_models")
    require_rows("hand-written script", rows, ground.legacy.models_loaded)
    require_rows("hand-written script, digest of all rows", digest, int(ground.prepared["digest"]))
    return Figures(done.wall_s, done.cpu_s, server_cpu_s, done.peak_bytes, rows)


JOBS = (
    Job(
        "script", "sqlite-postgres", "hand-written Python row function + psycopg COPY",
        "one table of five, all rules, primary key, one transaction, rejects to a CSV",
        "four tables, no reference, no comparison, no resume, no undo",
        lambda: f"psycopg {package_version('script', 'psycopg')}", run, ("200000", "1000000"),
    ),
)  # fmt: skip
