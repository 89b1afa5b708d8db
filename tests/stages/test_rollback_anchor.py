"""The target remembers that a run was taken back: a journal that says that it stands is refused."""

import shutil

import pytest

from tests.stages import small_project
from transhume import Project
from transhume.errors import JournalDamaged, TranshumeError
from transhume.stages.context import Limits


@pytest.fixture(params=["lake", "postgres"])
def project(request, tmp_path) -> Project:
    """The small project after a run, on each target."""
    url = f"{request.getfixturevalue('postgres_url')}&schema=ai" if request.param == "postgres" else ""
    small_project.write(tmp_path / "p", url or "iceberg:./lake?namespace=ai")
    made = Project(tmp_path / "p")
    made.run(limits=Limits(segment_rows_max=small_project.SEGMENT_ROWS))
    return made


@pytest.mark.parametrize(
    "undoing",
    ["rollback", pytest.param("finalize", marks=pytest.mark.sweep), pytest.param("snapshot", marks=pytest.mark.sweep)],
)
def test_a_journal_older_than_the_rollback_is_refused(project, undoing, tmp_path):
    """A copy from before, and a journal cut at any line before the end, are found out by all that ask the target."""
    if undoing == "snapshot":
        project.rollback()
        project.backup()
        project.run(limits=Limits(segment_rows_max=small_project.SEGMENT_ROWS))
    (*_, folder) = sorted((project.folder / ".transhume" / "runs").iterdir())
    journal = folder / "journal.jsonl"
    shutil.copy(journal, tmp_path / "older")
    {"rollback": project.rollback, "finalize": project.finalize, "snapshot": project.restore_snapshot}[undoing]()
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) > len((tmp_path / "older").read_bytes().splitlines())
    for older in ((tmp_path / "older").read_bytes(), b"".join(lines[:-1])):
        journal.write_bytes(older)
        for refused in (project.rollback, project.preview_rollback, project.finalize):
            with pytest.raises(JournalDamaged, match="does not hold what the target's ledger knows"):
                refused()
            assert journal.read_bytes() == older
    journal.write_bytes(whole)
    if undoing == "rollback":
        assert project.rollback().report.state == "rolled_back"
    else:
        with pytest.raises(TranshumeError) as told:
            project.rollback() if undoing == "finalize" else project.finalize() and project.rollback()
        assert not isinstance(told.value, JournalDamaged)
