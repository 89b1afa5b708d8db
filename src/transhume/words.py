"""Words for messages: the nearest known word, counted nouns, what is wrong with a shape; and the words of a name."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_NEAR = 0.6
_SPACES = "\u00a0\u3000"


def printable(text: str) -> str:
    """Return a text of one line as a screen or log may show it: control, direction and broken characters as `?`."""
    return "".join(each if each.isprintable() or each in _SPACES else "?" for each in text)


def visible(text: str) -> str:
    """Return a text in which control, direction, invisible and broken characters stand as their numbers."""
    return "".join(each if each.isprintable() or each in _SPACES else f"\\u{ord(each):04x}" for each in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the known word that is nearest to `word`, regardless of case; '' if none is near."""
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(each.casefold(), each)
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=_NEAR)
    return by_folded[found[0]] if found else ""


def hint(word: str, known: Iterable[str], what: str = "known") -> str:
    """Return a cure: the nearest known word, else all of them (at most 12)."""
    choices = list(known)
    if near := did_you_mean(word, choices):
        return f"did you mean '{near}'?"
    if not choices:
        return ""
    listed = ", ".join(f"'{choice}'" for choice in choices[:12])
    more = f" and {len(choices) - 12} more" if len(choices) > 12 else ""  # noqa: PLR2004
    return f"{what}: {listed}{more}"


def counted(count: int, noun: str) -> str:
    """Return `1 row`, `2,000 rows`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def kind_of(node: Any) -> str:
    """Name what a node of a plan is: `a mapping`, `a list`, or the text in quotes."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, list | tuple):
        return "a list"
    return f"'{node}'"


def shape_problem(name: str, kind: str, context: Mapping[str, Any], found: Any) -> tuple[str, str]:
    """Return (what is wrong, cure) for a pydantic error of this kind and context on the value `found` of `name`."""
    what = kind_of(found)
    if kind in {"too_short", "too_long"}:
        allowed = counted(context.get("min_length") or context.get("max_length") or 1, "entry")
        return (f"{name} is empty" if kind == "too_short" else f"{name} has more than {allowed}"), f"write {allowed}"
    if kind == "literal_error":
        return f"{name} cannot be {what}", f"write {context.get('expected', '')}".replace("'", "")
    expected, cure = next(words for pattern, *words in _SHAPES if kind.startswith(pattern))
    return f"{name} is {what}, expected {expected}", cure


_SHAPES = (
    ("string_pattern", "a name", "use letters, digits and '_', a letter first"),
    ("string", "a text", "write one value"),
    ("tuple", "a list", "write [a, b], or one '- ' line for each"),
    ("list", "a list", "write [a, b], or one '- ' line for each"),
    ("", "a mapping of 'key: value' lines", "write 'key: value' lines below it"),
)
"""How a kind of error of pydantic begins, what was expected, and the cure; the last one fits all others."""


def name_words(name: str) -> tuple[str, ...]:
    """Return the words of a table's or column's name, lower case: `ownerUserID2` is owner, user, id, 2.

    Words end where case, digits or punctuation do. Of scripts that are written without spaces (Han, Kana, Thai)
    every letter is a word.
    """
    marked: list[str] = []
    letters = unicodedata.normalize("NFKC", name)
    for before, letter, after in zip(f" {letters}", letters, f"{letters[1:]} ", strict=False):
        starts = letter.isupper() and (before.islower() or (before.isupper() and after.islower()))
        changes = letter.isdigit() != before.isdigit() and letter.isalnum() and before.isalnum()
        marked += [" "] if starts or changes or _is_unspaced(letter) or _is_unspaced(before) else []
        marked.append(letter.lower() if letter.isalnum() or unicodedata.combining(letter) else " ")
    return tuple("".join(marked).split())


def _is_unspaced(letter: str) -> bool:
    """Say whether a letter belongs to a script without spaces between words (blocks of the Unicode standard)."""
    return letter >= _FIRST_UNSPACED and any(first <= ord(letter) <= last for first, last in _UNSPACED)


_FIRST_UNSPACED = "\u0e00"
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0x20000, 0x3FFFF),
)
"""Thai and Lao, Khmer, Hiragana and Katakana, and Han with its extensions."""
