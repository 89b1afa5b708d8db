"""Scalars and comments of a plan's text, so that no value of the data can become anything else than what it is."""

import json
import re

from transhume.words import printable

_BARE = re.compile(r"[^\W\d][\w .\-/]*(?<![ ])\Z")
_WORDS = frozenset({"null", "reject", "keep", "true", "false", "yes", "no", "on", "off", "TBD", "~"})
_COMMENT_MAX = 160


def bare(name: str) -> str | None:
    """Return a name as a bare word of a rule, None where it cannot stand without quotes (quoted, it is a literal)."""
    return name if _BARE.match(name) and name not in _WORDS and " #" not in name and "." not in name else None


def text(value: str) -> str:
    """Return a text as a scalar that is read as exactly this text: in quotes unless it is plain letters."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ ]*(?<! )", value) and value.lower() not in {w.lower() for w in _WORDS}:
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def key(name: str) -> str:
    """Return a name as a key of a mapping."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) and name.isascii() else text(name)


def comment(words: str) -> str:
    """Return one line that can stand behind `#`."""
    line = printable(" ".join(words.split()))
    return line if len(line) <= _COMMENT_MAX else f"{line[: _COMMENT_MAX - 3]}..."
