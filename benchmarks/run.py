"""The whole job, SQLite to PostgreSQL, beside `psql` binary COPY of the same finished rows into the same keyed table.

Both run in turns on the same data, machine and server. transhume extracts, transforms by all rules, stages, reads
every row back, checks, and publishes; COPY only writes rows that were finished by someone else. Every run's counts are
held against the generator's answer key: a fast run with wrong rows is an error, not a result.
"""

import argparse
import compileall
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

import transhume
from postgres_server import Server, running_server
from process_memory import run_measured
from transhume.demo import AnswerKey, Sizes, generate, write_project
from transhume.journal import read_journal

_SCHEMA = "ai"
_BIG = "ml_models"
_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Job:
    """One run of transhume: wall and CPU seconds of its processes, peak memory, how long comparing the big table took.

    `read_back_s` is summed over the batches, which are compared beside the load; `comparison_s` is that of what readers
    see with what was staged, on its own.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    read_back_s: float
    comparison_s: float


def main() -> int:
    """Measure and print; exit 1 where a target of the arguments is missed."""
    arguments = _arguments()
    # What is installed has its bytecode; an editable install without it would be compiled anew by each run, 0.2 s.
    compileall.compile_dir(str(Path(transhume.__file__).parent), quiet=1)
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="transhume-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with running_server(folder / "pg") as server:
            result = _measure(server, folder, arguments.rows, arguments.runs)
            if arguments.memory_rows:
                result["memory_rows"] = arguments.memory_rows
                more = _measure(server, folder, arguments.memory_rows, 1)
                result["memory_growth"] = more["transhume_peak_bytes"] / result["transhume_peak_bytes"] - 1
                result["memory_peak_bytes"] = more["transhume_peak_bytes"]
                result["memory_ratio"] = more["ratio"]
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result) if arguments.json else _table(result))
    missed = _missed(result, arguments)
    for sentence in missed:
        print(f"missed: {sentence}", file=sys.stderr)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="models in the legacy database (default 1000000)")
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs of each side (default 3)")
    parser.add_argument("--memory-rows", type=int, help="one more run of transhume with so many models, for its memory")
    parser.add_argument("--folder", help="work here (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the folder with database, project and server files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--ratio-max", type=float, default=4.0, help="times COPY that are allowed (default 4)")
    parser.add_argument("--peak-max", type=int, default=800, help="megabytes that are allowed (default 800)")
    parser.add_argument(
        "--growth-max", type=float, default=0.15, help="growth of memory that is allowed (default 0.15)"
    )
    return parser.parse_args()


def _measure(server: Server, folder: Path, rows: int, runs: int) -> dict[str, Any]:
    """Run both sides in turns and return medians."""
    database, key = _legacy(folder, rows)
    jobs: list[Job] = []
    copies: list[float] = []
    finished = folder / "finished"
    for number in range(runs):
        _say(f"run {number + 1} of {runs}: transhume, {rows:,} models")
        with server.database("bench_transhume") as connection:
            jobs.append(_run_transhume(server, folder / f"project-{rows}-{number}", database))
            _hold_against(key, connection)
            if not finished.exists():
                _export(connection, finished)
        _say(f"run {number + 1} of {runs}: psql COPY of the same rows")
        copies.append(_run_copy(server, finished))
    loaded = sum(answer.loaded for answer in key.tables.values())
    shutil.rmtree(finished)
    wall_s, copy_s = statistics.median(job.wall_s for job in jobs), statistics.median(copies)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, PostgreSQL {server.version}",
        "rows": rows,
        "rows_loaded": loaded,
        "runs": runs,
        "transhume_s": round(wall_s, 2),
        "transhume_all_s": [round(job.wall_s, 2) for job in jobs],
        "transhume_cpu_s": round(statistics.median(job.cpu_s for job in jobs), 2),
        "transhume_rows_per_s": round(loaded / wall_s),
        "transhume_peak_bytes": max(job.peak_bytes for job in jobs),
        "read_back_s": round(statistics.median(job.read_back_s for job in jobs), 2),
        "comparison_s": round(statistics.median(job.comparison_s for job in jobs), 2),
        "comparison_ratio": round(
            statistics.median(job.comparison_s / copy for job, copy in zip(jobs, copies, strict=True)), 2
        ),
        "copy_s": round(copy_s, 2),
        "copy_all_s": [round(seconds, 2) for seconds in copies],
        "ratio": round(statistics.median(job.wall_s / copy for job, copy in zip(jobs, copies, strict=True)), 2),
    }


def _legacy(folder: Path, rows: int) -> tuple[Path, AnswerKey]:
    """Return the legacy database with so many models, and its key; the other tables stay small."""
    database, answers = folder / f"legacy-{rows}.db", folder / f"answers-{rows}.json"
    if not (database.exists() and answers.exists()):
        _say(f"making the legacy database with {rows:,} models")
        database.unlink(missing_ok=True)
        small = Sizes(models=rows, datasets=20_000, experiments=1_000, training_runs=3_000, metrics=5_000)
        generate(database, sizes=small).write(answers)
    return database, AnswerKey.read(answers)


def _run_transhume(server: Server, project: Path, database: Path) -> Job:
    """Run the installed command on a fresh project; the target's tables do not exist yet."""
    shutil.rmtree(project, ignore_errors=True)
    write_project(project)
    plan = project / "transhume.yaml"
    # What is compared is the migration; the peers make no backup.
    plan.write_text(plan.read_text().replace("backup: required", "backup: warn"))
    url = server.url("bench_transhume", _SCHEMA)
    environment = {**os.environ, "LEGACY_URL": f"sqlite:///{database}", "PLATFORM_URL": url}
    command = Path(sys.executable).with_name("transhume")
    done = run_measured([str(command), "--project", str(project), "--json", "run"], environment)
    if done.exit_code:
        message = f"transhume ended with exit code {done.exit_code}:\n{done.errors}{done.output}"
        raise SystemExit(message)
    (journal,) = project.glob(".transhume/runs/*/journal.jsonl")
    events = [entry.event for entry in read_journal(journal) if entry.event.fields.get("mapping") == _BIG]
    read_back_s = sum(event.fields["compare_s"] for event in events if event.kind == "batch_compared")
    (comparison_s,) = (event.fields["duration_s"] for event in events if event.kind == "table_verified")
    shutil.rmtree(project)
    return Job(done.wall_s, done.cpu_s, done.peak_bytes, read_back_s, comparison_s)


