"""A paper for people, before anybody says in which format: sections of paragraphs, lists, tables and drawings.

Every text here is plain: no markup, no formula. The writers in `writers/` decide how a format shows it and make it
inert there. Nothing is read or computed here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["plain", "good", "bad", "doubt", "quiet"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A text that stands out: good news, bad news, a doubt. The words say it too, never the colour alone."""

    text: str
    tone: Tone

    def __str__(self) -> str:
        return self.text


Cell = str | int | float | Mark


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph; `lead` are a few words before it that stand out.

    `file` names a file that lies beside the paper: a format that can link, links it behind the text.
    """

    text: str
    lead: str = ""
    file: str = ""

    @property
    def whole(self) -> str:
        """The text with the file's name, for formats that do not link."""
        return f"{self.text} {self.file}".rstrip()


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; `numbered` where the order counts."""

    entries: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """Lines that are typed or run as they stand."""

    text: str


@dataclass(frozen=True, slots=True)
class Decidable:
    """What a person decides about a row of a table: which thing of the plan, and how the plan has it now.

    `thing` is read back by `import-decisions`; `written` is shown beside it.
    """

    thing: str
    written: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with its caption. `codes` are the columns (by place) that hold names and statements, not prose.

    `sheet` asks a workbook for a sheet of its own; with `decisions`, one a row, it has columns in which people write
    what they decide, and `state` names the state of the plan that they decide about.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    codes: frozenset[int] = frozenset()
    sheet: str = ""
    decisions: tuple[Decidable, ...] = ()
    state: str = ""
    empty: str = "none"
    """What is said where there is no row."""

    @property
    def numeric(self) -> frozenset[int]:
        """The columns (by place) that hold numbers and empty cells only: their heads stand right, over the numbers."""
        return frozenset(
            place
            for place in range(len(self.head))
            if all(isinstance(row[place], int | float) or row[place] == "" for row in self.rows)
            and any(isinstance(row[place], int | float) for row in self.rows)
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; `tone` is the name of its colour."""

    x: float
    y: float
    width: float
    height: float
    tone: str = "a"


@dataclass(frozen=True, slots=True)
class Label:
    """A text whose base line is at `y`; `anchor` says which of its points is at `x`."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    tone: str = "ink"


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `tone` as of a bar."""

    points: tuple[tuple[float, float], ...]
    tone: str = "grid"


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption. `says` tells in words what it shows; `grid` holds its numbers.

    A format that cannot draw shows the numbers.
    """

    caption: str
    says: str
    width: float
    height: float
    shapes: tuple[Bar | Label | Line, ...]
    grid: Grid
    legend: Mapping[str, str] = field(default_factory=dict)
    """Tone to its meaning."""


Block = Paragraph | Bullets | Code | Grid | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple["Section", ...] = ()


@dataclass(frozen=True, slots=True)
class Paper:
    """A whole paper: `verdict` is the one sentence that a hurried reader needs, `facts` are names with values."""

    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    verdict: Mark | None = None
    language: str = "en"

    def numbered(self) -> Iterator[tuple[str, int, Section]]:
        """Yield every section with its number (`4.2`) and depth from 1, in reading order."""
        yield from _numbered(self.sections, "", 1)


def _numbered(sections: tuple[Section, ...], before: str, depth: int) -> Iterator[tuple[str, int, Section]]:
    for place, section in enumerate(sections, 1):
        number = f"{before}{place}"
        yield number, depth, section
        yield from _numbered(section.sections, f"{number}.", depth + 1)
