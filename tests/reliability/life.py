"""A long life at random against a dictionary: runs, kills, resumes, others who write, rollbacks, damage, edited plans.

The model is two dictionaries: the source's rows, and the target's with who brought them. After every step the target is
read without the code under test and held against the model. A killed call may have ended or not, and nothing between.

The dice are Python's own, not Hypothesis's: where a few long lives are all that there is time for, Hypothesis spends
them on the simplest ones (forty-four rows added to the source, and no run).
"""

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability import figures
from tests.reliability.effects import Effects
from tests.reliability.others import OTHERS, OthersInLake, OthersOnPostgres
from tests.reliability.places import PostgresTarget, Target
from tests.stages import forked, small_project
from transhume import Project
from transhume.errors import JournalDamaged, Refused, TranshumeError
from transhume.stages.context import Limits

PLAN = """\
transhume: 1
name: life
namespace: life
source: ${SOURCE_URL}
target: ${TARGET_URL}
tables:
  things:
    from: thing
    key: id
    create: true
    types: {thing_id: uuid primary key, name: text(40)}
    columns: {thing_id: {uuid: id}, original_source_id: id, name: name}
    on_conflict: skip
"""
WEIGHTS = {
    "add_to_the_source": 2,
    "run_or_go_on": 6,
    "take_back": 3,
    "others_insert": 2,
    "others_update": 2,
    "others_delete": 1,
    "corrupt_the_journal": 2,
    "edit_the_plan": 1,
}
"""How often each kind of step is taken, where it may be."""
KILLED = 0.6
"""The share of calls that are to be killed; some come to their end first."""


def _run(folder: Path, at: int, after: bool) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).run(limits=Limits(segment_rows_max=4))


def _rollback(folder: Path, at: int, after: bool) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).rollback()


