"""Words for messages: the nearest known word, counted nouns. Nothing of transhume's own meaning stands here."""

import difflib
from collections.abc import Iterable

_NEAR = 0.6


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
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
