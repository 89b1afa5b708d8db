"""A paper as a workbook: the text on one sheet, each table that asks for it on a sheet of its own, with filters.

Every text is written as a text: no formula, no link and no number is made of one.
"""

import io
from collections.abc import Sequence
from typing import Any

from transhume.report.decisions import CHOICES, COLUMNS, STATE, WRITTEN
from transhume.report.paper import Block, Bullets, Cell, Code, Figure, Grid, Mark, Paper, Paragraph
from transhume.words import visible

_CELL_MAX = 32_000
"""A cell holds 32,767 characters; a little is left for what is shown by its number."""
_SHEET_MAX = 31
_WIDTH_MIN, _WIDTH_MAX = 8, 60
_TEXT_COLUMNS = (30, 44, 36, 36, 24, 24)
"""Widths of the sheet that holds the text; tables with more columns have a sheet of their own."""
_LINE_HEIGHT = 15.0
_HEIGHT_MAX = 400.0
_DECISION_WIDTHS = (40, 16, 40, 16, 16, 40)


def workbook(paper: Paper) -> bytes:
    """Return the workbook."""
    import xlsxwriter  # noqa: PLC0415 - only who writes a workbook waits for it

    content = io.BytesIO()
    options = {
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": True,
        "in_memory": True,
    }
    with xlsxwriter.Workbook(content, options) as book:
        book.set_properties({"title": visible(paper.title)[:200], "comments": "", "author": ""})
        _Book(book).write(paper)
    return content.getvalue()


