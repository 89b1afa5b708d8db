"""YAML text to a tree of texts, lists and mappings that remembers places. What a key means is not known here.

Every scalar stays the text that was written (`NO`, `01`, `1.10`, `on`); anchors, aliases, tags, duplicate
keys and several documents are refused, so that nothing grows, hides or is silently replaced.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from transhume.errors import Finding, PlanError, Position, UsageError
from transhume.plan.credentials import masked
from transhume.rules.rule import Text
from transhume.words import printable

SIZE_BYTES_MAX = 1_000_000
LEVELS_MAX = 50
NODES_MAX = 60_000
_QUOTED_LENGTH_MAX = 160
_LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")

Path_ = tuple[str | int, ...]
"""A way through the plan: keys and list positions, such as ('tables', 'ml_models', 'key', 0)."""

_PLAIN_WORDS: tuple[tuple[str, str, str], ...] = (
    ("cannot start any token", "a tab or a reserved character ('@', '`', '%') stands where a value begins",
     "indent with spaces, and put a value that begins with '@', '`' or '%' in quotes"),
    ("mapping values are not allowed", "a second ': ' stands in one line, or the line is indented too far",
     "put a text that holds ': ' in quotes, or indent like the line above"),
    ("could not find expected ':'", "this line is neither 'key: value' nor '- item'",
     "write 'key: value', and close every quote and bracket above"),
    ("expected <block end>", "this line is indented unlike the lines that it belongs to",
     "indent all keys of one block with the same number of spaces"),
    ("expected ',' or", "a list '[...]' or mapping '{...}' is not closed, or a comma is missing",
     "separate entries with commas, close the bracket, and quote texts that hold ', [ ] { }'"),
    ("found unexpected end of stream", "a quote is opened and never closed", "close the quote"),
    ("found unexpected document separator", "a quote is opened and never closed", "close the quote"),
    ("unknown escape", "a backslash in double quotes begins an escape that does not exist",
     "use single quotes for a text with backslashes, or write the backslash twice"),
    ("escape sequence", "an escape in double quotes has too few digits",
     "use single quotes for a text with backslashes, or write the backslash twice"),
    ("mapping keys are not allowed", "a key stands where none can stand", "indent like the line above"),
    ("sequence entries are not allowed", "a '- item' stands where none can stand",
     "put the list on the lines below its key"),
    ("indicat", "the '|' or '>' is followed by something that is not an indentation",
     "begin the text on the next line, or put it in quotes"),
    ("expected the node content", "a value was expected here", "write a value, or '[]' for an empty list"),
    ("expected '<document start>'", "text follows after the end of the plan, or an entry is indented too little",
     "indent all keys of one block with the same number of spaces"),
    ("end marker", "text follows the end of the document", "remove the line '...'"),
    ("unexpected ':'", "a ':' stands where none can stand", "put a text that holds ':' in quotes"),
    ("undefined tag handle", "'!' marks a type, and the plan has none", "put a text that begins with '!' in quotes"),
    ("while scanning a tag", "'!' marks a type, and the plan has none", "put a text that begins with '!' in quotes"),
    ("while parsing a tag", "'!' marks a type, and the plan has none", "put a text that begins with '!' in quotes"),
    ("while scanning an anchor", "'&' marks an anchor, and the plan has none", "put the text in quotes"),
    ("while scanning an alias", "'*' marks an alias, and the plan has none", "put the text in quotes"),
    ("while scanning a directive", "a line that begins with '%' is a YAML directive, and the plan has none",
     "remove the line"),
    ("YAML directive", "a line that begins with '%' is a YAML directive, and the plan has none", "remove the line"),
    ("incompatible YAML", "a line that begins with '%' is a YAML directive, and the plan has none",
     "remove the line"),
)  # fmt: skip


def texts(node: Any, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Yield every value of a part of a document's content that is a text, with the way to it."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from texts(value, (*path, str(key)))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from texts(value, (*path, place))
    elif isinstance(node, str):
        yield path, node


@dataclass(slots=True)
class Document:
    """The tree of one file with the places of its keys and values.

    `content` is made of dict (keys: Text), list and Text, without what `findings` refuses (anchors, aliases, tags,
    duplicate keys, keys without a value). `key_places` and `value_places` give 0-based
    (line, column) by path.
    """

    file: str
    lines: tuple[str, ...]
    content: Any = None
    findings: list[Finding] = field(default_factory=list)
    key_places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    value_places: dict[Path_, tuple[int, int]] = field(default_factory=dict)

    def position(self, path: Path_, *, of_key: bool = True) -> Position:
        """Return the place of a key (or of its value), or of the nearest enclosing key that has one."""
        for length in range(len(path), -1, -1):
            found = self.key_places.get(path[:length]) if of_key or length < len(path) else None
            found = found or self.value_places.get(path[:length])
            if found:
                return self.place(*found)
        return self.place(0, 0)

    def place(self, line: int, column: int) -> Position:
        """Return the Position of a 0-based line and column, with the line quoted and passwords masked."""
        text = self.lines[line] if line < len(self.lines) else ""
        return Position(self.file, line + 1, column + 1, quoted(text, column))


def quoted(line: str, column: int = 0) -> str:
    """Return a line as a message may show it: passwords masked, not printable characters as `?`, not too long."""
    line = printable(masked(line).replace("\t", " ")).rstrip()
    if len(line) <= _QUOTED_LENGTH_MAX:
        return line
    first = max(0, min(column - _QUOTED_LENGTH_MAX // 2, len(line) - _QUOTED_LENGTH_MAX))
    return ("..." if first else "") + line[first : first + _QUOTED_LENGTH_MAX] + "..."


def read_text(path: Path, shown: str, *, size_bytes_max: int = SIZE_BYTES_MAX) -> str:
    """Return the text of a regular file, without its byte-order mark.

    Effects: opens without waiting, so that a FIFO or device never blocks.
    Raises: UsageError if there is no such file; PlanError if it is no regular file, too large or not UTF-8.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as problem:
        reason = problem.strerror.lower() if isinstance(problem, OSError) and problem.strerror else "not a file name"
        message = f"cannot read '{shown}': {reason}"
        raise UsageError(message) from None
    raw = read_regular(descriptor, size_bytes_max + 1)
    if raw is None:
        raise _refusal("not_a_file", f"'{shown}' is not a regular file", "name a file", Position(shown, 1, 1))
    return decode(raw, shown, size_bytes_max=size_bytes_max)


