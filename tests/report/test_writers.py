"""The writers of papers: every text is inert in every format, and each format has what makes it useful."""

import base64
import hashlib
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from html.parser import HTMLParser

import docx
import pytest

from transhume.report.paper import (
    Bar,
    Bullets,
    Code,
    Decidable,
    Figure,
    Grid,
    Label,
    Line,
    Mark,
    Paper,
    Paragraph,
    Section,
)
from transhume.report.writers import WRITERS

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> "
    '=HYPERLINK("http://evil.example","x") {{7*7}} [a](javascript:alert(1)) https://evil.example | `x` ]]> '
    "\u202egnp.exe \x00\x07\x1b[31m \ud800"
)
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MACROS = (
    '=HYPERLINK("http://evil.example","x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "https://evil.example",
    "12",
)


def _paper(text: str = HOSTILE) -> Paper:
    macros = tuple((each, 1) for each in MACROS)
    rows = ((text, 1), (Mark(text, "bad"), 2.5), *macros)
    decided = tuple(Decidable(text, text) for _ in rows)
    grid = Grid(text, (text, "n"), rows, frozenset({0}), text, decisions=decided, state="ab")
    drawn = (Bar(0, 0, 5, 5), Label(0, 9, text), Line(((0, 0), (9, 9))))
    figure = Figure(text, text, 100, 50, drawn, Grid(text, (text,), ((text,),)), {"a": text})
    blocks = (
        Paragraph(text, text, text),
        Bullets((text, text), numbered=True),
        Bullets((text,)),
        Code(text),
        grid,
        figure,
    )
    inner = Section(f"inner {text}", (Paragraph("below"),))
    return Paper(text, text, ((text, text),), (Section(text, blocks, (inner,)), Section("second")), Mark(text, "good"))


