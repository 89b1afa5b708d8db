"""Large tables of a PostgreSQL source, read in parts by an engine's tasks at the instant of one exported snapshot."""

import pickle
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stages import small_project, tasking
from transhume import Project
from transhume.errors import SystemUnavailable
from transhume.stages.context import Limits
from transhume.systems.postgres import source
from transhume.systems.postgres.source import PageRange, PostgresSource, open_source

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
