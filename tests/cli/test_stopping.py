"""Ctrl-C, SIGTERM and a closed terminal: once ends a run at its next batch, twice at once; the same command goes on."""

import json
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from tests.stages import forked, small_project

from transhume.batches import Event
from transhume.cli import main
from transhume.journal import Journal
from transhume.stages.context import Limits
from transhume.systems.postgres.connection import Session


def _command(folder: Path, number: int, times: int, kind: str, nth: int) -> None:
    """Run the command; when the nth event of a kind is journalled, its process gets a signal, once or twice."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests that were started by nohup ignore it, and a run obeys: who ignores a hangup wants to go on.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    Limits.__init__.__defaults__ = (small_project.SEGMENT_ROWS, 2**20)
    append, seen = Journal.append, []

    def watched(journal: Journal, event: Event) -> object:
        entry = append(journal, event)
        seen.append(event.kind)
        if event.kind == kind and seen.count(kind) == nth:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return entry

    Journal.append = watched
    main(["-p", str(folder), "run"])


def _kinds(folder: Path) -> list[str]:
    (journal,) = folder.glob(".transhume/runs/*/journal.jsonl")
    return [json.loads(line)["kind"] for line in journal.read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_a_run_at_its_next_batch(number, tmp_path):
    """Exit code 5, one line that says what to do, the stop in the journal; the same command ends the run."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    stopped = forked.run(_command, folder, number, 1, "batch_staged", 2)
    assert stopped.returncode == 5, stopped.stderr
    name = signal.Signals(number).name
    assert f"{name}: stopping at the next batch; once more stops at once" in stopped.stdout + stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith(f"stopped by {name} at a batch's end")
    assert "Traceback" not in stopped.stderr
    kinds = _kinds(folder)
    assert kinds[-2:] == ["batch_staged", "run_stopped"]
    assert small_project.lake_content(folder, "ai") == {}
    finished = small_project.run(folder)
    assert finished.returncode == 0, finished.stderr
    assert small_project.buckets(finished) == small_project.expected_buckets()


def test_the_second_signal_stops_at_once(tmp_path):
    """Two Ctrl-C: exit code 5 without waiting for the batch; the same command ends the run."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    stopped = forked.run(_command, folder, signal.SIGINT, 2, "batch_staged", 2)
    assert stopped.returncode == 5, stopped.stderr
    assert stopped.stderr.splitlines()[-1] == "stopped; nothing is half visible, the same command goes on"
    assert _kinds(folder)[-1] == "batch_staged"
    finished = small_project.run(folder)
    assert small_project.buckets(finished) == small_project.expected_buckets()


def _blocked_command(folder: Path) -> None:
    """Run the command where the server would let a wait for a lock last for an hour."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert Session.transact.__kwdefaults__ is not None
    Session.transact.__kwdefaults__["lock_timeout_s"] = 3600.0
    main(["-p", str(folder), "run"])


def test_the_second_signal_stops_a_run_whose_batch_waits_for_others(tmp_path, postgres_url):
    """Another session's lock holds up the thread that stages: two Ctrl-C end the run, the same command ends it well."""
    folder = tmp_path / "p"
    small_project.write(folder, f"{postgres_url}&schema=ai")
    forked.run(_command, folder, signal.SIGINT, 1, "extract_finished", 1)
    with psycopg.connect(postgres_url) as other, psycopg.connect(postgres_url, autocommit=True) as look:
        other.execute("LOCK TABLE transhume.batches IN SHARE MODE")
        started = forked.Started(_blocked_command, (folder,), {})
        blocked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while look.execute(blocked).fetchone() != (True,):
            time.sleep(0.02)
        for _ in range(2):
            os.kill(started.pid, signal.SIGINT)
            time.sleep(0.5)  # two that wait for the process are one
        stopped = started.ended()
    assert stopped.returncode == 5, stopped.stderr
    assert stopped.stderr.splitlines()[-1] == "stopped; nothing is half visible, the same command goes on"
    assert small_project.buckets(small_project.run(folder)) == small_project.expected_buckets()


def test_a_signal_after_publishing_leaves_the_run_published(tmp_path):
    """Stopped between publishing and verifying: readers see everything, and the same command verifies."""
    folder = tmp_path / "p"
    small_project.write(folder, "iceberg:./lake?namespace=ai")
    stopped = forked.run(_command, folder, signal.SIGTERM, 1, "published", 1)
    assert stopped.returncode == 5, stopped.stderr
    seen = small_project.lake_content(folder, "ai")
    assert len(seen) == 2
    assert small_project.run(folder).returncode == 0
    assert small_project.lake_content(folder, "ai") == seen