class _Tags(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def _parts(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if name.endswith((".xml", ".rels"))}


def test_page_has_no_tag_attribute_or_address_that_a_text_made():
    """A parser of HTML finds our own tags only, no handler, no address but places of the page itself."""
    read = _Tags(WRITERS["html"](_paper()).decode())
    assert not {tag for tag, _ in read.tags} & {"script", "img", "iframe", "object", "link", "base", "form", "a-"}
    names = {name for _, attributes in read.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in {"src", "style", "action"}]
    assert all((attributes["href"] or "").startswith("#") for attributes in read.of("a"))
    assert "<script>document.title='owned'</script>" in "".join(read.words)


@pytest.mark.parametrize(
    ("name", "linked"),
    [
        ("worksheet-20270101t000000_abcdef.html", True),
        ("../secret.html", False),
        ("javascript:alert(1).html", False),
        ("//evil.example/x.html", False),
        ("a b.html", False),
        ("x.html\n", False),
        ("", False),
    ],
)
def test_page_links_a_file_beside_it_and_no_other_place(name, linked):
    """A name with a folder, a scheme or a sign of its own is shown and leads nowhere."""
    paper = Paper("p", "", (), (Section("s", (Paragraph("see", file=name),)),))
    links = [each["href"] for each in _Tags(WRITERS["html"](paper).decode()).of("a") if each["href"][:1] != "#"]
    assert links == ([name] if linked else [])


def test_page_allows_its_own_style_and_nothing_else():
    """The policy names the hash of the one style sheet, computed here from what stands in the page."""
    content = WRITERS["html"](_paper()).decode()
    style = re.search(r"<style>(.*?)</style>", content, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(each["content"] for each in _Tags(content).of("meta") if each.get("http-equiv"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_page_can_be_read_by_ear_and_by_keyboard():
    """Tables have captions and headers with a scope, drawings a title and a description, regions a name."""
    read = _Tags(WRITERS["html"](_paper()).decode())
    assert len(read.of("caption")) == len(read.of("table")) == 2
    assert all(each.get("scope") in {"row", "col"} for each in read.of("th"))
    drawings = [each for each in read.of("svg") if each.get("role") == "img"]
    assert len(drawings) == len(read.of("desc")) == 1
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(names) == len(set(names))
    told = [each for each in read.tags if each[1].get("role") == "region"]
    assert all(each["aria-labelledby"] in names and each["tabindex"] == "0" for _, each in told)
    assert [tag for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)] == ["h1", "h2", "h3", "h2"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_browser_runs_nothing_of_a_text(tmp_path):
    """A real browser that runs scripts shows the page with the title that it has, not the one that a script sets."""
    path = tmp_path / "p.html"
    path.write_bytes(WRITERS["html"](_paper()))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    title = _Tags(shown.stdout)
    assert "".join(title.words).strip().startswith("<script>document.title='owned'</script>")


def test_markdown_has_no_markup_that_a_text_made():
    """Outside of code no tag, link, address or cell border is left of a text."""
    text = WRITERS["md"](_paper()).decode()
    prose = "\n".join(part for place, part in enumerate(text.split("```")) if place % 2 == 0)
    assert not re.search(r"(?<!\\)<(?!br>)", prose)
    assert not re.search(r"(?<!\\)\]\(", prose)
    assert "https://" not in re.sub(r"`[^`\n]*`", "", prose)
    rows = [line for line in prose.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {2, 3}


def test_workbook_holds_texts_and_numbers_but_no_formula_and_no_link():
    """What begins like a formula or an address is the text that it is, also where it looks like a number."""
    parts = _parts(WRITERS["xlsx"](_paper()))
    sheets = [ET.fromstring(text) for name, text in parts.items() if "worksheets/sheet" in name]
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not [each for sheet in sheets for tag in ("f", "hyperlink") for each in sheet.iter(space + tag)]
    shared = [each.text for each in ET.fromstring(parts["xl/sharedStrings.xml"]).iter(space + "t")]
    assert {each.replace("\t", "\\u0009") for each in MACROS} <= set(shared)
    filters = [each.get("ref") for sheet in sheets for each in sheet.iter(space + "autoFilter")]
    assert filters == ["A1:I10"]
    assert [each.get("type") for sheet in sheets for each in sheet.iter(space + "dataValidation")] == ["list"]
    assert {"decision", "change to", "decided by", "on", "remark"} <= set(shared)


def test_word_document_holds_no_field_and_no_link_and_reads_back_as_written():
    """python-docx reads the headings, and the hostile text letter by letter, with its unseen characters spelled out."""
    content = WRITERS["docx"](_paper())
    body = _parts(content)["word/document.xml"]
    assert not re.search(r"<w:(fldSimple|instrText|hyperlink|object)\b", body)
    assert "http://evil.example" not in "".join(
        text for name, text in _parts(content).items() if name.endswith(".rels")
    )
    read = docx.Document(io.BytesIO(content))
    headings = [each.text.split(" ")[0] for each in read.paragraphs if each.style.name.startswith("Heading")]
    assert headings == ["1", "1.1", "2"]
    assert "\\u202egnp.exe \\u0000\\u0007\\u001b[31m \\ud800" in read.paragraphs[0].text
    assert read.tables[1].rows[1].cells[1].text == "1"


@pytest.mark.parametrize("form", WRITERS)
def test_no_format_holds_an_unseen_character(form):
    """Control and direction characters of a text stand as their numbers in every format."""
    content = WRITERS[form](_paper())
    texts = _parts(content).values() if form in {"docx", "xlsx"} else [content.decode()]
    assert not [text for text in texts if UNSEEN.search(text)]
    assert any("\\u202egnp" in text or "\\\\u202egnp" in text for text in texts)


def test_head_of_a_table_in_word_stays_on_the_page_of_its_first_row():
    """A head alone at the end of a page: LibreOffice then shows none of the rows that belong under it."""
    paper = Paper("t", "s", (), (Section("a", (Grid("g", ("x", "y"), (("1", "2"), ("3", "4"))),)),))
    table = docx.Document(io.BytesIO(WRITERS["docx"](paper))).tables[-1]
    kept = [[cell.paragraphs[0].paragraph_format.keep_with_next for cell in row.cells] for row in table.rows]
    assert kept == [[True, True], [None, None], [None, None]]
