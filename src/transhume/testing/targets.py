"""What every target must do, as tests that any target can be put through. No system is named here.

Use: subclass `TargetSuite` in a test module and give it a fixture `place` that returns a `Place`, an empty one
for each test. Values that a target cannot hold are left out by `TargetSuite.kinds`.
"""

import contextlib
import datetime as dt
import json
import pickle
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from transhume.batches import BatchId, JournalAnchor, OnConflict, StagedBatch, TargetTable
from transhume.errors import CheckFailed, LockHeld, Refused, SystemRefused, TranshumeError
from transhume.facts import Answer
from transhume.schema import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INT,
    JSON,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    Column,
    ForeignKey,
    Kind,
    LogicalType,
    Table,
)
from transhume.systems.system import Mismatch, RunIdentity, StagesInTasks, Target, TargetRun

_UTC = dt.UTC


def _naive(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=_UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


NASTY: dict[LogicalType, tuple[Any, ...]] = {
    UUID: (b"\x00" * 16, b"\xff" * 16, uuid.UUID("da3e586a-4bd1-55fc-925f-433257c8c5c4").bytes, None),
    INT: (0, -1, 2**31 - 1, -(2**31), None),
    BIGINT: (0, -1, 2**63 - 1, -(2**63), None),
    LogicalType(Kind.DECIMAL, precision=20, scale=4): tuple(
        map(Decimal, ("0", "-0.0001", "1234567890123456.7890", "-9999999999999999.9999", "10000"))
    ),
    LogicalType(Kind.DECIMAL, precision=38, scale=0): (Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(0), None),
    LogicalType(Kind.DECIMAL, precision=38, scale=38): (Decimal("0." + "9" * 38), Decimal(0), None),
    LogicalType(Kind.DECIMAL, precision=10, scale=2): (Decimal("1.10"), Decimal("-0.01"), Decimal("99999999.99"), None),
    DOUBLE: (0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, None),
    BOOLEAN: (True, False, None),
    TEXT: ("", " a\t\n\r\\N\"';--", "e\u0301 é ß İ 日本 😀 \u202e", "x" * 100_000, None),
    LogicalType(Kind.TEXT, length=5): ("", "abcde", "日本語日本", "a b  ", None),
    DATE: (dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1969, 12, 31), dt.date(2000, 2, 29), None),
    TIMESTAMP: (
        _naive(1, 1, 1),
        _naive(9999, 12, 31, 23, 59, 59, 999999),
        _naive(1999, 12, 31, 23),
        None,
    ),
    TIMESTAMPTZ: (
        dt.datetime(1, 1, 1, tzinfo=_UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=_UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=_UTC),
        None,
    ),
    TIME: (dt.time(0), dt.time(23, 59, 59, 999999), dt.time(12, 0, 0, 1), None),
    BYTES: (b"", b"\x00\xff\n\\", None),
    JSON: ('{"a": 1.10, "b": [null, "\\u00e9"]}', "null", '"x"', None),
    LogicalType(Kind.LIST, element=TEXT): (["a", None, ""], [], ['é,{}"'], None),
    LogicalType(Kind.LIST, element=BIGINT): ([1, None, -(2**63)], [], None),
    LogicalType(Kind.LIST, element=UUID): ([b"\x01" * 16, None], [], None),
    LogicalType(Kind.LIST, element=TIMESTAMPTZ): ([dt.datetime(2020, 1, 1, tzinfo=_UTC), None], [], None),
}
"""Values at the edges of each type, in the form in which Arrow gives them back."""


_MODES: tuple[OnConflict, ...] = ("error", "skip", "update")


class Place(Protocol):
    """An empty place of a target, made for one test."""

    def open(self) -> Target:
        """Return a new handle to the place, as another process would get it."""
        ...

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return what others read from a table now, not through the driver under test; empty if it is not there.

        UUIDs as 16 bytes, instants as aware UTC, everything else as Python's own types.
        """
        ...


def identity(run: str = "run_1", plan_hash: str = "plan-a", holder: str = "alice@host-1 pid 11") -> RunIdentity:
    """Return a run's identity for a test."""
    return RunIdentity(run, plan_hash, "0.test", holder)


