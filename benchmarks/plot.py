"""A plot as SVG text, drawn by hand: wall time and peak memory of the jobs of one comparison by number of rows."""

from collections.abc import Mapping, Sequence
from math import log10

from jobs import JOBS
from results import Results, spread

_COMPARISON = "sqlite-postgres"
_COLOURS = ("#1b6ca8", "#c8553d", "#3c8d40", "#8a5fb0", "#b8860b", "#5b5b5b", "#008b8b")
_WIDTH, _HEIGHT, _LEFT, _TOP = 380, 300, 64, 36
_GAP = 90
_LEGEND_LINE = 18

Points = Mapping[str, Sequence[tuple[float, float]]]


def growth(results: Results) -> str:
    """Return the SVG; both axes are logarithmic. Jobs that were not measured are not in it."""
    jobs = [job for job in JOBS if job.comparison == _COMPARISON]
    walls: dict[str, list[tuple[float, float]]] = {}
    peaks: dict[str, list[tuple[float, float]]] = {}
    for job in jobs:
        for size in job.sizes:
            runs = [run.figures for run in results.of(_COMPARISON, size, job.name) if run.figures]
            wall, peak = spread(each.wall_s for each in runs), spread(each.peak_bytes for each in runs)
            if wall and peak:
                walls.setdefault(job.title, []).append((int(size) / 1e6, wall.median))
                peaks.setdefault(job.title, []).append((int(size) / 1e6, peak.median / 2**20))
    height = _TOP + _HEIGHT + 60 + _LEGEND_LINE * len(walls)
    width = _LEFT + 2 * _WIDTH + _GAP + 20
    colours = dict(zip(walls, _COLOURS, strict=False))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<style>text { font-size: 12px }</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_panel("wall seconds, SQLite to PostgreSQL", walls, colours, _LEFT),
        *_panel("peak memory, MB (PSS, without the server)", peaks, colours, _LEFT + _WIDTH + _GAP),
        *_legend(colours),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(title: str, points: Points, colours: Mapping[str, str], left: float) -> list[str]:
    every = [value for each in points.values() for _, value in each] or [1.0, 10.0]
    rows = sorted({row for each in points.values() for row, _ in each}) or [1.0]
    low, high = _bound(min(every) * 0.99, up=False), _bound(max(every) * 1.01, up=True)

    def across(row: float) -> float:
        first, last = log10(rows[0]) - 0.1, log10(rows[-1]) + 0.1
        return left + (log10(row) - first) / (last - first) * _WIDTH

    def down(value: float) -> float:
        return _TOP + _HEIGHT - (log10(value) - log10(low)) / (log10(high) - log10(low)) * _HEIGHT

    lines = [
        f'<text x="{left}" y="{_TOP - 14}" font-weight="bold">{title}</text>',
        f'<rect x="{left}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#999"/>',
    ]
    for tick in _ticks(low, high):
        at = down(tick)
        lines.append(f'<line x1="{left}" x2="{left + _WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e4e4e4"/>')
        lines.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for row in rows:
        at = across(row)
        lines.append(f'<text x="{at:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{row:g} M</text>')
    for title_of_job, each in points.items():
        colour = colours[title_of_job]
        path = " ".join(f"{across(row):.1f},{down(value):.1f}" for row, value in each)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [
            f'<circle cx="{across(row):.1f}" cy="{down(value):.1f}" r="3.5" fill="{colour}"/>' for row, value in each
        ]
    return lines


def _legend(colours: Mapping[str, str]) -> list[str]:
    lines = []
    for place, (title, colour) in enumerate(colours.items()):
        at = _TOP + _HEIGHT + 48 + place * _LEGEND_LINE
        lines.append(f'<rect x="{_LEFT}" y="{at - 9}" width="22" height="4" fill="{colour}"/>')
        lines.append(f'<text x="{_LEFT + 30}" y="{at - 3}">{title}</text>')
    return lines


def _ticks(low: float, high: float) -> list[float]:
    ticks = [step * 10.0**power for power in range(-2, 6) for step in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _bound(value: float, *, up: bool) -> float:
    ticks = _ticks(0.01, 500_000)
    return min(tick for tick in ticks if tick >= value) if up else max(tick for tick in ticks if tick <= value)
