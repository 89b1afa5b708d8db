"""Notices go where the plan says, at what it says, with counts and without a value; a dead service stops nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.stages import small_project

from transhume import Project
from transhume.errors import CheckFailed, PlanError
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
SECRET = "c4nary-t0ken"


@pytest.fixture
def service():
    """A service on this machine that keeps what it is sent, and its address for apprise."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield got, f"json://user:{SECRET}@127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def _project(folder, notify: str, address: str) -> Project:
    small_project.write(folder / "p", "iceberg:./lake?namespace=ai")
    plan = folder / "p" / "transhume.yaml"
    plan.write_text(plan.read_text() + f"notify: {notify}\n")
    with (folder / "p" / ".env").open("a") as env:
        env.write(f"CHANNEL={address}\n")
    return Project(folder / "p")


def test_runs_and_rollbacks_are_told_without_a_value(tmp_path, service):
    """Finished, failed, rolled back: one message each, with counts and check names, none with a value or an address."""
    got, address = service
    project = _project(tmp_path, '["${CHANNEL}"]', address)
    told = []
    project.run(limits=SMALL, listener=told.append)
    project.rollback()
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("max_rejects: 50%", "max_rejects: 1"))
    with pytest.raises(CheckFailed):
        project.run(limits=SMALL)
    assert [each["title"] for each in got] == [
        "transhume: 'small' finished",
        "transhume: 'small' rolled back",
        "transhume: 'small' failed",
    ]
    loaded = sum(table["loaded"] for table in small_project.expected_buckets().values())
    assert f"{loaded} loaded" in got[0]["message"]
    assert f"{loaded} rows removed" in got[1]["message"]
    assert "check 'reject_limit'" in got[2]["message"]
    text = json.dumps(got)
    for value in ("weed", "place 1", "pictures", SECRET, "127.0.0.1", str(tmp_path)):
        assert value not in text, value
    assert [event.kind for event in told if event.kind.startswith("notice")] == ["notice_sent"]
    assert SECRET not in "".join(path.read_text() for path in project.folder.glob(".transhume/runs/*/journal.jsonl"))


def test_only_what_is_asked_for_is_sent_and_a_dead_service_stops_nothing(tmp_path, capfd):
    """`on:` chooses; a service that is not there leaves the run as it is, says so, and prints no address."""
    dead = f"json://user:{SECRET}@127.0.0.1:9/"
    project = _project(tmp_path, "[{to: '${CHANNEL}', on: [finished]}, {to: '${CHANNEL}', on: [incident]}]", dead)
    told = []
    result = project.run(limits=SMALL, listener=told.append)
    assert result.state == "finished"
    (event,) = [event for event in told if event.kind.startswith("notice")]
    assert (event.kind, event.fields["to"]) == ("notice_failed", 1)
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err + json.dumps([dict(each.fields) for each in told])


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ("[json://user:word@host/]", "password"),
        ("[json://host/]", r"'\$\{NAME\}'"),
        ("[{to: '${CHANNEL}', on: [sometimes]}]", "sometimes"),
        ("[{on: [failed]}]", "to"),
    ],
)
def test_an_address_stands_in_the_environment_only(tmp_path, notify, words):
    """A literal address, an unknown occasion, a notice without an address: errors of the plan."""
    project = _project(tmp_path, notify, "json://localhost/")
    with pytest.raises(PlanError, match=words):
        project.plan()