def people(mapping: str = "people", *, create: bool = True) -> TargetTable:
    """Return a table with a UUID key, a text and a number."""
    columns = (Column("id", UUID, nullable=False), Column("name", TEXT, nullable=False), Column("age", BIGINT))
    table = Table(mapping, columns, primary_key=("id",))
    return TargetTable(mapping, table, ("id",), create)


def pets(*, create: bool = True) -> TargetTable:
    """Return a table whose rows reference `people`."""
    columns = (Column("pet_id", BIGINT, nullable=False), Column("owner", UUID))
    reference = ForeignKey(("owner",), "people", ("id",))
    table = Table("pets", columns, primary_key=("pet_id",), foreign_keys=(reference,))
    return TargetTable("pets", table, ("pet_id",), create)


def key(number: int) -> bytes:
    """Return the UUID of a numbered test row."""
    return uuid.UUID(int=number).bytes


def person_rows(first: int, count: int, suffix: str = "") -> pa.Table:
    """Return rows of `people`, keys counting from `first`."""
    numbers = range(first, first + count)
    rows = {
        "id": [key(number) for number in numbers],
        "name": [f"person {number}{suffix}" for number in numbers],
        "age": [None if number % 3 == 0 else number for number in numbers],
    }
    return pa.table(rows, schema=people().arrow_schema)


