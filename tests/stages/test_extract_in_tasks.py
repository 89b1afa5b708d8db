"""Large tables of a PostgreSQL source, read in parts by an engine's tasks at the instant of one exported snapshot."""

import pickle
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import servers
from tests.fidelity import torture
from tests.stages import small_project, tasking
from transhume import Project
from transhume.errors import DriverMissing, SystemUnavailable
from transhume.schema import Table
from transhume.stages.context import Limits
from transhume.systems.postgres import source
from transhume.systems.postgres.address import parse_url
from transhume.systems.postgres.source import PageRange, PostgresSnapshot, PostgresSource, open_source

ROWS = 3_000
PAGE_RANGE = 4 * 8_192
PLAN = """\
transhume: 1
name: parts
namespace: parts
source: ${SOURCE_URL}
target: iceberg:./lake?namespace=ai
defaults: {max_rejects: 50%}
tables:
  notes:
    from: note
    key: id
    create: true
    types: {note_id: uuid primary key}
    columns: {note_id: {uuid: id}, original_source_id: id, text: text, size: size, at: at, note_file: data}
    drop: [words, price]
"""


@pytest.fixture
def url(postgres_url: str) -> str:
    """A table of 3,000 rows in some 90 pages, some of them emptied, with values that are easily bent."""
    with psycopg.connect(postgres_url) as owner:
        owner.execute("CREATE SCHEMA legacy")
        owner.execute(
            "CREATE TABLE legacy.note (id bigint, text text, size double precision, at timestamptz, data bytea,"
            " words text[], price numeric)"
        )
        owner.execute(
            r"""
            INSERT INTO legacy.note
            SELECT n,
                CASE n %% 7 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'a "quoted"\n,line\\'
                    ELSE repeat('x', n %% 500) END,
                CASE n %% 5 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0.0' WHEN 2 THEN 5e-324 ELSE n / 7.0 END::float8,
                timestamptz '2024-03-31 01:59:59.999999+00' + n * interval '1 minute',
                decode(repeat('00ff', n %% 9), 'hex'),
                CASE n %% 4 WHEN 0 THEN ARRAY['a', NULL, 'NULL'] WHEN 1 THEN ARRAY[ARRAY['two', 'deep']] END,
                n::numeric / 3
            FROM generate_series(1, %s) n
            """,
            [ROWS],
        )
        owner.execute("DELETE FROM legacy.note WHERE id BETWEEN 700 AND 1900")
    return postgres_url


@pytest.fixture
def opened(url: str, monkeypatch: pytest.MonkeyPatch):
    """The source, with ranges of four pages."""
    monkeypatch.setattr(source, "_RANGE_BYTES", PAGE_RANGE)
    made = open_source(f"{url}&schema=legacy", Path())
    yield made
    made.close()


def test_parts_are_the_table_of_one_reader(url: str, opened: PostgresSource) -> None:
    """Sent elsewhere, all parts together give every row and value that one reader gives, numbered alike."""
    table = opened.catalog().tables["note"]
    with opened.snapshot() as snapshot:
        ranges = pickle.loads(pickle.dumps(snapshot.ranges(table)))
        with psycopg.connect(url) as writer:
            writer.execute("INSERT INTO legacy.note SELECT 10000 + n FROM generate_series(1, 500) n")
            writer.execute("UPDATE legacy.note SET text = 'changed' WHERE id < 50")
            writer.execute("DELETE FROM legacy.note WHERE id BETWEEN 2500 AND 2600")
        counts = [each.count() for each in ranges]
        parts, first_row = [], 0
        for each, count in zip(ranges, counts, strict=True):
            batches = list(each.read(first_row, 100, 2**20))
            assert sum(batch.num_rows for batch in batches) == count
            parts += batches
            first_row += count
        whole = pa.Table.from_batches(snapshot.read(table, 1_000, 2**20))
    assert len(ranges) > 3
    assert 0 in counts
    assert _texts(pa.Table.from_batches(parts)) == _texts(whole)
    assert whole.num_rows == ROWS - 1201
    assert whole["_odd"].null_count < whole.num_rows


