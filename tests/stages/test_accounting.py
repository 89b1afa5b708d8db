"""The accounting by row: every row of the extract is in exactly one bucket, or the run publishes nothing."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stages import small_project
from transhume import Project
from transhume.batches import Event
from transhume.errors import CheckFailed
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)


@pytest.fixture
def project(tmp_path) -> Project:
    """The small project with a lake as its target."""
    small_project.write(tmp_path / "p", "iceberg:./lake?namespace=ai")
    return Project(tmp_path / "p")


def _run_with_fates(project: Project, change: Callable[[pa.Table], pa.Table]) -> None:
    """Run, and change what was kept of the second batch of `plants` before the checks read it."""

    def tamper(event: Event) -> None:
        if event.kind == "table_staged" and event.fields["mapping"] == "plants":
            (path,) = project.folder.rglob("fates/m001/000001.parquet")
            pq.write_table(change(pq.read_table(path)), path)

    project.run(limits=SMALL, listener=tamper)


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda rows: rows.slice(1), 1),
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 2)]), 2),
        (lambda rows: pa.concat_tables([rows.slice(2), rows.slice(0, 1), rows.slice(0, 1)]), 2),
    ],
    ids=["one is missing", "two stand twice", "one is missing and another stands twice"],
)
def test_a_row_that_is_not_in_exactly_one_bucket_stops_the_run(project, change, count):
    """Rows without a fate, and with two, are counted one by one, also where their number is right."""
    with pytest.raises(CheckFailed) as caught:
        _run_with_fates(project, change)
    (finding,) = caught.value.findings
    assert finding.code == "accounting"
    assert finding.table == "plants"
    assert finding.count == count
    assert "nothing was published" in str(caught.value)


def test_the_order_of_fates_is_of_no_account(project):
    """The same rows in another order are the same rows."""
    _run_with_fates(project, lambda rows: rows.take(pa.array(range(rows.num_rows - 1, -1, -1))))
    assert project.result().state == "finished"