def read_regular(descriptor: int, size_bytes_max: int) -> bytes | None:
    """Return the first bytes behind a descriptor and close it; None if it is no regular file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(size_bytes_max)


def decode(raw: bytes, shown: str, *, size_bytes_max: int = SIZE_BYTES_MAX) -> str:
    """Return bytes of a file as text: UTF-8, with or without a byte-order mark, no NUL.

    Raises: PlanError naming the line.
    """
    start = Position(shown, 1, 1)
    if len(raw) > size_bytes_max:
        message = f"'{shown}' is larger than {size_bytes_max:,} bytes"
        raise _refusal("too_large", message, "split it, and keep long lists in CSV files under lookups/", start)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        column = problem.start - raw.rfind(b"\n", 0, problem.start)
        message = f"'{shown}' is not UTF-8: byte 0x{raw[problem.start]:02x} at position {problem.start}"
        raise _refusal("not_utf8", message, "save it as UTF-8", Position(shown, line, column)) from None
    if "\0" in text:
        before = text[: text.index("\0")]
        place = Position(shown, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise _refusal("nul", f"'{shown}' holds a NUL character", "save it as UTF-8 text", place)
    return text


def parse_document(text: str, shown: str) -> Document:
    """Turn YAML text into a Document.

    Raises: PlanError for what is not YAML at all, or too much of it.
    """
    document = Document(shown, tuple(_LINE_BREAK.split(text)))
    builder = _Builder(document)
    try:
        for event in _events(text):
            builder.take(event)
    except MarkedYAMLError as problem:
        raise PlanError([*builder.findings, _syntax_finding(document, problem)]) from None
    except ReaderError as problem:
        raise PlanError([_unprintable_finding(document, text, problem)]) from None
    except _TooMuch as problem:
        raise PlanError([*builder.findings, problem.finding]) from None
    except (YAMLError, ValueError, IndexError, OverflowError):
        # ruamel.yaml lets a few of these out of its scanner for texts that are no YAML at all.
        finding = Finding("yaml", "error", "this is not YAML", "compare with 'transhume init'", document.place(0, 0))
        raise PlanError([*builder.findings, finding]) from None
    return document


def _events(text: str) -> Iterator[Event]:
    yield from YAML(typ="safe", pure=True).parse(text)


def _refusal(code: str, message: str, cure: str, position: Position) -> PlanError:
    return PlanError([Finding(code, "error", message, cure, position)])


_NOTHING = Text("")
"""Stands for a value that was refused."""


class _TooMuch(Exception):
    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.message)


@dataclass(slots=True)
class _Open:
    """A collection whose end was not seen yet; `key` is the mapping's key that waits for its value."""

    path: Path_
    made: dict[Text, Any] | list[Any]
    key: Text | None = None
    skips_value: bool = False


