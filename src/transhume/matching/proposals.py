"""What a draft proposes: for each target table a source table, for each target column a source and a rule, and why."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transhume.facts import Catalog, Profile
from transhume.matching.assignment import assign
from transhume.matching.scores import Candidate, Scores, score
from transhume.matching.views import View, views_of
from transhume.schema import Table

TABLE_MIN, COLUMN_MIN = 0.3, 0.42
"""Scores below which nothing is proposed; a weaker candidate is shown as an alternative."""
_ALTERNATIVES = 2
BOOKKEEPING = {
    "flyway_schema_history": "Flyway", "schema_version": "Flyway 3 and others", "databasechangelog": "Liquibase",
    "databasechangeloglock": "Liquibase", "alembic_version": "Alembic", "django_migrations": "Django",
    "schema_migrations": "Rails, golang-migrate", "ar_internal_metadata": "Rails", "migrations": "Laravel",
    "knex_migrations": "Knex", "knex_migrations_lock": "Knex", "__efmigrationshistory": "Entity Framework",
    "sequelizemeta": "Sequelize", "_prisma_migrations": "Prisma", "goose_db_version": "goose",
}  # fmt: skip
"""Tables in which tools of schema changes keep their own books, by what the tools' documentation calls them."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A target table and the source table that is proposed for it; `fields` by target column, None: no source."""

    source: Table
    target: Table
    score: float
    fields: Mapping[str, Candidate | None]
    alternatives: Mapping[str, tuple[Candidate, ...]]
    views: Mapping[str, View]
    """The source's columns."""
    target_views: Mapping[str, View]


@dataclass(frozen=True, slots=True)
class Matching:
    """All pairings, in the order of the target's tables, and what is left over on both sides."""

    pairings: tuple[Pairing, ...]
    scores: Scores
    lonely_sources: tuple[str, ...] = ()
    lonely_targets: tuple[str, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Source tables that hold no data of the business, and whose books they are."""


def match(
    source: Catalog, target: Catalog, source_profile: Profile | None = None, target_profile: Profile | None = None
) -> Matching:
    """Return which tables and columns are proposed for each other. Profiles, where given, add their evidence."""
    ours, theirs = views_of(source, source_profile), views_of(target, target_profile)
    scores = score(ours, theirs)
    ignored = {name: tool for name in source.tables if (tool := BOOKKEEPING.get(name.lower()))}
    by_pair: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for candidate in scores.candidates:
        by_pair[candidate.source.table, candidate.target.table].append(candidate)
    assigned = {pair: _assigned(found) for pair, found in by_pair.items() if pair[0] not in ignored}
    wanted = [
        (_fit(scores.tables[pair], fields, _smaller(source.tables[pair[0]], target.tables[pair[1]])), *pair)
        for pair, fields in assigned.items()
        if fields
    ]
    chosen = assign([each for each in wanted if each[0] >= TABLE_MIN])
    pairings = []
    for name, table in target.tables.items():
        if name in chosen:
            own, fit = chosen[name]
            pairings.append(
                _pairing(source.tables[own], table, fit, by_pair[own, name], assigned[own, name], ours, theirs)
            )
    taken = {pairing.source.name for pairing in pairings}
    return Matching(
        tuple(pairings),
        scores,
        lonely_sources=tuple(name for name in source.tables if name not in taken and name not in ignored),
        lonely_targets=tuple(name for name in target.tables if name not in chosen),
        ignored={name: tool for name, tool in ignored.items() if name not in taken},
    )


def ranked(matching: Matching) -> list[tuple[Candidate, float]]:
    """Return every candidate with its final score: what one-to-one assignment chose stands before what it did not."""
    kept = {
        (c.source.table, c.source.name, c.target.table, c.target.name)
        for pairing in matching.pairings
        for c in pairing.fields.values()
        if c is not None
    }
    found = []
    for c in matching.scores.candidates:
        is_kept = (c.source.table, c.source.name, c.target.table, c.target.name) in kept
        found.append((c, round(c.score + (1 - c.score) * _CHOSEN if is_kept else c.score, 6)))
    return sorted(found, key=lambda each: -each[1])


_CHOSEN = 0.15
"""How far towards 1 the score of an assigned pair is raised."""


def _assigned(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    good = [c for c in candidates if c.score >= COLUMN_MIN and (c.name or c.values)]
    found = {(c.source.name, c.target.name): c for c in good}
    chosen = assign([(c.score, c.source.name, c.target.name) for c in good])
    return {target: found[own, target] for target, (own, _) in chosen.items()}


def _fit(tables: float, fields: Mapping[str, Candidate], size: int) -> float:
    """Return how well two tables fit: their own score, and how much of the smaller one finds its place, how well."""
    filled = sum(candidate.score for candidate in fields.values())
    return 0.6 * tables + 0.4 * filled / max(size, 1)


def _smaller(source: Table, target: Table) -> int:
    return min(len(source.columns), len(target.columns))


def _pairing(
    source: Table,
    target: Table,
    fit: float,
    candidates: Sequence[Candidate],
    assigned: Mapping[str, Candidate],
    ours: Sequence[View],
    theirs: Sequence[View],
) -> Pairing:
    others: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if candidate is not assigned.get(candidate.target.name):
            others[candidate.target.name].append(candidate)
    return Pairing(
        source,
        target,
        fit,
        {column.name: assigned.get(column.name) for column in target.columns},
        {name: tuple(found[:_ALTERNATIVES]) for name, found in others.items()},
        {view.name: view for view in ours if view.table == source.name},
        {view.name: view for view in theirs if view.table == target.name},
    )
