r"""Rows of delimited text: which bytes are a record, and which are a line that is none. No type, no file here.

A record is fields between delimiters up to a line end (CR LF, LF or CR). A field in quotes may hold delimiters, line
ends and doubled quotes, and ends before a delimiter or line end; a field without holds none of them, and no quote.
What is no record of the right number of fields is a bad line, in one of these extents:

| what is wrong | the bad line is |
|---|---|
| another number of fields, U+0000, a quote inside a field without quotes | the record, of several lines where it is |
| something behind a closing quote, a quote that is never closed | the line, and those that may be its text |

Source: RFC 4180, which does not say what to do with what it does not allow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from transhume.errors import SystemRefused

RECORD_BYTES_MAX = 16 * 2**20
"""A quote that is not closed within so many bytes is taken for one that never is."""
_END = rb"(?:\r\n|\n|\r)"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How records of one file are written; `quote` is empty where quotes mean nothing."""

    delimiter: bytes
    quote: bytes
    null: bytes = b""


@dataclass(slots=True)
class Piece:
    """Whole lines of a file: `text` holds records only, one of empty fields in the place of each bad line.

    `lines` are the line numbers of its records, a range where each is one line; `bad` gives the bytes of bad lines by
    the record's place.
    """

    text: bytes
    lines: range | list[int]
    bad: dict[int, bytes] = field(default_factory=dict)


class Grammar:
    """The patterns of a dialect for records of `width` fields; each runs in linear time (possessive throughout)."""

    def __init__(self, dialect: Dialect, width: int) -> None:
        """Compile the patterns."""
        self.dialect, self.width = dialect, width
        sign, quote = re.escape(dialect.delimiter), re.escape(dialect.quote)
        bare = rb"[^%s\r\n\0%s]*+" % (sign, quote)
        loose = rb"[^%s\r\n]*+" % sign
        quoted = rb""
        self._broken: re.Pattern[bytes] | None = None
        if quote:
            plain = rb"[^%s\0]*+" % quote
            any_sign = rb"[^%s]*+" % quote
            text = rb"%s%s(?:%s%s)*+%s" % (quote, any_sign, quote + quote, any_sign, quote)
            quoted = rb"%s%s(?:%s%s)*+%s|" % (quote, plain, quote + quote, plain, quote)
            # Behind a quoted text comes a delimiter, a line end, or the text was none.
            loose = rb"(?:%s(?=[%s\r\n])|(?!%s)%s)" % (text, sign, quote, loose)
            self._broken = re.compile(rb"(?:%s%s)*+%s[^%s\r\n]" % (loose, sign, text, sign))
        own = rb"(?:%s%s)" % (quoted, bare)
        row = rb"%s(?:%s%s){%d}+" % (own, sign, own, width - 1)
        # Without any sign a line is no row, but the NULL of a table of one column.
        self._one = re.compile(rb"(%s)%s" % (row, _END) if width == 1 else rb"(%s)?%s" % (row, _END))
        self._many = re.compile(rb"(?:(?:%s)%s%s)*+" % (row, b"" if width == 1 else b"?", _END))
        self._loose = re.compile(rb"%s(?:%s%s)*+%s" % (loose, sign, loose, _END))
        self._line = re.compile(rb"[^\r\n]*+%s" % _END)
        self._field = re.compile(rb"(%s)(%s|%s)" % (own, sign, _END))
        self.placeholder = dialect.delimiter * (width - 1) + b"\n" if width > 1 else b" \n"

    def first_record(self, text: bytes) -> list[bytes] | None:
        """Return the fields of the record at the start of the text, quotes taken off; None where none stands there."""
        fields, place = [], 0
        while found := self._field.match(text, place):
            fields.append(self._unquoted(found[1]))
            if found[2] != self.dialect.delimiter:
                return fields
            place = found.end()
        return None

    def good_end(self, text: bytes, start: int) -> int:
        """Return where the run of records that begins at `start` ends."""
        found = self._many.match(text, start)
        return found.end() if found else start

    def one_end(self, text: bytes, start: int) -> int | None:
        """Return where the record, or the line without a sign, that begins at `start` ends; None for none."""
        found = self._one.match(text, start)
        return found.end() if found else None

    def record_lines(self, text: bytes, first: int) -> Iterator[int]:
        """Yield the line number of each record of a text that holds nothing else; `first` is that of its first line."""
        line = first
        for found in self._one.finditer(text):
            if found[1] is not None:
                yield line
            line += line_ends(found[0])

    def bad_end(self, text: bytes, start: int, *, is_last: bool) -> int | None:
        """Return where the bad line that begins at `start` ends; None where more of the file must be seen first."""
        if found := self._loose.match(text, start):
            return found.end()
        room = is_last or len(text) - start > RECORD_BYTES_MAX
        if not room and (self._broken is None or not self._broken.match(text, start)):
            return None
        first = self._line.match(text, start)
        if first is None:
            return None
        return self._broken_end(text, first.end(), room=room)

    def _broken_end(self, text: bytes, end: int, *, room: bool) -> int | None:
        """Return where lines with broken quotes end, of which the first ends at `end`.

        If the next quote stands where a field begins, it opens one, and the lines before it are rows by themselves. If
        not, it may close the text that is broken: then what lies before it could be that text, and is no row.
        """
        quote = self.dialect.quote
        while True:
            place = text.find(quote, end)
            if place < 0 or place - end > RECORD_BYTES_MAX:
                return end if room or place >= 0 else None
            if self._opens(text, place):
                return end
            line = self._line.match(text, place)
            if line is None:
                return None
            end = line.end()
            if not self._opens(text, text.rfind(quote, 0, end)):
                return end

    def _opens(self, text: bytes, place: int) -> bool:
        return place == 0 or text[place - 1 : place] in (self.dialect.delimiter, b"\n", b"\r")

    def _unquoted(self, value: bytes) -> bytes:
        quote = self.dialect.quote
        if quote and value.startswith(quote):
            return value[1:-1].replace(quote + quote, quote)
        return value


