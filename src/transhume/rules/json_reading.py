"""JSON text as the Python twins read it: RFC 8259 to the letter, numbers as they were written. No rule stands here.

It does not recurse, so depth has no limit, and shares nothing with any SQL twin.
"""

import json
import re
from dataclasses import dataclass, field

_SPACE = " \t\n\r"
_TOKEN = re.compile(
    r"[ \t\n\r]*(?:(?P<sign>[\[\]{},:])|(?P<word>true|false|null)"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"))'
)
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_KINDS = {"true": "boolean", "false": "boolean", "null": "null"}


@dataclass(slots=True)
class Json:
    """A value: `kind` is object, array, string, number, boolean or null.

    `text` is a scalar's text; `written` the whole value without white space, as the rule `json_get` gives it;
    `members` an object's keys and values in their order; `items` an array's values.
    """

    kind: str
    text: str = ""
    written: str = ""
    members: list[tuple[str, "Json"]] = field(default_factory=list)
    items: list["Json"] = field(default_factory=list)


def quoted(text: str) -> str:
    """Return a text as a JSON string: quotes, backslashes and control characters escaped, all others as they are."""
    return '"' + "".join(_SHORT.get(each) or (each if each >= " " else f"\\u{ord(each):04X}") for each in text) + '"'


def read(text: str) -> Json | None:
    """Return the value of a JSON text, None for any other text. Equal keys in one object are all kept."""
    tokens = _tokens(text)
    if tokens is None:
        return None
    reader = _Reader(tokens)
    if not all(reader.takes(place) for place in range(len(tokens))):
        return None
    return reader.root if reader.expected == "end" else None


class _Reader:
    """Takes tokens one by one. `expected`: value, key, colon, more (a comma or an end), end; `first` may be an end."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.root: Json | None = None
        self.expected = "value"
        self._first = False
        self._key = ""
        self._opened: list[tuple[Json, int]] = []

    def takes(self, place: int) -> bool:
        """Take the token at a place; False if it cannot stand there."""
        kind, content = self.tokens[place]
        is_first, self._first = self._first, False
        match kind, self.expected:
            case "string", "key":
                self._key, self.expected = content, "colon"
            case ":", "colon":
                self.expected = "value"
            case ",", "more":
                self.expected = "key" if self._opened[-1][0].kind == "object" else "value"
            case (("]" | "}"), _):
                return self._closes(place, is_first=is_first)
            case (("[" | "{"), "value"):
                made = Json("object" if kind == "{" else "array")
                self._add(made)
                self._opened.append((made, place))
                self._first, self.expected = True, "key" if kind == "{" else "value"
            case (("string" | "number" | "word"), "value"):
                self._add(_scalar(kind, content))
                self.expected = "more" if self._opened else "end"
            case _:
                return False
        return True

    def _closes(self, place: int, *, is_first: bool) -> bool:
        if not self._opened or not (is_first or self.expected == "more"):
            return False
        inside, start = self._opened.pop()
        inside.written = "".join(_written(*each) for each in self.tokens[start : place + 1])
        self.expected = "more" if self._opened else "end"
        return (inside.kind == "object") == (self.tokens[place][0] == "}")

    def _add(self, value: Json) -> None:
        if not self._opened:
            self.root = value
        elif self._opened[-1][0].kind == "object":
            self._opened[-1][0].members.append((self._key, value))
        else:
            self._opened[-1][0].items.append(value)


def _tokens(text: str) -> list[tuple[str, str]] | None:
    """Return (kind, content) of every token, strings without their escapes; None where a part of the text is none.

    The kind of a sign is the sign itself.
    """
    found: list[tuple[str, str]] = []
    end = len(text.rstrip(_SPACE))
    at = 0
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            return None
        kind, content = match.lastgroup, match[match.lastgroup]
        if kind == "string":
            content = json.loads(content)
            if any("\ud800" <= each <= "\udfff" for each in content):
                return None
        found.append((content if kind == "sign" else kind, content))
        at = match.end()
    return found


def _scalar(kind: str, content: str) -> Json:
    return Json(_KINDS[content] if kind == "word" else kind, content, _written(kind, content))


def _written(kind: str, content: str) -> str:
    return quoted(content) if kind == "string" else content
