"""sling copies tables unchanged; its Go program comes in a PyPI package: https://docs.slingdata.io ."""

import os
import stat
from pathlib import Path

from environments import environment, package_version
from job import Figures, Ground, Job, require_rows
from process_memory import run_measured

_PACKAGE = "sling-linux-amd64"


def _program() -> Path:
    folder = environment("sling").parent / "lib"
    (found,) = (path for path in folder.glob("python*/site-packages/sling_linux_amd64/**/sling*") if path.is_file())
    found.chmod(found.stat().st_mode | stat.S_IXUSR)
    return found


def version() -> str:
    """Install the program where it is missing and return its version."""
    return package_version("sling", _PACKAGE)


def run(ground: Ground) -> Figures:
    """Replicate the five tables."""
    server = ground.postgres
    tables = ground.legacy.key.tables.values()
    replication = ground.folder / "replication.yaml"
    replication.write_text(
        "source: LEGACY\ntarget: BENCH\ndefaults: {mode: full-refresh, object: 'public.{stream_table}'}\nstreams:\n"
        + "".join(f"  main.{answer.source}:\n" for answer in tables)
    )
    environment_variables = {
        **os.environ,
        "LEGACY": f"sqlite://{ground.legacy.path}",
        "BENCH": f"{server.loopback_url('bench_sling')}?sslmode=disable",
        "SLING_HOME_DIR": str(ground.folder / "home"),
        "SLING_DISABLE_TELEMETRY": "true",
    }
    with server.database("bench_sling") as connection:
        server.settle()
        cpu_before = server.cpu_s()
        done = run_measured([str(_program()), "run", "-r", str(replication)], environment_variables)
        server_cpu_s = server.cpu_s() - cpu_before
        rows = 0
        for answer in tables:
            found = connection.execute(f'SELECT count(*) FROM public."{answer.source}"').fetchone()
            assert found is not None
            require_rows(f"sling, {answer.source}", found[0], answer.read)
            rows += found[0]
    return Figures(done.wall_s, done.cpu_s, server_cpu_s, done.peak_bytes, rows)


JOBS = (
    Job(
        "sling", "sqlite-postgres", "sling, raw", "five tables as they are, by temporary tables; counts rows",
        "no rule, no key, no comparison of values, no undo", version, run, ("200000", "1000000"),
    ),
)  # fmt: skip
