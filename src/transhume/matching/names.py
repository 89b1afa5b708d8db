"""Names compared word by word: plural and singular, short forms, synonyms, words run together, other scripts.

What a match means for a column is weighed in `scores.py`.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transhume.matching.vocabulary import ABBREVIATIONS, IDENTIFYING, JOINED, SYNONYMS
from transhume.plan.near_names import similarity
from transhume.words import name_words

_SAME, _SHORT, _SYNONYM, _NEAR_MIN, _NEAR = 1.0, 0.85, 0.75, 0.87, 0.85
_PREFIX_MIN = 3
_PIECE_MIN = 3
_RUN_TOGETHER_MIN = 7


_KNOWN = JOINED | frozenset(SYNONYMS)


@functools.lru_cache(maxsize=65_536)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name: singular, short forms written out, known words that run together taken apart."""
    found: list[str] = []
    for word in name_words(name):
        pieces = _apart(word) if len(word) >= _RUN_TOGETHER_MIN and word.isascii() else (word,)
        found += [ABBREVIATIONS.get(piece) or ABBREVIATIONS.get(singular(piece)) or singular(piece) for piece in pieces]
    return tuple(found)


def singular(word: str) -> str:
    """Return an English word without its plural ending; other words stay as they are."""
    if len(word) <= _PIECE_MIN or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:  # noqa: PLR2004 - `ties`
        return f"{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _apart(word: str) -> tuple[str, ...]:
    """Return a word as two known ones if it is exactly two, else as it is."""
    if word in _KNOWN or singular(word) in _KNOWN or word in ABBREVIATIONS or word in SYNONYMS:
        return (word,)
    for place in range(len(word) - _PIECE_MIN, _PIECE_MIN - 1, -1):
        left, right = word[:place], word[place:]
        if all(piece in _KNOWN or singular(piece) in _KNOWN or piece in ABBREVIATIONS for piece in (left, right)):
            return left, right
    return (word,)


@dataclass(slots=True)
class Lexicon:
    """How alike two words are, remembered; and how much a word tells, by how rare it is in both schemas."""

    counts: Counter[str]
    names: int

    @classmethod
    def of(cls, names: Iterable[Sequence[str]]) -> "Lexicon":
        """Count the words of all names."""
        listed = list(names)
        return cls(Counter(word for words in listed for word in set(words)), max(len(listed), 1))

    def weight(self, word: str) -> float:
        """Return how much a word tells: 1 for one that stands everywhere, more for a rare one."""
        return 1.0 + 0.5 * math.log(self.names / (self.counts.get(word, 0) + 1) + 1)

    def neighbours(self, words: set[str], others: set[str]) -> dict[str, list[tuple[str, float]]]:
        """Return for each word those of the others that are like it, and how much, 0 to 1."""
        groups: dict[int, list[str]] = defaultdict(list)
        firsts: dict[str, list[str]] = defaultdict(list)
        for other in sorted(others):
            firsts[other[:1]].append(other)
            for group in SYNONYMS.get(other, ()):
                groups[group].append(other)
        found = {}
        for word in words:
            near = [*firsts[word[:1]], *(other for group in SYNONYMS.get(word, ()) for other in groups[group])]
            scored = ((other, alike(word, other)) for other in dict.fromkeys(near))
            found[word] = [(other, score) for other, score in scored if score]
        return found


def alike(one: str, other: str) -> float:
    """Return how alike two words are, 0 to 1: the same, one short for the other, of one group, or spelt nearly so."""
    if one == other:
        return _SAME
    if SYNONYMS.get(one, frozenset()) & SYNONYMS.get(other, frozenset()):
        return _SYNONYM
    if not one.isascii() or not other.isascii():
        return similarity(one, other) * _NEAR if min(len(one), len(other)) > 1 and one[0] == other[0] else 0.0
    short, long = sorted((one, other), key=len)
    if len(short) >= _PREFIX_MIN and long.startswith(short) and short.isalpha():
        return _SHORT if len(short) > _PREFIX_MIN else _SHORT * 0.8
    if short.isdigit() or long.isdigit() or not short or short[0] != long[0] or len(short) <= _PREFIX_MIN:
        return 0.0
    near = similarity(short, long)
    return near * _NEAR if near >= _NEAR_MIN else 0.0


def refers(column: str, table: str, key: str) -> bool:
    """Say whether a column's name points to a table's key: `dataset_id` or `dataset` to `datasets`.`dataset_id`."""
    own, there = words_of(column), words_of(table)
    telling = [word for word in own if word not in IDENTIFYING]
    if not telling or not there:
        return False
    if there[-1] == telling[-1] or (len(telling) >= len(there) and telling[-len(there) :] == list(there)):
        return True
    key_words = [word for word in words_of(key) if word not in IDENTIFYING]
    return bool(key_words) and telling == key_words
