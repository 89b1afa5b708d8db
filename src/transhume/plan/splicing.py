"""Single values of a plan's text replaced, everything around them left as it is: layout, comments, order.

The file is read by ruamel.yaml for the places alone; only the characters of the value that changes are exchanged.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from transhume.plan.document import Path_
from transhume.rules.rule import is_quoted

_INSIDE_FLOW = frozenset(",[]{}#:&*!|>'\"%@`")


@dataclass(frozen=True, slots=True)
class _Place:
    """A key's node (None in a list) with its value's node."""

    key: Node | None
    value: Node


class Splices:
    """Changes of one text, gathered and then made at once; places are those of the text as it was."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places = dict(_places(YAML(typ="safe", pure=True).compose(text), ()))
        self._edits: list[tuple[int, int, str]] = []

    def replace(self, path: Path_, written: str) -> None:
        """Put one line of YAML in the place of a value; comments inside of a key's old value move above the key."""
        place = self._places[path]
        start, end = place.value.start_mark.index, _end(place.value)
        if place.key is None:
            self._edits.append((start, end, written))
            return
        if "\n" in self._text[start:end] or place.value.start_mark.line != place.key.end_mark.line:
            for comment in self._comments(place.key.end_mark.index, end, place.value):
                self.comment(path, comment)
            start = self._text.index(":", _end(place.key)) + 1
            written = f" {written}"
        self._edits.append((start, end, written))

    def append(self, path: Path_, written: str) -> None:
        """Add an entry to a list of scalars."""
        node = self._places[path].value
        if not isinstance(node, SequenceNode):
            old = self._text[node.start_mark.index : _end(node)]
            self._edits.append((node.start_mark.index, _end(node), f"[{old}, {written}]"))
        elif node.flow_style:
            close = _end(node) - 1
            self._edits.append((close, close, f", {written}" if node.value else written))
        else:
            last = node.value[-1]
            indent = " " * node.start_mark.column
            self._edits.append((_end(last), _end(last), f"\n{indent}- {written}"))

    def comment(self, path: Path_, words: str) -> None:
        """Put a comment of one line above a key, unless just that stands there already."""
        place = self._places[path]
        mark = (place.key or place.value).start_mark
        begin = self._text.rfind("\n", 0, mark.index) + 1
        above = self._text[:begin].rstrip("\n").rsplit("\n", 1)[-1].strip()
        line = self._text[begin : mark.index]
        indent = line[: len(line) - len(line.lstrip(" "))]
        if above != f"# {words}":
            self._edits.append((begin, begin, f"{indent}# {words}\n"))

    def has(self, path: Path_) -> bool:
        """Say whether such a key stands in the text."""
        return path in self._places

    def result(self) -> str:
        """Return the text with all changes."""
        made = self._text
        # From the end, so that places stay true; of two at one place the later goes in first and stands below.
        order = sorted(range(len(self._edits)), key=lambda number: (self._edits[number][0], number), reverse=True)
        for start, end, written in (self._edits[number] for number in order):
            made = made[:start] + written + made[end:]
        return made

    def _comments(self, start: int, end: int, value: Node) -> Iterator[str]:
        spans = [(leaf.start_mark.index, leaf.end_mark.index) for leaf in _leaves(value)]
        place = start
        while (place := self._text.find("#", place, end)) >= 0:
            inside = any(first <= place < last for first, last in spans)
            stop = self._text.find("\n", place)
            stop = len(self._text) if stop < 0 else stop
            if inside or not self._text[place - 1].isspace():
                place += 1
                continue
            yield self._text[place + 1 : stop].strip()
            place = stop


def flow(node: Any) -> str:
    """Return a value of a parsed plan as one line of YAML that reads as the same value."""
    if isinstance(node, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {flow(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(flow, node)) + "]"
    return _scalar(node)


def _scalar(text: Any) -> str:
    plain = str(text)
    if is_quoted(text) or not plain or plain != plain.strip() or set(plain) & _INSIDE_FLOW or plain[0] in "-?":
        return json.dumps(plain, ensure_ascii=not plain.isprintable())
    return plain


def _places(node: Node, path: Path_) -> Iterator[tuple[Path_, _Place]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                below = (*path, str(key.value))
                yield below, _Place(key, value)
                yield from _places(value, below)
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            yield (*path, number), _Place(None, value)
            yield from _places(value, (*path, number))


def _end(node: Node) -> int:
    """Return where a value ends: a block ends with its last entry, not where the next key begins."""
    if isinstance(node, ScalarNode):
        # A text after `|` or `>` ends behind its line breaks.
        return int(node.end_mark.index) - (1 if node.style in {"|", ">"} and node.end_mark.column == 0 else 0)
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _leaves(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for pair in node.value:
            for each in pair:
                yield from _leaves(each)
    elif isinstance(node, SequenceNode):
        for each in node.value:
            yield from _leaves(each)
    else:
        yield node