def test_nasty_values_are_the_same_in_parts(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value of the torture table, one row in a page or two, is carried by parts as by one reader."""
    torture.write_postgres(postgres_url, "nasty", torture.read_groups("postgres.yaml"))
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE nasty.t SET (fillfactor = 10)")
        owner.execute("VACUUM FULL nasty.t")
    monkeypatch.setattr(source, "_RANGE_BYTES", 8_192)
    made = open_source(f"{postgres_url}&schema=nasty", Path())
    table = made.catalog().tables["t"]
    with made.snapshot() as snapshot:
        ranges = snapshot.ranges(table)
        parts = _in_parts(ranges, rows_max=1_000)
        whole = list(snapshot.read(table, 1_000, 2**25))
    made.close()
    assert len(ranges) > 3
    assert _texts(pa.Table.from_batches(parts)) == _texts(pa.Table.from_batches(whole))


def test_wide_rows_are_many_parts_and_small_batches(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands beside a table's pages counts for its parts, and no batch is larger than one reader's would be."""
    monkeypatch.setattr(source, "_RANGE_BYTES", 2**20)
    with psycopg.connect(postgres_url) as owner:
        owner.execute("CREATE TABLE wide (id int, text text)")
        owner.execute("ALTER TABLE wide ALTER text SET STORAGE EXTERNAL")
        owner.execute(
            "INSERT INTO wide SELECT n, repeat(chr(97 + n %% 26), 20000) FROM generate_series(1, %s) n", [400]
        )
    made = open_source(postgres_url, Path())
    table = made.catalog().tables["wide"]
    with made.snapshot() as snapshot:
        ranges = snapshot.ranges(table)
        parts = _in_parts(ranges, bytes_max=100_000)
        whole = pa.Table.from_batches(snapshot.read(table, 1_000, 100_000))
    made.close()
    assert len(ranges) > 2
    assert max(batch.num_rows for batch in parts) == 5
    assert pa.Table.from_batches(parts).equals(whole)


def test_nobody_moves_rows_from_part_to_part(url: str, opened: PostgresSource) -> None:
    """Who would write a table anew, with its rows in other pages, waits until all parts are read."""
    table = opened.catalog().tables["note"]
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE INDEX by_size ON legacy.note (size)")
        owner.execute("SET lock_timeout = '200ms'")
        with opened.snapshot() as snapshot:
            ranges = snapshot.ranges(table)
            begun = list(ranges[0].read(0, 1_000, 2**20))
            for rewriting in ("CLUSTER legacy.note USING by_size", "VACUUM FULL legacy.note", "TRUNCATE legacy.note"):
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    owner.execute(rewriting)
            rest = _in_parts(ranges[1:])
        owner.execute("CLUSTER legacy.note USING by_size")
    ids = pa.Table.from_batches(begun + rest)[table.columns[0].name].to_pylist()
    assert len(ids) == len(set(ids)) == ROWS - 1201


def test_a_part_whose_instant_is_gone_is_not_read(opened: PostgresSource) -> None:
    """When the connection that holds the snapshot is lost, no part is read as of another instant."""
    table = opened.catalog().tables["note"]
    with opened.snapshot() as snapshot:
        ranges = snapshot.ranges(table)
    for ask in (ranges[0].count, lambda: list(ranges[0].read(0, 1_000, 2**20))):
        with pytest.raises(SystemUnavailable, match=r"the instant at which table 'note' .* was being read is gone"):
            ask()


def test_a_role_with_rights_to_columns_reads_by_one(
    url: str, postgres_server: servers.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that may read every column, and so not ask where rows stand, reads the table as before."""
    monkeypatch.setattr(source, "_RANGE_BYTES", PAGE_RANGE)
    database = parse_url(url).parameters["dbname"]
    role = f"{database}_reader"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN")
        owner.execute(f"GRANT USAGE ON SCHEMA legacy TO {role}")
        owner.execute(f"GRANT SELECT (id, text, size, at, data, words, price) ON legacy.note TO {role}")
        try:
            made = open_source(postgres_server.url(database, user=role, schema="legacy"), Path())
            table = made.catalog().tables["note"]
            with made.snapshot() as snapshot:
                assert snapshot.ranges(table) == ()
                assert sum(batch.num_rows for batch in snapshot.read(table, 1_000, 2**20)) == ROWS - 1201
            made.close()
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


def test_parts_go_to_the_server_that_has_their_instant(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several hosts a task knows the one that was reached, with the password that this machine's environment has."""
    monkeypatch.setattr(source, "_RANGE_BYTES", PAGE_RANGE)
    monkeypatch.setenv("PGPASSWORD", "of-this-machine")
    address = parse_url(f"{url}&schema=legacy")
    reached = address.parameters["host"]
    several = replace(address, parameters={**address.parameters, "host": f"/nowhere,{reached}"})
    made = PostgresSource(several)
    with made.snapshot() as snapshot:
        first = snapshot.ranges(made.catalog().tables["note"])[0]
    made.close()
    assert first.address.parameters["host"] == reached
    assert first.address.parameters["password"] == "of-this-machine"
    assert "of-this-machine" not in repr(first)


def test_a_part_has_no_password_to_show(opened: PostgresSource) -> None:
    """What is sent to tasks may hold credentials; what is printed of it does not."""
    table = opened.catalog().tables["note"]
    with opened.snapshot() as snapshot:
        assert "parameters" not in repr(snapshot.ranges(table))


def test_small_tables_and_partitions_are_read_by_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of few pages, and one whose rows stand in partitions, have no parts."""
    with psycopg.connect(url) as owner:
        owner.execute("CREATE TABLE legacy.many (id int) PARTITION BY HASH (id)")
        owner.execute("CREATE TABLE legacy.many_0 PARTITION OF legacy.many FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
        owner.execute("INSERT INTO legacy.many SELECT generate_series(1, 20000)")
    made = open_source(f"{url}&schema=legacy", Path())
    tables = made.catalog().tables
    with made.snapshot() as snapshot:
        assert snapshot.ranges(tables["note"]) == ()
        monkeypatch.setattr(source, "_RANGE_BYTES", 8_192)
        assert len(snapshot.ranges(tables["note"])) > 20
        assert snapshot.ranges(tables["many"]) == ()
    made.close()


def _in_parts(ranges: Sequence[PageRange], rows_max: int = 100, bytes_max: int = 2**25) -> list[pa.RecordBatch]:
    """Return the batches of all parts, as tasks would number them."""
    found: list[pa.RecordBatch] = []
    for each in pickle.loads(pickle.dumps(ranges)):
        found += each.read(sum(batch.num_rows for batch in found), rows_max, bytes_max)
    return found


def _texts(table: pa.Table) -> list[str]:
    """Return rows so that the sign of zero counts and NaN is equal to itself."""
    return [repr(row) for row in table.to_pylist()]


def _run(folder: Path, url: str) -> Project:
    folder.mkdir()
    (folder / "transhume.yaml").write_text(PLAN)
    (folder / ".env").write_text(f"SOURCE_URL={url}&schema=legacy\n")
    return Project(folder)


def _extract(project: Project) -> list[pa.Table]:
    return [pq.read_table(path) for path in sorted(project.runs.rglob("extract/t000/*"))]


def test_a_run_whose_tasks_read_the_source_is_that_of_one_reader(tmp_path, monkeypatch, opened, url) -> None:
    """Segments are numbered and filled without a gap, whatever part they are of, and the target holds the same rows."""
    limits = Limits(segment_rows_max=150)
    alone = _run(tmp_path / "alone", url)
    alone.run(limits=limits)
    tasking.use(monkeypatch)
    project = _run(tmp_path / "many", url)
    told = []
    project.run(limits=limits, listener=told.append)
    segments = [event.fields for event in told if event.kind == "segment_written"]
    assert [each["index"] for each in segments] == list(range(len(segments)))
    assert [each["first_row"] for each in segments] == [
        sum(before["row_count"] for before in segments[:place]) for place in range(len(segments))
    ]
    assert _texts(pa.concat_tables(_extract(project))) == _texts(pa.concat_tables(_extract(alone)))
    assert len(_extract(project)) == len(segments) > len(_extract(alone))
    assert small_project.lake_content(tmp_path / "many", "ai") == small_project.lake_content(tmp_path / "alone", "ai")


def test_a_part_that_has_other_rows_than_were_counted_stops_the_run(tmp_path, monkeypatch, opened, url) -> None:
    """Nothing is published of a table whose parts do not add up."""
    tasking.use(monkeypatch)
    count = PageRange.count
    monkeypatch.setattr(PageRange, "count", lambda self: count(self) + (self.first == 16))
    project = _run(tmp_path / "p", url)
    with pytest.raises(SystemUnavailable, match=r"a part of table 'note' gave .* rows and was counted to have"):
        project.run(limits=Limits(segment_rows_max=150))
    assert small_project.lake_content(tmp_path / "p", "ai") == {}


def test_tasks_do_not_see_what_is_committed_beside_them(tmp_path, monkeypatch, opened, url) -> None:
    """Rows that come, go and change after the extract began are in no segment, whichever task reads them."""
    limits = Limits(segment_rows_max=150)
    alone = _run(tmp_path / "alone", url)
    alone.run(limits=limits)
    tasking.use(monkeypatch)
    read, one_call, writes = PageRange.read, threading.Lock(), iter(range(10_000))

    def beside_a_writer(self: PageRange, *bounds: int) -> Iterator[pa.RecordBatch]:
        with one_call, psycopg.connect(url) as writer:
            number = next(writes)
            writer.execute(
                "INSERT INTO legacy.note SELECT %s + n FROM generate_series(1, 50) n", [10_000 + 50 * number]
            )
            writer.execute("UPDATE legacy.note SET text = 'changed' WHERE id %% 10 = %s", [number % 10])
            writer.execute("DELETE FROM legacy.note WHERE id %% 100 = %s", [number % 100])
        yield from read(self, *bounds)

    monkeypatch.setattr(PageRange, "read", beside_a_writer)
    project = _run(tmp_path / "many", url)
    project.run(limits=limits)
    assert next(writes) > 20
    assert _texts(pa.concat_tables(_extract(project))) == _texts(pa.concat_tables(_extract(alone)))
    assert small_project.lake_content(tmp_path / "many", "ai") == small_project.lake_content(tmp_path / "alone", "ai")


def test_nothing_is_taken_of_a_part_that_was_not_read_to_its_end(tmp_path, monkeypatch, opened, url) -> None:
    """A task that fails half way ends the extract; the same command makes it anew, with every row once."""
    limits = Limits(segment_rows_max=60)
    tasking.use(monkeypatch)
    read = PageRange.read

    def breaking(self: PageRange, *bounds: int) -> Iterator[pa.RecordBatch]:
        batches = read(self, *bounds)
        yield next(batches)
        if self.first == 8:
            message = "the connection is lost"
            raise SystemUnavailable(message)
        yield from batches

    project = _run(tmp_path / "p", url)
    told = []
    with monkeypatch.context() as broken:
        broken.setattr(PageRange, "read", breaking)
        with pytest.raises(SystemUnavailable, match="the connection is lost"):
            project.run(limits=limits, listener=told.append)
    assert "segment_written" not in [event.kind for event in told]
    project.run(limits=limits)
    rows = pa.concat_tables(_extract(project))
    assert rows["_row"].to_pylist() == list(range(ROWS - 1201))
    assert not list(project.runs.rglob("*.part"))


def test_a_large_table_without_a_row_has_one_empty_segment(tmp_path, monkeypatch, opened, url) -> None:
    """Pages that hold deleted rows only are read, and give the file with the table's columns."""
    with psycopg.connect(url) as owner:
        owner.execute("DELETE FROM legacy.note")
    tasking.use(monkeypatch)
    project = _run(tmp_path / "p", url)
    project.run()
    (only,) = _extract(project)
    assert only.num_rows == 0
    assert tasking.TaskingDuckDB.ranges > 3


def test_tasks_read_no_table_that_one_reader_must_read(tmp_path, monkeypatch, url) -> None:
    """A small table is read by the process of the run, though the engine has tasks."""
    tasking.use(monkeypatch)
    read: list[str] = []
    one = PostgresSnapshot.read

    def noted(self: PostgresSnapshot, table: Table, *bounds: int) -> Iterator[pa.RecordBatch]:
        read.append(table.name)
        return one(self, table, *bounds)

    monkeypatch.setattr(PostgresSnapshot, "read", noted)
    _run(tmp_path / "p", url).run()
    assert read == ["note"]


def test_a_source_that_tasks_do_not_reach_is_read_by_one(url: str, tmp_path: Path, monkeypatch) -> None:
    """Workers that cannot count a part read none; the process of the run reads the table."""
    monkeypatch.setattr(source, "_RANGE_BYTES", PAGE_RANGE)
    tasking.use(monkeypatch)

    def count(_: PageRange) -> int:
        message = "a worker of the engine has no 'psycopg'"
        raise DriverMissing(message)

    monkeypatch.setattr(PageRange, "count", count)
    (tmp_path / "transhume.yaml").write_text(PLAN)
    project = Project(tmp_path, environment={"SOURCE_URL": f"{url}&schema=legacy"})
    result = project.run(limits=Limits(segment_rows_max=500))
    assert result.tables[0].read == ROWS - 1201


def test_what_this_machine_tells_of_a_database_goes_along(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database that only the environment names is the one that a task asks, where the variable is not set."""
    monkeypatch.setattr(source, "_RANGE_BYTES", PAGE_RANGE)
    database = str(parse_url(url).parameters["dbname"])
    monkeypatch.setenv("PGDATABASE", database)
    made = open_source(f"{url.replace('/' + database, '/')}&schema=legacy", Path())
    table = made.catalog().tables["note"]
    with made.snapshot() as snapshot:
        ranges = pickle.loads(pickle.dumps(snapshot.ranges(table)))
        monkeypatch.delenv("PGDATABASE")
        assert sum(each.count() for each in ranges) == ROWS - 1201
    made.close()