class TargetSuite:
    """The promises of `systems.system.TargetRun`, one test each."""

    without_kinds: ClassVar[frozenset[Kind]] = frozenset()
    """Kinds that this target refuses by name; the suite leaves their columns out."""

    def test_every_kind_of_value_comes_back_bit_by_bit(self, place: Place) -> None:
        """A table of every kind, at the edges of each, is staged, compared, published and verified without a change."""
        table, rows = nasty_table(self.without_kinds)
        with _run(place, [table]) as run:
            line = run.stage(table, BatchId("nasty", 0), rows)
            assert line.row_count == rows.num_rows
            assert list(run.compare(table, line.batch, rows)) == []
            run.seal(table, 1)
            columns = [column.name for column in table.table.columns]
            staged = _collect(run.read_staged(table, columns), rows.schema)
            assert _bits(staged) == _bits(rows)
            assert [one.inserted for one in run.publish([table])] == [rows.num_rows]
            assert list(run.verify(table)) == []
            present = _collect(run.read_present(table, columns), rows.schema)
            assert _bits(present) == _bits(rows)
        outside = sorted(place.rows("nasty", columns))
        assert [tuple(map(_plain, row)) for row in outside] == [
            tuple(map(_plain, row.values())) for row in rows.sort_by("id").to_pylist()
        ]

    def test_staged_rows_are_invisible_until_all_tables_appear(self, place: Place) -> None:
        """Others see no row and no half of a run before publishing, and every table after it."""
        tables = [people(), pets()]
        with _run(place, tables) as run:
            _stage_family(run)
            assert place.rows("people", ["id"]) == []
            assert place.rows("pets", ["pet_id"]) == []
            published = run.publish(tables)
        assert [(one.table, one.inserted, one.unchanged) for one in published] == [("people", 30, 0), ("pets", 5, 0)]
        assert len(place.rows("people", ["id"])) == 30
        assert len(place.rows("pets", ["pet_id"])) == 5

    def test_staging_a_batch_again_changes_nothing(self, place: Place) -> None:
        """A batch that is staged twice is there once, and both calls return the same line."""
        table = people()
        with _run(place, [table]) as run:
            first = run.stage(table, BatchId("people", 0), person_rows(0, 10))
            again = run.stage(table, BatchId("people", 0), person_rows(0, 10))
            assert again == first
            assert run.staged(table) == {0: first}
            run.seal(table, 1)
            assert sum(batch.num_rows for batch in run.read_staged(table, ["id"])) == 10

    def test_a_batch_that_several_tasks_write_is_there_once(self, place: Place) -> None:
        """Tasks of an engine, each with a copy of the writer, write batches side by side, two of them the same one.

        A target that only the process of the run can write has nothing to show here.
        """
        table = people()
        with _run(place, [table]) as run:
            if not isinstance(run, StagesInTasks):
                return
            writer = run.writer(table, [0, 1])
            assert writer is not None
            sent = pickle.dumps(writer)

            def task(index: int) -> tuple[StagedBatch, dict[str, Any], list[Mismatch]]:
                batch, rows = BatchId("people", index), person_rows(index * 10, 10)
                with contextlib.closing(pickle.loads(sent).open()) as writing:  # noqa: S301 - just made
                    line, written = writing.stage(batch, rows)
                    return line, written, list(writing.compare(batch, rows, line, written))

            with ThreadPoolExecutor(3) as tasks:
                done = list(tasks.map(task, (0, 1, 1)))
            assert [differences for _, _, differences in done] == [[], [], []]
            # Of the two that wrote the same batch one is taken, as of an engine's tasks one counts.
            for line, written, _ in done[:2]:
                run.enter(table, line, json.loads(json.dumps(written)))
            assert run.staged(table) == {0: done[0][0], 1: done[1][0]}
            for index in (0, 1):
                assert list(run.compare(table, BatchId("people", index), person_rows(index * 10, 10))) == []
            run.seal(table, 2)
            assert [one.inserted for one in run.publish([table])] == [20]
            assert list(run.verify(table)) == []
        assert sorted(place.rows("people", ["id"])) == [(key(number),) for number in range(20)]

    def test_batches_staged_side_by_side_are_all_there(self, place: Place) -> None:
        """Two threads stage and compare a batch each at the same time, beside rows that are there already."""
        self._publish_people(place, 40)
        table = people(create=False)
        with _run(place, [table], identity("run_2")) as run:

            def bring(index: int) -> tuple[StagedBatch, list[Mismatch]]:
                rows = person_rows(index * 10, 10)
                line = run.stage(table, BatchId("people", index), rows)
                return line, list(run.compare(table, line.batch, rows))

            with ThreadPoolExecutor(2) as threads:
                done = list(threads.map(bring, range(8)))
            assert [differences for _, differences in done] == [[]] * 8
            assert [(line.batch.index, line.row_count, len(line.unchanged)) for line, _ in done] == [
                (index, 0 if index < 4 else 10, 10 if index < 4 else 0) for index in range(8)
            ]
            assert run.staged(table) == {line.batch.index: line for line, _ in done}
            run.seal(table, 8)
            assert [(one.inserted, one.unchanged) for one in run.publish([table])] == [(40, 40)]
            assert list(run.verify(table)) == []
        assert sorted(place.rows("people", ["id"])) == [(key(number),) for number in range(80)]

    def test_a_resumed_run_finds_its_batches_and_finishes(self, place: Place) -> None:
        """What one process staged, the next one finds by the ledger, and publishes together with the rest."""
        table = people()
        with _run(place, [table]) as run:
            first = run.stage(table, BatchId("people", 0), person_rows(0, 10))
        with _run(place, [table], identity(holder="alice@host-1 pid 12")) as run:
            assert run.state == "open"
            assert run.staged(table) == {0: first}
            assert list(run.compare(table, BatchId("people", 0), person_rows(0, 10))) == []
            run.stage(table, BatchId("people", 1), person_rows(10, 5))
            run.seal(table, 2)
            assert [one.inserted for one in run.publish([table])] == [15]
        assert sorted(place.rows("people", ["id"])) == [(key(number),) for number in range(15)]

    def test_publishing_twice_publishes_once(self, place: Place) -> None:
        """A published run reports what it did and adds nothing, in the same process and in the next one."""
        table = people()
        with _run(place, [table]) as run:
            run.stage(table, BatchId("people", 0), person_rows(0, 4))
            run.seal(table, 1)
            first = list(run.publish([table]))
            assert list(run.publish([table])) == first
        with _run(place, [table]) as run:
            assert run.state == "published"
            assert list(run.publish([table])) == first
            assert list(run.verify(table)) == []
        assert len(place.rows("people", ["id"])) == 4

    def test_a_second_run_finds_everything_unchanged(self, place: Place) -> None:
        """The same rows staged by a later run are named as unchanged by position, and nothing is written."""
        self._publish_people(place, 10)
        before = sorted(place.rows("people", ["id", "name", "age"]))
        table = people(create=False)
        with _run(place, [table], identity("run_2")) as run:
            line = run.stage(table, BatchId("people", 0), person_rows(0, 10))
            assert (line.row_count, line.unchanged, line.conflicts) == (0, tuple(range(10)), ())
            assert list(run.compare(table, line.batch, person_rows(0, 10))) == []
            run.seal(table, 1)
            published = run.publish([table])
            assert [(one.inserted, one.unchanged) for one in published] == [(0, 10)]
            assert list(run.verify(table)) == []
        assert sorted(place.rows("people", ["id", "name", "age"])) == before

    def test_present_rows_are_told_apart_from_new_ones(self, place: Place) -> None:
        """Of one batch, equal rows are unchanged, rows of other content are conflicts, new keys are staged."""
        self._publish_people(place, 6)
        table = people(create=False)
        rows = pa.concat_tables([person_rows(0, 2), person_rows(2, 2, " renamed"), person_rows(100, 3)])
        with _run(place, [table], identity("run_2")) as run:
            line = run.stage(table, BatchId("people", 0), rows)
            assert (line.row_count, line.unchanged, line.conflicts) == (3, (0, 1), (2, 3))
            assert list(run.compare(table, line.batch, rows)) == []
            run.seal(table, 1)
            assert [one.inserted for one in run.publish([table])] == [3]
        names = dict(place.rows("people", ["id", "name"]))
        assert names[key(2)] == "person 2"
        assert len(names) == 9

    def test_comparing_finds_a_changed_value(self, place: Place) -> None:
        """A value that is not the staged one is found, with its row, its column and both texts."""
        table = people()
        with _run(place, [table]) as run:
            run.stage(table, BatchId("people", 0), person_rows(0, 10))
            other = person_rows(0, 10).to_pylist()
            other[7]["name"] = "somebody else"
            found = run.compare(table, BatchId("people", 0), pa.Table.from_pylist(other, table.arrow_schema))
        assert [(one.row, one.column, one.expected, one.found) for one in found] == [
            (7, "name", "somebody else", "person 7")
        ]

    def test_comparing_finds_missing_and_surplus_rows(self, place: Place) -> None:
        """A stage with fewer or more rows than were sent is never called equal."""
        table = people()
        with _run(place, [table]) as run:
            run.stage(table, BatchId("people", 0), person_rows(0, 10))
            assert run.compare(table, BatchId("people", 0), person_rows(0, 9))
            assert run.compare(table, BatchId("people", 0), person_rows(0, 11))

    def test_a_second_run_on_the_same_target_is_refused_with_the_holder(self, place: Place) -> None:
        """While one run holds the target, another is refused at once and told who holds it; afterwards it may."""
        table = people()
        with _run(place, [table], identity(holder="alice@host-1 pid 11")):
            with _expect(LockHeld) as caught, _run(place, [table], identity("run_2", holder="bob@host-2 pid 7")):
                pass
            assert "alice@host-1 pid 11" in str(caught[0])
            assert "run_1" in str(caught[0])
        with _run(place, [table], identity("run_2", holder="bob@host-2 pid 7")) as run:
            assert run.state == "open"

    def test_a_run_is_bound_to_its_plan(self, place: Place) -> None:
        """The same run with another plan is refused, with both hashes."""
        table = people()
        with _run(place, [table]) as run:
            run.stage(table, BatchId("people", 0), person_rows(0, 1))
        with _expect(Refused) as caught, _run(place, [table], identity(plan_hash="plan-b")):
            pass
        assert "plan-a" in str(caught[0])
        assert "plan-b" in str(caught[0])

    def test_an_incomplete_stage_is_neither_sealed_nor_published(self, place: Place) -> None:
        """A missing batch stops the sealing, a table that is not sealed stops the publishing, and nothing appears."""
        table = people()
        with _run(place, [table]) as run:
            run.stage(table, BatchId("people", 0), person_rows(0, 3))
            run.stage(table, BatchId("people", 2), person_rows(6, 3))
            with _expect(CheckFailed):
                run.seal(table, 3)
            with _expect(CheckFailed):
                run.publish([table])
        assert place.rows("people", ["id"]) == []

    def test_empty_batches_and_tables_are_counted_as_zero(self, place: Place) -> None:
        """A table of no rows is created, sealed, published and verified like any other."""
        tables = [people(), pets()]
        with _run(place, tables) as run:
            for table in tables:
                line = run.stage(table, BatchId(table.mapping, 0), table.arrow_schema.empty_table())
                assert line.row_count == 0
                assert list(run.compare(table, line.batch, table.arrow_schema.empty_table())) == []
                run.seal(table, 1)
            assert [one.inserted for one in run.publish(tables)] == [0, 0]
            assert list(run.verify(tables[0])) == []
        with _target(place) as target:
            assert {"people", "pets"} <= set(target.catalog().tables)

    def test_the_catalog_shows_created_tables_as_they_were_asked_for(self, place: Place) -> None:
        """A created table is described with the types, NULLs and key of the plan, and needs no more refusing."""
        self._publish_people(place, 1)
        with _target(place) as target:
            table = target.catalog().tables["people"]
            assert [(column.name, column.type, column.nullable) for column in table.columns] == [
                ("id", UUID, False),
                ("name", TEXT, False),
                ("age", BIGINT, True),
            ]
            assert list(target.refusals([people(create=False)])) == []

    def test_refusals_name_what_is_missing(self, place: Place) -> None:
        """A table that is not there and not to be created, and a column that is not there, are refused by name."""
        self._publish_people(place, 1)
        with _target(place) as target:
            assert any("'nobody'" in reason for reason in target.refusals([people("nobody", create=False)]))
            columns = (*people().table.columns, Column("shoe_size", BIGINT))
            wider = TargetTable("people", Table("people", columns, ("id",)), ("id",), create=False)
            assert any("shoe_size" in reason for reason in target.refusals([wider]))
            assert list(target.refusals([pets()])) == []

    def test_the_end_of_a_journal_is_remembered(self, place: Place) -> None:
        """The newest end of a run's journal is known to whoever asks, also after the run's process is gone."""
        with _target(place) as target:
            assert target.anchor("run_1") is None
        with _run(place, [people()]) as run:
            run.remember(JournalAnchor(1, "a" * 64))
            run.remember(JournalAnchor(3, "c" * 64))
        with _target(place) as target:
            assert target.anchor("run_1") == JournalAnchor(3, "c" * 64)
            assert target.anchor("run_2") is None

    def test_the_ledger_lists_runs_in_order(self, place: Place) -> None:
        """Every run is listed with plan, holder and state, oldest first; before the first one there is none."""
        with _target(place) as target:
            assert list(target.runs()) == []
        self._publish_people(place, 2)
        with _run(place, [people(create=False)], identity("run_2")):
            pass
        with _target(place) as target:
            runs = [(run["run"], run["plan_hash"], run["state"]) for run in target.runs()]
        assert runs == [("run_1", "plan-a", "published"), ("run_2", "plan-a", "open")]

    def test_a_query_is_answered_of_what_readers_see_or_refused(self, place: Place) -> None:
        """A server counts and gives the first rows, one statement that only reads; a lake says that it answers none."""
        self._publish_people(place, 7)
        with _run(place, [people(create=False)], identity("run_2")) as run:
            if not run.answers_sql:
                with _expect(SystemRefused):
                    run.ask("SELECT 1", counts=True)
                return
            found = run.ask("SELECT count(*) AS n, NULL AS nothing FROM people;", counts=False)
            assert found == Answer(None, ((7, None),))
            assert run.ask("SELECT * FROM people", counts=True).count == 7
            for wrong in ("SELECT no_such FROM people", "SELECT 1) AS a; DELETE FROM people; SELECT * FROM (SELECT 1"):
                with _expect(SystemRefused):
                    run.ask(wrong, counts=False)
            assert run.ask("SELECT * FROM people", counts=True).count == 7

    def test_rows_that_are_there_with_other_content_are_skipped_or_replaced(self, place: Place) -> None:
        """`skip` leaves them, `update` replaces them beside new and unchanged ones, `error` names them: by position."""
        self._publish_people(place, 10)
        rows = person_rows(0, 12).to_pylist()
        for number in (2, 7):
            rows[number]["name"] += " renamed"
        later = pa.Table.from_pylist(rows, schema=people().arrow_schema)
        counts: list[tuple[int, ...]] = []
        for number, mode in enumerate(_MODES):
            table = TargetTable("people", people().table, ("id",), create=False, on_conflict=mode)
            with _run(place, [table], identity(f"run_{number + 2}")) as run:
                line = run.stage(table, BatchId("people", 0), later)
                assert run.stage(table, BatchId("people", 0), later) == line
                assert list(run.compare(table, line.batch, later)) == []
                assert run.staged(table) == {0: line}
                run.seal(table, 1)
                assert sum(batch.num_rows for batch in run.read_staged(table, ["id"])) == line.row_count
                assert [line.conflicts, line.skipped, line.updated] == [(2, 7) if n == number else () for n in range(3)]
                counts.append((line.row_count, len(line.unchanged)))
                if mode != "error":
                    (one,) = run.publish([table])
                    assert list(run.verify(table)) == []
                    assert list(run.publish([table])) == [one]
                    counts.append((one.inserted, one.unchanged, one.updated, one.skipped))
        assert counts == [(2, 8), (2, 8), (2, 8, 0, 2), (2, 10), (0, 10, 2, 0)]
        names = sorted(tuple(row) for row in place.rows("people", ["id", "name"]))
        assert names == sorted((row["id"], row["name"]) for row in rows)

    def _publish_people(self, place: Place, count: int) -> None:
        table = people()
        with _run(place, [table]) as run:
            run.stage(table, BatchId("people", 0), person_rows(0, count))
            run.seal(table, 1)
            run.publish([table])


