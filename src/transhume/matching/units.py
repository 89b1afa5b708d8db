"""Units in names: `size_mb` and `size_bytes` are the same quantity. No value is converted here."""

from fractions import Fraction

from transhume.words import name_words

_UNITS: dict[str, tuple[str, Fraction]] = {
    "b": ("bytes", Fraction(1)), "byte": ("bytes", Fraction(1)), "bytes": ("bytes", Fraction(1)),
    "kb": ("bytes", Fraction(2**10)), "kib": ("bytes", Fraction(2**10)),
    "mb": ("bytes", Fraction(2**20)), "mib": ("bytes", Fraction(2**20)),
    "gb": ("bytes", Fraction(2**30)), "gib": ("bytes", Fraction(2**30)), "tb": ("bytes", Fraction(2**40)),
    "ms": ("time", Fraction(1, 1000)), "millis": ("time", Fraction(1, 1000)),
    "milliseconds": ("time", Fraction(1, 1000)),
    "s": ("time", Fraction(1)), "sec": ("time", Fraction(1)), "secs": ("time", Fraction(1)),
    "seconds": ("time", Fraction(1)), "minutes": ("time", Fraction(60)), "mins": ("time", Fraction(60)),
    "hours": ("time", Fraction(3600)), "hrs": ("time", Fraction(3600)), "days": ("time", Fraction(86400)),
    "mm": ("length", Fraction(1, 1000)), "cm": ("length", Fraction(1, 100)), "m": ("length", Fraction(1)),
    "meters": ("length", Fraction(1)), "km": ("length", Fraction(1000)),
    "mg": ("mass", Fraction(1, 1000)), "g": ("mass", Fraction(1)), "grams": ("mass", Fraction(1)),
    "kg": ("mass", Fraction(1000)), "cents": ("money", Fraction(1, 100)), "percent": ("share", Fraction(1, 100)),
    "pct": ("share", Fraction(1, 100)), "fraction": ("share", Fraction(1)),
}  # fmt: skip
"""SI prefixes as usual; of bytes the powers of two that file systems count in."""


def factor(source: str, target: str) -> tuple[str, str] | None:
    """Return (the factor as the rule `scale` takes it, what it is in words), None where the names tell no change.

    A factor that is no finite decimal number is none.
    """
    ours, theirs = _unit(source), _unit(target)
    if ours is None or theirs is None or ours[1] != theirs[1] or ours[2] == theirs[2]:
        return None
    ratio = ours[2] / theirs[2]
    scaled = ratio * 10**12
    if scaled.denominator != 1:
        return None
    whole, rest = divmod(scaled.numerator, 10**12)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return text, f"{ours[0]} to {theirs[0]}"


def _unit(name: str) -> tuple[str, str, Fraction] | None:
    words = name_words(name)
    if len(words) < 2 or words[-1] not in _UNITS:  # noqa: PLR2004 - a quantity and its unit
        return None
    kind, size = _UNITS[words[-1]]
    return words[-1], kind, size