class _Book:
    """One workbook under way, with its formats and the sheets' names that are taken."""

    def __init__(self, book: Any) -> None:
        self._book = book
        wrapped = {"text_wrap": True, "valign": "top"}
        # A little away from the text of the next column.
        number = {"valign": "top", "align": "right", "indent": 1}
        self._formats = {
            "plain": book.add_format(wrapped),
            "title": book.add_format({"bold": True, "font_size": 18, "valign": "top"}),
            "h1": book.add_format({"bold": True, "font_size": 14, "bottom": 1}),
            "h2": book.add_format({"bold": True, "font_size": 12}),
            "head": book.add_format({**wrapped, "bold": True, "bg_color": "#E8ECF0", "bottom": 1}),
            "number head": book.add_format({**wrapped, **number, "bold": True, "bg_color": "#E8ECF0", "bottom": 1}),
            "bold": book.add_format({**wrapped, "bold": True}),
            "code": book.add_format({**wrapped, "font_name": "Consolas", "font_size": 10}),
            "good": book.add_format({**wrapped, "bold": True, "font_color": "#146C2E"}),
            "bad": book.add_format({**wrapped, "bold": True, "font_color": "#A3170F"}),
            "doubt": book.add_format({**wrapped, "bold": True, "font_color": "#7A4D00"}),
            "quiet": book.add_format({**wrapped, "font_color": "#59626D"}),
            "number": book.add_format({**number, "num_format": "#,##0"}),
            "fraction": book.add_format({**number, "num_format": "#,##0.0"}),
            "open": book.add_format({**wrapped, "bg_color": "#FFF9E5", "border": 1, "border_color": "#D5DAE0"}),
        }
        self._taken: set[str] = set()

    def write(self, paper: Paper) -> None:
        sheet = self._sheet("document")
        sheet.hide_gridlines(2)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        for place, width in enumerate(_TEXT_COLUMNS):
            sheet.set_column(place, place, width)
        self._text(sheet, 0, 0, paper.title, "title")
        sheet.set_row(0, 2 * _LINE_HEIGHT)
        self._text(sheet, 1, 0, paper.subtitle, "quiet", wide=True)
        line = 2
        if paper.verdict is not None:
            self._text(sheet, line, 0, paper.verdict.text, paper.verdict.tone, wide=True)
            line += 1
        for name, value in paper.facts:
            self._text(sheet, line, 0, name, "bold")
            self._text(sheet, line, 1, value, "plain")
            line += 1
        for number, depth, section in paper.numbered():
            self._text(sheet, line + 1, 0, f"{number} {section.title}", "h1" if depth == 1 else "h2")
            line += 2
            for block in section.blocks:
                line = self._block(sheet, line, block)

    def _block(self, sheet: Any, line: int, block: Block) -> int:
        """Write a block from a line on and return the line after it."""
        match block:
            case Paragraph():
                lead = f"{block.lead} " if block.lead else ""
                self._text(sheet, line, 0, lead + block.whole, "plain", wide=True)
                return line + 1
            case Bullets():
                for place, entry in enumerate(block.entries, 1):
                    sign = f"{place}." if block.numbered else "\u2022"
                    self._text(sheet, line + place - 1, 0, f"{sign} {entry}", "plain", wide=True)
                return line + len(block.entries)
            case Code():
                lines = block.text.split("\n")
                for place, text in enumerate(lines):
                    self._text(sheet, line + place, 0, text, "code", wide=True)
                return line + len(lines)
            case Figure():
                self._text(sheet, line, 0, block.says, "plain", wide=True)
                return self._grid(sheet, line + 1, block.grid)
        if block.sheet and block.rows:
            name = self._own_sheet(block)
            self._text(sheet, line, 0, f"{block.caption}: see the sheet '{name}'", "bold", wide=True)
            return line + 1
        return self._grid(sheet, line, block)

    def _grid(self, sheet: Any, line: int, grid: Grid) -> int:
        caption = grid.caption if grid.rows else f"{grid.caption}: {grid.empty}"
        self._text(sheet, line, 0, caption, "bold", wide=True)
        if not grid.rows:
            return line + 1
        numeric = grid.numeric
        for place, head in enumerate(grid.head):
            self._text(sheet, line + 1, place, head, "number head" if place in numeric else "head")
        for number, row in enumerate(grid.rows, line + 2):
            for place, cell in enumerate(row):
                self._cell(sheet, number, place, cell, code=place in grid.codes)
            sheet.set_row(number, _height(row, _TEXT_COLUMNS))
        return line + 3 + len(grid.rows)

    def _own_sheet(self, grid: Grid) -> str:
        sheet = self._sheet(grid.sheet)
        head = (*grid.head, *(COLUMNS if grid.decisions else ()))
        widths = []
        for place, name in enumerate(head):
            self._text(sheet, 0, place, name, "head")
            texts = [str(row[place]) for row in grid.rows] if place < len(grid.head) else []
            longest = max((len(part) for text in [name, *texts] for part in text.split("\n")), default=0)
            widths.append(min(_WIDTH_MAX, max(_WIDTH_MIN, longest + 3)))
            sheet.set_column(place, place, widths[-1])
        for number, row in enumerate(grid.rows, 1):
            for place, cell in enumerate(row):
                self._cell(sheet, number, place, cell, code=place in grid.codes)
            written = grid.decisions[number - 1].written if grid.decisions else ""
            sheet.set_row(number, _height((*row, written), (*widths[: len(row)], _DECISION_WIDTHS[0])))
        last = len(grid.rows)
        sheet.freeze_panes(1, 1)
        sheet.repeat_rows(0)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        if grid.decisions:
            self._decisions(sheet, grid)
        # Within the filter's range, so that who sorts moves each row as a whole.
        sheet.autofilter(0, 0, last, len(head) - (0 if grid.decisions else 1))
        return str(sheet.get_name())

    def _decisions(self, sheet: Any, grid: Grid) -> None:
        """Write what `report/decisions.py` reads back: the columns to fill in, and a hidden one that names each row."""
        first = len(grid.head)
        hidden = first + len(COLUMNS)
        for place, width in enumerate(_DECISION_WIDTHS, first):
            sheet.set_column(place, place, width)
        sheet.set_column(hidden, hidden, 8, None, {"hidden": True})
        self._text(sheet, 0, hidden, f"{STATE}{grid.state}", "head")
        for number, each in enumerate(grid.decisions, 1):
            self._text(sheet, number, first + COLUMNS.index(WRITTEN), each.written, "code")
            for place in range(first + 1, hidden):
                sheet.write_blank(number, place, None, self._formats["open"])
            self._text(sheet, number, hidden, each.thing, "quiet")
        choice = {"validate": "list", "source": list(CHOICES)}
        sheet.data_validation(1, first + 1, len(grid.rows), first + 1, choice)

    def _sheet(self, wanted: str) -> Any:
        """Add a sheet. A name has 31 characters at most, none that Excel forbids, and is taken regardless of case."""
        plain = "".join(sign if sign.isalnum() or sign in "_- >" else "_" for sign in wanted).strip("' ") or "sheet"
        name, number = plain[:_SHEET_MAX], 2
        while name.casefold() in self._taken:
            name, number = f"{plain[: _SHEET_MAX - 4]} {number}", number + 1
        self._taken.add(name.casefold())
        return self._book.add_worksheet(name)

    def _cell(self, sheet: Any, line: int, place: int, cell: Cell, *, code: bool) -> None:
        if isinstance(cell, int | float):
            sheet.write_number(line, place, cell, self._formats["number" if isinstance(cell, int) else "fraction"])
            return
        tone = cell.tone if isinstance(cell, Mark) else "code" if code else "plain"
        self._text(sheet, line, place, str(cell), tone)

    def _text(self, sheet: Any, line: int, place: int, text: str, tone: str, *, wide: bool = False) -> None:
        shown = "\n".join(visible(each) for each in text.split("\n"))[:_CELL_MAX]
        if wide and shown:
            sheet.merge_range(line, 0, line, len(_TEXT_COLUMNS) - 1, "", self._formats[tone])
            sheet.set_row(line, _height((shown,), (sum(_TEXT_COLUMNS),)))
        sheet.write_string(line, place, shown, self._formats[tone])


def _height(cells: Sequence[Cell], widths: Sequence[float]) -> float:
    """Return the height that a row needs: not every program makes rows grow when it opens a workbook."""
    lines = 1
    for cell, width in zip(cells, widths, strict=False):
        # A word that does not fit goes to the next line whole: a tenth is left for that.
        lines = max(lines, sum(1 + int(len(part) * 1.1 / width) for part in str(cell).split("\n")))
    return min(_HEIGHT_MAX, _LINE_HEIGHT * lines)
