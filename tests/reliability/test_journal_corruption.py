"""A journal that is cut, flipped, replaced or deleted: every change of what is read is found out before anything else.

What is read is judged here without the code under test: lines of JSON, each with a number, a time, a kind and fields.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.reliability import figures
from tests.reliability.places import LakeTarget, PostgresTarget, Target, keys
from tests.stages import small_project
from transhume import Project
from transhume.errors import JournalDamaged
from transhume.journal import ANCHORED
from transhume.stages.context import Limits

LIMITS = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


@dataclass(frozen=True)
class Ran:
    """A project after a run, its journal's file and what was in it."""

    project: Project
    target: Target
    journal: Path
    content: bytes

    def refuses(self, content: bytes | None) -> bool:
        """Put other content in the journal's place (None: no file) and say whether a run refuses it; put it back."""
        if content is None:
            self.journal.unlink()
        else:
            self.journal.write_bytes(content)
        try:
            self.project.run(limits=LIMITS)
        except JournalDamaged:
            return True
        else:
            return False
        finally:
            self.journal.write_bytes(self.content)


def _read(content: bytes | None) -> list[tuple[object, ...]] | str:
    """Return what is told by a journal, or what keeps it from being read."""
    told = []
    for line in (content or b"").split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
            told.append((entry["n"], entry["at"], entry["kind"], entry["fields"]))
        except (ValueError, KeyError, TypeError):
            return "unreadable"
    return told


@pytest.fixture(params=["PostgreSQL", "Iceberg"])
def finished(request, memory) -> Ran:
    """A project whose run is finished."""
    folder = Path(mkdtemp(dir=memory)) / "p"
    if request.param == "Iceberg":
        return _ran(folder, LakeTarget(folder), "")
    return _ran(folder, PostgresTarget(request.getfixturevalue("postgres_url"), "ai"), "")


def _ran(folder: Path, target: Target, fault: str) -> Ran:
    small_project.write(folder, target.url)
    small_project.run(folder, fault)
    (journal,) = folder.glob(".transhume/runs/*/journal.jsonl")
    return Ran(Project(folder), target, journal, journal.read_bytes())


def _ends(content: bytes) -> list[int]:
    return [place + 1 for place, byte in enumerate(content) if byte == 10]


def _corruptions(
    content: bytes, dice: random.Random, cuts: int, flips: int, step: int
) -> Iterator[tuple[str, bytes | None]]:
    """Yield kinds and contents: cuts anywhere, in the first line, at ends of lines, single bits, older copies, nothing.

    One that passes is followed by a run of its own, which hides all after it: the number of those missed says little.
    """
    ends = _ends(content)
    for place in dice.sample(range(len(content)), cuts):
        yield "truncated", content[:place]
    for place in dice.sample(range(len(content)), flips):
        flipped = bytearray(content)
        flipped[place] ^= 1 << dice.randrange(8)
        yield "flipped", bytes(flipped)
    for place in (1, ends[0] - 1):
        yield "truncated", content[:place]
    for place in ends[:-1][::-step]:
        yield "older", content[:place]
    yield "deleted", None
    yield "deleted", b""


def _count(ran: Ran, seed: int, cuts: int, flips: int, step: int = 1) -> list[str]:
    """Try corruptions, count them, and return those that were not found out."""
    missed, before = [], ran.target.rows()
    for kind, content in _corruptions(ran.content, random.Random(seed), cuts, flips, step):
        if _read(content) == _read(ran.content):
            continue
        found = ran.refuses(content)
        figures.count(**{"corruptions": 1, kind: 1, "corruptions_found": int(found)})
        if not found:
            missed.append(f"{kind}: {len(content or b'')} of {len(ran.content)} bytes")
    assert ran.target.rows() == before
    return missed


def test_a_corrupted_journal_of_a_finished_run_is_refused(finished):
    """A few of each kind: all are named as damage, and the target is not touched."""
    assert _count(finished, 1, cuts=3, flips=3, step=20) == []


@pytest.mark.sweep
def test_every_corrupted_journal_of_a_finished_run_is_refused(finished):
    """Hundreds of cuts and flipped bits, every older copy, no journal at all."""
    assert _count(finished, 2, cuts=120, flips=150) == []


def test_a_journal_cut_to_what_the_target_remembers_goes_on(postgres_url, tmp_path):
    """What a power cut can take of an unfinished run's journal does no harm; one line more is found out."""
    folder = tmp_path / "p"
    target = PostgresTarget(postgres_url, "ai")
    ran = _ran(folder, target, "before:batch_compared:4:kill")
    kinds = [json.loads(line)["kind"] for line in ran.content.splitlines()]
    ends = _ends(ran.content)
    last = max(place for place, kind in enumerate(kinds) if kind in ANCHORED)
    assert 0 < last < len(kinds) - 1
    assert ran.refuses(ran.content[: ends[last - 1]])
    ran.journal.write_bytes(ran.content[: ends[last]])
    assert ran.project.run(limits=LIMITS).state == "finished"
    rows = target.rows()
    assert keys(rows).total() == sum(table["loaded"] for table in small_project.expected_buckets().values())
    assert max(rows.values()) == 1


def test_a_rollback_without_its_journal_is_refused(postgres_url, tmp_path):
    """A deleted journal is named as such where the target knows the run; a new run is begun by `fresh` only."""
    ran = _ran(tmp_path / "p", PostgresTarget(postgres_url, "ai"), "")
    ran.journal.unlink()
    with pytest.raises(JournalDamaged, match="is gone, and the target's ledger knows run"):
        ran.project.rollback()
    assert ran.project.run(limits=LIMITS, fresh=True).state == "finished"
    assert ran.project.run(limits=LIMITS).state == "finished"
