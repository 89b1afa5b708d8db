"""A paper as one HTML page: it needs no other file, no network and no script, on screen, on a phone and on paper.

Every text is escaped, and a policy in the page forbids whatever could still come of one. The look: `style.py`.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterator

from transhume.report.paper import Bar, Block, Bullets, Cell, Code, Figure, Grid, Label, Line, Mark, Paper, Paragraph
from transhume.report.writers.markdown import shown_number
from transhume.report.writers.style import STYLE
from transhume.words import visible

_WIDE_MAX = 9
"""From so many columns on a table is as wide as wide tables get."""

_PARTS = re.compile(r"(?<=\w)([/_]|\.(?!\d))(?=\w)")
"""Where a name may break; no number does."""


_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.(?:html|xlsx|json|xml)")
"""A name without a folder, scheme, query or sign that markup knows."""


def page(paper: Paper) -> bytes:
    """Return the page, in UTF-8."""
    return "\n".join(_Page(paper).lines()).encode()


class _Page:
    """One page under way; it counts figures and tables, whose names other parts of the page refer to."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._names = 0

    def lines(self) -> Iterator[str]:
        paper = self._paper
        digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        yield f'<!DOCTYPE html>\n<html lang="{_safe(paper.language)}"><head><meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        yield f"<title>{_safe(paper.title)}</title><style>{STYLE}</style></head><body>"
        yield '<a class="skip" href="#content">to the content</a>'
        yield from self._head()
        yield from self._contents()
        yield '<main id="content">'
        open_depths = 0
        for number, depth, section in paper.numbered():
            while open_depths >= depth:
                yield "</section>"
                open_depths -= 1
            name = f"s{number.replace('.', '-')}"
            level = min(6, depth + 1)
            yield f'<section aria-labelledby="{name}"><h{level} id="{name}">'
            yield f'<span class="number">{number}</span> {_safe(section.title)}</h{level}>'
            open_depths += 1
            for block in section.blocks:
                yield from self._block(block)
        yield "</section>" * open_depths
        yield "</main></body></html>\n"

    def _head(self) -> Iterator[str]:
        paper = self._paper
        yield f"<header><h1>{_safe(paper.title)}</h1>"
        if paper.subtitle:
            yield f'<p class="subtitle">{_safe(paper.subtitle)}</p>'
        if paper.verdict is not None:
            yield f'<p class="verdict {paper.verdict.tone}">{_safe(paper.verdict.text)}</p>'
        if paper.facts:
            facts = "".join(f"<div><dt>{_safe(name)}</dt><dd>{_safe(value)}</dd></div>" for name, value in paper.facts)
            yield f'<dl class="facts">{facts}</dl>'
        yield "</header>"

    def _contents(self) -> Iterator[str]:
        yield '<nav aria-label="contents"><ol>'
        for number, depth, section in self._paper.numbered():
            if depth == 1:
                yield f'<li><a href="#s{number}">{_safe(section.title)}</a></li>'
        yield "</ol></nav>"

    def _block(self, block: Block) -> Iterator[str]:
        match block:
            case Paragraph():
                lead = f"<strong>{_safe(block.lead)}</strong> " if block.lead else ""
                yield f"<p>{lead}{_lines(block.text)}{_file_link(block.file)}</p>"
            case Bullets():
                tag = "ol" if block.numbered else "ul"
                yield f"<{tag}>{''.join(f'<li>{_lines(entry)}</li>' for entry in block.entries)}</{tag}>"
            case Code():
                shown = "\n".join(_safe(line) for line in block.text.split("\n"))
                yield f'<pre tabindex="0"><code>{shown}</code></pre>'
            case Figure():
                yield from self._figure(block)
            case Grid():
                yield from self._grid(block)

    def _grid(self, grid: Grid) -> Iterator[str]:
        name = self._name("t")
        if not grid.rows:
            yield f"<p><strong>{_safe(grid.caption)}:</strong> {_safe(grid.empty)}</p>"
            return
        numeric = grid.numeric
        width = f"c{min(len(grid.head), _WIDE_MAX)}"
        yield f'<div class="scroll" role="region" aria-labelledby="{name}" tabindex="0"><table class="{width}">'
        yield f'<caption id="{name}"><span>{_safe(grid.caption)}</span></caption><thead><tr>'
        for place, head in enumerate(grid.head):
            css = ' class="n"' if place in numeric else ""
            yield f'<th scope="col"{css}>{_safe(head)}</th>'
        yield "</tr></thead><tbody>"
        for row in grid.rows:
            yield "<tr>" + "".join(self._cell(place, cell, grid, numeric) for place, cell in enumerate(row)) + "</tr>"
        yield "</tbody></table></div>"

    def _cell(self, place: int, cell: Cell, grid: Grid, numeric: frozenset[int]) -> str:
        tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
        classes = [name for name, holds in (("n", place in numeric), ("k", place in grid.codes)) if holds]
        if isinstance(cell, int | float):
            text = shown_number(cell)
        elif isinstance(cell, Mark):
            text = f'<span class="mark {cell.tone}">{_lines(cell.text)}</span>'
        else:
            # Long names may break behind their parts; no character reference holds one of these signs.
            text = _PARTS.sub(r"\1<wbr>", _lines(cell))
        css = f' class="{" ".join(classes)}"' if classes else ""
        return f"<{tag}{scope}{css}>{text}</{tag}>"

    def _figure(self, figure: Figure) -> Iterator[str]:
        name = self._name("f")
        yield f"<figure><figcaption>{_safe(figure.caption)}</figcaption>"
        yield (
            f'<svg role="img" aria-labelledby="{name}" aria-describedby="{name}d" '
            f'viewBox="0 0 {figure.width:g} {figure.height:g}">'
        )
        yield f'<title id="{name}">{_safe(figure.caption)}</title><desc id="{name}d">{_safe(figure.says)}</desc>'
        yield from (_shape(shape) for shape in figure.shapes)
        yield "</svg>"
        if figure.legend:
            entries = "".join(
                f'<li><svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">{_shape(Bar(0, 0, 10, 10, tone))}'
                f"</svg>{_safe(meaning)}</li>"
                for tone, meaning in figure.legend.items()
            )
            yield f'<ul class="legend">{entries}</ul>'
        yield f"<p>{_safe(figure.says)}</p><details><summary>the numbers of this drawing</summary>"
        yield from self._grid(figure.grid)
        yield "</details></figure>"

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"


def _file_link(name: str) -> str:
    """Return a link to a file beside the page; a name that could lead elsewhere is no link."""
    return f' <a href="{name}">{name}</a>' if _FILE.fullmatch(name) else f" {_safe(name)}" if name else ""


def _shape(shape: Bar | Label | Line) -> str:
    match shape:
        case Bar():
            place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" width="{max(shape.width, 0):.1f}" height="{shape.height:.1f}"'
            return f'<rect class="t-{_safe(shape.tone)}" {place}/>'
        case Label():
            place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}"'
            return f'<text class="l-{_safe(shape.tone)}" {place}>{_safe(shape.text)}</text>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    return f'<polyline class="p-{_safe(shape.tone)}" points="{points}"/>'


def _lines(text: str) -> str:
    return "<br>".join(_safe(line) for line in text.split("\n"))


def _safe(text: str) -> str:
    return html.escape(visible(text), quote=True)
