"""Secrets and personal values that must be nowhere but where they belong: searched for in everything that is left.

Secrets (passwords, the key of `mask`) belong into `.env` alone. Personal values belong into the source, the target,
the extract, the rejects and the lists of keys: not into journals, papers, logs, messages, names of files.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg
import pytest

from tests.reliability import figures
from tests.stages import forked, small_project
from transhume.cli import main

SECRETS = {
    "password of the target": "canary-pw-7f3a91c2",
    "password of the source": "canary-pw-5d20be84",
    "key of mask": "canary-key-0b6e4f1d9a8c7e25",
}
PERSONS = {
    "a loaded value": "canary.person.loaded@example.com",
    "a rejected value": "canary-person-rejected",
    "a value that the target refuses": "canary-person-refused",
    "a key": "canary-person-key",
}
PLACES_OF_VALUES = ("work", "rejects", "keys", "artifacts", "lake", "source.db", "worksheet-")
"""Folders and files that hold rows of the data, each readable by its owner only."""
PLAN = small_project.PLAN.replace(
    "    columns: {place_id: {uuid: id}, original_source_id: id, name: name}\n",
    "    columns: {place_id: {uuid: id}, original_source_id: id, name: name,"
    ' secret_name: {mask: name, key: "${MASK_KEY}"}}\n',
).replace("name: text(40) not null}", "name: text(60) not null, secret_name: text(100)}")


@dataclass
class Search:
    """What was searched: texts and files, with every canary that was found and where."""

    artefacts: int = 0
    found: list[str] = field(default_factory=list)

    def text(self, where: str, text: bytes, canaries: dict[str, str]) -> None:
        """Search one text."""
        self.artefacts += 1
        self.found += [f"{name} in {where}" for name, canary in canaries.items() if canary.encode() in text]

    def tree(self, folder: Path) -> None:
        """Search names and contents below a folder; what holds rows of the data may hold persons."""
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            self.text(f"the name {inside}", str(inside).encode(), SECRETS | PERSONS)
            if path.is_file() and path.name != ".env":
                holds_rows = any(part.startswith(PLACES_OF_VALUES) for part in inside.parts)
                self.text(str(inside), path.read_bytes(), SECRETS if holds_rows else SECRETS | PERSONS)


@pytest.fixture
def project(tmp_path, postgres_server, postgres_url) -> Path:
    """A project full of canaries: passwords that the server does not ask for, persons in good and bad rows."""
    folder = tmp_path / "p"
    database = postgres_url.split("?")[0].rsplit("/", 1)[1]
    url = (
        f"postgresql://postgres:{SECRETS['password of the target']}@/{database}"
        f"?host={postgres_server.socket_folder}&schema=ai"
    )
    small_project.write(folder, url)
    (folder / "transhume.yaml").write_text(PLAN)
    with (folder / ".env").open("a") as file:
        file.write(f"MASK_KEY={SECRETS['key of mask']}\n")
    persons = PERSONS
    small_project.source(folder, "UPDATE place SET name = ? WHERE id = 3", persons["a loaded value"])
    small_project.source(folder, "UPDATE place SET name = ? WHERE id = 4", persons["a value that the target refuses"])
    # Not a kind: spellings that a lookup does not know are shown, because a person has to decide about them.
    small_project.source(folder, "UPDATE plant SET picture = ? WHERE id = 11", f"/y/{persons['a rejected value']}")
    small_project.source(folder, "UPDATE plant SET picture = ? WHERE id = 12", f"/x/{persons['a key']}")
    return folder


class _CommandLines:
    """Reads the command lines and environments of the processes that a command starts, while it runs."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def _command(folder: Path, *arguments: str) -> Iterator[tuple[str, bytes]]:
    """Run a command; yield all that it printed."""
    done = forked.run(_main, ["-p", str(folder), *arguments], COLUMNS="200")
    name = " ".join(arguments)
    yield f"stdout of {name}", done.stdout.encode()
    yield f"stderr of {name}", done.stderr.encode()
    assert "a bug:" not in done.stderr, done.stderr


def _main(arguments: list[str]) -> None:
    main(arguments)


