"""How well a source column fits a target column, and a source table a target table: names, types, keys, values.

Values add to a score and never take from it: two systems may hold different rows. Scores lie between 0 and 1.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transhume.matching.names import Lexicon
from transhume.matching.values import likeness
from transhume.matching.views import View

NAME, TABLE, KIND, ROLE, VALUES = 0.62, 0.24, 0.06, 0.08, 0.25
"""Weights of the parts of a score; the first four make 1, values come on top and what is left to 1 bounds them."""
_OWN_TABLE = 0.35
"""A word of a column that is its own table's name tells less: `album_id` in `album`."""
_CONTEXT = 0.8
"""What finding a word in the other column's table name counts: `models.version` for `ml_models.model_version`."""
_TABLE_NAME, _TABLE_COLUMNS = 0.5, 0.5
_PAIRS_MAX = 100_000
"""Up to so many pairs of columns every one is scored, also those whose names have nothing in common."""
_CANDIDATES_MAX = 60
"""Beyond that, the best names of so many target columns for each source column."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source column proposed for a target column, its score, and the parts that the score is made of."""

    source: View
    target: View
    score: float
    name: float
    table: float
    kind: float
    role: float
    values: float
    value_reason: str = ""


@dataclass(slots=True)
class Scores:
    """Everything that was scored: tables by pair of names, candidates by target column."""

    tables: dict[tuple[str, str], float] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)


def score(sources: Sequence[View], targets: Sequence[View]) -> Scores:
    """Return the scores of all pairs of tables, and of all pairs of columns that anything speaks for."""
    lexicon = Lexicon.of(view.words for view in (*sources, *targets))
    names = _name_scores(lexicon, sources, targets)
    result = Scores(_table_scores(sources, targets, names))
    for (s, t), name in names.items():
        source, target = sources[s], targets[t]
        result.candidates.append(_candidate(source, target, name, result.tables))
    result.candidates.sort(key=lambda c: (-c.score, c.source.table, c.source.name, c.target.table, c.target.name))
    return result


def _candidate(source: View, target: View, name: float, tables: Mapping[tuple[str, str], float]) -> Candidate:
    table = tables[source.table, target.table]
    kind = _kind(source, target)
    role = _role(source, target, tables)
    values, reason = likeness(source.evidence, target.evidence)
    found = NAME * name + TABLE * table + KIND * kind + ROLE * role
    found += VALUES * values * (1 - found)
    return Candidate(source, target, round(found, 6), name, table, kind, role, values, reason)


def _name_scores(lexicon: Lexicon, sources: Sequence[View], targets: Sequence[View]) -> dict[tuple[int, int], float]:
    """Return how alike two columns' names are, by places; pairs without any word in common only where there are few."""
    there = _covered(lexicon, [_factors(view) for view in sources], [_with_table(view) for view in targets])
    back = _covered(lexicon, [_factors(view) for view in targets], [_with_table(view) for view in sources])
    everything = len(sources) * len(targets) <= _PAIRS_MAX
    result = {}
    for s, found in enumerate(there):
        places = range(len(targets)) if everything else found
        named = {t: _both(found.get(t, 0.0), back[t].get(s, 0.0)) for t in places}
        best = named if everything else heapq.nlargest(_CANDIDATES_MAX, named, key=lambda t: named[t])
        result.update({(s, t): named[t] for t in best})
    return result


def _both(there: float, back: float) -> float:
    """Return the mean of what the two names cover of each other; lower where one covers little of the other."""
    total = there + back
    return 0.25 * total + there * back / total if total else 0.0


def _covered(
    lexicon: Lexicon, asked: Sequence[Mapping[str, float]], held: Sequence[Mapping[str, float]]
) -> list[dict[int, float]]:
    """Return for each name that asks which share of its words, by weight, each name that holds words covers.

    Only what is covered at all is named: 2,000 columns against 2,000 have a few words in common, not four million.
    """
    index: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for place, words in enumerate(held):
        for word, factor in words.items():
            index[word].append((place, factor))
    alike = lexicon.neighbours({word for words in asked for word in words}, set(index))
    result = []
    for words in asked:
        total = sum(lexicon.weight(word) * factor for word, factor in words.items())
        found: dict[int, float] = defaultdict(float)
        for word, factor in words.items():
            best: dict[int, float] = {}
            for other, near in alike[word]:
                for place, counts in index[other]:
                    if near * counts > best.get(place, 0.0):
                        best[place] = near * counts
            for place, near in best.items():
                found[place] += lexicon.weight(word) * factor * near / total
        result.append(dict(found))
    return result


def _with_table(view: View) -> dict[str, float]:
    return {**dict.fromkeys(view.table_words, _CONTEXT), **dict.fromkeys(view.words, 1.0)}


def _factors(view: View) -> dict[str, float]:
    only_table = all(word in view.table_words for word in view.words)
    return {w: 1.0 if only_table or w not in view.table_words else _OWN_TABLE for w in view.words}


def _table_scores(
    sources: Sequence[View], targets: Sequence[View], names: Mapping[tuple[int, int], float]
) -> dict[tuple[str, str], float]:
    best_ours: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    best_theirs: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for (s, t), value in names.items():
        pair = (sources[s].table, targets[t].table)
        if value > best_ours[pair].get(s, 0.0):
            best_ours[pair][s] = value
        if value > best_theirs[pair].get(t, 0.0):
            best_theirs[pair][t] = value
    our_tables = {view.table: view.table_words for view in sources}
    their_tables = {view.table: view.table_words for view in targets}
    sizes = _sizes(sources), _sizes(targets)
    words = Lexicon.of([*our_tables.values(), *their_tables.values()])
    result = {}
    ours_named = _covered(words, *_plain(our_tables, their_tables))
    theirs_named = _covered(words, *_plain(their_tables, our_tables))
    for one_place, one in enumerate(our_tables):
        for other_place, other in enumerate(their_tables):
            named = ours_named[one_place].get(other_place, 0.0) + theirs_named[other_place].get(one_place, 0.0)
            ours = sum(best_ours[one, other].values()) / sizes[0][one] if (one, other) in best_ours else 0.0
            theirs = sum(best_theirs[one, other].values()) / sizes[1][other] if (one, other) in best_theirs else 0.0
            columns = max(ours, theirs) * 0.5 + (ours + theirs) * 0.25
            result[one, other] = _TABLE_NAME * named / 2 + _TABLE_COLUMNS * columns
    return result


def _plain(
    ours: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[str]]
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return [dict.fromkeys(words, 1.0) for words in ours.values()], [dict.fromkeys(w, 1.0) for w in theirs.values()]


def _sizes(views: Sequence[View]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for view in views:
        found[view.table] += 1
    return found


def _kind(source: View, target: View) -> float:
    one, other = source.family, target.family
    if one == other or not one or not other:
        return 1.0
    if {one, other} == {"number", "uuid"}:
        return 0.8
    return 0.5 if "text" in {one, other} else 0.2 if {one, other} == {"number", "boolean"} else 0.0


def _role(source: View, target: View, tables: Mapping[tuple[str, str], float]) -> float:
    """Return how well keys and references fit: a key for a key, a reference to tables that fit each other."""
    if source.refers_to and target.refers_to:
        return tables.get((source.refers_to, target.refers_to), 0.0)
    if bool(source.refers_to) != bool(target.refers_to):
        return 0.0
    return 1.0 if source.is_key == target.is_key else 0.0
