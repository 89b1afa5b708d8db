"""The journal keeps every event, survives a torn last line and names every other damage."""

import errno
import json
import os
from pathlib import Path

import pytest

from transhume.batches import Event
from transhume.errors import Interrupted, JournalDamaged
from transhume.journal import Journal, read_journal
from transhume.stages.files import room


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for number in range(5):
        journal.append(Event("batch_staged", {"mapping": "é", "batch": number}))
    journal.close()
    return path


def test_events_come_back_in_order(written: Path) -> None:
    """What was appended is read back, by a second process as well."""
    assert [entry.event.fields["batch"] for entry in read_journal(written)] == [0, 1, 2, 3, 4]
    assert [entry.event.fields["batch"] for entry in Journal(written).entries] == [0, 1, 2, 3, 4]


def test_every_truncation_is_a_prefix_or_an_error(written: Path) -> None:
    """Cut at any byte, the journal holds exactly the complete lines before the cut and takes new events."""
    content = written.read_bytes()
    for cut in range(len(content)):
        written.write_bytes(content[:cut])
        journal = Journal(written)
        assert len(journal.entries) == content[:cut].count(b"\n")
        journal.append(Event("again"))
        journal.close()
        assert read_journal(written)[-1].event.kind == "again"


def test_every_bit_flip_is_noticed(written: Path) -> None:
    """No single flipped bit in a complete line changes what is read without an error."""
    content = written.read_bytes()
    before = read_journal(written)
    for place in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << (place % 8)
        written.write_bytes(bytes(flipped))
        try:
            after = read_journal(written)
        except (JournalDamaged, UnicodeDecodeError):
            continue
        # A flip in the last line's own line feed makes it an unfinished line, which is dropped, never altered.
        assert after == before[: len(after)]
        assert place // 8 == len(content) - 1


def test_a_removed_line_is_noticed(written: Path) -> None:
    """A line taken out of the middle breaks the chain and the message names the line."""
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(JournalDamaged, match="line 3"):
        read_journal(written)


def test_a_full_disk_stops_the_run(written: Path) -> None:
    """An event that cannot be written raises Interrupted; nothing is said to have happened."""
    journal = Journal(written)
    full = open("/dev/full", "ab", buffering=0)  # noqa: SIM115, PTH123
    journal._file = full.fileno()
    with pytest.raises(Interrupted, match="No space left"):
        journal.append(Event("lost"))
    assert len(read_journal(written)) == 5


@pytest.mark.parametrize(("call", "number"), [("write", errno.EROFS), ("fsync", errno.EIO)])
def test_a_disk_that_refuses_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """A read-only file system, or a sync that fails: the run stops, and nothing is taken for written."""
    journal = Journal(tmp_path / "journal.jsonl")

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(Interrupted, match=f"{os.strerror(number)}.*run the same command again"):
        journal.append(Event("published"))
    assert journal.entries == []
    with pytest.raises(Interrupted, match="Make room or mend the disk"), room():
        raise OSError(number, os.strerror(number))


def test_file_is_private_and_readable_by_tools(written: Path) -> None:
    """The file is 0600 and each line is one JSON object."""
    assert written.stat().st_mode & 0o777 == 0o600
    for line in written.read_text().splitlines():
        assert set(json.loads(line)) == {"n", "at", "kind", "fields", "hash"}


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_nothing_follows_a_line_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A disk that refuses once, the line written or half written: none is put behind it, and the journal opens."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Event("extract_started"))
    real = getattr(os, call)

    def refuse_once(file: int, *data: bytes) -> int:
        monkeypatch.setattr(os, call, real)
        if data:
            real(file, data[0][:20])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, refuse_once)
    for kind in ("published", "run_stopped"):
        with pytest.raises(Interrupted, match="run the same command again"):
            journal.append(Event(kind))
    journal.close()
    again = Journal(tmp_path / "journal.jsonl")
    assert [each.event.kind for each in again.entries] == ["extract_started"]
    again.append(Event("run_resumed"))
    again.close()
    assert len(read_journal(tmp_path / "journal.jsonl")) == 2
