"""Rejects for people to repair: a workbook in which every cell is a text, or a CSV. Only their owner reads them."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from transhume.errors import UsageError

FORMS = ("xlsx", "csv")
_CELL_MAX = 32_767
_ROWS_MAX = 1_048_576
_WIDTH = 24
_OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "constant_memory": True,
}


def write_repair_sheet(path: Path, rows: Iterable[list[str]], form: str) -> None:
    """Write rows of cells, header first, as XLSX or CSV; whole or not at all.

    Raises: UsageError for another form, and for what no workbook holds.
    """
    if form not in FORMS:
        message = f"there is no form '{form}'; forms are {', '.join(FORMS)}"
        raise UsageError(message)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"):
        pass
    if form == "csv":
        # With the mark by which spreadsheets know UTF-8.
        with partial.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows(rows)
    else:
        _write_workbook(partial, rows)
    partial.rename(path)


def _write_workbook(path: Path, rows: Iterable[list[str]]) -> None:
    import xlsxwriter  # noqa: PLC0415 - only who writes a workbook waits for it

    with xlsxwriter.Workbook(str(path), _OPTIONS) as book:
        head = book.add_format({"bold": True, "bg_color": "#E8ECF0", "bottom": 1, "num_format": "@"})
        # A text format: what a person types stays what was typed.
        text = book.add_format({"num_format": "@"})
        sheet = book.add_worksheet("rejects")
        sheet.freeze_panes(1, 2)
        for number, row in enumerate(rows):
            if number == 0:
                sheet.set_column(0, len(row) - 1, _WIDTH, text)
            if number >= _ROWS_MAX or any(len(cell) > _CELL_MAX for cell in row):
                message = (
                    f"row {number + 1} of '{path.stem}' fits into no workbook (cells of {_CELL_MAX:,} signs, "
                    f"{_ROWS_MAX:,} rows): write the rejects as csv"
                )
                raise UsageError(message)
            for place, cell in enumerate(row):
                if cell:
                    sheet.write_string(number, place, cell, head if number == 0 else text)