def _hold_against(key: AnswerKey, connection: psycopg.Connection) -> None:
    """Stop where a table does not hold the rows that the answer key asks for."""
    for answer in key.tables.values():
        table = sql.Identifier(_SCHEMA, answer.mapping)
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        if found is None or found[0] != answer.loaded:
            message = f"'{answer.mapping}' holds {found} rows, the answer key says {answer.loaded}"
            raise SystemExit(message)


def _export(connection: psycopg.Connection, folder: Path) -> None:
    """Write the published rows of the big table in COPY's binary format, and its definition without references."""
    folder.mkdir()
    table = sql.Identifier(_SCHEMA, _BIG)
    rows = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(table)
    with (folder / "rows.copy").open("wb") as file, connection.cursor() as cursor, cursor.copy(rows) as copy:
        for block in copy:
            file.write(block)
    columns = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute AS a"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        (table.as_string(connection),),
    ).fetchall()
    key = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
        (table.as_string(connection),),
    ).fetchone()
    assert key is not None, f"'{_BIG}' was published without a primary key"
    lines = [f'"{name}" {kind}{" NOT NULL" if not_null else ""}' for name, kind, not_null in columns]
    (folder / "table.sql").write_text(f'CREATE TABLE "{_BIG}" ({", ".join([*lines, key[0]])});\n')


def _run_copy(server: Server, finished: Path) -> float:
    """Copy the finished rows by psql into a table with the same columns and primary key."""
    with server.database("bench_copy"):
        server.run_psql("bench_copy", (finished / "table.sql").read_text() + "CHECKPOINT;\n")
        path = str(finished / "rows.copy").replace("'", "''")
        return server.run_psql("bench_copy", f"\\copy \"{_BIG}\" FROM '{path}' (FORMAT binary)\n")


def _missed(result: dict[str, Any], arguments: argparse.Namespace) -> list[str]:
    missed = []
    if result["ratio"] > arguments.ratio_max:
        missed.append(f"{result['ratio']} times COPY, {arguments.ratio_max} are allowed")
    if result["transhume_peak_bytes"] > arguments.peak_max * _MEGABYTE:
        missed.append(f"{_megabytes(result['transhume_peak_bytes'])} of memory, {arguments.peak_max} MB are allowed")
    if result.get("memory_growth", 0) > arguments.growth_max:
        missed.append(f"memory grows by {result['memory_growth']:.0%}, {arguments.growth_max:.0%} are allowed")
    return missed


def _table(result: dict[str, Any]) -> str:
    copied, job = f"psql binary COPY of the finished {_BIG}", "transhume: extract, rules, stage, compare, publish"
    compared = f"of it: all rows of {_BIG}, target against stage"
    peak_mb = result["transhume_peak_bytes"] / _MEGABYTE
    lines = [
        f"{result['machine']}; {result['rows']:,} models; medians of {result['runs']} interleaved runs",
        "",
        f"{'':<52}{'wall s':>9}{'x COPY':>9}{'CPU s':>9}{'peak MB':>9}",
        f"{copied:<52}{result['copy_s']:>9.2f}{1:>9.2f}",
        f"{job:<52}{result['transhume_s']:>9.2f}{result['ratio']:>9.2f}{result['transhume_cpu_s']:>9.2f}{peak_mb:>9.0f}",
        f"{compared:<52}{result['comparison_s']:>9.2f}{result['comparison_ratio']:>9.2f}",
        "",
        f"every staged batch was read back and compared beside the load, too: {result['read_back_s']} s in all",
        f"{result['rows_loaded']:,} rows of five tables loaded, {result['transhume_rows_per_s']:,} rows a second",
        f"single runs: transhume {result['transhume_all_s']}, COPY {result['copy_all_s']}",
    ]
    if "memory_growth" in result:
        lines.append(
            f"with {result['memory_rows']:,} models: peak {_megabytes(result['memory_peak_bytes'])}"
            f" ({result['memory_growth']:+.0%}), {result['memory_ratio']} times COPY"
        )
    return "\n".join(lines)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
