"""Tables of rejects that people repaired, read from CSV and XLSX as cells. What cells mean is not known here."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from transhume.errors import DriverMissing, UsageError
from transhume.stages.rejects import MARK

_BYTE_ORDER = (b"\xff\xfe", b"\xfe\xff")
_SIZE_BYTES_MAX = 512 * 2**20


@dataclass(frozen=True, slots=True)
class RepairedFile:
    """One file as it lies there: its header, and its rows with the number that a spreadsheet shows for each."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_repaired(path: Path) -> RepairedFile:
    """Return the cells of a CSV (comma, semicolon or tab; UTF-8 or UTF-16) or of the first sheet of an XLSX.

    Empty rows are left out. Raises: UsageError for what is no such file; DriverMissing.
    """
    if not path.is_file():
        message = f"'{path}' is no file; name the CSV or XLSX of the repaired rejects"
        raise UsageError(message)
    if path.stat().st_size > _SIZE_BYTES_MAX:
        message = f"'{path}' has more than {_SIZE_BYTES_MAX >> 20} MB; correct so many rows in the source"
        raise UsageError(message)
    rows = _workbook(path) if path.suffix.lower() in {".xlsx", ".xlsm", ".ods"} else _text(path)
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if any(row)]
    if not numbered or numbered[0][1][0] != MARK:
        message = (
            f"'{path}' is no table of rejects: its first row must be the header that transhume wrote, which begins "
            f"with '{MARK}'"
        )
        raise UsageError(message)
    header = tuple(numbered[0][1])
    while header and not header[-1]:
        header = header[:-1]
    return RepairedFile(path, header, tuple((number, _as_wide(row, len(header))) for number, row in numbered[1:]))


def _as_wide(row: list[str], width: int) -> tuple[str, ...]:
    """Return a row without empty cells beyond the header, and with those that a spreadsheet left out at its end."""
    while len(row) > width and not row[-1]:
        row = row[:-1]
    return tuple(row + [""] * (width - len(row)))


def _text(path: Path) -> Iterator[list[str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-16" if content.startswith(_BYTE_ORDER) else "utf-8-sig")
    except UnicodeDecodeError:
        message = f"'{path}' is not UTF-8; save it as 'CSV UTF-8', or as XLSX"
        raise UsageError(message) from None
    delimiter = text[len(MARK) : len(MARK) + 1]
    if text.startswith(f'"{MARK}"'):
        delimiter = text[len(MARK) + 2 : len(MARK) + 3]
    try:
        yield from csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter if delimiter in {",", ";", "\t"} else ",", strict=True
        )
    except csv.Error as problem:
        message = f"'{path}' is no CSV: {problem}; save it again from the spreadsheet, or as XLSX"
        raise UsageError(message) from None


def _workbook(path: Path) -> Iterator[list[str]]:
    try:
        import python_calamine  # noqa: PLC0415 - optional, and only who reads a workbook waits for it
    except ImportError:
        message = "reading XLSX needs the extra 'documents': pip install 'transhume[documents]'; or save it as CSV"
        raise DriverMissing(message) from None
    try:
        sheet = python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
        rows: list[list[Any]] = sheet.to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError, IndexError) as problem:
        message = f"'{path}' is no workbook that can be read ({type(problem).__name__}); save it again, or as CSV"
        raise UsageError(message) from None
    for row in rows:
        yield [_cell(value) for value in row]


def _cell(value: Any) -> str:
    """Return what a person sees in a cell that the spreadsheet has made a number, a truth or a time."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value if isinstance(value, str) else str(value)