def line_ends(text: bytes) -> int:
    """Return the number of line ends; CR LF is one."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else text.count(b"\n")


def pieces(texts: Iterator[bytes], grammar: Grammar, first_line: int) -> Iterator[Piece]:
    """Yield the records and bad lines of a text that comes in any parts, each line exactly once and in order.

    Raises: SystemRefused for a line that is longer than memory should hold.
    """
    held, line, is_last = b"", first_line, False
    while not is_last:
        text = next(texts, None)
        is_last = text is None
        held += text or b""
        if is_last and held and not held.endswith((b"\n", b"\r")):
            held += b"\n"
        # A CR at the end may be half of a CR LF.
        usable = held[:-1] if held.endswith(b"\r") and not is_last else held
        spans, end = _spans(usable, grammar, is_last=is_last)
        if spans:
            yield _piece(usable, spans, grammar, line)
            line += line_ends(usable[:end])
            held = held[end:]
        elif len(held) > 2 * RECORD_BYTES_MAX:
            message = f"line {line} has more than {len(held):,} bytes without an end; no row is so long; is it a CSV?"
            raise SystemRefused(message)


def _spans(text: bytes, grammar: Grammar, *, is_last: bool) -> tuple[list[tuple[int, int, bool]], int]:
    """Return the stretches of records and the bad lines of a text, each with start, end and whether it is good."""
    spans: list[tuple[int, int, bool]] = []
    start = 0
    while start < len(text):
        end = grammar.good_end(text, start)
        if end > start:
            spans.append((start, end, True))
            start = end
            continue
        bad = grammar.bad_end(text, start, is_last=is_last)
        if bad is None:
            break
        spans.append((start, bad, False))
        start = bad
    return spans, start


def _piece(text: bytes, spans: list[tuple[int, int, bool]], grammar: Grammar, line: int) -> Piece:
    if len(spans) == 1 and spans[0][2] and _is_plain(text, grammar):
        whole = text[: spans[0][1]]
        return Piece(whole, range(line, line + line_ends(whole)))
    parts: list[bytes] = []
    lines: list[int] = []
    bad: dict[int, bytes] = {}
    for start, end, is_good in spans:
        part = text[start:end]
        if is_good:
            lines += grammar.record_lines(part, line)
            parts.append(part)
        else:
            bad[len(lines)] = part.removesuffix(b"\n").removesuffix(b"\r")
            lines.append(line)
            parts.append(grammar.placeholder)
        line += line_ends(part)
    return Piece(b"".join(parts), lines, bad)


def _is_plain(text: bytes, grammar: Grammar) -> bool:
    """Say whether every line of records is one record: no quote, no line without a sign."""
    if grammar.width > 1 and (text.startswith((b"\n", b"\r")) or re.search(rb"\n[\r\n]|\r\r", text)):
        return False
    return not grammar.dialect.quote or grammar.dialect.quote not in text
