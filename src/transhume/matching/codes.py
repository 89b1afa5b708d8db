"""Codes and spellings against what the target holds or allows: labels that follow from evidence, and no other.

A label is proposed where exactly one value of the target begins as the code does, or is a known synonym of it;
everything else stays open.
"""

from collections.abc import Sequence

from transhume.matching.names import singular
from transhume.matching.vocabulary import SYNONYMS
from transhume.plan.near_names import near_name
from transhume.rules.names import fold

_NONE: frozenset[int] = frozenset()
_SPACE = " \t\n\v\f\r"


def labels(codes: Sequence[str], domain: Sequence[str]) -> dict[str, str | None]:
    """Return for each code (trimmed) its label in the target's domain, None where it is not certain."""
    found: dict[str, str | None] = {}
    for code in codes:
        trimmed = code.strip(_SPACE)
        if trimmed:
            found.setdefault(trimmed, _label(trimmed, domain))
    return found


def _label(code: str, domain: Sequence[str]) -> str | None:
    if code in domain:
        return code
    folded = fold(code)
    for found in (
        [value for value in domain if fold(value) == folded],
        [value for value in domain if folded and fold(value).startswith(folded)],
        [value for value in domain if _groups(value) & _groups(code)],
    ):
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _groups(value: str) -> frozenset[int]:
    """Return the groups of synonyms of a single word."""
    return SYNONYMS.get(singular(fold(value)), frozenset())


def spellings(values: Sequence[str], canonical: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return each canonical name with the spellings that mean it, and the values that nothing certain speaks for.

    A spelling means a name if it folds to it, is its initials (`RF` of `Random Forest`), or is a near miss.
    Spellings that fold alike stand once.
    """
    names: dict[str, list[str]] = {name: [] for name in canonical}
    unknown: list[str] = []
    seen = {fold(name) for name in canonical}
    for value in values:
        folded = fold(value)
        if not folded or folded in seen:
            continue
        seen.add(folded)
        initials = [name for name in canonical if _initials(name) == folded.replace(" ", "")]
        near = near_name(value, dict.fromkeys(canonical, ()))
        owner = initials[0] if len(initials) == 1 else near.canonical if near else None
        if owner is None:
            unknown.append(value)
        else:
            names[owner].append(value.strip(_SPACE))
    return names, unknown


def _initials(name: str) -> str:
    words = fold(name).split()
    return "".join(word[0] for word in words) if len(words) > 1 else ""
