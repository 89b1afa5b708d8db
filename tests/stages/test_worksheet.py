"""The worksheet of a validation: what stands in it, and that hostile values stay text in page and workbook."""

import re
import sqlite3
import xml.etree.ElementTree as ET
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from transhume import Project
from transhume.testing.drill_project import write_drill_project

_HOSTILE = (
    "<script>alert(1)</script>",
    "=1+1",
    "@SUM(A1)",
    'x" onmouseover="alert(1)',
    "\u202egnp.exe",
    "javascript:alert(1)",
    "bell\x07",
)


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Page and workbook of a project whose first items have hostile names and whose owner has an e-mail address."""
    folder = tmp_path_factory.mktemp("sheet") / "p"
    write_drill_project(folder, "iceberg:./lake?namespace=drill")
    with sqlite3.connect(folder / "source.db") as source:
        for number, name in enumerate(_HOSTILE, 1):
            source.execute("UPDATE item SET name = ? WHERE id = ?", (name, number))
        source.execute("UPDATE item SET label = 'ann' || id || '@example.org'")
    source.close()
    project = Project(folder)
    project.run()
    found = project.validate(sample=100, worksheets=folder / "out")
    assert not found.failed
    page, book = found.worksheets
    return page, book


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_every_row_side_by_side_and_no_value_is_markup(sheets) -> None:
    """A parser finds the tags of the page alone; every hostile text is there as text."""
    tags = _Tags()
    tags.feed(sheets[0].read_text(encoding="utf-8"))
    assert "script" not in tags.tags
    assert not {name for name in tags.attributes if name.startswith("on") or name in {"src", "href"}}
    assert "<script>alert(1)</script>" in tags.text
    assert "\u202e" not in tags.text
    assert "\\u202egnp.exe" in tags.text
    assert "\x07" not in tags.text
    assert "source row 60" in tags.text
    assert "differs" not in tags.text


def test_the_workbook_holds_texts_only(sheets) -> None:
    """No cell is a formula, a number or a link, read from the file's own XML."""
    with zipfile.ZipFile(sheets[1]) as book:
        names = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
        assert len(names) == 3
        for name in names:
            content = book.read(name).decode()
            assert "<f>" not in content
            assert "hyperlink" not in content
            kinds = {cell.get("t") for cell in ET.fromstring(content).iter() if cell.tag.endswith("}c")}
            assert kinds <= {"s"}
        texts = book.read("xl/sharedStrings.xml").decode()
    assert "=1+1" in texts


def test_values_that_look_personal_are_masked_unless_asked_for(sheets, tmp_path) -> None:
    """An e-mail address is in neither file; with `show_values` it is."""
    page = sheets[0].read_text(encoding="utf-8")
    assert not re.search(r"ann\d+@example\.org", page)

    shown = Project(sheets[0].parent.parent).validate(worksheets=tmp_path, show_values=True)
    assert re.search(r"ann\d+@example\.org", shown.worksheets[0].read_text(encoding="utf-8"))


def test_the_files_are_the_owners_alone(sheets) -> None:
    """Nobody else reads them: they hold values of the data."""
    assert all(path.stat().st_mode & 0o077 == 0 for path in sheets)