def nasty_table(without: frozenset[Kind] = frozenset()) -> tuple[TargetTable, pa.Table]:
    """Return a table with one column for every type in NASTY and rows that hold all its values."""
    types = [
        kind
        for kind in NASTY
        if kind.kind not in without and (kind.element is None or kind.element.kind not in without)
    ]
    count = max(len(NASTY[kind]) for kind in types)
    columns = [Column("id", BIGINT, nullable=False), *(Column(f"c{n} {kind}", kind) for n, kind in enumerate(types))]
    table = TargetTable("nasty", Table("nasty", tuple(columns), ("id",)), ("id",), create=True)
    values: list[list[Any]] = [list(range(count))]
    values += [[NASTY[kind][row % len(NASTY[kind])] for row in range(count)] for kind in types]
    schema = table.arrow_schema
    arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return table, pa.Table.from_arrays(arrays, schema=schema)


def _stage_family(run: TargetRun) -> None:
    for index in range(3):
        run.stage(people(), BatchId("people", index), person_rows(index * 10, 10))
    run.seal(people(), 3)
    rows = pa.table({"pet_id": range(5), "owner": [key(n) for n in range(5)]}, schema=pets().arrow_schema)
    run.stage(pets(), BatchId("pets", 0), rows)
    run.seal(pets(), 1)