class Life:
    """One project's life, of which the seed decides everything but when a kill strikes a thread beside the first."""

    def __init__(self, seed: int, folder: Path, target: Target) -> None:
        """Make the project in a folder that is not there yet, with an empty target."""
        self.dice = random.Random(seed)
        self.folder, self.target = folder, target
        self.others = OthersOnPostgres(target) if isinstance(target, PostgresTarget) else OthersInLake(target)
        self.source: dict[int, str] = {}
        self.extracted: dict[int, str] = {}
        self.rows: dict[int, str] = {}
        self.brought: dict[str, dict[int, str]] = {}
        """By run: the rows that it brought, as it brought them, until it is taken back."""
        self.is_open = self.is_undoing = self.has_table = False
        self.names = 0
        self.told: list[str] = []
        folder.mkdir(parents=True)
        (folder / "transhume.yaml").write_text(PLAN)
        (folder / ".env").write_text(f"SOURCE_URL=sqlite:///source.db\nTARGET_URL={target.url}\n")
        small_project.source(folder, "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT)")
        for _ in range(self.dice.randint(3, 9)):
            self.add_to_the_source()

    def live(self, steps: int) -> None:
        """Take so many steps; the error of a violation has the whole story as a note."""
        for _ in range(steps):
            possible = [name for name in WEIGHTS if self._may(name)]
            (name,) = self.dice.choices(possible, [WEIGHTS[each] for each in possible])
            self.told.append(name)
            try:
                getattr(self, name)()
                assert self._see() == self.rows
            except BaseException as problem:
                figures.count(steps=1, violations=1)
                problem.add_note("\n".join(self.told))
                raise
            figures.count(steps=1, **{f"life_{name}": 1})

    def end(self) -> None:
        """Remove what there is of this life."""
        self.others.close()
        self.target.drop()
        shutil.rmtree(self.folder)

    def _may(self, name: str) -> bool:
        kinds = self._kinds()
        return {
            "run_or_go_on": not self.is_undoing,
            "take_back": "run_started" in kinds,
            "others_insert": self.has_table,
            "others_update": bool(self.rows) and not self.is_open,
            "others_delete": bool(self.rows) and not self.is_open,
            "corrupt_the_journal": not self.is_undoing and "table_staged" in kinds,
            "edit_the_plan": self.is_open and not self.is_undoing,
        }.get(name, True)

    def add_to_the_source(self) -> None:
        """The application writes a row; a run that has its extract does not see it."""
        number = len(self.source)
        self.source[number] = self._name("source")
        small_project.source(self.folder, "INSERT INTO thing VALUES (?, ?)", number, self.source[number])

    def run_or_go_on(self) -> None:
        """Run, or go on with a run, killed at some effect or not at all."""
        if not (self.is_open and "extract_finished" in self._kinds()):
            self.extracted = dict(self.source)
        new = {number: name for number, name in self.extracted.items() if number not in self.rows}
        killed = self._call(_run, 130, self.rows | new)
        gained = {number: name for number, name in self._see().items() if number not in self.rows}
        if gained:
            self.brought[self._newest()] = gained
        self.rows |= gained
        self.is_open = killed and "run_finished" not in self._kinds() and bool(self._kinds())

    def take_back(self) -> None:
        """Take the newest run back, killed at some effect or not at all: rows that others edited stay."""
        mine = self.brought.get(self._newest(), {})
        left = {number: name for number, name in self.rows.items() if mine.get(number) != name}
        killed = self._call(_rollback, 100, left)
        if self._see() == left:
            self.brought.pop(self._newest(), None)
            self.rows = left
        self.is_undoing = killed
        self.is_open = self.is_open and killed

    def _call(self, call: Callable[..., None], effects: int, ended: dict[int, str]) -> bool:
        """Do it and say whether it was killed; readers see what was before or what is to be, nothing between."""
        at = self.dice.randint(1, effects) if self.dice.random() < KILLED else 0
        after = self.dice.random() < 0.5
        done = forked.run(call, self.folder, at, after)
        killed = done.returncode != 0
        self.told[-1] += f" {self._newest()}, killed {'after' if after else 'before'} {at}" if killed else " to its end"
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        seen = self._see()
        assert seen == ended or (killed and seen == self.rows), "neither before nor after"
        figures.count(life_kills=int(killed))
        return killed

    def others_insert(self) -> None:
        """Somebody else writes a row, whatever is going on."""
        number = OTHERS + self.names
        self.rows[number] = self._name("theirs")
        self.others.insert(number, self.rows[number])

    def others_update(self) -> None:
        """Somebody else edits a row, ours or not."""
        number = self.dice.choice(sorted(self.rows))
        self.told[-1] += f" {number}"
        self.rows[number] = self._name("edited")
        self.others.update(number, self.rows[number])

    def others_delete(self) -> None:
        """Somebody else removes a row, ours or not."""
        number = self.dice.choice(sorted(self.rows))
        self.told[-1] += f" {number}"
        del self.rows[number]
        self.others.delete(number)

    def corrupt_the_journal(self) -> None:
        """The newest journal is damaged: no run begins, and nothing changes."""
        journal = self._folders()[-1] / "journal.jsonl"
        content = journal.read_bytes()
        match kind := self.dice.choice(["flip", "delete", "older"]):
            case "delete":
                journal.unlink()
            case "older":
                journal.write_bytes(b"".join(content.splitlines(keepends=True)[:1]))
            case _:
                flipped = bytearray(content)
                flipped[self.dice.randrange(len(content) - 2)] ^= 1 << self.dice.randrange(8)
                journal.write_bytes(flipped)
        self.told[-1] += f" {kind}"
        # An old copy of a run that was taken back says that it is open, and the target that it is over.
        self._refused(JournalDamaged, Refused)
        journal.write_bytes(content)

    def edit_the_plan(self) -> None:
        """The plan of an unfinished run is edited: it does not go on."""
        plan = self.folder / "transhume.yaml"
        plan.write_text(PLAN.replace("on_conflict: skip", "on_conflict: error"))
        self._refused(Refused)
        plan.write_text(PLAN)

    def _refused(self, *kinds: type[TranshumeError]) -> None:
        with pytest.raises(kinds):
            Project(self.folder).run()

    def _see(self) -> dict[int, str]:
        """Return name by original id, as others see it; a row that is there twice is a violation at once."""
        found = self.others.rows()
        self.has_table = found is not None
        rows = dict(found or [])
        assert len(rows) == len(found or []), "a row is there twice"
        return rows

    def _name(self, whose: str) -> str:
        self.names += 1
        return f"{whose} {self.names}"

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob(".transhume/runs/*"))

    def _newest(self) -> str:
        return self._folders()[-1].name if self._folders() else ""

    def _kinds(self) -> list[str]:
        folders = self._folders()
        if not folders or not (folders[-1] / "journal.jsonl").exists():
            return []
        lines = (folders[-1] / "journal.jsonl").read_text().split("\n")[:-1]
        return [json.loads(line)["kind"] for line in lines]
