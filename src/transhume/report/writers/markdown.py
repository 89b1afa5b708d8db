"""A paper as Markdown (GitHub's tables). Texts are escaped: no HTML, no link, no table cell comes out of a value."""

import re

from transhume.report.paper import Block, Bullets, Cell, Code, Figure, Grid, Paper, Paragraph
from transhume.words import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&$])")
_LEADING = re.compile(r"^(\s*)([-+=]|\d+(?=[.)](?:\s|$)))")
"""What begins a list: a sign, which a backslash makes a text, or a number, whose point or bracket is made one."""
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|data|file):|www\.|@")


def markdown(paper: Paper) -> bytes:
    """Return the paper as Markdown, in UTF-8."""
    lines = [f"# {_inert(paper.title)}", ""]
    if paper.subtitle:
        lines += [_inert(paper.subtitle), ""]
    if paper.verdict is not None:
        lines += [f"**{_inert(paper.verdict.text)}**", ""]
    lines += [f"- **{_inert(name)}:** {_inert(value)}" for name, value in paper.facts]
    for number, depth, section in paper.numbered():
        lines += ["", f"{'#' * min(6, depth + 1)} {number} {_inert(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
    return text.encode()


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph():
            lead = f"**{_inert(block.lead)}** " if block.lead else ""
            return [lead + _inert(block.whole)]
        case Bullets():
            return [
                f"{f'{place}.' if block.numbered else '-'} {_inert(entry)}"
                for place, entry in enumerate(block.entries, 1)
            ]
        case Code():
            return _fenced(block.text)
        case Figure():
            return [f"*{_inert(block.says)}*", "", *_grid(block.grid)]
    return _grid(block)


def _grid(grid: Grid) -> list[str]:
    caption = [f"**{_inert(grid.caption)}**", ""] if grid.caption else []
    if not grid.rows:
        return [*caption, _inert(grid.empty)]
    numeric = [all(isinstance(row[place], int | float) for row in grid.rows) for place in range(len(grid.head))]
    return [
        *caption,
        f"| {' | '.join(_inert(name) for name in grid.head)} |",
        f"|{'|'.join('---:' if each else '---' for each in numeric)}|",
        *(
            f"| {' | '.join(_cell(cell, code=place in grid.codes) for place, cell in enumerate(row))} |"
            for row in grid.rows
        ),
    ]


def _cell(cell: Cell, *, code: bool) -> str:
    if isinstance(cell, int | float):
        return shown_number(cell)
    text = str(cell)
    # A code span shows everything as it stands, but a bar would still end the cell and a backtick the span.
    if code and text and not set(text) & set("`|\\\n") and visible(text) == text:
        return f"`{text}`"
    return "<br>".join(_inert(line) for line in text.split("\n"))


def _fenced(text: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *(visible(line) for line in text.split("\n")), fence]


def _inert(text: str) -> str:
    one_line = " ".join(visible(line) for line in text.split("\n"))
    escaped = _SPECIAL.sub(r"\\\1", one_line)
    escaped = _LEADING.sub(_inert_beginning, escaped)
    # What a viewer would make a link of by itself loses its colon's or point's meaning.
    return _LINK.sub(lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", escaped)


def _inert_beginning(found: re.Match[str]) -> str:
    return f"{found[0]}\\" if found[2].isdigit() else f"{found[1]}\\{found[2]}"


def shown_number(number: float) -> str:
    """Return a number as people read it: 12,345 or 1.5."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}"