def _command_anew(folder: Path, *arguments: str) -> Iterator[tuple[str, bytes]]:
    """Run a command in an interpreter of its own; yield all that it printed, and all command lines of then."""
    command = [sys.executable, "-c", "from transhume.cli import main; main()", "-p", str(folder), *arguments]
    with _CommandLines() as lines:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=180, env={**os.environ, "COLUMNS": "200"}
        )
    name = " ".join(arguments)
    yield f"stdout of {name}", done.stdout
    yield f"stderr of {name}", done.stderr
    for number, line in enumerate(sorted(lines.seen)):
        yield f"command line {number} while {name}", line
    assert b"a bug:" not in done.stderr, done.stderr


def test_no_canary_is_anywhere(project, postgres_url):
    """A whole life with failures: refused by the target with a value in its DETAIL, run, reported, rolled back."""
    search = Search()
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("CREATE SCHEMA ai")
        other.execute(
            "CREATE TABLE ai.places (place_id uuid PRIMARY KEY, original_source_id bigint, name varchar(60) NOT NULL,"
            " secret_name varchar(100))"
        )
        # Found by the server alone, when it publishes: its message would show the whole row.
        other.execute("CREATE UNIQUE INDEX one ON ai.places ((left(name, 16)))")
        other.execute("INSERT INTO ai.places VALUES (gen_random_uuid(), 999, 'canary-person-refused')")
    calls = [("check",), ("plan", "--docs", "md"), ("run", "-v")]
    for call in calls:
        for where, text in _command(project, *call):
            search.text(where, text, SECRETS | PERSONS)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("DROP INDEX ai.one")
    for where, text in _command_anew(project, "run"):
        search.text(where, text, SECRETS | PERSONS)
    for call in [("validate",), ("report",), ("status",), ("rollback", "--yes", "--cause", "a drill")]:
        for where, text in _command(project, *call):
            search.text(where, text, SECRETS | PERSONS)
    environment = (project / ".env").read_text()
    (project / ".env").write_text(environment.replace("host=", "port=1&host="))
    for where, text in _command(project, "run", "-v"):
        search.text(where, text, SECRETS | PERSONS)
    (project / ".env").write_text(environment)
    search.tree(project)
    figures.count(canaries=len(SECRETS | PERSONS), artefacts=search.artefacts, canaries_found=len(search.found))
    assert search.found == [], "\n".join(search.found)
    assert search.artefacts > 60
    assert list(project.glob("out/incident-*.md"))
    assert list(project.glob("out/*.html"))


def test_the_search_finds_a_planted_leak(project):
    """A canary in a journal, in a file's name, in a paper and in a message is found: the search can fail."""
    run = project / ".transhume" / "runs" / "r"
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text(f'{{"kind":"x","fields":{{"name":"{PERSONS["a key"]}"}}}}')
    (run / f"extract-{PERSONS['a loaded value']}.parquet").write_bytes(b"")
    (run / "work").mkdir()
    (run / "work" / "fates.arrow").write_text(SECRETS["key of mask"] + PERSONS["a rejected value"])
    (project / "out").mkdir()
    (project / "out" / "incident-r.md").write_text(f"DETAIL: Key (name)=({PERSONS['a value that the target refuses']})")
    search = Search()
    search.tree(project)
    search.text("a message", f"connecting to {SECRETS['password of the target']}".encode(), SECRETS)
    assert sorted(search.found) == sorted(
        [
            "a key in .transhume/runs/r/journal.jsonl",
            f"a loaded value in the name .transhume/runs/r/extract-{PERSONS['a loaded value']}.parquet",
            f"key of mask in {Path('.transhume', 'runs', 'r', 'work', 'fates.arrow')}",
            "a value that the target refuses in out/incident-r.md",
            "password of the target in a message",
        ]
    )


def test_files_that_hold_rows_are_readable_by_their_owner_only(project):
    """0600 for files, 0700 for folders, whatever the umask of whoever runs it."""
    former = os.umask(0)
    try:
        done = small_project.run_anew(project)
    finally:
        os.umask(former)
    assert done.returncode == 0, done.stderr
    open_ones = [
        f"{path.relative_to(project)} {path.stat().st_mode & 0o777:o}"
        for path in [*(project / ".transhume").rglob("*"), *project.glob("out/worksheet-*")]
        if path.stat().st_mode & 0o077
    ]
    assert open_ones == [], "\n".join(open_ones)