class _Builder:
    """Takes parser events one by one and builds the tree without recursion."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings = document.findings
        self._stack: list[_Open] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: Event) -> None:
        mark = event.start_mark
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop("documents", "a second document begins here; the plan is one", "remove the line '---'", mark)
        elif isinstance(event, CollectionEndEvent):
            self._stack.pop()
        elif isinstance(event, AliasEvent):
            self._say("alias", f"'*{event.anchor}' is an alias; the plan has none", "write the value out", mark)
            self._place(_NOTHING, mark)
        elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
            self._node(event)

    def _node(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        mark = event.start_mark
        self._nodes += 1
        if self._nodes > NODES_MAX:
            cure = "keep long lists in CSV files under lookups/"
            self._stop("too_many", f"the plan has more than {NODES_MAX:,} values", cure, mark)
        if event.anchor is not None:
            self._say("anchor", f"'&{event.anchor}' is an anchor; the plan has none", "write the value out", mark)
        if event.ctag is not None:
            tag = str(event.ctag).replace("tag:yaml.org,2002:", "!!")
            self._say("tag", f"'{tag}' is a tag; every value of the plan is text", "remove it", mark)
        if isinstance(event, ScalarEvent):
            self._place(Text(event.value, quoted=event.style is not None), mark)
            return
        made: dict[Text, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
        path = self._place(made, mark)
        if len(self._stack) >= LEVELS_MAX:
            self._stop("too_deep", f"more than {LEVELS_MAX} levels of nesting", "write it flatter", mark)
        self._stack.append(_Open(path, made))

    def _place(self, value: Any, mark: StreamMark) -> Path_:
        """Put a finished value or a new collection where it belongs and return its path."""
        place = (mark.line, mark.column)
        if not self._stack:
            self.document.content = value
            self.document.value_places[()] = place
            return ()
        top = self._stack[-1]
        if isinstance(top.made, list):
            path = (*top.path, len(top.made))
            top.made.append(value)
        elif top.key is None:
            return self._key(top, value, mark)
        else:
            key, top.key = top.key, None
            path = (*top.path, str(key))
            if top.skips_value:
                top.skips_value = False
                return path
            if isinstance(value, Text) and not value and not value.quoted and value is not _NOTHING:
                cure = f"write a value, '[]' for an empty list, or remove '{key}'"
                self._say("no_value", f"'{key}' has no value", cure, mark, at=self.document.key_places[path])
            elif value is not _NOTHING:
                top.made[key] = value
        self.document.value_places[path] = place
        return path

    def _key(self, top: _Open, value: Any, mark: StreamMark) -> Path_:
        assert isinstance(top.made, dict)
        if not isinstance(value, Text):
            self._say("key", "a list or mapping stands where a key belongs", "write 'key: value'", mark)
            top.key, top.skips_value = Text(""), True
            return (*top.path, "")
        path = (*top.path, str(value))
        top.key = value
        if value in top.made:
            first = self.document.key_places[path][0] + 1
            message = f"'{value}' stands twice here: in line {first} and in line {mark.line + 1}"
            self._say("duplicate_key", message, "remove one of them, or merge them", mark)
            top.skips_value = True
            return path
        self.document.key_places[path] = (mark.line, mark.column)
        return path

    def _say(self, code: str, message: str, cure: str, mark: StreamMark, at: tuple[int, int] | None = None) -> None:
        line, column = at or (mark.line, mark.column)
        self.findings.append(Finding(code, "error", printable(message), cure, self.document.place(line, column)))

    def _stop(self, code: str, message: str, cure: str, mark: StreamMark) -> None:
        raise _TooMuch(Finding(code, "error", message, cure, self.document.place(mark.line, mark.column)))


def _syntax_finding(document: Document, problem: MarkedYAMLError) -> Finding:
    mark = problem.problem_mark or problem.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    said = f"{problem.context or ''} {problem.problem or ''}"
    opened = problem.context_mark
    if "end of stream" in said and opened is not None:
        line, column = opened.line, opened.column
    for pattern, message, cure in _PLAIN_WORDS:
        if pattern in said:
            place = document.place(line, column)
            if line < len(document.lines) and document.lines[line][column : column + 1] == "\t":
                tab = "a tab stands where only spaces indent"
                return Finding("yaml", "error", tab, "replace the tab by spaces", place)
            is_far = pattern.startswith("expected ',' or") and opened is not None and opened.line != line
            behind = f"; it is opened in line {opened.line + 1}" if is_far and opened is not None else ""
            return Finding("yaml", "error", message + behind, cure, place)
    message = "this line is not YAML"
    cure = "write 'key: value', and put texts with special characters in quotes"
    return Finding("yaml", "error", message, cure, document.place(line, column))


def _unprintable_finding(document: Document, text: str, problem: ReaderError) -> Finding:
    position = problem.position if isinstance(problem.position, int) else 0
    before = _LINE_BREAK.split(text[:position])
    character = text[position : position + 1]
    message = f"the character U+{ord(character):04X} cannot stand in a plan" if character else "a character is not text"
    cure = "remove it, or write it as an escape in double quotes"
    return Finding("character", "error", message, cure, document.place(len(before) - 1, len(before[-1])))
