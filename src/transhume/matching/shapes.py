"""The pattern of a value: what is letters, what is digits, what is neither. No column is judged here."""

import re

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}\Z")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_DIGITS = re.compile(r"[0-9]+")
_LENGTH_MAX = 80


def shape(value: str) -> str:
    """Return a value's pattern: `/legacy/storage/models/v1/model_7.pkl` is `/a/a/a/v9/a_9.pkl`.

    Two letters or more are `a`, one letter stays; digits are `9`, where no letter stands beside them as many as there
    are (`99.99.9999`); a file's extension stays; everything else stays as it is. Cut at 80 characters.
    """
    text = value[: _LENGTH_MAX * 8]
    extension = _EXTENSION.search(text) if "/" in text or "\\" in text else None
    stem, ending = (text[: extension.start()], extension[0]) if extension else (text, "")
    found = _LETTERS.sub("a", stem)
    if found != stem or ending or stem.isdigit() or re.search(r"[^\W\d_]", stem):
        found = _DIGITS.sub("9", found)
    else:
        found = _DIGITS.sub(lambda digits: "9" * len(digits[0]), found)
    return (found + ending)[:_LENGTH_MAX]
