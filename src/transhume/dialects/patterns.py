"""The closed subset of regular expressions that every engine understands alike: parsed and printed anew.

Literal characters (special ones escaped), ASCII classes `[a-z]` and `[^/]`, groups, `*` `+` `?` `{m,n}`.
No alternation, dot, anchor, lookaround, back-reference, flag or lazy repeat; those differ between engines.
"""

from dataclasses import dataclass, field

REPEATS_MAX = 255
_SPECIAL = frozenset("\\.^$|?*+()[]{}")
_ESCAPED_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_PRINTABLE_MIN = 0x20
_ASCII_MAX = 0x7F


class PatternError(ValueError):
    """A pattern leaves the closed subset; the message names the construct and its place."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern: `text` in the common syntax without anchors, and what is known of its groups.

    `group_widths[n - 1]` is the fewest characters that group n holds; `skippable` are the groups that a
    match may leave out altogether. `width` is the fewest characters of the whole.
    """

    text: str
    width: int
    group_widths: tuple[int, ...]
    skippable: frozenset[int]


def parse_pattern(pattern: str) -> Pattern:
    """Return the pattern, printed so that RE2, Java and PostgreSQL read it alike. Raises: PatternError."""
    parser = _Parser(pattern)
    text, width = parser.sequence(depth=0)
    return Pattern(text, width, tuple(parser.widths), frozenset(parser.skippable))


@dataclass
class _Parser:
    pattern: str
    at: int = 0
    widths: list[int] = field(default_factory=list)
    skippable: set[int] = field(default_factory=set)

    def sequence(self, depth: int) -> tuple[str, int]:
        text, width = "", 0
        while self.at < len(self.pattern) and self._here() != ")":
            before = len(self.widths)
            piece, piece_width = self._piece(depth)
            fewest, suffix = self._repeat()
            if fewest == 0:
                self.skippable.update(range(before + 1, len(self.widths) + 1))
            text, width = text + piece + suffix, width + piece_width * fewest
        if depth == 0 and self.at < len(self.pattern):
            raise self._error("a closing parenthesis without an opening one")
        return text, width

    def _piece(self, depth: int) -> tuple[str, int]:
        character = self._here()
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._class(), 1
        if character == "\\":
            return _literal(self._escape()), 1
        if character in _SPECIAL and character not in "]}":
            construct = f"'{character}' outside a class"
            raise self._error(construct)
        self.at += 1
        return _literal(character), 1

    def _group(self, depth: int) -> tuple[str, int]:
        self.at += 1
        number = 0
        if self.pattern.startswith("?:", self.at):
            self.at += 2
        elif self.pattern.startswith("?", self.at):
            raise self._error("a group that begins with '(?'")
        else:
            self.widths.append(0)
            number = len(self.widths)
        text, width = self.sequence(depth + 1)
        if self.at >= len(self.pattern):
            raise self._error("a group that is not closed")
        self.at += 1
        if number:
            self.widths[number - 1] = width
        return f"({text})" if number else f"(?:{text})", width

    def _class(self) -> str:
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += int(negated)
        members = ""
        while self._here("a class that is not closed") != "]":
            members += self._member()
        self.at += 1
        if not members:
            raise self._error("an empty class")
        return f"[{'^' if negated else ''}{members}]"

    def _member(self) -> str:
        low = self._class_character()
        if self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at):
            self.at += 1
            high = self._class_character()
            if ord(high) < ord(low):
                raise self._error("a range of a class that runs backwards")
            return f"{_literal(low)}-{_literal(high)}"
        return _literal(low)

    def _class_character(self) -> str:
        character = self._here("a class that is not closed")
        if character == "[":
            raise self._error("'[' inside a class; escape it")
        if character == "\\":
            character = self._escape()
        else:
            self.at += 1
        if ord(character) > _ASCII_MAX:
            raise self._error("a class with a character that is not ASCII")
        return character

    def _escape(self) -> str:
        self.at += 1
        character = self._here("a backslash at the end")
        self.at += 1
        if character in _ESCAPED_CONTROLS:
            return _ESCAPED_CONTROLS[character]
        if character.isalnum():
            construct = f"'\\{character}'"
            raise self._error(construct)
        return character

    def _repeat(self) -> tuple[int, str]:
        sign = self.pattern[self.at : self.at + 1]
        if sign in {"*", "+", "?"}:
            self.at += 1
            fewest, suffix = int(sign == "+"), sign
        elif sign == "{":
            fewest, suffix = self._counted()
        else:
            return 1, ""
        if self.pattern[self.at : self.at + 1] in {"*", "+", "?", "{"}:
            raise self._error("a repeat of a repeat, or a lazy or possessive one")
        return fewest, suffix

    def _counted(self) -> tuple[int, str]:
        end = self.pattern.find("}", self.at)
        low, _, high = self.pattern[self.at + 1 : end].partition(",")
        bounds = [low, high] if "," in self.pattern[self.at : end] else [low]
        if end < 0 or not all(bound.isdecimal() and bound.isascii() for bound in bounds):
            raise self._error("a repeat that is not {m} or {m,n}")
        if int(bounds[-1]) > REPEATS_MAX or int(bounds[0]) > int(bounds[-1]):
            construct = f"a repeat over {REPEATS_MAX}, or one that runs backwards"
            raise self._error(construct)
        self.at = end + 1
        return int(low), "{" + ",".join(str(int(bound)) for bound in bounds) + "}"

    def _here(self, missing: str = "") -> str:
        if self.at >= len(self.pattern):
            raise self._error(missing)
        return self.pattern[self.at]

    def _error(self, construct: str) -> PatternError:
        return PatternError(f"the pattern '{self.pattern}' holds {construct} near character {self.at + 1}")


def _literal(character: str) -> str:
    if ord(character) < _PRINTABLE_MIN or ord(character) == _ASCII_MAX:
        return f"\\x{ord(character):02x}"
    return f"\\{character}" if character in _SPECIAL or character == "-" else character
