"""A paper as a Word document (DOCX). Texts go in as texts: no field, no link, no markup is made of one."""

import io
from typing import Any

from transhume.errors import DriverMissing
from transhume.report.paper import Block, Bullets, Cell, Code, Figure, Grid, Mark, Paper, Paragraph
from transhume.report.writers.markdown import shown_number
from transhume.words import visible

_TONES = {"good": "146C2E", "bad": "A3170F", "doubt": "7A4D00", "quiet": "59626D"}
_DEPTH_MAX = 4
_SIGNS = 150
"""Letters of the small size that stand in the width of a page."""
_WORD_MAX, _USUAL_MAX, _MARGIN = 26, 120, 3


def word(paper: Paper) -> bytes:
    """Return the document. Raises: DriverMissing if python-docx is not installed."""
    try:
        import docx  # noqa: PLC0415 - an optional driver
    except ImportError:
        message = "DOCX needs the package python-docx; install it by: pip install 'transhume[documents]'"
        raise DriverMissing(message) from None
    content = io.BytesIO()
    document = docx.Document()
    _Document(document).write(paper)
    document.save(content)
    return content.getvalue()


class _Document:
    """One document under way."""

    def __init__(self, document: Any) -> None:
        from docx.shared import Cm, Pt  # noqa: PLC0415 - an optional driver

        self._document = document
        self._small = Pt(8.5)
        section = document.sections[0]
        section.page_width, section.page_height = Cm(29.7), Cm(21.0)
        section.left_margin = section.right_margin = Cm(1.8)
        section.top_margin = section.bottom_margin = Cm(1.6)
        self._width = section.page_width - section.left_margin - section.right_margin
        normal = document.styles["Normal"]
        normal.font.name, normal.font.size = "Calibri", Pt(10.5)
        normal.paragraph_format.space_after = Pt(5)

    def write(self, paper: Paper) -> None:
        properties = self._document.core_properties
        properties.title, properties.author, properties.comments = visible(paper.title)[:250], "", ""
        self._document.add_heading(_plain(paper.title), 0)
        self._document.add_paragraph(_plain(paper.subtitle))
        if paper.verdict is not None:
            self._run(self._document.add_paragraph(), paper.verdict.text, paper.verdict.tone, bold=True)
        if paper.facts:
            self._table([("", "")], [tuple(fact) for fact in paper.facts], frozenset(), headed=False)
        for number, depth, section in paper.numbered():
            self._document.add_heading(f"{number} {_plain(section.title)}", min(depth, _DEPTH_MAX))
            for block in section.blocks:
                self._block(block)

    def _block(self, block: Block) -> None:
        match block:
            case Paragraph():
                paragraph = self._document.add_paragraph()
                if block.lead:
                    self._run(paragraph, f"{block.lead} ", "plain", bold=True)
                self._run(paragraph, block.whole, "plain")
            case Bullets():
                for entry in block.entries:
                    style = "List Number" if block.numbered else "List Bullet"
                    # Word would count on from the list before: numbers are written out.
                    self._document.add_paragraph(_plain(entry), style=style if not block.numbered else None)
                if block.numbered:
                    self._number(len(block.entries))
            case Code():
                paragraph = self._document.add_paragraph()
                self._run(paragraph, block.text, "plain", code=True)
            case Figure():
                self._document.add_paragraph(_plain(block.says))
                self._grid(block.grid)
            case Grid():
                self._grid(block)

    def _number(self, count: int) -> None:
        paragraphs = self._document.paragraphs[-count:]
        for place, paragraph in enumerate(paragraphs, 1):
            paragraph.runs[0].text = f"{place}. {paragraph.runs[0].text}" if paragraph.runs else f"{place}."

    def _grid(self, grid: Grid) -> None:
        from docx.enum.text import WD_ALIGN_PARAGRAPH  # noqa: PLC0415 - an optional driver

        caption = self._document.add_paragraph()
        caption.paragraph_format.keep_with_next = True
        self._run(caption, grid.caption if grid.rows else f"{grid.caption}: {grid.empty}", "plain", bold=True)
        if grid.rows:
            table = self._table([grid.head], list(grid.rows), grid.codes)
            for place in grid.numeric:
                table.cell(0, place).paragraphs[0].alignment = WD_ALIGN_PARAGRAPH.RIGHT
            self._document.add_paragraph()

    def _table(
        self, heads: list[tuple[str, ...]], rows: list[tuple[Cell, ...]], codes: frozenset[int], *, headed: bool = True
    ) -> Any:
        from docx.oxml import OxmlElement  # noqa: PLC0415 - an optional driver
        from docx.oxml.ns import qn  # noqa: PLC0415 - an optional driver

        columns = len(heads[0])
        table = self._document.add_table(rows=0, cols=columns, style="Table Grid")
        table.autofit = False
        widths = _widths([*(heads if headed else []), *rows], columns, self._width)
        for place, width in enumerate(widths):
            table.columns[place].width = width
        for number, row in enumerate([*(heads if headed else []), *rows]):
            is_head = headed and number == 0
            line = table.add_row()
            properties = line._tr.get_or_add_trPr()  # noqa: SLF001 - the package has no public way to say this
            properties.append(OxmlElement("w:cantSplit"))
            if is_head:
                repeated = OxmlElement("w:tblHeader")
                repeated.set(qn("w:val"), "true")
                properties.append(repeated)
            for place, cell in enumerate(row):
                box = line.cells[place]
                box.width = widths[place]
                self._cell(box, cell, bold=is_head or (not headed and place == 0), code=place in codes and not is_head)
                # A head alone at the end of a page reads badly, and LibreOffice loses the rows that belong under it.
                box.paragraphs[0].paragraph_format.keep_with_next = is_head or None
        return table

    def _cell(self, box: Any, cell: Cell, *, bold: bool, code: bool) -> None:
        from docx.enum.text import WD_ALIGN_PARAGRAPH  # noqa: PLC0415 - an optional driver

        paragraph = box.paragraphs[0]
        paragraph.paragraph_format.space_after = 0
        if isinstance(cell, int | float):
            paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
            text = shown_number(cell)
        else:
            text = str(cell)
        tone = cell.tone if isinstance(cell, Mark) else "plain"
        run = self._run(paragraph, text, tone, bold=bold or isinstance(cell, Mark), code=code)
        run.font.size = self._small

    def _run(self, paragraph: Any, text: str, tone: str, *, bold: bool = False, code: bool = False) -> Any:
        from docx.shared import RGBColor  # noqa: PLC0415 - an optional driver

        run = paragraph.add_run(_plain(text))
        run.bold = bold or None
        if code:
            run.font.name, run.font.size = "Consolas", self._small
        if tone in _TONES:
            run.font.color.rgb = RGBColor.from_string(_TONES[tone])
        return run


def _widths(rows: list[tuple[Cell, ...]], columns: int, whole: int) -> list[int]:
    """Share a width: each column gets its longest word, what is left goes to those with the longer texts."""
    least, wanted = [], []
    for place in range(columns):
        texts = [str(row[place]) for row in rows]
        longest_word = max((len(part) for text in texts for part in text.split()), default=1)
        usual = sum(len(text) for text in texts) / max(1, len(texts))
        # Heads are bold, and a short one in capitals is wider than its signs.
        head = max((len(part) for part in texts[:1] for part in part.split()), default=0)
        least.append(max(min(longest_word, _WORD_MAX), min(head + 2, _WORD_MAX)) + _MARGIN)
        wanted.append(max(1.0, min(usual, _USUAL_MAX) - least[-1]))
    left = max(0.0, _SIGNS - sum(least))
    signs = [own + left * more / sum(wanted) for own, more in zip(least, wanted, strict=True)]
    return [int(whole * each / sum(signs)) for each in signs]


def _plain(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
