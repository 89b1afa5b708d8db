"""Near misses of a names lookup: which name an unknown spelling may mean. A person accepts them, never a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from transhume.errors import Finding
from transhume.plan.model import NamesLookup, Plan, TableMapping
from transhume.plan.places import at
from transhume.rules.names import fold
from transhume.words import counted

SCORE_MIN = 0.88
LEAD_MIN = 0.05
LENGTH_MIN = 5
DISTANCE_SHARE_MAX = 5
"""At most one edit for every so many characters."""
_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """An unknown spelling, the canonical name that it may mean, and how near it is (Jaro-Winkler, 0 to 1)."""

    spelling: str
    canonical: str
    score: float


def near_name(spelling: str, names: Mapping[str, Sequence[str]]) -> Proposal | None:
    """Return the canonical name that a spelling is near to, if one is near and none of the others nearly as much.

    `names` gives each canonical name its other spellings. Spellings are compared folded, as the rule compares them.
    """
    folded = fold(spelling)
    if len(folded) < LENGTH_MIN:
        return None
    scored: list[tuple[float, str, str]] = []
    for canonical, others in names.items():
        best = max((similarity(folded, fold(known)), fold(known)) for known in (canonical, *others))
        scored.append((best[0], canonical, best[1]))
    scored.sort(reverse=True)
    score, canonical, nearest = scored[0]
    lead = score - scored[1][0] if len(scored) > 1 else 1.0
    if score < SCORE_MIN or lead < LEAD_MIN or distance(folded, nearest) > len(folded) // DISTANCE_SHARE_MAX:
        return None
    return Proposal(spelling, canonical, round(score, 3))


def unknown_name_findings(plan: Plan, mapping: TableMapping, lookup: str, counts: Mapping[str, int]) -> list[Finding]:
    """Turn spellings that a names lookup does not know into findings at the lookup, most frequent first.

    `counts` gives each unknown spelling its number of rows. The cure holds the line to write where one is near.
    """
    found = plan.lookups.get(lookup)
    assert isinstance(found, NamesLookup)
    findings = []
    shown = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    for spelling, count in shown[:_SHOWN_MAX]:
        proposal = near_name(spelling, found.names)
        path: tuple[str, ...] = ("lookups", lookup)
        cure = f"write it behind its canonical name in the lookup '{lookup}'"
        if proposal is not None:
            path = (*path, proposal.canonical)
            cure = f"does it mean '{proposal.canonical}' (score {proposal.score})? then write it there: [{spelling}]"
        message = (
            f"{counted(count, 'row')} of '{mapping.from_}' hold '{spelling}', which the lookup '{lookup}' does not know"
        )
        made = at(plan, path, "unknown_name", message, cure, "warning")
        findings.append(
            replace(
                made,
                table=mapping.name,
                count=count,
                proposal=(lookup, spelling, proposal.canonical if proposal is not None else ""),
            )
        )
    if len(shown) > _SHOWN_MAX:
        rest = sum(count for _, count in shown[_SHOWN_MAX:])
        more = counted(len(shown) - _SHOWN_MAX, "further spelling")
        message = f"{more} in {counted(rest, 'row')} are unknown to the lookup '{lookup}' too"
        made = at(plan, ("lookups", lookup), "unknown_name", message, "see the reject files for all of them", "warning")
        findings.append(Finding(made.code, "warning", message, made.cure, made.position, mapping.name, None, rest))
    return findings


def similarity(one: str, other: str) -> float:
    """Return the Jaro-Winkler similarity of two texts, 1 for equal ones.

    Source: Winkler 1990, prefix of at most 4 at weight 0.1, whatever the Jaro similarity is.
    """
    if one == other:
        return 1.0
    window = max(max(len(one), len(other)) // 2 - 1, 0)
    taken = [False] * len(other)
    matched: list[str] = []
    for place, letter in enumerate(one):
        for near in range(max(0, place - window), min(len(other), place + window + 1)):
            if not taken[near] and other[near] == letter:
                taken[near] = True
                matched.append(letter)
                break
    if not matched:
        return 0.0
    others = [letter for letter, is_taken in zip(other, taken, strict=True) if is_taken]
    swapped = sum(left != right for left, right in zip(matched, others, strict=True)) // 2
    count = len(matched)
    jaro = (count / len(one) + count / len(other) + (count - swapped) / count) / 3
    prefix = 0
    for left, right in zip(one[:4], other[:4], strict=False):
        if left != right:
            break
        prefix += 1
    return jaro + prefix * 0.1 * (1 - jaro)


def distance(one: str, other: str) -> int:
    """Return the number of insertions, deletions and replacements between two texts (Levenshtein)."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        above, row[0] = row[0], place
        for near, other_letter in enumerate(other, start=1):
            above, row[near] = row[near], min(row[near] + 1, row[near - 1] + 1, above + (letter != other_letter))
    return row[-1]