@contextlib.contextmanager
def _target(place: Place) -> Iterator[Target]:
    target = place.open()
    try:
        yield target
    finally:
        target.close()


@contextlib.contextmanager
def _run(place: Place, tables: Sequence[TargetTable], who: RunIdentity | None = None) -> Iterator[TargetRun]:
    with _target(place) as target:
        run = target.open_run(who or identity(), tables)
        try:
            yield run
        finally:
            run.close()


@contextlib.contextmanager
def _expect(kind: type[TranshumeError]) -> Iterator[list[TranshumeError]]:
    caught: list[TranshumeError] = []
    try:
        yield caught
    except kind as problem:
        caught.append(problem)
    assert caught, f"{kind.__name__} was expected, and nothing was raised"


def _collect(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return the batches as one table; whether a column may be NULL is the table's to say, not the batch's."""
    found = list(batches)
    assert all(batch.schema.types == schema.types and batch.schema.names == schema.names for batch in found)
    return pa.Table.from_batches(found).cast(schema) if found else schema.empty_table()


def _bits(table: pa.Table) -> list[list[Any]]:
    """Return the rows by id, floats as their bits."""
    return [[_plain(value) for value in row.values()] for row in table.sort_by("id").to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(_UTC)
    return [_plain(one) for one in value] if isinstance(value, list) else value
