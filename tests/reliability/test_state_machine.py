"""A long life at random against a dictionary: runs, kills, resumes, others who write, rollbacks, damage, edited plans.

The model is two dictionaries: the source's rows, and the target's with who brought them. After every step the target is
read without the code under test and held against the model. A killed call may have ended or not, and nothing between.
"""

import contextlib
import json
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from psycopg import sql

from tests.reliability import figures
from tests.reliability.effects import Effects
from tests.reliability.places import LakeTarget, PostgresTarget, Target
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
OTHERS = 1000
"""Original ids from here on are of rows that others write."""


def _run(folder: Path, at: int, after: bool) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).run(limits=Limits(segment_rows_max=4))


def _rollback(folder: Path, at: int, after: bool) -> None:
    effects = Effects(at, after=after)
    effects.arm()
    Project(folder).rollback()


class _Others:
    """What others do to the target, each system in its own way."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def exists(self) -> bool:
        if isinstance(self.target, PostgresTarget):
            with psycopg.connect(self.target.database_url) as reader:
                found = reader.execute("SELECT to_regclass(%s)", [f"{self.target.schema}.things"]).fetchone()
                return found is not None and found[0] is not None
        lake = self.target.catalog()
        return lake is not None and lake.table_exists(("ai", "things"))

    def insert(self, number: int, name: str) -> None:
        key = uuid.uuid5(uuid.NAMESPACE_OID, f"theirs {number}")
        if isinstance(self.target, PostgresTarget):
            self._execute("INSERT INTO {} (thing_id, original_source_id, name) VALUES (%s, %s, %s)", key, number, name)
            return
        table = self._table()
        row = {"thing_id": key.bytes, "original_source_id": number, "name": name, "migration_batch": None}
        table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))

    def update(self, number: int, name: str) -> None:
        if isinstance(self.target, PostgresTarget):
            self._execute("UPDATE {} SET name = %s WHERE original_source_id = %s", name, number)
            return
        table = self._table()
        rows = table.scan(f"original_source_id == {number}").to_arrow().to_pylist()
        changed = [{**row, "name": name} for row in rows]
        new = pa.Table.from_pylist(changed, schema=table.schema().as_arrow())
        table.overwrite(new, f"original_source_id == {number}")

    def delete(self, number: int) -> None:
        if isinstance(self.target, PostgresTarget):
            self._execute("DELETE FROM {} WHERE original_source_id = %s", number)
        else:
            self._table().delete(f"original_source_id == {number}")

    def rows(self) -> dict[int, str]:
        """Return name by original id; a row that is there twice is a violation at once."""
        if not self.exists():
            return {}
        if isinstance(self.target, PostgresTarget):
            with psycopg.connect(self.target.database_url) as reader:
                place = sql.Identifier(self.target.schema, "things")
                found = reader.execute(sql.SQL("SELECT original_source_id, name FROM {}").format(place)).fetchall()
        else:
            rows = self._table().scan().to_arrow().to_pylist()
            found = [(row["original_source_id"], row["name"]) for row in rows]
        assert len(found) == len({number for number, _ in found}), "a row is there twice"
        return dict(found)

    def _execute(self, statement: str, *values: object) -> None:
        assert isinstance(self.target, PostgresTarget)
        with psycopg.connect(self.target.database_url, autocommit=True) as other:
            place = sql.Identifier(self.target.schema, "things")
            other.execute(sql.SQL(statement).format(place), values)

    def _table(self) -> Any:
        assert isinstance(self.target, LakeTarget)
        lake = self.target.catalog()
        assert lake is not None
        return lake.load_table(("ai", "things"))


class Life(RuleBasedStateMachine):
    """One project's life. `place` gives its folder and target."""

    place: Callable[[], tuple[Path, Target]]

    def __init__(self) -> None:
        super().__init__()
        self.folder, self.target = type(self).place()
        self.others = _Others(self.target)
        self.source: dict[int, str] = {}
        self.extracted: dict[int, str] = {}
        self.rows: dict[int, str] = {}
        self.brought: dict[str, dict[int, str]] = {}
        """By run: the rows that it brought, as it brought them, until it is taken back."""
        self.is_open = self.is_undoing = False
        self.names = 0

    @initialize(rows=st.integers(3, 9))
    def begin(self, rows: int) -> None:
        """Make the project."""
        self.folder.mkdir(parents=True)
        (self.folder / "transhume.yaml").write_text(PLAN)
        (self.folder / ".env").write_text(f"SOURCE_URL=sqlite:///source.db\nTARGET_URL={self.target.url}\n")
        small_project.source(self.folder, "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT)")
        for _ in range(rows):
            self._add()

    @rule()
    def add_to_the_source(self) -> None:
        """The application writes a row; a run that has its extract does not see it."""
        self._add()
        figures.count(steps=1)

    def _add(self) -> None:
        number = len(self.source)
        self.source[number] = self._name("source")
        small_project.source(self.folder, "INSERT INTO thing VALUES (?, ?)", number, self.source[number])

    @precondition(lambda self: not self.is_undoing)
    @rule(at=st.one_of(st.just(0), st.integers(1, 220)), after=st.booleans())
    def run_or_go_on(self, at: int, after: bool) -> None:
        """Run, or go on with a run, killed at some effect or not at all."""
        if not (self.is_open and "extract_finished" in self._kinds()):
            self.extracted = dict(self.source)
        new = {number: name for number, name in self.extracted.items() if number not in self.rows}
        killed = self._call(_run, at, after, self.rows | new)
        gained = {number: name for number, name in self._see().items() if number not in self.rows}
        if gained:
            self.brought[self._newest()] = gained
        self.rows |= gained
        self.is_open = killed and "run_finished" not in self._kinds() and bool(self._kinds())

    @precondition(lambda self: "run_started" in self._kinds())
    @rule(at=st.one_of(st.just(0), st.integers(1, 140)), after=st.booleans())
    def take_back(self, at: int, after: bool) -> None:
        """Take the newest run back, killed at some effect or not at all: rows that others edited stay."""
        mine = self.brought.get(self._newest(), {})
        left = {number: name for number, name in self.rows.items() if mine.get(number) != name}
        killed = self._call(_rollback, at, after, left)
        if self._see() == left:
            self.brought.pop(self._newest(), None)
            self.rows = left
        self.is_undoing = killed
        self.is_open = self.is_open and killed

    def _call(self, call: Callable[..., None], at: int, after: bool, ended: dict[int, str]) -> bool:
        """Do it and say whether it was killed; readers see what was before or what is to be, nothing between."""
        done = forked.run(call, self.folder, at, after)
        with self._judged():
            assert done.returncode in {0, -signal.SIGKILL}, done.stderr
            seen = self._see()
            assert seen == ended or (done.returncode and seen == self.rows), "neither before nor after"
        return done.returncode != 0

    @precondition(lambda self: self.others.exists())
    @rule()
    def others_insert(self) -> None:
        """Somebody else writes a row, whatever is going on."""
        number = OTHERS + self.names
        self.rows[number] = self._name("theirs")
        self.others.insert(number, self.rows[number])
        self._compare()

    @precondition(lambda self: self.rows and not self.is_open)
    @rule(data=st.data())
    def others_update(self, data: st.DataObject) -> None:
        """Somebody else edits a row, ours or not."""
        number = data.draw(st.sampled_from(sorted(self.rows)))
        self.rows[number] = self._name("edited")
        self.others.update(number, self.rows[number])
        self._compare()

    @precondition(lambda self: self.rows and not self.is_open)
    @rule(data=st.data())
    def others_delete(self, data: st.DataObject) -> None:
        """Somebody else removes a row, ours or not."""
        number = data.draw(st.sampled_from(sorted(self.rows)))
        del self.rows[number]
        self.others.delete(number)
        self._compare()

    @precondition(lambda self: not self.is_undoing and "table_staged" in self._kinds())
    @rule(data=st.data(), kind=st.sampled_from(["flip", "delete", "older"]))
    def corrupt_the_journal(self, data: st.DataObject, kind: str) -> None:
        """The newest journal is damaged: no run begins, and nothing changes."""
        journal = self._folders()[-1] / "journal.jsonl"
        content = journal.read_bytes()
        if kind == "delete":
            journal.unlink()
        elif kind == "older":
            journal.write_bytes(b"".join(content.splitlines(keepends=True)[:1]))
        else:
            bit = data.draw(st.integers(0, 8 * (len(content) - 2)))
            journal.write_bytes(
                content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]
            )
        self._refused(JournalDamaged)
        journal.write_bytes(content)

    @precondition(lambda self: self.is_open and not self.is_undoing)
    @rule()
    def edit_the_plan(self) -> None:
        """The plan of an unfinished run is edited: it does not go on."""
        plan = self.folder / "transhume.yaml"
        plan.write_text(PLAN.replace("text(40)", "text(41)"))
        self._refused(Refused)
        plan.write_text(PLAN)

    def _refused(self, kind: type[TranshumeError]) -> None:
        with self._judged():
            with pytest.raises(kind):
                Project(self.folder).run()
            assert self._see() == self.rows

    def _compare(self) -> None:
        with self._judged():
            assert self._see() == self.rows

    @contextlib.contextmanager
    def _judged(self) -> Iterator[None]:
        """Count a step, and a violation where what is inside fails."""
        figures.count(steps=1)
        try:
            yield
        except BaseException:
            figures.count(violations=1)
            raise

    def _see(self) -> dict[int, str]:
        return self.others.rows()

    def _name(self, whose: str) -> str:
        self.names += 1
        return f"{whose} {self.names}"

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob(".transhume/runs/*"))

    def _newest(self) -> str:
        return self._folders()[-1].name

    def _kinds(self) -> list[str]:
        folders = self._folders()
        if not folders or not (folders[-1] / "journal.jsonl").exists():
            return []
        lines = (folders[-1] / "journal.jsonl").read_text().split("\n")[:-1]
        return [json.loads(line)["kind"] for line in lines]

    def teardown(self) -> None:
        """Remove what the target holds of this life."""
        self.target.drop()


def _live(system: str, number: int, steps: int, examples: int, folder: Path, database_url: str) -> None:
    lives = iter(range(1000))

    class Here(Life):
        @staticmethod
        def place() -> tuple[Path, Target]:
            life = f"life_{number}_{next(lives)}"
            if system == "PostgreSQL":
                return folder / life, PostgresTarget(database_url, life)
            return folder / life, LakeTarget(folder / life)

    told = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seeded(number)(Here), settings=told)


@pytest.mark.parametrize("system", ["PostgreSQL", "Iceberg"])
def test_a_short_life_keeps_to_the_model(system, tmp_path, postgres_url):
    """Two lives of some steps."""
    _live(system, 1, 9, 2, tmp_path, postgres_url)


@pytest.mark.sweep
@pytest.mark.parametrize("number", range(2, 14))
@pytest.mark.parametrize("system", ["PostgreSQL", "Iceberg"])
def test_a_long_life_keeps_to_the_model(system, number, tmp_path, postgres_url):
    """Lives of forty steps and more, from seeds that are always the same."""
    _live(system, number, 45, 2, tmp_path, postgres_url)
