"""The worksheet of a validation, for people who check by eye: one HTML page, and one workbook.

Every value is text and nothing else: markup is escaped, formulas are no formulas, control and bidirectional
characters are shown by their numbers.
"""

import html
import os
from collections.abc import Sequence
from pathlib import Path

from transhume.stages.proof.worksheet import SheetRow
from transhume.words import visible

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; max-width: 80em; }
table { border-collapse: collapse; width: 100%; margin: .5em 0 1.5em; table-layout: fixed; }
th, td { border: 1px solid #8888; padding: .25em .5em; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.wrong { background: #d3302f33; font-weight: bold; }
caption { text-align: left; font-weight: bold; padding: .3em 0; }
@media print { table { page-break-inside: avoid; } }
"""
_HEADER = ("column", "rule", "source", "expected", "found", "verdict")


def write_html(path: Path, run: str, rows: Sequence[SheetRow]) -> None:
    """Write the page: a verdict, then each row with its columns. It needs no other file, no network and no script."""
    wrong = sum(not row.is_right for row in rows)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>worksheet of run {_safe(run)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Worksheet of run {_safe(run)}</h1>",
        f"<p>{len(rows)} rows recomputed by the oracle and shown here, {wrong} of them wrong.</p>",
    ]
    for mapping in dict.fromkeys(row.mapping for row in rows):
        parts.append(f"<h2>{_safe(mapping)}</h2>")
        parts += [_html_row(row) for row in rows if row.mapping == mapping]
    parts.append("</body></html>\n")
    _write_private(path, "\n".join(parts).encode())


def write_workbook(path: Path, run: str, rows: Sequence[SheetRow]) -> None:
    """Write the same as a workbook: one sheet a table, one line a column of a row; every cell is a text."""
    import xlsxwriter  # noqa: PLC0415 - only who writes a workbook waits for it

    partial = path.with_suffix(".partial")
    options = {
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "in_memory": True,
    }
    _write_private(partial, b"")
    with xlsxwriter.Workbook(str(partial), options) as book:
        bold, bad = book.add_format({"bold": True}), book.add_format({"bg_color": "#F6C7C7"})
        cover = book.add_worksheet("run")
        cover.write_string(0, 0, f"run {visible(run)}", bold)
        for number, mapping in enumerate(dict.fromkeys(row.mapping for row in rows), 1):
            # A sheet's name has at most 31 characters and none of []:*?/\.
            plain = "".join(sign if sign.isalnum() or sign in "_- " else "_" for sign in mapping)
            sheet = book.add_worksheet(f"{number} {plain}"[:31])
            own = [row for row in rows if row.mapping == mapping]
            cover.write_string(number, 0, f"{mapping}: {len(own)} rows, {sum(not row.is_right for row in own)} wrong")
            sheet.freeze_panes(1, 0)
            for place, name in enumerate(("row", "key", "why", "must become", "became", *_HEADER)):
                sheet.write_string(0, place, name, bold)
            for line, texts, is_right in _lines(own):
                for place, text in enumerate(texts):
                    sheet.write_string(line, place, visible(text)[:32_000], None if is_right else bad)
    partial.rename(path)


def _lines(rows: Sequence[SheetRow]) -> list[tuple[int, list[str], bool]]:
    found: list[tuple[int, list[str], bool]] = []
    for row in rows:
        head = [str(row.row), row.key, ", ".join(row.why), row.expected, row.said]
        if not row.cells:
            found.append((len(found) + 1, head, row.is_right))
        for cell in row.cells:
            source = ", ".join(f"{name} = {text}" for name, text in cell.source)
            verdict = "same" if cell.is_right else "DIFFERS"
            texts = [*head, cell.column, cell.rule, source, cell.expected, cell.found, verdict]
            found.append((len(found) + 1, texts, cell.is_right and row.expected == row.said))
    return found


def _html_row(row: SheetRow) -> str:
    is_fate_right = row.expected == row.said
    fate = _safe(row.said) if is_fate_right else f"must become {_safe(row.expected)}, became {_safe(row.said)}"
    title = f"source row {_safe(row.key) or row.row}: {fate} ({_safe(', '.join(row.why))})"
    mark = "" if is_fate_right else ' class="wrong"'
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADER)
    body = []
    for cell in row.cells:
        source = "<br>".join(f"{_safe(name)} = {_safe(text)}" for name, text in cell.source)
        verdict = "same" if cell.is_right else "differs"
        texts = [_safe(cell.rule), source, _safe(cell.expected), _safe(cell.found), verdict]
        cells = "".join(f"<td>{text}</td>" for text in texts)
        css = "" if cell.is_right else ' class="wrong"'
        body.append(f'<tr{css}><th scope="row">{_safe(cell.column)}</th>{cells}</tr>')
    lines = "\n".join(body)
    return f"<table><caption{mark}>{title}</caption><thead><tr>{head}</tr></thead><tbody>\n{lines}\n</tbody></table>"


def _safe(text: str) -> str:
    return html.escape(visible(text), quote=True)


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
